package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

var zerobusReady = regexp.MustCompile(`^headrace: zerobus ready on (http://127\.0\.0\.1:\d+), OAuth on (http://127\.0\.0\.1:\d+)\n$`)

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
		ended <- exitError(run(ctx, []string{"serve", "--zerobus", "127.0.0.1:0", "--oauth", "127.0.0.1:0", "--zerobus-client", "me:secret",
			"--table", "a.b.c=" + file, "--table", "a.b.d", "--rows", filepath.Join(dir, "rows")}, streams{nil, w, io.Discard}))
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
	send := func(table, secret, value string) error {
		client, err := zerobus.New(zerobus.Config{Endpoint: m[1], UnityCatalog: m[2], ClientID: "me", ClientSecret: secret})
		if err != nil {
			return err
		}
		p, err := producer.New(ctx, client.Table(table), codec.JSON[map[string]any]())
		if err != nil {
			return err
		}
		err = p.Send(ctx, map[string]any{"seconds": value})
		return errors.Join(err, p.Close())
	}
	if err := send("a.b.c", "wrong", "1"); !errors.Is(err, backend.ErrUnauthorized) {
		t.Errorf("a wrong secret: %v", err)
	}
	if err := send("a.b.c", "secret", "no number"); !errors.Is(err, backend.ErrRejected) {
		t.Errorf("a row that does not fit: %v", err)
	}
	for _, table := range []string{"a.b.c", "a.b.d", "made.on.use"} {
		if err := send(table, "secret", "7"); err != nil {
			t.Errorf("%s: %v", table, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	rows, err := os.ReadFile(filepath.Join(dir, "rows"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(rows), `"json":{"seconds":"7"}}`+"\n"); n != 3 || strings.Count(string(rows), "\n") != 3 {
		t.Errorf("rows\n%s", rows)
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
			if code := run(t.Context(), append([]string{"serve", "--zerobus", "127.0.0.1:0"}, args...), streams{nil, io.Discard, io.Discard}); code == exitOK {
				t.Error("it started and ended without an error")
			}
		})
	}
}

// What serve prints is all that a shell needs: produce writes rows without a flag.
func TestProduceWritesRowsWithTheEnvironmentOfServe(t *testing.T) {
	rows := filepath.Join(t.TempDir(), "rows")
	srv, err := startZerobus(&serveCmd{Zerobus: "127.0.0.1:0", Rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Shutdown(t.Context()) }()
	for v := range strings.FieldsSeq(strings.TrimPrefix(strings.TrimSpace(zerobusHint(srv)), "export")) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	s := newShell(t)
	s.in = `{"station":"north"}` + "\n"
	if _, errs := s.run(exitOK, "produce", "zerobus://main.air.readings"); !strings.Contains(errs, "1 records durable") {
		t.Errorf("produce said %q", errs)
	}
	if b, err := os.ReadFile(rows); err != nil || !strings.Contains(string(b), "north") {
		t.Errorf("rows %q, %v", b, err)
	}
	t.Setenv("ZEROBUS_CLIENT_SECRET", "")
	if _, errs := s.run(exitUsage, "produce", "zerobus://main.air.readings"); !strings.Contains(errs, "ZEROBUS_CLIENT_SECRET") {
		t.Errorf("without a secret produce said %q", errs)
	}
}
