package server

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// A keyHash is the hash of an encryption key of 32 bytes. The zero keyHash means: no key. The server keeps the hash and
// not the key, because the hash goes to the file, and whoever reads the file must not find keys there.
type keyHash [sha256.Size]byte

// checkKey reads the encryption key of an append or a read on an encrypted stream, and refuses the key if the stream was
// written with another key. Plain streams ignore the header, as S2 does.
//
// S2 encrypts with the key of the request, and cannot decrypt with another key. This server does not encrypt: the stream
// remembers the hash of the key of its first batch, and every other key is wrong. checkKey only compares. The key becomes
// that of the stream when place gives a batch its place: see place. If the check remembered the key, a refused append
// would lock out the right key for ever.
func (x *exchange) checkKey(s *stream) error {
	if s.cipher == "" {
		return nil
	}
	text := strings.TrimSpace(x.r.Header.Get("s2-encryption-key"))
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != 32 {
		return badRequest("bad_header", "stream `%s` in basin `%s` is encrypted: s2-encryption-key must be 32 bytes in base64", x.stream, s.basin)
	}
	x.key = sha256.Sum256(key)
	s.mu.Lock()
	wrong := s.checkKeyLocked(x.key)
	s.mu.Unlock()
	if wrong == nil {
		return nil
	}
	// The key may be that of a batch on its way to the disk. If this batch fails, the stream is bound to no key, and the
	// refusal would be wrong.
	if err := x.srv.waitDurable(); err != nil {
		return err
	}
	return wrong
}

// checkKeyLocked refuses a key other than the key of the stored batches. s.mu is held.
func (s *stream) checkKeyLocked(key keyHash) error {
	if s.key != (keyHash{}) && s.key != key {
		return badRequest("decryption_failed", "stream `%s` in basin `%s` was written with another encryption key", s.name, s.basin)
	}
	return nil
}
