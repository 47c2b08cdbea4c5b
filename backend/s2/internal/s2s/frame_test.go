package s2s

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// seal makes a frame of a payload.
func seal(t testing.TB, codec Codec, payload []byte) []byte {
	t.Helper()
	c, err := new(Coders).New(codec)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out, _, err := c.Seal(append(make([]byte, HeaderSize), payload...), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// framed puts a header that may lie before a payload.
func framed(length int, flags byte, payload []byte) []byte {
	return append([]byte{byte(length >> 16), byte(length >> 8), byte(length), flags}, payload...)
}

func TestReferenceFrames(t *testing.T) {
	if got, want := seal(t, None, unhex(t, "0a 04 1a 02 68 69")), unhex(t, "00 00 07 00 0a 04 1a 02 68 69"); !bytes.Equal(got, want) {
		t.Errorf("sealed % x, want % x", got, want)
	}
	if got, want := seal(t, Zstd, nil), unhex(t, "00 00 01 00"); !bytes.Equal(got, want) {
		t.Errorf("sealed % x, want % x", got, want)
	}
	body := `{"seq_num_mismatch":123}`
	r := NewReader(bytes.NewReader(append(unhex(t, "00 00 1B 80 01 9C"), body...)))
	flags, payload, err := r.Next()
	if err != nil || !flags.Terminal() || flags.Reconnect() || flags.Codec() != None {
		t.Fatalf("flags %x, %v", flags, err)
	}
	if status, got, err := Terminal(payload); status != 412 || string(got) != body || err != nil {
		t.Errorf("status %d, %s, %v", status, got, err)
	}
	if _, _, err := r.Next(); err != io.EOF {
		t.Errorf("behind the last frame: %v, want EOF", err)
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		flags               Flags
		terminal, reconnect bool
		codec               Codec
	}{{0, false, false, None}, {0x2f, false, false, Zstd}, {0x40, false, false, Gzip}, {0x90, true, true, None}, {0x0f, false, false, None}} {
		f := c.flags
		if f.Terminal() != c.terminal || f.Reconnect() != c.reconnect || f.Codec() != c.codec {
			t.Errorf("%08b: terminal %v, reconnect %v, codec %v", f, f.Terminal(), f.Reconnect(), f.Codec())
		}
	}
}

func TestCompressionBeginsAt1024Bytes(t *testing.T) {
	for _, codec := range []Codec{Zstd, Gzip} {
		for n, want := range map[int]Codec{CompressFrom - 1: None, CompressFrom: codec, MaxPayload: codec} {
			payload := bytes.Repeat([]byte{'a'}, n)
			flags, body, err := NewReader(bytes.NewReader(seal(t, codec, payload))).Next()
			if err != nil || flags.Codec() != want {
				t.Fatalf("%v of %d bytes: codec %v, %v", codec, n, flags.Codec(), err)
			}
			c, _ := new(Coders).New(None)
			if got, err := c.Open(flags, body); err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%v of %d bytes: %d come back, %v", codec, n, len(got), err)
			}
			c.Close()
		}
	}
}

func TestAFrameThatIsTooLargeIsNotSealed(t *testing.T) {
	c, _ := new(Coders).New(None)
	if _, _, err := c.Seal(make([]byte, HeaderSize+MaxPayload+1), nil, 0); err == nil {
		t.Error("sealed")
	}
	if _, _, err := c.Seal(make([]byte, HeaderSize+MaxPayload), nil, 0); err != nil {
		t.Errorf("the largest one: %v", err)
	}
	if _, err := new(Coders).New(3); err == nil {
		t.Error("there is no codec 3")
	}
}

func TestMalformedFrames(t *testing.T) {
	for _, c := range []struct {
		name      string
		in        []byte
		truncated bool // retrying may help; otherwise it is a FormatError
		want      string
	}{
		{"length 0", []byte{0, 0, 0, 0}, false, "length 0"},
		{"2 MiB and a byte", framed(MaxLength+1, 0, nil), false, "length 2097153"},
		{"the largest length of all", framed(1<<24-1, 0, nil), false, "length 16777215"},
		{"unknown codec", framed(2, 0x60, []byte{1}), false, "compression"},
		{"cut in the length", []byte{0, 0}, true, "header"},
		{"cut before the flags", []byte{0, 0, 7}, true, "header"},
		{"cut before the payload", framed(7, 0, nil), true, "0 of a payload's 6"},
		{"cut in the payload", framed(7, 0, []byte("abc")), true, "3 of a payload's 6"},
	} {
		_, payload, err := NewReader(bytes.NewReader(c.in)).Next()
		var fe *FormatError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &fe) == c.truncated ||
			errors.Is(err, io.ErrUnexpectedEOF) != c.truncated || errors.Is(err, io.EOF) {
			t.Errorf("%s: %x, %v, want %q", c.name, payload, err, c.want)
		}
	}
	for _, short := range [][]byte{nil, {1}} {
		var fe *FormatError
		if _, _, err := Terminal(short); !errors.As(err, &fe) {
			t.Errorf("terminal frame of %d bytes: %v", len(short), err)
		}
	}
}

