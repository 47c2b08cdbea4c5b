package h2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// A script is a connection whose server has written everything in advance.
type script struct {
	in  bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return nil }
func (s *script) RemoteAddr() net.Addr             { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// play sends a request, and returns its Stream, the connection, and the response or the error.
func play(t testing.TB, frames ...[]byte) (*Stream, *script, *http.Response, error) {
	t.Helper()
	c := new(script)
	c.in.Reset(bytes.Join(frames, nil))
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ctx, accepted := Await(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://s2.test/v1/a%2Fb?x=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := connection{c, 0}.RoundTrip(req)
	s := accepted()
	if s != nil {
		_ = s.flush() // so that the request stands in c
	}
	return s, c, res, err
}

// The headers ":status: 200" and ":status: 100"; 200 is number 8 of the table of HPACK, and its name is the name of number 8.
var (
	ok      = appendFrame(nil, frameHeaders, flagEndHeaders, 1, 0x88)
	interim = appendFrame(nil, frameHeaders, flagEndHeaders, 1, append([]byte{0x08, 3}, "100"...)...)
)

func text(flags flags, s string) []byte { return appendFrame(nil, frameData, flags, 1, []byte(s)...) }

func setting(id uint16, v uint32) []byte {
	return appendFrame(nil, frameSettings, 0, 0, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(nil, id), v)...)
}

func number(typ frameType, stream uint32, v ...uint32) []byte {
	var payload []byte
	for _, n := range v {
		payload = binary.BigEndian.AppendUint32(payload, n)
	}
	return appendFrame(nil, typ, 0, stream, payload...)
}

func TestTheBodyOfAResponseComesWhateverFramesAreBetween(t *testing.T) {
	for name, frames := range map[string][][]byte{
		"plain":          {ok, text(0, "hel"), text(flagEndStream, "lo")},
		"settings first": {setting(settingMaxFrame, 1<<20), appendFrame(nil, frameSettings, flagAck, 0), ok, text(flagEndStream, "hello")},
		"empty end":      {ok, text(0, "hello"), text(0, ""), text(flagEndStream, "")},
		"padding":        {ok, appendFrame(nil, frameData, flagPadded|flagEndStream, 1, []byte("\x03hello...")...)},
		"interim answer": {interim, ok, text(flagEndStream, "hello")},
		"split headers": {appendFrame(nil, frameHeaders, 0, 1), appendFrame(nil, frameContinuation, flagEndHeaders, 1, 0x88),
			text(flagEndStream, "hello")},
		"padded headers": {appendFrame(nil, frameHeaders, flagEndHeaders|flagPadded|flagPriority, 1, 2, 0, 0, 0, 0, 9, 0x88, 0, 0), text(flagEndStream, "hello")},
		"trailer":        {ok, text(0, "hello"), appendFrame(nil, frameHeaders, flagEndHeaders|flagEndStream, 1, 0x88)},
		"ping":           {ok, text(0, "he"), appendFrame(nil, framePing, 0, 0, make([]byte, 8)...), text(flagEndStream, "llo")},
		"farewell":       {ok, number(frameGoAway, 0, 1, 0), text(flagEndStream, "hello")},
		"unknown frame":  {ok, appendFrame(nil, 0x55, 0, 7, '?'), text(flagEndStream, "hello")},
		"more room":      {ok, number(frameWindowUpdate, 0, 10), number(frameWindowUpdate, 1, 10), text(flagEndStream, "hello")},
	} {
		s, c, res, err := play(t, frames...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		if string(body) != "hello" || err != nil || res.StatusCode != 200 || res.ProtoMajor != 2 {
			t.Errorf("%s: status %d, %q, %v", name, res.StatusCode, body, err)
		}
		_ = s.flush()
		if name == "ping" && !strings.HasSuffix(c.out.String(), string(appendFrame(nil, framePing, flagAck, 0, make([]byte, 8)...))) {
			t.Errorf("a ping was not answered")
		}
	}
}

// A server that breaks the rules, or ends too early, must never look like one that has answered.
func TestABrokenAnswerIsAnError(t *testing.T) {
	for says, frames := range map[string][][]byte{
		"unexpected EOF":                  {},
		"EOF":                             {ok, text(0, "hel")},
		"UNEXPECTED EOF":                  {ok, text(0, "hello")[:12]},
		"does not speak HTTP/2":           {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n")},
		"an alert of TLS":                 {{0x15, 3, 1, 0, 2, 2, 70}},
		"the headers of the response: d":  {ok, text(0, "hel"), appendFrame(nil, frameHeaders, flagEndHeaders|flagEndStream, 1, 0xff)},
		"a frame of 65793 bytes":          {ok, {1, 1, 1, 0, 0, 0, 0, 0, 1}},
		"for stream 3":                    {ok, appendFrame(nil, frameData, 0, 3)},
		"in front of a response":          {text(0, "hello")},
		"headers for stream 3":            {appendFrame(nil, frameHeaders, flagEndHeaders, 3, 0x88)},
		"a response without a status":     {appendFrame(nil, frameHeaders, flagEndHeaders, 1)},
		"the headers of the response":     {appendFrame(nil, frameHeaders, flagEndHeaders, 1, 0xff)},
		"broke off its headers":           {appendFrame(nil, frameHeaders, 0, 1, 0x88), ok},
		"type 9":                          {appendFrame(nil, frameContinuation, 0, 1)},
		"type 5":                          {ok, appendFrame(nil, framePush, 0, 1)},
		"9 bytes of padding":              {ok, appendFrame(nil, frameData, flagPadded, 1, 9, 'x')},
		"7 bytes of padding":              {appendFrame(nil, frameHeaders, flagEndHeaders|flagPadded, 1, 7, 0x88)},
		"a SETTINGS frame of 5":           {appendFrame(nil, frameSettings, 0, 0, 1, 2, 3, 4, 5)},
		"in the middle of a response":     {ok, appendFrame(nil, frameHeaders, flagEndHeaders, 1, 0x88)},
		"ended an interim response":       {appendFrame(nil, frameHeaders, flagEndHeaders|flagEndStream, 1, append([]byte{0x08, 3}, "100"...)...)},
		`begins with "HTTP/1.1 "`:         {ok, []byte("HTTP/1.1 408 Request Timeout\r\n\r\n")},
		"a window for stream 3":           {ok, number(frameWindowUpdate, 3, 1)},
		"a window of 65536":               {ok, number(frameWindowUpdate, 1, mostWindow-firstWindow), setting(settingInitialWindow, firstWindow+1)},
		"a window of":                     {setting(settingInitialWindow, 1<<31)},
		"a largest frame of":              {setting(settingMaxFrame, 100)},
		"a PING frame of 1":               {appendFrame(nil, framePing, 0, 0, 1)},
		"a WINDOW_UPDATE frame of 0":      {ok, appendFrame(nil, frameWindowUpdate, 0, 1)},
		"grows by 0 bytes":                {ok, number(frameWindowUpdate, 1, 0)},
		"grows by 2147483647 bytes":       {ok, number(frameWindowUpdate, 0, 1<<31-1)},
		"reset the request, error code 8": {ok, number(frameResetStream, 1, 8)},
		"a RST_STREAM frame of 0":         {ok, appendFrame(nil, frameResetStream, 0, 1)},
		"error code 11":                   {ok, number(frameGoAway, 0, 1, 11)},
		"error code 0":                    {number(frameGoAway, 0, 0, 0), ok},
		"a GOAWAY frame of 4":             {ok, number(frameGoAway, 0, 1)},
	} {
		s, _, res, err := play(t, frames...)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			if s.Claim() {
				t.Errorf("%s: more can be written", says)
			}
		}
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(says)) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// A request holds the path as it is escaped, and no header reaches a table of a proxy.
func TestARequestIsOneWriteOfPrefaceSettingsAndHeaders(t *testing.T) {
	_, c, _, err := play(t, ok)
	if err != nil {
		t.Fatal(err)
	}
	sent := c.out.Bytes()
	if !bytes.HasPrefix(sent, []byte(preface)) {
		t.Fatalf("sent %q", sent)
	}
	sent = sent[len(preface)+headBytes+6:]
	if sent[3] != byte(frameHeaders) || sent[4] != byte(flagEndHeaders) {
		t.Errorf("then a frame of type %d with flags %x", sent[3], sent[4])
	}
	if sent[headBytes]&0xf0 != 0x10 { // a literal that is never put into a table
		t.Errorf("the first header field begins with %x", sent[headBytes])
	}
}

// A silent is a connection on which nothing comes until the deadline, so many times.
type silent struct {
	script
	times int
}

func (s *silent) Read(p []byte) (int, error) {
	if s.times--; s.times >= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return s.script.Read(p)
}

func TestASilentServerIsAskedOnceForASignOfLife(t *testing.T) {
	ping := appendFrame(nil, framePing, 0, 0, make([]byte, 8)...)
	for times, pings := range []int{0, 1, 1} {
		c := &silent{times: times}
		c.in.Reset([]byte("x"))
		s := newStream(c, time.Second)
		n, err := alive{s}.Read(make([]byte, 1))
		_ = s.flush()
		if (err == nil) != (times < 2) || (n == 1) != (times < 2) || bytes.Count(c.out.Bytes(), ping) != pings {
			t.Errorf("after %d waits: %d bytes, %v, and %q was sent", times, n, err, c.out.String())
		}
	}
}

func TestDataLeavesInFramesOfTheSizeThatTheServerTakes(t *testing.T) {
	const window = 100_000
	s, c, res, err := play(t, setting(settingInitialWindow, window), ok, number(frameWindowUpdate, 0, window), text(flagEndStream, ""))
	if err != nil {
		t.Fatal(err)
	}
	c.out.Reset()
	if err := s.Ready(t.Context()); err != nil || !s.Claim() {
		t.Fatal(err)
	}
	data := make([]byte, HeadRoom, HeadRoom+40_000)
	for i := range 40_000 {
		data = append(data, byte(i*7))
	}
	want := bytes.Clone(data[HeadRoom:])
	if rest, err := s.Write(t.Context(), data); rest != nil || err != nil {
		t.Fatal(err)
	}
	s.Finish()
	_ = s.flush()
	var got []byte
	var sizes []int
	for b := c.out.Bytes(); len(b) > 0; {
		n := int(binary.BigEndian.Uint32(b) >> 8)
		got, sizes, b = append(got, b[headBytes:headBytes+n]...), append(sizes, n), b[headBytes+n:]
	}
	if !bytes.Equal(got, want) || len(sizes) != 4 || sizes[0] != leastMaxFrame || sizes[3] != 0 {
		t.Errorf("%d of %d bytes left, in frames of %v", len(got), len(want), sizes)
	}
	if s.Begun() != 1 {
		t.Errorf("%d claims have begun, want 1", s.Begun())
	}
	_, err = io.ReadAll(res.Body)
	if err != nil || s.Claim() {
		t.Errorf("%v; behind the end, more can be written", err)
	}
}

// The context ends while the server takes no more bytes. The rest leaves later, and nothing else leaves before.
func TestAnInterruptedWriteReturnsTheRest(t *testing.T) {
	s, c, res, err := play(t, setting(settingInitialWindow, 3), ok, number(frameWindowUpdate, 1, 10), text(flagEndStream, ""))
	if err != nil {
		t.Fatal(err)
	}
	c.out.Reset()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if !s.Claim() {
		t.Fatal("nothing can be written")
	}
	rest, err := s.Write(ended, append(make([]byte, HeadRoom), "hello"...))
	if string(rest[HeadRoom:]) != "lo" || err != nil {
		t.Fatalf("the rest is %q, %v", rest, err)
	}
	if err := s.Ready(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Ready beside the rest: %v", err)
	}
	s.Finish()
	if _, err := res.Body.Read(make([]byte, 1)); err != io.EOF { // reads the WINDOW_UPDATE
		t.Fatal(err)
	}
	if s.Claim() {
		t.Error("behind the end, more can be written")
	}
	if rest, err := s.Write(t.Context(), rest); rest != nil || !errors.Is(err, errAnswered) {
		t.Errorf("%q, %v; the server has ended the response", rest, err)
	}
	if got := c.out.String(); got != string(text(0, "hel")) {
		t.Errorf("sent %q", got)
	}
}

// FuzzAnswer: whatever the server sends, nothing panics, hangs, or holds more memory than a response may have.
func FuzzAnswer(f *testing.F) {
	f.Add(bytes.Join([][]byte{setting(settingMaxFrame, 1<<20), ok, text(0, "hel"), number(frameWindowUpdate, 1, 10), text(flagEndStream, "lo")}, nil))
	f.Add(bytes.Join([][]byte{interim, appendFrame(nil, frameHeaders, 0, 1), appendFrame(nil, frameContinuation, flagEndHeaders, 1, 0x88)}, nil))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		_, _, res, err := play(t, answer)
		if err != nil {
			return
		}
		if body, _ := io.ReadAll(res.Body); len(body) > len(answer) {
			t.Errorf("a body of %d bytes from %d", len(body), len(answer))
		}
	})
}
