package durablestreams

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// pieces is a connection that brings b in pieces of the sizes given, over and over.
type pieces struct {
	b, sizes []byte
	i        int
}

func (p *pieces) Read(dst []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := len(p.b)
	if len(p.sizes) > 0 {
		n = min(n, 1+int(p.sizes[p.i%len(p.sizes)]))
		p.i++
	}
	n = copy(dst, p.b[:n])
	p.b = p.b[n:]
	return n, nil
}

// heard is what a reader learns from a connection: the data before each control event and where that says it ends.
func heard(b, sizes []byte, binary bool) (all []string, err error) {
	e := &events{in: httpwire.NewEventReader(&pieces{b: b, sizes: sizes}), base64: binary}
	for {
		c, err := e.next()
		if err != nil {
			return all, err
		}
		all = append(all, fmt.Sprintf("%q %+v", e.data, c))
		e.data = nil
	}
}

// errProtocol stands for every *ProtocolError.
var errProtocol = errors.New("a ProtocolError")

// said is the same by the letter of the specification of server-sent events, from the whole.
func said(b []byte, binary bool) (all []string, err error) {
	text := strings.TrimPrefix(string(b), "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var name string
	var data []string
	var collected []byte
	for _, line := range lines[:len(lines)-1] {
		if line != "" {
			field, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch field {
			case "event":
				name = value
			case "data":
				data = append(data, value)
			}
			continue
		}
		if data == nil { // by the standard, an event without data is none
			name = ""
			continue
		}
		switch name {
		case "data":
			if !binary {
				collected = append(collected, strings.Join(data, "\n")...)
				break
			}
			part, err := base64.StdEncoding.DecodeString(strings.Join(data, ""))
			if err != nil {
				return all, errProtocol
			}
			collected = append(collected, part...)
		case "control":
			var c control
			if json.Unmarshal([]byte(strings.Join(data, "\n")), &c) != nil {
				return all, errProtocol
			}
			all = append(all, fmt.Sprintf("%q %+v", collected, c))
			collected = nil
		}
		name, data = "", nil
	}
	return all, io.EOF
}

// FuzzEvents: whoever can write to a stream chooses what is in its events, and the network how they are cut.
func FuzzEvents(f *testing.F) {
	for _, end := range []string{"\n", "\r", "\r\n"} {
		for _, s := range []string{
			"event: data|data:[1,|data: 2]||event: control|data: {\"streamNextOffset\":\"9\"}||",
			"\ufeffevent:control|data:{\"streamNextOffset\":\"9\",|data:\"upToDate\":true}||: keep alive||event: control|data:{}||",
			"event: data|data|data:||data:x||id: 1|retry:5|event: other|data: y||event:control|data||",
			"event: data|data: aGVs|data: bG8=||event: control|data:{\"streamNextOffset\":\"9\"}||event: data|data: lost|",
			"event: data|data:\u0085 \u2028 \u2029||event: control|data:{\"streamCursor\":\"1\",\"streamClosed\":true}||",
			"event: data|data:!||event: control|data:{|| |",
		} {
			s = strings.ReplaceAll(s, "|", end)
			f.Add([]byte(s), []byte{}, false)
			f.Add([]byte(s), []byte{0}, true)
			f.Add([]byte(s), []byte{3, 0, 16}, false)
		}
	}
	f.Add([]byte("event: data\r\rdata: [\r\n\n\revent:control\n\rdata:{}\r\r"), []byte{0, 1}, false)
	f.Fuzz(func(t *testing.T, b, sizes []byte, binary bool) {
		want, wantErr := said(b, binary)
		for _, sizes := range [][]byte{nil, sizes} {
			got, err := heard(b, sizes, binary)
			if fmt.Sprint(got) != fmt.Sprint(want) || !errors.Is(err, wantErr) && !(wantErr == errProtocol && errors.As(err, new(*ProtocolError))) {
				t.Fatalf("%q in pieces of %v: %q, %v; want %q, %v", b, sizes, got, err, want, wantErr)
			}
		}
	})
}

// What is larger than an event may be is noticed before it is held.
func TestEventsAreBounded(t *testing.T) {
	for name, open := range map[string]string{
		"one line": "data:", "events": "event:data\ndata:xxxxx\n\n",
	} {
		e := &events{in: httpwire.NewEventReader(&endless{b: []byte(open)})}
		_, err := e.next()
		if !errors.Is(err, backend.ErrTooLarge) || len(e.data) > eventBytes {
			t.Errorf("%s: %v, with %d bytes held", name, err, len(e.data))
		}
	}
}

// endless repeats b.
type endless struct {
	b []byte
	i int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.b[e.i]
		e.i = (e.i + 1) % len(e.b)
	}
	return len(p), nil
}
