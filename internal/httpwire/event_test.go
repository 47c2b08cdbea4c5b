package httpwire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
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

// read returns all events of b as texts, and the error that ended the reading.
func read(b, sizes []byte) (all []string, err error) {
	e := newEventReader(&pieces{b: b, sizes: sizes}, 16, 64)
	for {
		event, err := e.Next(1 << 20)
		if err != nil {
			return all, err
		}
		all = append(all, fmt.Sprintf("%q %q", event.Name, event.Data))
	}
}

// specified returns the same by the letter of the HTML standard, from the whole text.
func specified(b []byte) (all []string, err error) {
	text := strings.TrimPrefix(string(b), "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var name string
	var data []string
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if data != nil {
				all = append(all, fmt.Sprintf("%q %q", name, strings.Join(data, "\n")))
			}
			name, data = "", nil
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data = append(data, value)
		}
	}
	if name != "" || data != nil || lines[len(lines)-1] != "" {
		return all, ErrCutEvent
	}
	return all, io.EOF
}

// FuzzEvents: whoever can write to a stream chooses what is in its events, and the network how they are cut.
func FuzzEvents(f *testing.F) {
	for _, end := range []string{"\n", "\r", "\r\n"} {
		for _, s := range []string{
			"event: data|data:[1,|data: 2]||event: control|data: {}||",
			"\ufeffevent:control|data:{\"next\":\"9\",|data:\"upToDate\":true}||: keep alive||event: control|data:{}||",
			"event: data|data|data:||data:x||id: 1|retry:5|event: other|data: y||event:control|data||",
			"event: data|data: a longer line than the buffer holds|data: bG8=||event: data|data: lost|",
			"event: data|data:\u0085 \u2028 \u2029||event: no data||data:!||event: control|data:{|| |",
		} {
			s = strings.ReplaceAll(s, "|", end)
			f.Add([]byte(s), []byte{})
			f.Add([]byte(s), []byte{0})
			f.Add([]byte(s), []byte{3, 0, 16})
		}
	}
	f.Add([]byte("event: data\r\rdata: [\r\n\n\revent:control\n\rdata:{}\r\r"), []byte{0, 1})
	f.Add([]byte("\xef\xbb"), []byte{0})
	f.Add([]byte("\xef\xbb\xbf\n\ndata:x\n\n"), []byte{0})
	f.Fuzz(func(t *testing.T, b, sizes []byte) {
		want, wantErr := specified(b)
		for _, sizes := range [][]byte{nil, sizes} {
			got, err := read(b, sizes)
			if fmt.Sprint(got) != fmt.Sprint(want) || !errors.Is(err, wantErr) {
				t.Fatalf("%q in pieces of %v: %q, %v; want %q, %v", b, sizes, got, err, want, wantErr)
			}
		}
	})
}

func TestEventThatEndsWithCRIsNotWaitedFor(t *testing.T) {
	for _, end := range []string{"\r", "\n", "\r\n"} {
		from, to := io.Pipe()
		go func() { fmt.Fprint(to, strings.ReplaceAll("event: data|data:[1]||", "|", end)) }()
		event, err := NewEventReader(from).Next(100)
		if err != nil || event.Name != "data" || string(event.Data) != "[1]" {
			t.Errorf("%q: %+v, %v", end, event, err)
		}
		from.Close()
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

func TestLargeEventIsNoticedBeforeItIsHeld(t *testing.T) {
	const most = 1 << 20
	for name, open := range map[string]string{"one line": "data:", "lines": "data:x\n", "a comment": ":", "a name": "event: x"} {
		e := NewEventReader(&endless{b: []byte(open)})
		if _, err := e.Next(most); !errors.Is(err, ErrLargeEvent) || len(e.data)+len(e.long) > most+64<<10 {
			t.Errorf("%s: %v, with %d bytes held", name, err, len(e.data)+len(e.long))
		}
	}
}

func TestCommentsThatKeepAConnectionAliveAreNoEvent(t *testing.T) {
	in := strings.Repeat(": "+strings.Repeat("x", 60)+"\n\n", 1000) + "data: x\n\n"
	if event, err := NewEventReader(strings.NewReader(in)).Next(1000); err != nil || string(event.Data) != "x" {
		t.Errorf("%+v, %v", event, err)
	}
}

func TestFailureOfTheTransportIsNoCutEvent(t *testing.T) {
	for _, cause := range []error{io.ErrUnexpectedEOF, errors.New("reset")} {
		in := io.MultiReader(strings.NewReader("event: data\ndata: x\n"), iotest.ErrReader(cause))
		if _, err := NewEventReader(in).Next(100); !errors.Is(err, cause) || errors.Is(err, ErrCutEvent) {
			t.Errorf("%v: got %v", cause, err)
		}
	}
}
