package server_test

import (
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/s2/s2test"
)

// encrypted starts a server whose basin encrypts its streams.
func encrypted(t testing.TB, opts ...s2test.Option) *peer {
	t.Helper()
	p := start(t, opts...)
	p.want(200, `"aes-256-gcm"`, "PATCH", "/basins/"+testBasin, `{"stream_cipher":"aes-256-gcm"}`)
	return p
}

// encryptionKey returns a key of 32 equal bytes.
func encryptionKey(b string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(b, 32)))
}

// Only a batch that is stored is written with a key. A refused batch leaves nothing behind that a later batch with another
// key could not be stored beside.
func TestRefusedAppendDoesNotBindTheKey(t *testing.T) {
	p := encrypted(t)
	p.want(201, "", "POST", "/streams", `{"stream":"timestamp","config":{"timestamping":{"mode":"client-require"}}}`)
	p.srv.Inject(s2test.Fault{Op: s2test.UnaryAppend, On: "fault", Stage: s2test.Received, Do: s2test.Status(500, "storage")})
	p.srv.Inject(s2test.Fault{Op: s2test.AppendSession, On: "session-fault", Stage: s2test.Received, Do: s2test.Status(500, "storage")})
	mine, other := encryptionKey("m"), encryptionKey("o")
	stored := `{"records":[{"timestamp":1,"body":"a"}]}`
	for stream, refused := range map[string]struct {
		status int
		body   string
	}{
		"match":     {412, `{"records":[{"body":"a"}],"match_seq_num":1}`},
		"fence":     {412, `{"records":[{"body":"a"}],"fencing_token":"other"}`},
		"timestamp": {422, `{"records":[{"body":"a"}]}`},
		"empty":     {422, `{"records":[]}`},
		"fault":     {500, stored},
	} {
		p.want(refused.status, "", "POST", "/streams/"+stream+"/records", refused.body, "s2-encryption-key", other)
		p.want(200, `"end"`, "POST", "/streams/"+stream+"/records", stored, "s2-encryption-key", mine)
		p.want(400, `"decryption_failed"`, "POST", "/streams/"+stream+"/records", stored, "s2-encryption-key", other)
	}
	for stream, frames := range map[string][]byte{
		"session-opened": nil,
		"session-match":  frame(0, pb(input("a")).uint(2, 1)),
		"session-fault":  frame(0, input("a")),
	} {
		d := p.appendSession(stream, "s2-encryption-key", other)
		d.send(frames)
		if frames != nil {
			if flags, b, err := d.frame(); err != nil || flags != 0x80 {
				t.Errorf("%s: frame %02x %x, %v, want a terminal frame", stream, flags, b, err)
			}
		}
		p.want(200, `"end"`, "POST", "/streams/"+stream+"/records", stored, "s2-encryption-key", mine)
		p.want(400, `"decryption_failed"`, "GET", "/streams/"+stream+"/records?seq_num=0", "", "s2-encryption-key", other)
	}
}

// Two sessions with different keys may be open before the first batch. The first batch decides, and the other session is
// refused with its next input.
func TestFirstStoredBatchDecidesTheKeyOfOpenSessions(t *testing.T) {
	p := encrypted(t)
	first := p.appendSession("s", "s2-encryption-key", encryptionKey("1"))
	second := p.appendSession("s", "s2-encryption-key", encryptionKey("2"))
	first.send(frame(0, input("a")))
	if flags, _, err := first.frame(); err != nil || flags != 0 {
		t.Fatalf("frame %02x, %v, want an ack", flags, err)
	}
	second.send(frame(0, input("b")))
	second.wantTerminal(400, `"decryption_failed"`)
	p.want(200, `"seq_num":1`, "GET", "/streams/s/records/tail", "")
}

func TestKeyIsKnownAfterARestart(t *testing.T) {
	file := s2test.Data(filepath.Join(t.TempDir(), "s2.db"))
	p := encrypted(t, file)
	p.want(200, `"end"`, "POST", "/streams/s/records", `{"records":[{"body":"a"}]}`, "s2-encryption-key", encryptionKey("1"))
	if err := p.srv.Close(); err != nil {
		t.Fatal(err)
	}
	p = newPeer(t, s2test.New(t, file))
	p.want(400, `"decryption_failed"`, "GET", "/streams/s/records?seq_num=0", "", "s2-encryption-key", encryptionKey("2"))
	p.want(200, `"body":"a"`, "GET", "/streams/s/records?seq_num=0", "", "s2-encryption-key", encryptionKey("1"))
	p.want(400, `"bad_header"`, "GET", "/streams/s/records?seq_num=0", "")
}
