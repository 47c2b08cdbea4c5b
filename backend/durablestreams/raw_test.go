package durablestreams_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// typed makes a stream of a type on a server behind m whose responses hold about 1000 bytes.
func typed(t *testing.T, contentType string, m middle, opts ...durablestreams.StreamOption) *durablestreams.Stream {
	t.Helper()
	c, _ := serveVia(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if m == nil || !m(w, r, h) {
				h.ServeHTTP(w, r)
			}
		})
	}, nil, durablestreamstest.ChunkBytes(1000))
	s := c.Stream("s", opts...)
	if _, err := s.Create(t.Context(), contentType); err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *durablestreams.Stream, contentType string, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		if _, err := s.Append(t.Context(), contentType, []byte(b)); err != nil {
			t.Fatal(err)
		}
	}
}

// all reads from a place up to the end of the stream or its tail.
func all(t *testing.T, s backend.Source, from backend.Offset) (recs []backend.Record) {
	t.Helper()
	r, err := s.OpenReader(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		b, err := r.Read(t.Context())
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		recs = append(recs, b.Records...)
		if b.CaughtUp || err != nil {
			return recs
		}
	}
}

func joined(recs []backend.Record) string {
	var b bytes.Buffer
	for _, r := range recs {
		b.Write(r.Value)
	}
	return b.String()
}

// The stream of somebody else: appends of any size, of bytes that are no frames, over many responses and larger than a batch.
// From every place that a reader returned the rest of it follows, without loss and without repeating anything.
func TestRawReadsAnyBytes(t *testing.T) {
	for _, contentType := range []string{"application/octet-stream", "text/plain; charset=utf-8", "image/png"} {
		t.Run(contentType, func(t *testing.T) {
			s := typed(t, contentType, nil)
			var want strings.Builder
			for _, n := range []int{1, 10, 700, 5000, 600_000, 3} {
				b := make([]byte, n)
				for i := range b {
					b[i] = byte(rand.IntN(256))
				}
				want.Write(b)
				put(t, s, contentType, string(b))
			}
			recs := all(t, s.Raw(), backend.Earliest)
			if joined(recs) != want.String() || len(recs) < 5 {
				t.Fatalf("%d bytes in %d pieces, want %d, the same", len(joined(recs)), len(recs), want.Len())
			}
			read := 0
			for _, r := range recs {
				if len(r.Value) > 256<<10+3 {
					t.Errorf("a piece of %d bytes", len(r.Value))
				}
				if got := joined(all(t, s.Raw(), r.Offset)); got != want.String()[read:] {
					t.Errorf("from %q: %d bytes, want the last %d", r.Offset, len(got), want.Len()-read)
				}
				read += len(r.Value)
				if got := joined(all(t, s.Raw(), r.Next)); got != want.String()[read:] {
					t.Errorf("from %q: %d bytes, want the last %d", r.Next, len(got), want.Len()-read)
				}
			}
		})
	}
}

// One reader catches up, waits, and comes to an end, whatever it waits by.
func TestRawFollowsToTheEnd(t *testing.T) {
	eachMode(t, func(t *testing.T, contentType string, opt durablestreams.StreamOption) {
		followRaw(t, typed(t, contentType, nil, opt), contentType)
	})
}

// eachMode runs a test for what streams may hold and how readers may wait.
func eachMode(t *testing.T, test func(t *testing.T, contentType string, opt durablestreams.StreamOption)) {
	modes := map[string]durablestreams.StreamOption{
		"choice": durablestreams.InFlight(5), "long-poll": durablestreams.LongPoll(), "SSE": durablestreams.SSE(),
	}
	for mode, opt := range modes {
		for _, contentType := range []string{"application/octet-stream", "text/plain", "application/json"} {
			t.Run(contentType+" by "+mode, func(t *testing.T) { test(t, contentType, opt) })
		}
	}
}