// bomb compresses n zeros.
func bomb(t testing.TB, codec Codec, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	if codec == Gzip {
		w = gzip.NewWriter(&out)
	} else {
		enc, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w = enc
	}
	if _, err := io.CopyN(w, zeros{}, int64(n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestDecompressionIsBounded(t *testing.T) {
	for codec, flags := range map[Codec]Flags{Zstd: 0x20, Gzip: 0x40} {
		c, _ := new(Coders).New(None)
		if got, err := c.Open(flags, bomb(t, codec, MaxPayload)); err != nil || len(got) != MaxPayload {
			t.Errorf("%v of the largest payload: %d bytes, %v", codec, len(got), err)
		}
		for _, n := range []int{MaxPayload + 1, 80 << 20} {
			small := bomb(t, codec, n)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var fe *FormatError
			if got, err := c.Open(flags, small); !errors.As(err, &fe) {
				t.Errorf("%v, %d bytes of %d: %d come out, %v", codec, len(small), n, len(got), err)
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
				t.Errorf("%v: refusing a bomb of %d bytes allocates %d", codec, n, used)
			}
		}
		for _, broken := range [][]byte{nil, {0}, []byte("no compression at all"), bomb(t, codec, 5000)[:12]} {
			var fe *FormatError
			if got, err := c.Open(flags, broken); !errors.As(err, &fe) {
				// Nothing at all is a valid zstd stream of no frames.
				if codec == Zstd && len(broken) == 0 && err == nil && len(got) == 0 {
					continue
				}
				t.Errorf("%v, broken: %d bytes, %v", codec, len(got), err)
			}
		}
		c.Close()
	}
}

func TestPayloadsThatAreNotLentAreTheReceivers(t *testing.T) {
	var in bytes.Buffer
	var want [][]byte
	for i, n := range []int{3, 0, aheadFirst, aheadMost - HeaderSize, 5000, aheadMost, aheadMost + 1, MaxPayload, 1, 70_000, 70_000, 70_000, 70_000} {
		want = append(want, bytes.Repeat([]byte{byte(i + 1)}, n))
		in.Write(seal(t, None, want[i]))
	}
	whole := in.Bytes()
	for _, chunk := range []int{1 << 30, 100_000, 4096, 777} {
		r := NewReader(&slow{whole, chunk})
		var got [][]byte
		for range want {
			_, payload, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, payload)
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("chunks of %d: payload %d of %d bytes is %d others", chunk, i, len(want[i]), len(got[i]))
			}
		}
		if _, _, err := r.Next(); err != io.EOF {
			t.Errorf("behind the last frame: %v, want EOF", err)
		}
		r = NewReader(&slow{whole, chunk})
		for i := range want {
			if _, payload, err := r.Borrow(); err != nil || !bytes.Equal(payload, want[i]) {
				t.Fatalf("chunks of %d: lent payload %d of %d bytes is %d others, %v", chunk, i, len(want[i]), len(payload), err)
			}
		}
	}
}
