package s2

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

func eventsOf(in []byte) *events {
	return &events{secrets: func() redact.Secrets { return redact.Secrets{"secret-token"} }, in: httpwire.NewEventReader(bytes.NewReader(in))}
}

const batchEvent = "event: batch\nid: 8,2,22\ndata: {\"records\":[{\"seq_num\":7,\"timestamp\":300,\"headers\":[[\"aw==\",\"dg==\"]],\"body\":\"aGk=\"},{\"seq_num\":8}]}\n\n"

func TestEvents(t *testing.T) {
	e := eventsOf([]byte(": a comment\n\nid: 1\nretry: 5\n\r\n" + batchEvent +
		"event: ping\r\ndata: {\"timestamp\":1,\r\ndata: \"tail\":{\"seq_num\":9,\"timestamp\":300}}\r\n\r\n" +
		"event: ping\ndata: {\"timestamp\":1}\n\nevent: news\ndata: unknown\n\ndata: [DONE]\n\n"))
	b, _, err := e.next()
	if err != nil || len(b.Records) != 2 || b.Seq(0) != 7 || b.Seq(1) != 8 || string(b.Records[0].Value) != "hi" ||
		b.Records[0].Time.UnixMilli() != 300 || b.Records[0].Headers[0].Name != "k" || string(b.Records[0].Headers[0].Value) != "v" {
		t.Fatalf("batch: %+v, %v", b, err)
	}
	if b, _, err = e.next(); err != nil || !b.HasTail || b.Tail.SeqNum != 9 || b.Tail.Timestamp != 300 {
		t.Errorf("ping: %+v, %v", b, err)
	}
	if b, _, err = e.next(); err != nil || b.HasTail || len(b.Records) > 0 {
		t.Errorf("ping of an older server: %+v, %v", b, err)
	}
	if _, _, err = e.next(); err != io.EOF {
		t.Errorf("done: %v, want EOF", err)
	}
}

// An event without data is none, by the rules of server-sent events; and comments that keep an idle connection alive are
// part of no event, however many there are.
func TestWhatIsNoEvent(t *testing.T) {
	comments := strings.Repeat(": "+strings.Repeat("x", 60)+"\n\n", eventLimit/60)
	e := eventsOf([]byte("event: ping\n\nevent: batch\nid: 1\n\n" + comments + batchEvent))
	if b, _, err := e.next(); err != nil || len(b.Records) != 2 {
		t.Errorf("%+v, %v, want the batch", b, err)
	}
}

func TestMalformedEvents(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"no JSON", "event: batch\ndata: {\n\n", "event batch"},
		{"no sequence number", "event: batch\ndata: {\"records\":[{}]}\n\n", "no seq_num"},
		{"a sequence number that is none", "event: batch\ndata: {\"records\":[{\"seq_num\":1.5}]}\n\n", "event batch"},
		{"a negative one", "event: batch\ndata: {\"records\":[{\"seq_num\":-1}]}\n\n", "event batch"},
		{"one of 65 bits", "event: batch\ndata: {\"records\":[{\"seq_num\":18446744073709551616}]}\n\n", "event batch"},
		{"going backwards", "event: batch\ndata: {\"records\":[{\"seq_num\":5},{\"seq_num\":4}]}\n\n", "4 behind 5"},
		{"no base64", "event: batch\ndata: {\"records\":[{\"seq_num\":1,\"body\":\"?\"}]}\n\n", "base64"},
		{"1001 records", "event: batch\ndata: {\"records\":[" + strings.Repeat("{\"seq_num\":0},", 1001) + "{}]}\n\n", "behind"},
		{"a ping of no JSON", "event: ping\ndata: x\n\n", "event ping"},
		{"without end", "event: batch\ndata: " + strings.Repeat("x", eventLimit), "more than"},
		{"of many lines", strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", eventLimit/1000+1), "more than"},
	} {
		_, _, err := eventsOf([]byte(c.in)).next()
		var pe *ProtocolError
		if !errors.As(err, &pe) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a ProtocolError with %q", c.name, err, c.want)
		}
	}
	for cut := 1; cut < len(batchEvent); cut++ {
		if _, _, err := eventsOf([]byte(batchEvent[:cut])).next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
	_, _, err := eventsOf([]byte("event: error\ndata: {\"code\":\"stream_deletion_pending\",\"message\":\"secret-token\"}\n\n")).next()
	if err = repeatableMeaning(err); !errors.Is(err, backend.ErrNotFound) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error event: %v, want ErrNotFound without the token", err)
	}
}

func TestNumbersOfJSONAreNotFloats(t *testing.T) {
	const big = 1<<53 + 1 // the first that a float64 cannot hold
	b, err := batchJSON([]byte(`{"records":[{"seq_num":9007199254740993,"timestamp":9007199254740993}],"tail":{"seq_num":18446744073709551615,"timestamp":0}}`))
	if err != nil || b.Seq(0) != big || b.Records[0].Time.UnixMilli() != big || b.Tail.SeqNum != 1<<64-1 {
		t.Errorf("%+v, %v", b, err)
	}
	if p, err := parseTail("test", []byte(`{"tail":{"seq_num":9007199254740993,"timestamp":9007199254740993}}`)); err != nil || p != (Position{big, big}) {
		t.Errorf("%+v, %v", p, err)
	}
}

// FuzzEvents: every batch is within bounds and in order, and the end comes with an error of a known kind.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(batchEvent))
	f.Add([]byte("event: ping\r\ndata: {\"tail\":{\"seq_num\":9}}\r\n\r\ndata: [DONE]\n\n"))
	f.Add([]byte("event: error\ndata: {\"code\":\"storage\"}\n\n"))
	f.Add([]byte(": comment\n\ndata\ndata\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		e := eventsOf(in)
		for {
			b, _, err := e.next()
			if err != nil {
				var pe *ProtocolError
				var se *Error
				if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &pe) && !errors.As(err, &se) {
					t.Fatalf("an error of no kind: %v", err)
				}
				return
			}
			if len(b.Records) > BatchRecords {
				t.Fatalf("%d records", len(b.Records))
			}
			for i := 1; i < len(b.Records); i++ {
				if b.Seq(i) <= b.Seq(i-1) {
					t.Fatalf("record %d is at %d behind %d", i, b.Seq(i), b.Seq(i-1))
				}
			}
		}
	})
}

// FuzzErrorBody: whatever a server says, its error is bounded and keeps the status.
func FuzzErrorBody(f *testing.F) {
	f.Add(412, []byte(`{"seq_num_mismatch":9007199254740993}`))
	f.Add(412, []byte(`{"fencing_token_mismatch":"a"}`))
	f.Add(416, []byte(`{"tail":{"seq_num":1,"timestamp":2}}`))
	f.Add(502, []byte("<html>"))
	f.Add(404, []byte(`{"code":"stream_not_found","message":"no"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e := parseError(status, body, nil)
		if e.Status != status || len(e.Message) > httpwire.TextBytes+len("…") {
			t.Fatalf("%+v", e)
		}
		if err := repeatableMeaning(e); !errors.As(err, new(*Error)) {
			t.Fatalf("%v", err)
		}
		if e.Code == CodeSeqNumMismatch {
			var want struct {
				SeqNum *uint64 `json:"seq_num_mismatch"`
			}
			if err := json.Unmarshal(body, &want); err == nil && want.SeqNum != nil && *want.SeqNum != e.SeqNum {
				t.Fatalf("%d, want %d", e.SeqNum, *want.SeqNum)
			}
		}
	})
}
