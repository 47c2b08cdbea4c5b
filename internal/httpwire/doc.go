// Package httpwire is the plumbing that the clients of network stores share: what a header may hold, how long a server
// asks to wait, how a failed call is tried again, and how server-sent events are read.
package httpwire
