// Package httpwire is the shared plumbing of the clients of network stores: the check of headers, the wait asked for by a
// server, the repetition of failed calls, and the reading of server-sent events.
package httpwire
