// Package layout checks what the compiler does not: which package may import what, and that the README shows code that
// is compiled and tested.
package layout

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/headrace/headrace/"

// may lists, for each package or folder (…/), everything outside the standard library that its non-test code may depend
// on, directly or through others. What is not listed has no rule: the leaf packages carry their own dependencies.
var may = map[string][]string{
	"backend":                    {},
	"batcher":                    {},
	"codec":                      {module + "backend", module + "internal/owned", "github.com/go-json-experiment/json"},
	"internal/owned":             {},
	"internal/outcome":           {module + "backend"},
	"internal/ahead":             {module + "backend"},
	"internal/backoff":           {module + "backend"},
	"internal/h2":                {module + "internal/misconfig", "golang.org/x/net"},
	"internal/httpwire":          {module + "backend", module + "internal/backoff", module + "internal/outcome"},
	"internal/inhand":            {},
	"internal/misconfig":         {},
	"internal/records":           {module + "backend"},
	"internal/redact":            {},
	"internal/tickets":           {module + "backend"},
	"internal/streamlog":         {module + "backend", module + "internal/records"},
	"internal/boltfile":          {"go.etcd.io/bbolt", "golang.org/x/sys"},
	"internal/committer":         {module + "internal/boltfile", "go.etcd.io/bbolt", "golang.org/x/sys"},
	"internal/streamlog/boltlog": {module + "backend", module + "internal/records", module + "internal/boltfile", module + "internal/committer", module + "internal/streamlog", "go.etcd.io/bbolt", "golang.org/x/sys"},
	"checkpoint":                 {module + "internal/ahead", module + "backend", "golang.org/x/sys"},
	"producer":                   {module + "backend", module + "batcher", module + "codec", module + "internal/owned", module + "internal/backoff", module + "internal/outcome", "github.com/go-json-experiment/json", "golang.org/x/sync"},
	"outbox":                     {module + "producer", module + "backend", module + "batcher", module + "codec", module + "internal/owned", module + "internal/backoff", module + "internal/outcome", "github.com/go-json-experiment/json", "golang.org/x/sync"},
	"relay":                      {module + "backend", module + "checkpoint", module + "internal/ahead", module + "internal/backoff", module + "internal/outcome", "golang.org/x/sys"},
	"consumer":                   {module + "internal/inhand", module + "internal/ahead", module + "backend", module + "batcher", module + "codec", module + "internal/owned", module + "checkpoint", module + "producer", module + "internal/backoff", module + "internal/outcome", "github.com/go-json-experiment/json", "golang.org/x/sync", "golang.org/x/sys"},
	"observe":                    {module + "internal/calls", module + "consumer/group", module + "consumer/group/lease", module + "internal/inhand", module + "internal/ahead", module + "internal/inhand", module + "internal/ahead", module + "backend", module + "batcher", module + "codec", module + "internal/owned", module + "checkpoint", module + "consumer", module + "producer", module + "internal/backoff", module + "internal/outcome", "github.com/go-json-experiment/json", "golang.org/x/sync", "golang.org/x/sys"},
	"consumer/group":             {module + "internal/inhand", module + "internal/ahead", module + "backend", module + "batcher", module + "codec", module + "internal/owned", module + "checkpoint", module + "producer", module + "consumer", module + "consumer/group/lease", module + "internal/backoff", module + "internal/outcome", "github.com/go-json-experiment/json", "golang.org/x/sync", "golang.org/x/sys"},
	"consumer/group/lease":       {module + "internal/ahead", module + "backend", module + "checkpoint", "golang.org/x/sys"},
	"backend/memory":             {module + "backend", module + "internal/records", module + "internal/streamlog"},
	"backend/bolt":               {module + "backend", module + "internal/boltfile", module + "internal/committer", module + "internal/records", module + "internal/streamlog", module + "internal/streamlog/boltlog", "go.etcd.io/bbolt", "golang.org/x/sys"},
	"backend/backendtest":        {module + "backend", "go.uber.org/goleak"},
	"backend/s2":                 {module + "backend", module + "backend/s2/internal/", module + "internal/h2", module + "internal/backoff", module + "internal/outcome", module + "internal/httpwire", module + "internal/misconfig", module + "internal/records", module + "internal/redact", module + "internal/tickets", "github.com/klauspost/compress", "golang.org/x/net"},
	"backend/s2/admin":           {module + "backend", module + "backend/s2", module + "backend/s2/internal/", module + "internal/h2", module + "internal/backoff", module + "internal/outcome", module + "internal/httpwire", module + "internal/misconfig", module + "internal/records", module + "internal/redact", module + "internal/tickets", "github.com/klauspost/compress", "golang.org/x/net"},
	"checkpoint/boltstore":       {module + "internal/ahead", module + "backend", module + "internal/boltfile", module + "checkpoint", "go.etcd.io/bbolt", "golang.org/x/sys"},
	"checkpoint/streamstore":     {module + "internal/ahead", module + "backend", module + "checkpoint", "golang.org/x/sys"},
	"checkpoint/sqlstore":        {module + "internal/ahead", module + "internal/backoff", module + "backend", module + "checkpoint", module + "consumer/group/lease", "golang.org/x/sys"},
	"codec/codectest":            {module + "backend", module + "codec", module + "internal/owned", "github.com/go-json-experiment/json"},
	"codec/compress":             {module + "backend", module + "codec", module + "internal/owned", "github.com/go-json-experiment/json", "github.com/klauspost/compress"},
	"checkpoint/checkpointtest":  {module + "internal/ahead", module + "backend", module + "checkpoint", "golang.org/x/sys"},

	// The servers depend on no client, and not on backend: a codec shared with a client would hide a shared mistake.
	"internal/calls":                {},
	"internal/fault":                {},
	"internal/unread":               {},
	"backend/s2/server":             {module + "internal/boltfile", module + "internal/committer", module + "internal/calls", module + "internal/fault", module + "internal/unread", "github.com/klauspost/compress", "go.etcd.io/bbolt", "golang.org/x/sys"},
	"backend/durablestreams/server": {module + "internal/boltfile", module + "internal/committer", module + "internal/calls", module + "internal/fault", module + "internal/unread", "go.etcd.io/bbolt", "golang.org/x/sys"},
	"backend/zerobus/server":        {module + "internal/calls", module + "internal/fault", "github.com/go-json-experiment/json", "google.golang.org", "golang.org/x"},
}

