package s2_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/headrace/headrace/backend/s2/internal/s2pb"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
)

// A raw is one HTTP/2 stream without any client around it: what the wire, the transport and the server cost.
type raw struct {
	in  io.Writer
	out *s2s.Reader
	end func()
}

func openRaw(t testing.TB, at address, method, stream, query, encoding string) *raw {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: protocols, DisableCompression: true, HTTP2: &http.HTTP2Config{MaxReadFrameSize: 1 << 20}}
	var body io.Reader
	var w *io.PipeWriter
	if method == http.MethodPost {
		body, w = io.Pipe()
		// An answer to anything brings the server's settings, without which the body would leave in frames of 16 KiB.
		first, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.RoundTrip(first)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	url := at.url + "/v1/streams/" + strings.ReplaceAll(stream, "/", "%2F") + "/records" + query
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+at.token)
	req.Header.Set("S2-Basin", basinName)
	req.Header.Set("Content-Type", "s2s/proto")
	if encoding != "" {
		req.Header.Set("Accept-Encoding", encoding)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		t.Fatalf("status %d: %s", res.StatusCode, text)
	}
	r := &raw{in: w, out: s2s.NewReader(res.Body)}
	r.end = func() {
		if w != nil {
			_ = w.Close()
		}
		_ = res.Body.Close()
		tr.CloseIdleConnections()
	}
	return r
}

// payload is a value of n bytes that compresses about as well as JSON does.
func payload(n int) []byte {
	words := strings.Fields("order customer amount currency EUR created_at 2026-11-21T04:18:44Z status paid shipped country")
	dice := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[dice.IntN(len(words))])
		b.WriteByte(byte('0' + dice.IntN(10)))
	}
	return b.Bytes()[:n]
}

// rawFrame is a frame of records with that value, as many as an append may hold, encoded by the generated types.
func rawFrame(t testing.TB, value []byte, codec s2s.Codec) (frame []byte, records int) {
	t.Helper()
	records = min(1000, 1<<20/(8+len(value)))
	in := &s2pb.AppendInput{}
	for range records {
		in.Records = append(in.Records, &s2pb.AppendRecord{Body: value})
	}
	frame, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, s2s.HeaderSize), in)
	if err != nil {
		t.Fatal(err)
	}
	coder, err := new(s2s.Coders).New(codec)
	if err != nil {
		t.Fatal(err)
	}
	sealed, _, err := coder.Seal(frame, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return sealed, records
}
