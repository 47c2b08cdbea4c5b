// Package s2s reads and writes the frames of S2's streaming protocol ("s2s/proto"): a length of three bytes, a byte of
// flags, and a payload, perhaps compressed. The package enforces the protocol's limits on frames of the peer, before
// and after decompression. It does not know the meaning of payloads.
package s2s

import "fmt"

const (
	// HeaderSize is the size of the header: a 24-bit big-endian length, then the flags. The length counts the flags and
	// the payload.
	HeaderSize = 4

	// MaxLength is the largest value of the length field. The protocol sets this limit, although 24 bits would allow
	// more.
	MaxLength = 2 << 20

	// MaxPayload is the size of the largest payload. The limit holds for the payload on the wire and for the
	// decompressed payload.
	MaxPayload = MaxLength - 1

	// CompressFrom is the size in bytes from which a payload is compressed.
	CompressFrom = 1024
)

// Flags are the fourth byte of a frame. The low four bits are reserved, and we ignore them.
type Flags byte

const (
	flagTerminal  Flags = 0x80
	flagReconnect Flags = 0x10
	codecMask     Flags = 0x60
	codecShift          = 5
)

// Terminal reports whether the payload is a status and an error body. No frame follows.
func (f Flags) Terminal() bool { return f&flagTerminal != 0 }

// Reconnect reports whether the server will go away soon. The client should move to another connection.
func (f Flags) Reconnect() bool { return f&flagReconnect != 0 }

// Codec returns the compression of the payload.
func (f Flags) Codec() Codec { return Codec(f & codecMask >> codecShift) }

// A Codec is a kind of compression, with its number in the flags.
type Codec uint8

// The codecs. Number 3 is invalid.
const (
	None Codec = iota
	Zstd
	Gzip
)

// String returns the codec's name in the header accept-encoding, or "" for None.
func (c Codec) String() string {
	switch c {
	case None:
		return ""
	case Zstd:
		return "zstd"
	case Gzip:
		return "gzip"
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// A FormatError says how a frame breaks the protocol. The bytes behind a broken frame cannot be understood.
type FormatError struct{ Reason string }

func (e *FormatError) Error() string { return "malformed frame: " + e.Reason }