// deps returns what each of the packages depends on outside the standard library, by package. It runs go list once, because
// every run reads the whole tree of packages.
func deps(t *testing.T, pkgs ...string) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-f", `{{.ImportPath}} {{join .Deps " "}}`}, pkgs...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	all := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		all[fields[0]] = slices.DeleteFunc(fields[1:], func(dep string) bool {
			first, _, _ := strings.Cut(dep, "/")
			return !strings.Contains(first, ".") // only the standard library has no host in its paths
		})
	}
	if len(all) != len(pkgs) {
		t.Fatalf("go list told of %d packages, want %d", len(all), len(pkgs))
	}
	return all
}

func TestImportsPointOneWay(t *testing.T) {
	var pkgs []string
	for pkg := range may {
		pkgs = append(pkgs, module+pkg)
	}
	for name, all := range deps(t, pkgs...) {
		pkg := strings.TrimPrefix(name, module)
		t.Run(pkg, func(t *testing.T) {
			for _, dep := range all {
				ok := slices.ContainsFunc(may[pkg], func(a string) bool {
					within := strings.HasSuffix(a, "/") || !strings.HasPrefix(a, module) // of ours only a folder stands for what is below it
					return dep == a || within && strings.HasPrefix(dep, strings.TrimSuffix(a, "/")+"/")
				})
				if !ok {
					t.Errorf("%s may not depend on %s", pkg, dep)
				}
			}
		})
	}
}

// Nothing but examples, commands, recipes and tests imports a concrete backend, apart from the backend's own folders.
func TestNothingImportsAConcreteBackend(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		importer := strings.TrimPrefix(fields[0], module)
		if strings.HasPrefix(importer, "examples/") || strings.HasPrefix(importer, "cmd/") || strings.HasPrefix(importer, "docs/") {
			continue
		}
		for _, imp := range fields[1:] {
			rest, ok := strings.CutPrefix(imp, module+"backend/")
			name, _, _ := strings.Cut(rest, "/")
			if ok && name != "backendtest" && !strings.HasPrefix(importer, "backend/") {
				t.Errorf("%s imports %s", importer, imp)
			}
		}
	}
}

// A user of the core and of memory must not compile the heavy dependencies of other leaves.
func TestTheCoreIsLight(t *testing.T) {
	heavy := []string{"google.golang.org/grpc", "google.golang.org/protobuf", "cel.dev", "github.com/google/cel-go", "go.etcd.io/bbolt", "github.com/klauspost/compress", "buf.build"}
	for pkg, all := range deps(t, module+"producer", module+"consumer", module+"codec", module+"backend/memory") {
		for _, dep := range all {
			for _, h := range heavy {
				if dep == h || strings.HasPrefix(dep, h+"/") {
					t.Errorf("%s depends on %s", pkg, dep)
				}
			}
		}
	}
}

// The client of Zerobus speaks gRPC itself. Of grpc-go it has the names of the codes, and not the connections.
func TestTheClientOfZerobusNeedsNoGRPCConnection(t *testing.T) {
	for pkg, all := range deps(t, module+"backend/zerobus") {
		for _, dep := range all {
			if dep == "google.golang.org/grpc" || dep == "google.golang.org/grpc/internal/transport" {
				t.Errorf("%s depends on %s", pkg, dep)
			}
		}
	}
}

func TestEveryDependencyIsListedWithItsLicence(t *testing.T) {
	page, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{if not .Module.Main}}{{.Module.Path}}{{end}}{{end}}", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	used := make(map[string]bool)
	for _, m := range strings.Fields(string(out)) {
		used[m] = true
	}
	for m := range used {
		if !strings.Contains(string(page), "| `"+m+"` |") {
			t.Errorf("docs/dependencies.md does not list %s", m)
		}
	}
}

// Every block of Go in the README and in docs is cut from a file that is compiled and tested, which the comment before it names:
//
//	<!-- from producer/example_test.go -->
func TestTheDocumentationShowsTestedCode(t *testing.T) {
	const root = "../../"
	pages, err := filepath.Glob(root + "docs/*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range append(pages, root+"README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(text), "```go\n")
		for i, part := range parts[1:] {
			block, _, _ := strings.Cut(part, "```")
			checkBlock(t, root, fmt.Sprintf("block %d of %s", i+1, filepath.Base(page)), parts[i], block)
		}
	}
}

// checkBlock reports a block of Go that is not in the file that the text before names.
func checkBlock(t *testing.T, root, name, before, block string) {
	t.Helper()
	at := strings.LastIndex(before, "<!-- from ")
	if at < 0 || strings.Count(before[at:], "\n") > 1 {
		t.Errorf("%s does not say where it is from", name)
		return
	}
	file, _, _ := strings.Cut(before[at+len("<!-- from "):], " -->")
	code, err := os.ReadFile(root + file)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if !strings.Contains(flat(string(code)), flat(block)) {
		t.Errorf("%s is not in %s", name, file)
	}
}

// flat drops indentation and blank lines.
func flat(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
