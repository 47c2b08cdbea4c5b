// Package admin manages an account of S2: basins, the streams of a basin with their configuration, access tokens, metrics and
// locations.
//
// The calls go through an [s2.Client], with the options of the client:
//
//	a := admin.New(client)
//	_, err := a.Basin("my-basin").CreateStream(ctx, "orders", s2.StreamConfig{})
//
// # Attempts
//
// [s2.Attempts] and [s2.Backoff] say how a failed call is tried again. A creation is safe to try again, because all attempts of a
// call send the same request token, and S2 recognizes a repeated attempt by the token. Issuing an access token is tried again
// only if the failed attempt certainly had no effect. Otherwise a token could exist with a secret known to nobody.
//
// # Errors
//
// The errors are the same as in package s2: an [*s2.Error] for a refusal by the server, and an [*s2.ProtocolError] for an answer
// against the protocol. A sentinel of package backend beside the error says what to do. A name against the rules of S2 is
// [backend.ErrRejected], without a request.
package admin
