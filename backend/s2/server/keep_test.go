package server_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/s2/s2test"
)

// After a restart, everything that was stored is there: names, configs, records, conditions, deletions, tokens.
func TestARestartForgetsNothing(t *testing.T) {
	c := &clock{at: time.Now()}
	opts := []s2test.Option{
		s2test.Data(filepath.Join(t.TempDir(), "s2.db")), s2test.Basin(testBasin, true), s2test.Token("root"),
		s2test.TrimDelay(0), s2test.Clock(c.now),
	}
	first, err := s2test.Start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, first)
	p.append("s", `{"body":"a"},{"body":"b"}`)
	p.append("s", `{"body":"c"}`)
	p.want(200, "", "POST", "/streams/s/records", `{"records":[{"headers":[["","fence"]],"body":"mine"}]}`)
	p.want(200, "", "POST", "/streams/s/records", `{"records":[{"headers":[["","dHJpbQ=="]],"body":"AAAAAAAAAAI="}]}`, "s2-format", "base64")
	p.want(201, "", "POST", "/streams", `{"stream":"gone"}`)
	p.want(202, "", "DELETE", "/streams/gone", "")
	p.want(200, "", "PATCH", "/streams/s", `{"storage_class":"standard"}`)
	secret := decode[struct {
		AccessToken string `json:"access_token"`
	}](t, p.want(201, "", "POST", "/access-tokens", `{"id":"t","scope":{"basins":{"prefix":""},"streams":{"prefix":""},"ops":["list-streams"]}}`)).AccessToken
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	p = newPeer(t, s2test.New(t, opts...))
	p.wantTail("s", 5)
	p.want(200, `{"records":[{"seq_num":2,`, "GET", "/streams/s/records?seq_num=0", "")
	p.want(412, `{"fencing_token_mismatch":"mine"}`, "POST", "/streams/s/records", `{"records":[{}],"fencing_token":"other"}`)
	p.want(412, `{"seq_num_mismatch":5}`, "POST", "/streams/s/records", `{"records":[{}],"match_seq_num":4}`)
	p.want(200, `"start":{"seq_num":5,`, "POST", "/streams/s/records", `{"records":[{}],"match_seq_num":5,"fencing_token":"mine"}`)
	p.want(200, `"standard"`, "GET", "/streams/s", "")
	p.want(409, `"stream_deletion_pending"`, "GET", "/streams/gone/records/tail", "")
	p.auth = "Bearer " + secret
	p.want(200, `"name":"gone"`, "GET", "/streams", "")
	p.want(403, `"permission_denied"`, "GET", "/streams/s/records?seq_num=0", "")
	p.auth = "Bearer wrong"
	p.want(401, `"authn"`, "GET", "/streams", "")
}

// A deletion lasts for PurgeAfter. Then the name is free, and a new stream of this name does not have the old records.
func TestADeletedNameComesBackEmpty(t *testing.T) {
	c := &clock{at: time.Now()}
	p := start(t, s2test.Clock(c.now))
	p.append("s", `{"body":"a"}`)
	p.want(202, "", "DELETE", "/streams/s", "")
	p.want(202, "", "DELETE", "/streams/s", "")
	p.want(409, `"stream_deletion_pending"`, "POST", "/streams", `{"stream":"s"}`)
	c.move(2 * time.Second)
	p.want(404, `"stream_not_found"`, "GET", "/streams/s", "")
	p.want(201, `"name":"s"`, "POST", "/streams", `{"stream":"s"}`)
	p.wantTail("s", 0)

	p.want(202, "", "DELETE", "/basins/"+testBasin, "")
	p.want(409, `"basin_deletion_pending"`, "POST", "/basins", `{"basin":"`+testBasin+`"}`)
	p.want(409, `"basin_deletion_pending"`, "GET", "/streams/s/records/tail", "")
	c.move(2 * time.Second)
	p.want(404, `"basin_not_found"`, "GET", "/streams", "")
}

// A token may issue tokens within its own scope, and no others.
func TestTokensStayWithinTheirScope(t *testing.T) {
	p := start(t)
	issue := func(body string) string {
		return decode[struct {
			AccessToken string `json:"access_token"`
		}](t, p.want(201, "", "POST", "/access-tokens", body)).AccessToken
	}
	secret := issue(`{"id":"parent","scope":{"basins":{"exact":"test-basin"},"streams":{"prefix":"a/"},"access_tokens":{"prefix":"child"},` +
		`"op_groups":{"stream":{"read":true,"write":true}},"ops":["issue-access-token","create-stream"]}}`)
	p.auth = "Bearer " + secret
	p.want(201, "", "POST", "/access-tokens", `{"id":"child","scope":{"basins":{"exact":"test-basin"},"streams":{"prefix":"a/b/"},"ops":["append"]}}`)
	for _, body := range []string{
		`{"id":"other","scope":{}}`, // an id that it may not issue
		`{"id":"child2","scope":{"streams":{"prefix":"a"}}}`,
		`{"id":"child2","scope":{"basins":{"prefix":"test-basin"}}}`,
		`{"id":"child2","scope":{"ops":["delete-stream"]}}`,
	} {
		p.want(403, `"permission_denied"`, "POST", "/access-tokens", body)
	}
	p.want(201, "", "POST", "/streams", `{"stream":"a/x"}`)
	p.want(403, "", "POST", "/streams", `{"stream":"b/x"}`)
	p.want(200, "", "GET", "/streams/a%2Fx/records/tail", "")
	p.want(403, "", "GET", "/streams/a%2Fx/records/tail", "", "s2-basin", "other-basin")
}

// A stream whose records have all passed the retention age is empty after a restart too, and delete-on-empty removes it.
func TestAStreamEmptiedByAgeIsEmptyAfterARestart(t *testing.T) {
	c := &clock{at: time.Now()}
	opts := []s2test.Option{s2test.Data(filepath.Join(t.TempDir(), "s2.db")), s2test.Basin(testBasin, true), s2test.Clock(c.now)}
	first, err := s2test.Start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, first)
	p.want(201, "", "POST", "/streams", `{"stream":"s","config":{"retention_policy":{"age":60},"delete_on_empty":{"min_age_secs":30}}}`)
	p.append("s", `{"body":"a"}`)
	c.move(61 * time.Second)
	p.want(200, `{"records":[]`, "GET", "/streams/s/records?seq_num=0&count=1", "") // the read removes the record
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	p = newPeer(t, s2test.New(t, opts...))
	p.wantTail("s", 1)
	c.move(61*time.Second + 30*time.Second + 600*time.Second)
	p.want(409, `"stream_deletion_pending"`, "GET", "/streams/s/records/tail", "")
}
