package backendtest

import "testing"

// Run checks that a backend keeps the contracts of package backend. Each rule is a subtest with a fresh stream.
func Run(t *testing.T, h Harness) {
	t.Helper()
	run(realT{t}, h)
}

func run(t tester, h Harness) {
	h = h.complete()
	for _, g := range groups {
		t.sub(g.name, func(t tester) {
			for _, r := range g.rules {
				t.sub(r.name, func(t tester) { r.run(t, h) })
			}
		})
	}
}

type group struct {
	name  string
	rules []rule
}

// A rule is a promise of package backend. The name of the rule states the promise.
type rule struct {
	name  string
	check func(*env)
}

func (r rule) run(t tester, h Harness) {
	// In a synctest bubble waiting costs no time, and goroutines left behind are found.
	test := func(t tester) { r.check(newEnv(t, h)) }
	if h.Bubble {
		t.bubble(test)
	} else {
		test(t)
	}
}

var groups = []group{
	{"append", []rule{
		{"order and wholeness", orderAndWholeness},
		{"streams are apart", streamsAreApart},
		{"Recv blocks while nothing is unacknowledged", recvBlocks},
		{"the context of Open bounds the opening only", openContext},
		{"the context of Send does not outlive it", sendContextEnds},
		{"a cancelled Open", cancelledOpen},
		{"a cancelled Send", cancelledSend},
		{"a cancelled Recv", cancelledRecv},
		{"a Recv cancelled while it waits", cancelledWaitingRecv},
		{"a wrong content type is refused at the opening", wrongContentType},
		{"a stream that does not exist", missingSink},
	}},
	{"ack", []rule{
		{"OffsetOf is where the record is read", offsetOf},
		{"Next is where the stream goes on", ackNext},
		{"acks come before the reason", acksBeforeReason},
		{"nothing is taken after the reason", nothingAfterReason},
	}},
	{"seq", []rule{
		{"goes on over sessions", seqGoesOn},
		{"acknowledged before is refused", seqAckedBefore},
		{"with a gap is refused", seqGap},
		{"of a resend is taken and acknowledged", resend},
		{"of many resends over closed sessions", resendOften},
		{"of one Appender is nobody else's", seqIsPrivate},
	}},
	{"close", []rule{
		{"of a session, twice", closeSessionTwice},
		{"of a session, again beside the next", closeAgainLate},
		{"ends a waiting Recv", closeEndsRecv},
		{"ends a Send under way", closeEndsSend},
		{"of a reader, twice", closeReaderTwice},
		{"ends a waiting Read", closeEndsRead},
		{"leaves no goroutine", noGoroutineLeft},
	}},
	{"memory", []rule{
		{"is given back with the ack", lentUntilAck},
		{"is given back with the ack of each of several batches", lentInPipeline},
		{"is given back by Close", lentUntilClose},
		{"is not written to", lentIsNotWritten},
		{"that Read returned is not written again", readIsNotRewritten},
	}},
	{"record", []rule{
		{"values", values},
		{"headers", headers},
		{"times", times},
	}},
	{"limit", []rule{
		{"BatchRecords", limitBatchRecords},
		{"BatchBytes", limitBatchBytes},
		{"RecordBytes", limitRecordBytes},
		{"a refusal frees the seqs behind it", refusalFreesSeqs},
	}},
	{"producers", []rule{
		{"in turn", producersInTurn},
		{"at once", producersAtOnce},
		{"after a fatal error of one", producersAfterFatal},
		{"newer ones take the place of older ones", exclusive},
	}},
	{"resume", []rule{
		{"a batch of another process is stored once", resumedOnce},
		{"a late batch of an older process is stored nowhere", resumedBeside},
		{"names and counts that cannot be", resumeNames},
	}},
	{"start", []rule{
		{"on an empty stream", startOnEmpty},
		{"at the tail", startAtTail},
		{"Latest is pinned by the first batch", latestPinned},
		{"Earliest", startEarliest},
		{"Last", startLast},
		{"AtTime", startAtTime},
		{"\"\" is refused", startNowhere},
		{"unknown starts are refused", startUnknown},
	}},
	{"read", []rule{
		{"resume at every Offset and Next", resumeEverywhere},
		{"resume at the Next of every batch", resumeAtBatches},
		{"CaughtUp at the tail and not before", caughtUp},
		{"what is appended later", readFollows},
		{"while it is being written", readWhileWritten},
		{"two readers", twoReaders},
		{"the context of OpenReader bounds the opening only", openReaderContext},
		{"a cancelled OpenReader", cancelledOpenReader},
		{"a cancelled Read", cancelledRead},
		{"a Read cancelled while it waits", cancelledWaitingRead},
	}},
	{"notify", []rule{
		{"calls once when a record comes", notifiesOfRecords},
		{"does not wait in front of a record", notifyBeforeRecords},
		{"calls at the end of the reader and of the stream", notifiesOfEnds},
	}},
	{"range", []rule{
		{"foreign offsets", foreignOffsets},
		{"beyond the tail", beyondTail},
		{"trimmed", trimmedOffsets},
		{"trimmed under a reader", trimmedUnderReader},
		{"a stream that does not exist", missingSource},
	}},
	{"tail", []rule{
		{"counts what lies behind a place", tailCounts},
		{"refuses what is no place", tailRefuses},
	}},
	{"end", []rule{
		{"EOF behind the last record", endOfStream},
		{"ends a waiting Read", endWakesRead},
		{"appends are refused", endRefusesAppends},
	}},
	{"failure", []rule{
		{"nothing acknowledged is lost with the connection", brokenAppend},
		{"nothing is lost or repeated to a reader", brokenRead},
		{"all that was acknowledged survives a restart", restart},
	}},
}