func followRaw(t *testing.T, s *durablestreams.Stream, contentType string) {
	t.Helper()
	want := ""
	say := func(v string) {
		put(t, s, contentType, v)
		want += v
	}
	say(`"one"`)
	r, err := s.Raw().OpenReader(t.Context(), backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, next := "", backend.Offset("")
	read := func() error {
		b, err := r.Read(t.Context())
		if got += joined(b.Records); err == nil {
			next = b.Next
		}
		return err
	}
	for i := range 20 {
		for got != want {
			if err := read(); err != nil {
				t.Fatal(err)
			}
		}
		say(fmt.Sprintf(`"%d ö"`, i))
	}
	last := next
	if _, err := s.SealWith(t.Context(), contentType, []byte(`"end"`)); err != nil {
		t.Fatal(err)
	}
	want += `"end"`
	for err == nil {
		err = read()
	}
	if err != io.EOF || got != want {
		t.Errorf("%q and %v, want %q and the end", got, err, want)
	}
	if got := joined(all(t, s.Raw(), last)); got != `"19 ö""end"` {
		t.Errorf("%q behind the last place but two", got)
	}
}

// Over SSE all line ends of a text are LF, and what a server sends as one event is one record: a place within would count
// other bytes than the server does.
func TestTextOverSSEIsAnEventARecord(t *testing.T) {
	s := typed(t, "text/plain", nil, durablestreams.SSE())
	r, err := s.Raw().OpenReader(t.Context(), backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	long := "\r\n" + strings.Repeat("x\r", 300_000)
	put(t, s, "text/plain", " a\r\n\r\n b\r", long)
	var got []backend.Record
	for len(got) < 2 {
		b, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Records...)
	}
	want := []string{" a\n\n b\n", "\n" + strings.Repeat("x\n", 300_000)}
	for i := range want {
		if string(got[i].Value) != want[i] {
			t.Errorf("event %d has %d bytes, want %d", i, len(got[i].Value), len(want[i]))
		}
	}
	if rest := joined(all(t, s.Raw(), got[0].Next)); rest != long {
		t.Errorf("%d bytes behind the first event, want %d", len(rest), len(long))
	}
}

// A text is cut between characters, so that each record of it is text.
func TestRawDoesNotCutCharacters(t *testing.T) {
	s := typed(t, "text/plain", nil)
	want := strings.Repeat("aä€😀", 100_000)
	put(t, s, "text/plain", want, want[:2], want[2:])
	for i, r := range all(t, s.Raw(), backend.Earliest) {
		// The append that ends within a character is what its writer made it, and it is short.
		if c, _ := utf8.DecodeLastRune(r.Value); c == utf8.RuneError && len(r.Value) > 250_000 {
			t.Errorf("record %d of %d bytes is cut within a character", i, len(r.Value))
		}
	}
	if got := joined(all(t, s.Raw(), backend.Earliest)); got != want+want {
		t.Errorf("%d bytes, want %d", len(got), 2*len(want))
	}
}

// A producer of text appends the values as they are, each once however often the connection breaks, and a consumer goes on
// from its checkpoint within a response.
func TestRawProducerAndConsumer(t *testing.T) {
	var posts atomic.Int64 // no answer comes between the connection that breaks and the next
	s := typed(t, "text/plain", func(w http.ResponseWriter, r *http.Request, h http.Handler) bool {
		if r.Method == http.MethodPost {
			if posts.Add(1)%3 == 0 {
				h.ServeHTTP(discarded{http.Header{}}, r)
				panic(http.ErrAbortHandler)
			}
		}
		return false
	}, durablestreams.InFlight(1))
	p, err := producer.New(t.Context(), s.Raw(), codec.String(), producer.BatchRecords(100))
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range 1000 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		if _, err := p.Enqueue(t.Context(), line); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Enqueue(t.Context(), ""); !errors.Is(err, backend.ErrRejected) {
		t.Errorf("an empty text: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if n := posts.Load(); n < 10 {
		t.Errorf("%d appends", n)
	}
	store, got := checkpoint.NewMemory(), ""
	for got != want.String() {
		c, err := consumer.New(s.Raw(), codec.String(), consumer.Checkpoint(store, "k"), consumer.StopAtTail())
		if err != nil {
			t.Fatal(err)
		}
		before := len(got)
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got += m.Value
			m.Ack()
			break
		}
		if len(got) == before || !strings.HasPrefix(want.String(), got) {
			t.Fatalf("%q is no beginning of what was written, or did not grow", got)
		}
	}
}

func TestRawRefusesWhatItCannotKeep(t *testing.T) {
	s := typed(t, "text/plain", nil)
	size := s.Raw().NewAppender(backend.Format{ContentType: "text/plain"}).Limits().Size
	for name, r := range map[string]backend.Record{
		"headers":  {Value: []byte("x"), Headers: backend.Headers{{Name: "a"}}},
		"no value": {},
	} {
		if _, err := size(r.Value, r.Headers, r.Time); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, f := range map[string]backend.Format{
		"pictures":           {ContentType: "image/png"},
		"what is compressed": {ContentType: "text/plain", ContentEncoding: "zstd"},
		"what has no type":   {},
		"JSON":               {ContentType: "application/json"},
	} {
		if _, err := s.Raw().NewAppender(f).Open(t.Context()); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%s on a stream of text: %v", name, err)
		}
	}
}
