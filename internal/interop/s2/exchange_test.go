// Package s2 holds the official Go SDK of S2 against our server and our client: each writes what the other reads.
package s2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	sdk "github.com/s2-streamstore/s2-sdk-go/s2"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

const basin = "interop-basin"

// both returns our stream and theirs, which are the same one.
func both(t testing.TB, srv *s2test.Server, name string) (*s2.Stream, *sdk.StreamClient) {
	t.Helper()
	theirs := sdk.New(srv.Token(), &sdk.ClientOptions{
		BaseURL:          srv.URL(),
		MakeBasinBaseURL: func(string) string { return srv.URL() + "/v1" },
	})
	return srv.Client().Basin(basin).Stream(name), theirs.Basin(basin).Stream(sdk.StreamName(name))
}

// odd returns records that text protocols trip over.
func odd(n int) []backend.Record {
	dice := rand.New(rand.NewPCG(1, 2))
	recs := make([]backend.Record, n)
	for i := range recs {
		value := make([]byte, dice.IntN(200))
		for k := range value {
			value[k] = byte(dice.UintN(256))
		}
		recs[i] = backend.Record{
			Value: value,
			Time:  time.UnixMilli(1_700_000_000_000 + int64(i)),
			Headers: backend.Headers{
				{Name: "n", Value: []byte(fmt.Sprint(i))}, {Name: "n", Value: []byte{0, 0xff, 0xfe}}, {Name: "ü\n", Value: nil},
			},
		}
	}
	return recs
}

func TestWeReadWhatTheSDKWrote(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basin, true))
	ours, theirs := both(t, srv, "from-sdk")
	want := odd(500)
	var recs []sdk.AppendRecord
	for _, r := range want {
		ts := uint64(r.Time.UnixMilli())
		rec := sdk.AppendRecord{Timestamp: &ts, Body: r.Value}
		for _, h := range r.Headers {
			rec.Headers = append(rec.Headers, sdk.Header{Name: []byte(h.Name), Value: h.Value})
		}
		recs = append(recs, rec)
	}
	if _, err := theirs.Append(t.Context(), &sdk.AppendInput{Records: recs}); err != nil {
		t.Fatal(err)
	}
	c, err := consumer.New(ours, codec.Bytes(), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		same(t, n, want[n], m.Record)
		n++
	}
	if n != len(want) {
		t.Errorf("read %d records, want %d", n, len(want))
	}
}

func same(t *testing.T, i int, want, got backend.Record) {
	t.Helper()
	equal := bytes.Equal(want.Value, got.Value) && want.Time.Equal(got.Time) && len(want.Headers) == len(got.Headers)
	for k := range want.Headers {
		equal = equal && want.Headers[k].Name == got.Headers[k].Name && bytes.Equal(want.Headers[k].Value, got.Headers[k].Value)
	}
	if !equal {
		t.Fatalf("record %d: got %+v, want %+v", i, got, want)
	}
}

func TestTheSDKReadsWhatWeWrote(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basin, true))
	ours, theirs := both(t, srv, "from-us")
	p, err := producer.New(t.Context(), ours, codec.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := odd(2500)
	for _, r := range want {
		if _, err := p.EnqueueEncoded(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	session, err := theirs.ReadSession(t.Context(), &sdk.ReadOptions{SeqNum: sdk.Uint64(0), Count: sdk.Uint64(uint64(len(want)))})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	n := 0
	for session.Next() {
		r := session.Record()
		got := backend.Record{Value: r.Body, Time: time.UnixMilli(int64(r.Timestamp))}
		for _, h := range r.Headers {
			got.Headers = append(got.Headers, backend.Header{Name: string(h.Name), Value: h.Value})
		}
		same(t, n, want[n], got)
		n++
	}
	if err := session.Err(); err != nil || n != len(want) {
		t.Errorf("the SDK read %d records of %d: %v", n, len(want), err)
	}
}

// Both clients call the same failure the same.
func TestBothSeeTheSameErrors(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basin, false))
	ours, theirs := both(t, srv, "missing")
	_, err := ours.CheckTail(t.Context())
	if !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("ours: %v", err)
	}
	_, err = theirs.CheckTail(t.Context())
	var answer *sdk.S2Error
	if !errors.As(err, &answer) || answer.Status != 404 {
		t.Errorf("theirs: %v", err)
	}
	if _, err := admin.New(srv.Client()).Basin(basin).CreateStream(context.Background(), "missing", s2.StreamConfig{}); err != nil {
		t.Fatal(err)
	}
	five := uint64(5)
	var mismatch *sdk.SeqNumMismatchError
	_, err = theirs.Append(t.Context(), &sdk.AppendInput{Records: []sdk.AppendRecord{{}}, MatchSeqNum: &five})
	if !errors.As(err, &mismatch) {
		t.Errorf("theirs: %v", err)
	}
	_, err = ours.Append(t.Context(), []backend.Record{{}}, s2.Condition{SeqNum: &five})
	if !errors.Is(err, backend.ErrConflict) {
		t.Errorf("ours: %v", err)
	}
}
