package backendtest

import (
	"strings"
	"testing"
)

// Every bug is one of the toy's, and the rules are those that must see it; others may too.
var mutants = []struct {
	bug   string
	rules []string
}{
	{"drops a record", []string{"append/order and wholeness"}},
	{"repeats a record", []string{"append/order and wholeness"}},
	{"reorders records", []string{"append/order and wholeness"}},
	{"acknowledges before it stores", []string{"append/order and wholeness"}},
	{"acknowledges out of order", []string{"append/order and wholeness"}},
	{"acknowledges too much", []string{"append/order and wholeness"}},
	{"acknowledges the batch before", []string{"append/order and wholeness"}},
	{"does not wait in Recv", []string{"append/Recv blocks while nothing is unacknowledged"}},
	{"lives as long as the context of Open", []string{"append/the context of Open bounds the opening only", "read/the context of OpenReader bounds the opening only"}},
	{"opens under an ended context", []string{"append/a cancelled Open", "read/a cancelled OpenReader"}},
	{"sends under an ended context", []string{"append/a cancelled Send"}},
	{"lives on after a cancelled Recv", []string{"append/a cancelled Recv"}},
	{"does not classify the end of a context", []string{"append/a cancelled Open", "append/a cancelled Recv", "append/a Recv cancelled while it waits", "read/a Read cancelled while it waits"}},
	{"takes any content type", []string{"append/a wrong content type is refused at the opening"}},
	{"makes streams when asked", []string{"append/a stream that does not exist", "range/a stream that does not exist"}},
	{"has one stream only", []string{"append/streams are apart"}},
	{"ends a batch with the context of Send", []string{"append/the context of Send does not outlive it"}},

	{"does not say where records are", []string{"ack/OffsetOf is where the record is read"}},
	{"says that records are elsewhere", []string{"ack/OffsetOf is where the record is read"}},
	{"says something else each time", []string{"ack/OffsetOf is where the record is read"}},
	{"asks the lent records where they are", []string{"ack/OffsetOf is where the record is read"}},
	{"says a wrong Next", []string{"ack/Next is where the stream goes on"}},
	{"loses the last words", []string{"ack/acks come before the reason"}},
	{"takes batches after the reason", []string{"ack/nothing is taken after the reason"}},

	{"begins each session with seq 0", []string{"seq/goes on over sessions"}},
	{"takes old seqs as resends", []string{"seq/acknowledged before is refused"}},
	{"takes old seqs as new", []string{"seq/acknowledged before is refused"}},
	{"takes gaps", []string{"seq/with a gap is refused"}},
	{"stores a resend again", []string{"seq/of a resend is taken and acknowledged", "seq/of many resends over closed sessions"}},
	{"forgets where a resend is", []string{"seq/of a resend is taken and acknowledged"}},
	{"shares seqs", []string{"seq/of one Appender is nobody else's"}},

	{"stores the resend of another process", []string{"resume/a batch of another process is stored once", "resume/a late batch of an older process is stored nowhere"}},
	{"lets an older process store a resend", []string{"resume/a late batch of an older process is stored nowhere"}},
	{"goes on for any name", []string{"resume/names and counts that cannot be"}},

	{"closes once", []string{"close/of a session, twice"}},
	{"ends the next session with the one before", []string{"close/of a session, again beside the next"}},
	{"does not say that it is closed", []string{"close/of a session, twice", "close/ends a waiting Recv", "close/ends a Send under way"}},
	{"waits in Recv after Close", []string{"close/ends a waiting Recv"}},
	{"has no end of Send", []string{"close/ends a Send under way"}},
	{"hangs in Close", []string{"close/of a session, twice"}},
	{"closes a reader once", []string{"close/of a reader, twice"}},
	{"hangs in Close of a reader", []string{"close/of a reader, twice"}},
	{"waits in Read after Close", []string{"close/ends a waiting Read"}},
	{"leaves a goroutine", []string{"close/leaves no goroutine"}},
	{"leaves a goroutine of a reader", []string{"close/leaves no goroutine"}},

	{"keeps lent memory", []string{"memory/is given back with the ack", "memory/is given back by Close"}},
	{"keeps lent memory behind a batch in flight", []string{"memory/is given back with the ack of each of several batches"}},
	{"writes to lent memory", []string{"memory/is not written to"}},
	{"rewrites what it returned", []string{"memory/that Read returned is not written again"}},

	{"makes values UTF-8", []string{"record/values"}},
	{"drops empty values", []string{"record/values"}},
	{"flattens arrays", []string{"record/values"}},
	{"trims line ends", []string{"record/values"}},
	{"refuses binary values", []string{"record/values"}},
	{"drops headers", []string{"record/headers"}},
	{"sorts headers", []string{"record/headers"}},
	{"forgets times", []string{"record/times"}},

	{"takes one too many", []string{"limit/BatchRecords"}},
	{"takes one byte too many", []string{"limit/BatchBytes"}},
	{"takes records too large", []string{"limit/RecordBytes"}},
	{"refuses what is at the limit", []string{"limit/RecordBytes"}},
	{"tears a refused batch", []string{"limit/a refusal frees the seqs behind it"}},
	{"goes on behind a refusal", []string{"limit/a refusal frees the seqs behind it"}},
	{"names the wrong record", []string{"limit/a refusal frees the seqs behind it"}},

	{"has one writer", []string{"producers/at once"}},
	{"remembers who was first", []string{"producers/in turn"}},
	{"is spoilt by a conflict", []string{"producers/after a fatal error of one"}},
	{"lets the older write", []string{"producers/newer ones take the place of older ones"}},

	{"waits for a record after Latest", []string{"start/Latest is pinned by the first batch", "start/on an empty stream"}},
	{"does not pin Latest", []string{"start/Latest is pinned by the first batch"}},
	{"counts Last from 0", []string{"start/Last"}},
	{"begins behind the first", []string{"start/Earliest"}},
	{"starts after the time", []string{"start/AtTime"}},
	{"takes no offset for Earliest", []string{`start/"" is refused`}},
	{"takes unknown starts for Earliest", []string{"start/unknown starts are refused"}},
	{"says CaughtUp with records only", []string{"start/on an empty stream", "start/at the tail"}},

	{"resumes one too late", []string{"read/resume at every Offset and Next"}},
	{"resumes one too early", []string{"read/resume at every Offset and Next"}},
	{"resumes at the same record", []string{"read/resume at every Offset and Next"}},
	{"resumes where the batch began", []string{"read/resume at every Offset and Next"}},
	{"says a Next that is short", []string{"read/resume at the Next of every batch"}},
	{"says a Next that is far", []string{"read/resume at the Next of every batch"}},
	{"never says CaughtUp", []string{"read/CaughtUp at the tail and not before"}},
	{"says CaughtUp at once", []string{"read/CaughtUp at the tail and not before"}},
	{"spins at the tail", []string{"close/ends a waiting Read"}},
	{"does not wake readers", []string{"read/what is appended later"}},
	{"returns the newest only", []string{"read/what is appended later", "read/while it is being written"}},
	{"has one place for all readers", []string{"read/two readers"}},
	{"reads on without a context", []string{"read/a Read cancelled while it waits"}},
	{"goes on after an error", []string{"read/a cancelled Read", "read/a Read cancelled while it waits"}},

	{"calls the function of Notify for ever", []string{"notify/calls once when a record comes"}},
	{"does not call the function of Notify", []string{"notify/calls once when a record comes"}},
	{"calls the function of Notify at once", []string{"notify/calls once when a record comes"}},
	{"always says that a Read would return", []string{"notify/calls once when a record comes", "notify/calls at the end of the reader and of the stream"}},
	{"always says that a Read would wait", []string{"notify/does not wait in front of a record"}},
	{"forgets Notify at the end", []string{"notify/calls at the end of the reader and of the stream"}},

	{"takes foreign offsets for Earliest", []string{"range/foreign offsets"}},
	{"waits beyond the tail", []string{"range/beyond the tail"}},
	{"goes back to the tail", []string{"range/beyond the tail"}},
	{"skips what is trimmed", []string{"range/trimmed"}},
	{"jumps over what is trimmed", []string{"range/trimmed under a reader"}},

	{"counts to the last record", []string{"tail/counts what lies behind a place"}},
	{"has its tail at the last record", []string{"tail/counts what lies behind a place"}},
	{"sees the tail from anywhere", []string{"tail/refuses what is no place"}},

	{"ends before all is read", []string{"end/EOF behind the last record"}},
	{"never ends", []string{"end/EOF behind the last record", "end/ends a waiting Read"}},
	{"does not say Closed", []string{"end/EOF behind the last record"}},
	{"says Closed at once", []string{"end/EOF behind the last record"}},
	{"takes batches after the end", []string{"end/appends are refused"}},
	{"says to try again after the end", []string{"end/appends are refused"}},

	{"loses what it acknowledged", []string{"failure/nothing acknowledged is lost with the connection"}},
	{"says that nothing was stored", []string{"failure/nothing acknowledged is lost with the connection"}},
	{"skips a record when it reconnects", []string{"failure/nothing is lost or repeated to a reader"}},
	{"restarts without the last record", []string{"failure/all that was acknowledged survives a restart"}},
}

