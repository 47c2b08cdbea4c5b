// Package h2 is the client's end of HTTP/2 connections. A [Stream] is a connection with a single request: the caller writes the
// body of the request while the caller reads the response. An append session of S2 is such a request, and so is a stream of Zerobus.
// Both last as long as their producers.
//
// net/http can do the same, and costs more where it matters. For the life of the request, net/http holds a buffer of the
// server's largest frame, 512 KiB against our server, also while nothing is sent. net/http copies each byte of the body twice
// more, and hands the body and the response to goroutines of its own. Here, [Stream.Write] sends the caller's memory from
// the caller's goroutine, and [Stream.Read] handles the frames of the server. An idle Stream holds only its read buffer. For small data
// behind other data, [Stream.Collect] saves the call of the operating system.
//
// A [Pool] is for the opposite case: many requests over few connections, whose responses say next to nothing for hours.
//
// A caller makes the connection itself and gives it to [Do]. Or net/http makes the connection, with proxies, TLS and timeouts, and
// then hands it to this package: see [Configure].
package h2
