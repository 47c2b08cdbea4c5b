// Package admin manages what S2's streams live in: basins, the streams of a basin with their configuration, access tokens,
// metrics and locations.
//
// All of it goes through an [s2.Client], with the options of that client:
//
//	a := admin.New(client)
//	_, err := a.Basin("my-basin").CreateStream(ctx, "orders", s2.StreamConfig{})
//
// # Attempts
//
// A call is tried again as [s2.Attempts] and [s2.Backoff] say, while its failures allow it. Creating something is safe to
// try again, because all attempts of one call carry one request token, by which S2 knows them. Issuing an access token is
// tried again only when the failed attempt certainly did nothing: otherwise a token could exist whose secret nobody knows.
//
// # Errors
//
// Errors are those of package s2: an [*s2.Error] for what the server refuses, an [*s2.ProtocolError] for an answer that
// breaks the protocol, with a sentinel of package backend beside them that says what to do. A name that S2 does not take is
// [backend.ErrRejected], without a request.
package admin
