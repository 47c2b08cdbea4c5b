package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/known/durationpb"
)

var zerobusReady = regexp.MustCompile(`^headrace: zerobus ready on http://127\.0\.0\.1:\d+, OAuth on (http://127\.0\.0\.1:\d+)\n$`)

func TestServeZerobus(t *testing.T) {
	dir := t.TempDir()
	desc, err := proto.Marshal(protodesc.ToDescriptorProto((&durationpb.Duration{}).ProtoReflect().Descriptor()))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "desc")
	if err := os.WriteFile(file, desc, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--zerobus", "127.0.0.1:0", "--oauth", "127.0.0.1:0", "--zerobus-client", "me:secret",
			"--table", "a.b.c=" + file, "--table", "a.b.d", "--rows", filepath.Join(dir, "rows")}, w, io.Discard)
		_ = w.Close()
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("no readiness line: %v: %v", err, <-ended)
	}
	m := zerobusReady.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("readiness line %q", line)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m[1]+"/oidc/v1/token", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("me", "wrong")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong secret: %s", resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "rows")); err != nil {
		t.Error(err)
	}
}

func TestServeZerobusRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"a table of two parts":      {"--table", "a.b"},
		"a descriptor that is none": {"--table", "a.b.c=" + os.Args[0]},
		"no file":                   {"--table", "a.b.c=/does/not/exist"},
		"a client without a secret": {"--zerobus-client", "me"},
		"no place":                  {"--rows", "/does/not/exist"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(t.Context(), append([]string{"serve", "--zerobus", "127.0.0.1:0"}, args...), io.Discard, io.Discard); err == nil {
				t.Error("it started and ended without an error")
			}
		})
	}
}
