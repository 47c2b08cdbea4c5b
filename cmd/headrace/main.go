// Command headrace runs the servers that Headrace brings for development and tests, for programs in any language.
//
//	headrace serve --s2 127.0.0.1:4243 [--s2-token T] [--data DIR]
//	headrace serve --zerobus 127.0.0.1:4244 [--oauth 127.0.0.1:4245] [--zerobus-client ID:SECRET] [--table NAME[=FILE]]... [--rows FILE]
//	headrace serve --durable-streams 127.0.0.1:4437 [--long-poll 500ms] [--data DIR]
//
// Each server that is up says so in one line on standard output; what goes wrong is said on standard error. SIGINT and
// SIGTERM end it within ten seconds, whatever clients are connected; a second one ends it at once.
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

serve runs servers for development and tests until it is interrupted. Name at least one.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the next signal has its usual effect
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2) // it was told already
	case err != nil:
		fmt.Fprintln(os.Stderr, "headrace:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

// run is main without the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] != "serve" {
		_, _ = io.WriteString(stderr, usage) // nobody to tell that nobody could be told
		if len(args) > 0 && (args[0] == "-h" || args[0] == "--help" || args[0] == "help") {
			return flag.ErrHelp
		}
		return errUsage
	}
	return serve(ctx, args[1:], stdout, stderr)
}
