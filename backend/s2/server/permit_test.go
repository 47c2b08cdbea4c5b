package server_test

import "testing"

// A refused append leaves nothing behind, so it must not create the stream either.
func TestAppendWithoutTheRightCreatesNoStream(t *testing.T) {
	p := start(t)
	secret := decode[struct {
		AccessToken string `json:"access_token"`
	}](t, p.want(201, "", "POST", "/access-tokens",
		`{"id":"t","scope":{"basins":{"prefix":""},"streams":{"prefix":""},"ops":["append"]}}`)).AccessToken
	root := p.auth
	p.auth = "Bearer " + secret
	p.want(403, "`fence`", "POST", "/streams/s/records", `{"records":[{"headers":[["","fence"]],"body":"me"}]}`)
	p.auth = root
	p.want(404, `"stream_not_found"`, "GET", "/streams/s", "")
}
