package main

import (
	"context"
	"io"
	"strings"
	"testing"
)

func TestServeRefusesFlagsOfServersThatDoNotRun(t *testing.T) {
	s2, zerobus, ds := []string{"--s2", "127.0.0.1:0"}, []string{"--zerobus", "127.0.0.1:0"}, []string{"--durable-streams", "127.0.0.1:0"}
	for flag, c := range map[string]struct {
		value, needs string
		served       []string
	}{
		"--data":           {t.TempDir(), "--s2 or --durable-streams", zerobus},
		"--s2-token":       {"secret", "--s2", ds},
		"--s2-retain":      {"1000", "--s2", zerobus},
		"--oauth":          {"127.0.0.1:0", "--zerobus", s2},
		"--zerobus-client": {"id:secret", "--zerobus", s2},
		"--table":          {"t", "--zerobus", ds},
		"--rows":           {t.TempDir() + "/rows", "--zerobus", ds},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a server that starts all the same ends at once
		var said strings.Builder
		code := run(ctx, append([]string{"serve", flag, c.value}, c.served...), streams{nil, io.Discard, &said})
		if code != exitUsage || !strings.Contains(said.String(), flag+" needs "+c.needs) || strings.Contains(said.String(), "secret") {
			t.Errorf("%s: exit code %d, %q", flag, code, said.String())
		}
	}
}
