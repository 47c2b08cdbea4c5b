package durablestreams

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

var modes = map[string][]durablestreams.StreamOption{"catch-up": nil, "long-poll": {durablestreams.LongPoll()}, "sse": {durablestreams.SSE()}}

// read returns all records of a stream, to its end.
func read(t *testing.T, s backend.Source) ([]backend.Record, error) {
	t.Helper()
	c, err := consumer.New(s, codec.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var recs []backend.Record
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			return recs, err
		}
		recs = append(recs, m.Record)
	}
	return recs, nil
}

// weRead reads from of what the official client writes to s: while it does so, or afterwards.
func weRead(t *testing.T, mode string, s *durablestreams.Stream, from backend.Source, kind string, given any) []backend.Record {
	t.Helper()
	_, wait := official(t, given, "write", kind, s.URL())
	if mode == "catch-up" {
		wait()
	}
	recs, err := read(t, from)
	if mode != "catch-up" {
		wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	return recs
}

func TestWeReadTheJSONOfTheOfficialClient(t *testing.T) {
	for mode, opts := range modes {
		t.Run(mode, func(t *testing.T) {
			s := fresh(t, "application/json", opts...)
			var written, want []string
			for _, v := range oddJSON() {
				written = append(written, v, "\n "+v+"\t") // the white space is not part of the message
				want = append(want, v, v)
			}
			recs := weRead(t, mode, s, s, "json", written)
			if len(recs) != len(want) {
				t.Fatalf("read %d records, want %d", len(recs), len(want))
			}
			for i := range want {
				if string(recs[i].Value) != want[i] {
					t.Errorf("record %d is %.200q, want %.200q", i, recs[i].Value, want[i])
				}
			}
		})
	}
}

// frame makes a frame as the documentation of our client says.
func frame(v []byte, seconds int64, headers ...string) []byte {
	body := []byte{0}
	if len(headers) > 0 {
		body[0] = 1
	}
	body = binary.BigEndian.AppendUint64(body, uint64(seconds))
	body = binary.BigEndian.AppendUint32(body, 999_999_999)
	if len(headers) > 0 {
		body = binary.AppendUvarint(body, uint64(len(headers)/2))
		for _, h := range headers {
			body = append(binary.AppendUvarint(body, uint64(len(h))), h...)
		}
	}
	body = append(body, v...)
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

// The official client knows no frames: it writes the bytes of them, as many in an append as it likes.
func TestWeReadTheFramesOfTheOfficialClient(t *testing.T) {
	want := oddBytes()
	var frames []string
	for i, v := range want {
		frames = append(frames, base64.StdEncoding.EncodeToString(frame(v, int64(i)-5, "n", fmt.Sprint(i), "", "\x00\xff")))
	}
	for mode, opts := range modes {
		t.Run(mode, func(t *testing.T) {
			s := fresh(t, "application/octet-stream", opts...)
			recs := weRead(t, mode, s, s, "bytes", frames)
			if len(recs) != len(want) {
				t.Fatalf("read %d records, want %d", len(recs), len(want))
			}
			for i, r := range recs {
				n, _ := r.Headers.Lookup("n")
				odd, _ := r.Headers.Lookup("")
				if !bytes.Equal(r.Value, want[i]) || string(n) != fmt.Sprint(i) || string(odd) != "\x00\xff" || r.Time.Unix() != int64(i)-5 || r.Time.Nanosecond() != 999_999_999 {
					t.Errorf("record %d is %.200q with %q at %v", i, r.Value, r.Headers, r.Time)
				}
			}
		})
	}
}

// Bytes and text that have no records are read as they are.
func TestWeReadTheBytesAndTextOfTheOfficialClient(t *testing.T) {
	var bytesGiven []string
	var all []byte
	for _, v := range oddBytes() {
		if len(v) > 0 { // the official client appends nothing for those
			bytesGiven = append(bytesGiven, base64.StdEncoding.EncodeToString(v))
			all = append(all, v...)
		}
	}
	texts := oddJSON()
	for i := range texts {
		texts[i] += "\n \n" // line ends that come through events as they are
	}
	for mode, opts := range modes {
		t.Run("bytes over "+mode, func(t *testing.T) {
			s := fresh(t, "image/png", opts...)
			same(t, weRead(t, mode, s, s.Raw(), "bytes", bytesGiven), all)
		})
		t.Run("text over "+mode, func(t *testing.T) {
			s := fresh(t, "text/plain; charset=utf-8", opts...)
			same(t, weRead(t, mode, s, s.Raw(), "text", texts), []byte(strings.Join(texts, "")))
		})
	}
}

// same compares what pieces are together.
func same(t *testing.T, pieces []backend.Record, want []byte) {
	t.Helper()
	var got []byte
	for _, p := range pieces {
		got = append(got, p.Value...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("read %d bytes in %d pieces, want %d, or not the same", len(got), len(pieces), len(want))
	}
}

// What has no records is refused, and not taken for some.
func TestWeRefuseTextAndBytesWithoutRecords(t *testing.T) {
	for kind, want := range map[string]struct {
		contentType string
		refused     func(error) bool
		given       string
	}{
		"text":  {"text/plain", func(err error) bool { return errors.Is(err, backend.ErrUnsupported) }, "one\r\ntwo é\n"},
		"bytes": {"application/octet-stream", func(err error) bool { return errors.As(err, new(*durablestreams.ProtocolError)) }, base64.StdEncoding.EncodeToString([]byte("not\x00a frame"))},
	} {
		t.Run(kind, func(t *testing.T) {
			s := fresh(t, want.contentType)
			_, wait := official(t, []string{want.given}, "write", kind, s.URL())
			wait()
			if recs, err := read(t, s); !want.refused(err) || len(recs) > 0 {
				t.Errorf("read %d records: %v, want a refusal", len(recs), err)
			}
		})
	}
}

// write lets one of our producers write to a sink of s, and closes the stream.
func write(t *testing.T, to backend.Sink, c codec.Codec[[]byte], values [][]byte) {
	t.Helper()
	p, err := producer.New(t.Context(), to, c, producer.BatchRecords(50))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if _, err := p.Enqueue(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// theyRead starts the official client before or after ours writes, and returns what it has read. The stream is closed once
// a client that waits has got to its end: see exchange.mjs.
func theyRead(t *testing.T, mode string, s *durablestreams.Stream, kind string, given any, write func()) []byte {
	t.Helper()
	end := func() {
		if err := s.Seal(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if mode == "catch-up" {
		write()
		end()
	}
	out, wait := official(t, given, "read", kind, s.URL(), mode)
	said(t, out, "reading")
	if mode != "catch-up" {
		write()
		tail, err := s.Head(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		said(t, out, "at "+tail.Offset)
		end()
	}
	return wait()
}

func TestTheOfficialClientReadsOurJSON(t *testing.T) {
	asIs := codec.Func("application/json",
		func(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }, func(src []byte) ([]byte, error) { return src, nil })
	want := oddJSON()
	var values [][]byte
	for _, v := range want {
		values = append(values, []byte(v))
	}
	for mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := fresh(t, "application/json")
			raw := theyRead(t, mode, s, "json", want, func() { write(t, s, asIs, values) })
			var got []json.RawMessage
			for arrays := json.NewDecoder(bytes.NewReader(raw)); ; { // one a response, or event
				var some []json.RawMessage
				err := arrays.Decode(&some)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, some...)
			}
			if len(got) != len(want) {
				t.Fatalf("the official client has read %d messages, want %d", len(got), len(want))
			}
			for i := range want {
				if string(got[i]) != want[i] {
					t.Errorf("message %d came as %.200q, want %.200q", i, got[i], want[i])
				}
			}
		})
	}
}

// Typed values as programs have them.
func TestTheOfficialClientReadsOurTypedValues(t *testing.T) {
	type order struct {
		ID    uint64            `json:"id"`
		Names map[string]string `json:"names"`
		Price float64           `json:"price"`
		Items []string          `json:"items"`
	}
	for mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := fresh(t, "application/json")
			var values []order
			var want []string
			for i := range 300 {
				values = append(values, order{uint64(i) << 40, map[string]string{"ключ<": "\u2028"}, 0.1 * float64(i), nil})
				v, err := codec.JSON[order]().AppendEncode(nil, values[i])
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, string(v))
			}
			theyRead(t, mode, s, "json", want, func() {
				p, err := producer.New(t.Context(), s, codec.JSON[order]())
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(p.Send(t.Context(), values...), p.Close()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestTheOfficialClientReadsOurBytes(t *testing.T) {
	want := oddBytes()
	for mode := range modes {
		t.Run(mode, func(t *testing.T) {
			s := fresh(t, "application/octet-stream")
			raw := theyRead(t, mode, s, "frames", nil, func() { write(t, s, codec.Bytes(), want) })
			var got [][]byte
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("the official client has read %d frames, want %d", len(got), len(want))
			}
			for i := range want {
				if !bytes.Equal(got[i], want[i]) {
					t.Errorf("value %d came as %.200q, want %.200q", i, got[i], want[i])
				}
			}
		})
	}
}

// Without frames values are what others read as one stream of bytes, or a text.
func TestTheOfficialClientReadsOurBytesAndText(t *testing.T) {
	var values, texts [][]byte
	for _, v := range oddBytes() {
		if len(v) > 0 {
			values = append(values, v)
		}
	}
	for _, v := range oddJSON() {
		texts = append(texts, []byte(v+"\n"))
	}
	text := codec.Func("text/plain",
		func(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }, func(src []byte) ([]byte, error) { return src, nil })
	for mode := range modes {
		t.Run("bytes over "+mode, func(t *testing.T) {
			s := fresh(t, "application/octet-stream")
			same(t, []backend.Record{{Value: theyRead(t, mode, s, "bytes", nil, func() { write(t, s.Raw(), codec.Bytes(), values) })}}, bytes.Join(values, nil))
		})
		t.Run("text over "+mode, func(t *testing.T) {
			s := fresh(t, "text/plain")
			same(t, []backend.Record{{Value: theyRead(t, mode, s, "text", nil, func() { write(t, s.Raw(), text, texts) })}}, bytes.Join(texts, nil))
		})
	}
}
