package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/headrace/headrace/backend"
)

// addresses say where a user has given the address of a server, by the beginning of the URL. Only servers are here: the
// address of a file is the URL itself.
var addresses = []struct{ scheme, from string }{
	{"s2:", "the variables S2_BASIN_ENDPOINT and S2_ACCOUNT_ENDPOINT"},
	{"zerobus:", "the variables ZEROBUS_ENDPOINT and ZEROBUS_WORKSPACE_URL"},
	{"ds+", "the URL"},
	{"postgres", "the URL"},
}

// advice returns the usual remedy for an error, or "". The errors of the library cannot say where an address came from:
// only the tool knows its flags and variables. So the tool adds the sentence, and the library stays free of it.
func advice(err error, args []string) string {
	text := err.Error()
	var where []string
	for _, a := range addresses {
		for _, arg := range args {
			if strings.HasPrefix(arg, a.scheme) {
				where = append(where, a.from)
				break
			}
		}
	}
	var unknown *net.DNSError
	var address *net.AddrError
	switch {
	case errors.As(err, &address):
		return "An address to listen at is HOST:PORT, such as 127.0.0.1:4437."
	case errors.Is(err, syscall.EADDRINUSE):
		return "Another program serves at this address. End it, or name other addresses (headrace serve --help)."
	// The cases go from the certain to the vague. A later case looks at the text of an error, because servers pass
	// on text alone.
	case errors.Is(err, backend.ErrOutOfRange):
		return placeAdvice(args)
	// The cases below explain an address. Without a URL of a server there is none to explain.
	case len(where) == 0:
		return ""
	case errors.As(err, &unknown):
		return fmt.Sprintf("There is no host with this name. The address comes from %s.", strings.Join(where, " or "))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("Nothing listens at this address: is the server running? The address comes from %s.", strings.Join(where, " or "))
	case errors.Is(err, backend.ErrNotFound) && (strings.Contains(text, "no such endpoint") || strings.Contains(text, "status 404: ")):
		return fmt.Sprintf("A server answers at this address, but it is of another kind, or the path is wrong. The address comes from %s.",
			strings.Join(where, " or "))
	case strings.Contains(text, "the stream has content type"):
		return "--json, or --content-type, gives the records the type of the stream."
	case strings.Contains(text, "exists with another configuration"):
		return "headrace head prints the content type of the stream; create takes it with --content-type."
	case strings.Contains(text, "no such stream"), strings.Contains(text, "stream_not_found"), strings.Contains(text, "basin_not_found"):
		return "headrace create makes a stream, and with --basin the basin of S2 too."
	}
	return ""
}

// placeAdvice says what to do about a place that a stream lacks. Where the place came from depends on the command.
func placeAdvice(args []string) string {
	switch args[0] {
	case "trim":
		return "trim takes the offset of a record that the stream has, as tail prints it."
	case "lag":
		return "The place is that of the consumer. headrace checkpoint reset moves the place."
	}
	return "A place in a stream is " + placeForms + "."
}

// usageOf explains the command of a wrong command line: its form, the meaning of each missing flag, and where to read
// more. kong's own usage is the whole help of the command, and the error would scroll out of sight.
func usageOf(err error) string {
	var failed *kong.ParseError
	if !errors.As(err, &failed) {
		return "Try: headrace --help"
	}
	node := failed.Context.Selected()
	if node == nil {
		return "Try: headrace --help"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: headrace %s\n", node.Summary())
	// kong names a missing flag and not its meaning.
	if strings.HasPrefix(err.Error(), "missing flags:") {
		for _, f := range node.Flags {
			if f.Required && !f.Set {
				fmt.Fprintf(&b, "  %s: %s\n", f.Summary(), f.Help)
			}
		}
	}
	fmt.Fprintf(&b, "Try: %s --help", node.FullPath())
	return b.String()
}
