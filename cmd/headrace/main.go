// Command headrace looks at streams, moves records between them, measures them, and serves them for development. A
// stream is named by a URL; "headrace --help" lists the kinds.
//
// Each command has a file of its own. Three ideas are common to all of them:
//
// A command works on targets. target_*.go turns the URL of each kind of store into a target, and a command looks only
// at the fields of the target: see target.
//
// A command that moves records uses the producers, consumers and relays of the library. The tool has no delivery of its
// own, so its guarantees are those of the library, and a fault of the library shows here too.
//
// Output is for people on a terminal, and for programs with --json or in a pipe. Results go to standard output, and
// everything else to standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"
)

const description = `Look at streams, move records between them, measure them, and serve them for development.

A stream is named by a URL:

  bolt:///path/file.db?stream=orders        a file on this machine (bolt:file.db?stream=orders: in this directory)
  s2://basin/stream                         S2; the token is in S2_ACCESS_TOKEN
  ds+http://host:4437/v1/stream/orders      Durable Streams, also ds+https://
  postgres://user@host/db?stream=orders     a table in PostgreSQL
  zerobus://catalog.schema.table            a table in Databricks; write only (ZEROBUS_ENDPOINT, ZEROBUS_WORKSPACE_URL,
                                            ZEROBUS_CLIENT_ID, ZEROBUS_CLIENT_SECRET)
  mem:                                      memory of this process, for bench`

// commands are all commands and their common flags. Each command is a struct of its flags with a method Run; kong reads
// the flags from the tags and calls Run with the context and the streams.
type commands struct {
	Serve      serveCmd      `cmd:"" help:"Run servers for development and tests."`
	Produce    produceCmd    `cmd:"" help:"Write the lines of standard input to a stream."`
	Tail       tailCmd       `cmd:"" help:"Print the records of a stream, and follow it."`
	Copy       copyCmd       `cmd:"" help:"Copy one stream to another. A copy that was interrupted goes on where it stopped."`
	Bench      benchCmd      `cmd:"" help:"Write and read records, check every one, and print throughput and latency."`
	Head       headCmd       `cmd:"" help:"Print what there is to know of a stream."`
	Create     createCmd     `cmd:"" help:"Make a stream."`
	Seal       sealCmd       `cmd:"" help:"End a stream for good: it can be read, and nothing more is appended."`
	Trim       trimCmd       `cmd:"" help:"Drop the records before an offset."`
	Rm         rmCmd         `cmd:"" help:"Delete a stream."`
	Lag        lagCmd        `cmd:"" help:"Print how far a consumer is behind the tail of its stream."`
	Checkpoint checkpointCmd `cmd:"" help:"Look at and move the places of consumers."`
	DLQ        dlqCmd        `cmd:"" name:"dlq" help:"Look at dead letters and send them again."`

	Completion kongplete.InstallCompletions `cmd:"" help:"Print the line that lets your shell complete commands and flags."`

	Version kong.VersionFlag `help:"Print the version."`
}

// streams are standard input, output and error, or the streams of a test. Commands never touch os.Stdout, so tests read
// what a command has printed. Records and results go to out, and everything for people to err: the output of tail stays
// clean in a pipe.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal, stop restores the usual effect of signals, so a second signal kills the process.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// Exit codes. After a signal, a command exits with 0, because the user has asked for the end. A failure and a wrong
// command line have different codes: a script may try again after the first, and never after the second.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// run does the work of main without using the process, so tests can call run. The result is the exit code.
func run(ctx context.Context, args []string, std streams) int {
	var c commands
	// kong would end the process behind --help and --version. A test must go on, so the code is kept instead.
	exited := -1
	parser, err := kong.New(&c, kong.Name("headrace"), kong.Description(description), kong.Writers(std.out, std.err),
		kong.Vars{"version": version()}, kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(std),
		kong.Exit(func(code int) { exited = code }))
	if err != nil {
		fmt.Fprintln(std.err, "headrace:", err)
		return exitFailed
	}
	// A shell asks for completions by variables of the environment. Then the process prints the completions and does
	// nothing else.
	if kongplete.Complete(parser); exited >= 0 {
		return exited
	}
	args = asked(args)
	k, err := parser.Parse(joinNegative(args))
	switch {
	case exited >= 0: // help or the version was printed
		return exited
	case err != nil:
		fmt.Fprintf(std.err, "headrace: %v\n%s\n", err, usageOf(err))
		return exitUsage
	}
	err = k.Run()
	switch {
	// Only the error of the signal is no failure. A command that has failed while the signal came still says so.
	case err == nil, ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintln(std.err, "headrace:", err)
		return exitUsage
	}
	fmt.Fprintln(std.err, "headrace:", err)
	// The error says what happened, and the hint says what to do. Both go to the standard error.
	if hint := advice(err, args); hint != "" {
		fmt.Fprintln(std.err, hint)
	}
	return exitFailed
}

// asked writes "help" and "version" as the flags that the parser knows. Without a command, the help is of more use than
// an error.
func asked(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(args[1:len(args):len(args)], "--help")
	case args[0] == "version":
		return []string{"--version"}
	}
	return args
}

// joinNegative writes "--from -10" as "--from=-10". The parser would take -10 for a flag. Only these flags take a place
// in a stream. For all others, a number in front of which stands a minus is a mistake, and the parser says so.
func joinNegative(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		flag := args[i] == "--from" || args[i] == "--start" || args[i] == "-f"
		if flag && i+1 < len(args) && len(args[i+1]) > 1 && args[i+1][0] == '-' && args[i+1][1] >= '0' && args[i+1][1] <= '9' {
			out = append(out, args[i]+"="+args[i+1])
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

// errUsage is in the error of a command whose arguments do not make sense.
var errUsage = errors.New("wrong usage")