// judge runs what f does with a T of its own and returns what failed.
func judge(t *testing.T, f func(tester)) *verdicts {
	v := &verdicts{}
	fake := &fakeT{TB: t, real: t, all: v}
	fake.run(func() { f(fake) })
	return v
}

func named(t *testing.T, name string) rule {
	for _, g := range groups {
		for _, r := range g.rules {
			if g.name+"/"+r.name == name {
				return r
			}
		}
	}
	t.Fatalf("there is no rule %q", name)
	return rule{}
}

func TestTheSuiteFindsBugs(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.bug, func(t *testing.T) {
			h := toyHarness(m.bug).complete()
			switch m.bug {
			case "says that nothing was stored":
				h = forgetful(h)
			case "lets the older write":
				h = single(h)
			}
			for _, name := range m.rules {
				r := named(t, name)
				v := judge(t, func(t tester) { r.run(t, h) })
				found := v.failed[""]
				if len(found) == 0 {
					t.Errorf("%q does not see it", name)
					continue
				}
				first, _, _ := strings.Cut(found[0], "\n")
				t.Logf("%s: %s", name, first)
			}
		})
	}
}

// What is not broken must pass the same way, or the above proves nothing.
func TestTheSuiteFindsNoBugs(t *testing.T) {
	v := judge(t, func(t tester) { run(t, toyHarness("")) })
	for rule, messages := range v.failed {
		t.Errorf("%s: %q", rule, messages)
	}
	if v.passed < 50 {
		t.Errorf("only %d rules ran", v.passed)
	}
}

// A rule that no bug is held against would not be missed.
func TestEveryRuleHasItsBug(t *testing.T) {
	seen := make(map[string]bool)
	for _, m := range mutants {
		for _, name := range m.rules {
			seen[name] = true
		}
	}
	for _, g := range groups {
		for _, r := range g.rules {
			if name := g.name + "/" + r.name; !seen[name] {
				t.Errorf("no bug for %q", name)
			}
		}
	}
}
