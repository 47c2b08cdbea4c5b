// Command headrace runs the servers of Headrace for development and tests, for programs in any language.
//
//	headrace serve --s2 127.0.0.1:4243 [--s2-token T] [--data DIR]
//	headrace serve --zerobus 127.0.0.1:4244 [--oauth 127.0.0.1:4245] [--zerobus-client ID:SECRET] [--table NAME[=FILE]]... [--rows FILE]
//	headrace serve --durable-streams 127.0.0.1:4437 [--long-poll 500ms] [--data DIR]
//
// Each server writes one line to standard output when it is ready. Errors go to standard error. SIGINT and SIGTERM end
// the servers within ten seconds, even if clients are connected. A second signal ends the process at once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: headrace serve [flags]

serve runs servers for development and tests until it is interrupted. Name at least one server by its flag.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal, stop restores the usual effect of signals, so a second signal kills the process.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		// The flag package or run has already printed what is wrong.
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "headrace:", err)
		os.Exit(1)
	}
}

// errUsage is returned after the user was told what is wrong with the arguments.
var errUsage = errors.New("wrong usage")

// run does the work of main without using the process, so that tests can call it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] != "serve" {
		_, _ = io.WriteString(stderr, usage) // if stderr does not work, there is no other place to report that
		if len(args) > 0 && (args[0] == "-h" || args[0] == "--help" || args[0] == "help") {
			return flag.ErrHelp
		}
		return errUsage
	}
	return serve(ctx, args[1:], stdout, stderr)
}
