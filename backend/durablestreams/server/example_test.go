package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/headrace/headrace/backend/durablestreams/server"
)

func Example() {
	s, err := server.New(server.Config{Path: server.Prefix("/v1/stream/")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	if err := s.Start("127.0.0.1:0"); err != nil {
		fmt.Println(err)
		return
	}
	url := s.URL() + "/v1/stream/orders"

	call := func(method, body string) {
		r, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		fmt.Println(method, resp.StatusCode, resp.Header.Get("Stream-Next-Offset"), string(text), err)
	}
	call("PUT", "")
	call("POST", `[{"id": 1}, {"id": 2}]`)
	call("GET", "")
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// PUT 201 0000000000000000_0000000000000000  <nil>
	// POST 204 0000000000000000_0000000000000018  <nil>
	// GET 200 0000000000000000_0000000000000018 [{"id":1},{"id":2}] <nil>
}

// Each token may use the streams below one path.
func ExampleConfig() {
	tokens := map[string]string{"Bearer secret": "/v1/stream/alice/"}
	s, err := server.New(server.Config{Authorize: func(r *http.Request, stream string) error {
		if root := tokens[r.Header.Get("Authorization")]; root == "" || !strings.HasPrefix(stream, root) {
			return fmt.Errorf("not for %s", stream)
		}
		return nil
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	http.Handle("/v1/stream/", s)
}
