package producer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text is a codec that refuses the value "unencodable".
func text() codec.Codec[string] {
	return codec.Func("text/plain",
		func(dst []byte, v string) ([]byte, error) {
			if v == "unencodable" {
				return dst, errors.New("cannot encode that")
			}
			return append(dst, v...), nil
		}, nil)
}

// bubble runs a test on a fake clock.
func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func open(t *testing.T, sink backend.Sink, opts ...producer.Option) *producer.Producer[string] {
	t.Helper()
	p, err := producer.New(t.Context(), sink, text(), opts...)
	if err != nil {
		t.Fatalf("new: %v", err)
	}
	return p
}

func enqueue(t *testing.T, p *producer.Producer[string], vs ...string) []producer.Receipt {
	t.Helper()
	var rs []producer.Receipt
	for _, v := range vs {
		r, err := p.Enqueue(t.Context(), v)
		if err != nil {
			t.Fatalf("enqueue %q: %v", v, err)
		}
		rs = append(rs, r)
	}
	return rs
}

func closeNow(t *testing.T, p *producer.Producer[string]) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// numbered returns "0", "1", …
func numbered(n int) []string {
	vs := make([]string, n)
	for i := range vs {
		vs[i] = fmt.Sprint(i)
	}
	return vs
}

// stored is a stream that tests can look into, such as memory's.
type stored interface{ Records() []backend.Record }

func values(l stored) []string {
	var vs []string
	for _, r := range l.Records() {
		vs = append(vs, string(r.Value))
	}
	return vs
}

func wantLog(t *testing.T, l stored, want ...string) {
	t.Helper()
	if got := values(l); !slices.Equal(got, want) {
		t.Errorf("the stream holds %q, want %q", got, want)
	}
}

// firsts drops repetitions: a replay may repeat a suffix, but first copies stay in order.
func firsts(vs []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, v := range vs {
		if !seen[v] {
			out = append(out, v)
		}
		seen[v] = true
	}
	return out
}

// wait waits for a receipt, within a minute of the fake clock.
func wait(t *testing.T, r producer.Receipt) (backend.Offset, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	off, err := r.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		t.Fatal("the receipt is not decided after a minute")
	}
	return off, err
}
