package durablestreams_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// A scripted server accepts every append, except the one that a test asks about. It notes under which epoch and sequence
// that batch was sent.
type scripted struct {
	mu      sync.Mutex
	first   int64                                // epoch of the first append
	batch   string                               // body of the batch that the test asks about
	answers []func(*http.Response) error         // to its requests, in turn; then it is stored
	asked   []string                             // "+epochs/sequence" of its requests
	behind  func(body string) (wait chan string) // holds the answer to other appends back
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := reply(r, "application/json", "", false)
	if r.Method != http.MethodPost {
		return resp, nil
	}
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body := string(sent)
	if s.behind != nil {
		if wait := s.behind(body); wait != nil {
			<-wait
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	epoch, _ := strconv.ParseInt(r.Header.Get("Producer-Epoch"), 10, 64)
	if s.first < 0 {
		s.first = epoch
	}
	resp.Header.Set("Producer-Seq", r.Header.Get("Producer-Seq"))
	if body != s.batch {
		return resp, nil
	}
	s.asked = append(s.asked, fmt.Sprintf("%+d/%s", epoch-s.first, r.Header.Get("Producer-Seq")))
	if len(s.answers) == 0 {
		return resp, nil
	}
	answer := s.answers[0]
	s.answers = s.answers[1:]
	if err := answer(resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// ask has the server answer the requests of one batch.
func (s *scripted) ask(seq int, answers ...func(*http.Response) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch, s.answers, s.asked = fmt.Sprintf("[%d]", seq), answers, nil
}

func (s *scripted) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.asked, " ")
}

// answered makes a status with headers "Name: value".
func answered(status int, headers ...string) func(*http.Response) error {
	return func(r *http.Response) error {
		r.StatusCode = status
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		return nil
	}
}

func noAnswer(*http.Response) error { return errNetwork }

// facts names what an error says.
func facts(err error) string {
	if err == nil {
		return "acked"
	}
	names := map[string]error{
		"transient": backend.ErrTransient, "unknown": backend.ErrIndeterminate, "rejected": backend.ErrRejected,
		"too large": backend.ErrTooLarge, "fenced": backend.ErrFenced, "conflict": backend.ErrConflict,
		"unauthorized": backend.ErrUnauthorized, "not found": backend.ErrNotFound,
	}
	var said []string
	for name, kind := range names {
		if errors.Is(err, kind) {
			said = append(said, name)
		}
	}
	slices.Sort(said)
	return strings.Join(said, ", ")
}

// A standing is how a batch stands when its request leaves.
type standing struct {
	opts []durablestreams.StreamOption
	seq  int // of the batch that the test asks about
	lost int // batches of an earlier session that got no answer, up to and including seq
}

// start opens a session that has come to the standing. What it sends next is batch seq.
func (p standing) start(t *testing.T, s *scripted) (backend.Appender, backend.Session) {
	t.Helper()
	a := answering(t, s.RoundTrip).With(p.opts...).NewAppender(jsonFormat)
	session := open(t, a)
	accepted := p.seq
	if p.lost > 0 {
		accepted = p.seq - p.lost + 1
	}
	for seq := range accepted {
		send(t, session, seq)
		recv(t, session, seq)
	}
	if p.lost == 0 {
		return a, session
	}
	s.ask(accepted, noAnswer)
	for seq := accepted; seq <= p.seq; seq++ {
		_ = session.Send(t.Context(), uint64(seq), one(seq)) // the session may have ended at the batch before
	}
	if _, err := session.Recv(t.Context()); err == nil {
		t.Fatal("a batch without an answer was acknowledged")
	}
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	return a, open(t, a)
}

// For every answer to a batch, and for every standing of the batch, the table says under which epoch and sequence the batch was
// sent, what the session says of it, and under which epoch and sequence the next session sends it again.
func TestEachAnswerHasItsOutcome(t *testing.T) {
	standings := map[string]standing{
		"epoch accepted":   {opts: []durablestreams.StreamOption{durablestreams.ProducerID("id")}, seq: 1},
		"epoch unaccepted": {opts: []durablestreams.StreamOption{durablestreams.ProducerID("id"), durablestreams.Epoch(7)}, seq: 0},
		"epoch contested":  {opts: []durablestreams.StreamOption{durablestreams.ProducerID("id")}, seq: 0},
		"may be stored":    {opts: []durablestreams.StreamOption{durablestreams.ProducerID("id")}, seq: 1, lost: 1},
		"own id":           {seq: 0},
	}
	stored, duplicate := answered(200), answered(204)
	ahead, duplicateAhead := answered(200, "Producer-Seq: 9"), answered(204, "Producer-Seq: 9")
	stale := answered(403, "Producer-Epoch: 9007199254740000")
	forgotten := answered(409, "Producer-Expected-Seq: 0", "Producer-Received-Seq: 1")
	refused, tooLarge, unavailable := answered(400), answered(413), answered(503)
	nonsense := answered(200, "Producer-Seq: -")
	for _, row := range []struct {
		name     string
		standing string
		answer   func(*http.Response) error
		sent     string
		outcome  string
		again    string // how the next session sends the batch; "" where the batch was acknowledged
	}{
		{"stored", "epoch accepted", stored, "+0/1", "acked", ""},
		{"stored", "epoch unaccepted", stored, "+0/0", "acked", ""},
		{"stored", "epoch contested", stored, "+0/0", "acked", ""},
		{"stored", "may be stored", stored, "+0/1", "acked", ""},
		{"stored", "own id", stored, "+0/0", "acked", ""},

		{"duplicate", "epoch accepted", duplicate, "+0/1", "acked", ""},
		{"duplicate", "epoch unaccepted", duplicate, "+0/0", "fenced", "+0/0"},
		{"duplicate", "epoch contested", duplicate, "+0/0 +1/0", "acked", ""},
		{"duplicate", "may be stored", duplicate, "+0/1", "acked", ""},
		{"duplicate", "own id", duplicate, "+0/0", "acked", ""},

		{"stored ahead", "epoch accepted", ahead, "+0/1", "fenced", "+0/1"},
		{"stored ahead", "epoch unaccepted", ahead, "+0/0", "fenced", "+0/0"},
		{"stored ahead", "epoch contested", ahead, "+0/0", "fenced", "+0/0"},
		{"stored ahead", "may be stored", ahead, "+0/1", "fenced", "+0/1"},
		{"stored ahead", "own id", ahead, "+0/0", "fenced", "+0/0"},

		{"duplicate ahead", "epoch accepted", duplicateAhead, "+0/1", "fenced", "+0/1"},
		{"duplicate ahead", "epoch unaccepted", duplicateAhead, "+0/0", "fenced", "+0/0"},
		{"duplicate ahead", "epoch contested", duplicateAhead, "+0/0 +1/0", "acked", ""},
		{"duplicate ahead", "may be stored", duplicateAhead, "+0/1", "fenced", "+0/1"},
		{"duplicate ahead", "own id", duplicateAhead, "+0/0", "fenced", "+0/0"},

		{"stale", "epoch accepted", stale, "+0/1", "fenced", "+0/1"},
		{"stale", "epoch unaccepted", stale, "+0/0", "fenced", "+0/0"},
		{"stale", "epoch contested", stale, "", "acked", ""}, // the epochs are checked below
		{"stale", "may be stored", stale, "+0/1", "fenced, unknown", "+0/1"},
		{"stale", "own id", stale, "+0/0", "fenced", "+0/0"},

		{"forgotten", "epoch accepted", forgotten, "+0/1", "conflict, unknown", "+1/0"},
		{"forgotten", "epoch unaccepted", forgotten, "+0/0", "conflict, unknown", "+1/0"},
		{"forgotten", "epoch contested", forgotten, "+0/0", "conflict, unknown", "+1/0"},
		{"forgotten", "may be stored", forgotten, "+0/1", "conflict, unknown", "+1/0"},
		{"forgotten", "own id", forgotten, "+0/0", "conflict, unknown", "+1/0"},

		{"refused", "epoch accepted", refused, "+0/1", "rejected", "+1/0"},
		{"refused", "epoch unaccepted", refused, "+0/0", "rejected", "+1/0"},
		{"refused", "epoch contested", refused, "+0/0", "rejected", "+1/0"},
		{"refused", "may be stored", refused, "+0/1", "rejected", "+1/0"},
		{"refused", "own id", refused, "+0/0", "rejected", "+1/0"},
		{"too large", "epoch accepted", tooLarge, "+0/1", "too large", "+1/0"},

		{"unavailable", "epoch accepted", unavailable, "+0/1", "transient, unknown", "+0/1"},
		{"unavailable", "epoch unaccepted", unavailable, "+0/0", "transient, unknown", "+0/0"},
		{"unavailable", "epoch contested", unavailable, "+0/0", "transient, unknown", "+0/0"},
		{"unavailable", "may be stored", unavailable, "+0/1", "transient, unknown", "+0/1"},
		{"unavailable", "own id", unavailable, "+0/0", "transient, unknown", "+0/0"},
		{"unauthorized", "epoch accepted", answered(401), "+0/1", "unauthorized", "+0/1"},
		{"rate limited", "epoch accepted", answered(429), "+0/1", "transient", "+0/1"},
		{"not found", "epoch accepted", answered(404), "+0/1", "not found", "+0/1"},

		{"lost", "epoch accepted", noAnswer, "+0/1", "transient, unknown", "+0/1"},
		{"lost", "epoch unaccepted", noAnswer, "+0/0", "transient, unknown", "+0/0"},
		{"lost", "epoch contested", noAnswer, "+0/0", "transient, unknown", "+0/0"},
		{"lost", "may be stored", noAnswer, "+0/1", "transient, unknown", "+0/1"},
		{"lost", "own id", noAnswer, "+0/0", "transient, unknown", "+0/0"},
		{"nonsense", "epoch accepted", nonsense, "+0/1", "unknown", "+0/1"},
	} {
		t.Run(row.name+", "+row.standing, func(t *testing.T) {
			s := &scripted{first: -1}
			at := standings[row.standing]
			a, session := at.start(t, s)
			s.ask(at.seq, row.answer)
			send(t, session, at.seq)
			ack, err := session.Recv(t.Context())
			if row.name == "stored" && ack.Next != "5/0" {
				t.Errorf("an ack that goes on at %q, want 5/0", ack.Next)
			}
			if got := facts(err); got != row.outcome || row.sent != "" && s.requests() != row.sent {
				t.Fatalf("sent as %s: %s, want %s: %s (%v)", s.requests(), got, row.sent, row.outcome, err)
			}
			if row.again == "" {
				return
			}
			if err := session.Close(); err != nil {
				t.Fatal(err)
			}
			s.ask(at.seq)
			session = open(t, a)
			send(t, session, at.seq)
			recv(t, session, at.seq)
			if s.requests() != row.again {
				t.Errorf("sent again as %s, want %s", s.requests(), row.again)
			}
		})
	}
}

// A contested epoch is given up for the one behind the server's, three times at most.
func TestStaleEpochIsRaisedThreeTimesAtMost(t *testing.T) {
	for raises, outcome := range []string{"acked", "acked", "acked", "acked", "fenced"} {
		var epochs []string
		s := answering(t, func(r *http.Request) (*http.Response, error) {
			resp := reply(r, "application/json", "", false)
			if r.Method == http.MethodPost {
				epochs = append(epochs, r.Header.Get("Producer-Epoch"))
				if len(epochs) <= raises {
					resp.StatusCode = http.StatusForbidden
					resp.Header.Set("Producer-Epoch", strconv.Itoa(9007199254740000+10*len(epochs)))
				}
				resp.Header.Set("Producer-Seq", "0")
			}
			return resp, nil
		})
		session := open(t, s.With(durablestreams.ProducerID("id")).NewAppender(jsonFormat))
		send(t, session, 0)
		if _, err := session.Recv(t.Context()); facts(err) != outcome {
			t.Errorf("%d stale answers: %v, want %s", raises, err, outcome)
		}
		for i := 1; i < len(epochs); i++ {
			if want := strconv.Itoa(9007199254740000 + 10*i + 1); epochs[i] != want {
				t.Errorf("request %d in epoch %s, want %s", i, epochs[i], want)
			}
		}
	}
}

// A batch that came before the one in front of it is sent again in its turn, also where the batch may be stored already.
func TestEarlyBatchIsSentAgainInItsTurn(t *testing.T) {
	for name, at := range map[string]standing{
		"epoch accepted": {seq: 2},
		"may be stored":  {seq: 2, lost: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scripted{first: -1}
			start := at
			if at.lost == 0 {
				start.seq = 1 // the session sends batches 1 and 2
			}
			_, session := start.start(t, s)
			early := make(chan string)
			s.ask(2, func(r *http.Response) error {
				defer close(early)
				return answered(409, "Producer-Expected-Seq: 1", "Producer-Received-Seq: 2")(r)
			})
			s.behind = func(body string) chan string {
				if body == "[1]" {
					return early
				}
				return nil
			}
			send(t, session, 1, 2)
			recv(t, session, 1, 2)
			if got := s.requests(); got != "+0/2 +0/2" {
				t.Errorf("sent as %s, want twice", got)
			}
		})
	}
}
