// Package s2s is the framing of S2's streaming protocol ("s2s/proto"): three bytes of length, a byte of flags, a payload
// that may be compressed. It enforces the protocol's limits on what the peer sends, before and after decompression, and
// knows nothing of what payloads mean.
package s2s

import "fmt"

const (
	// HeaderSize is what stands before a payload: a 24-bit big-endian length, which counts the flags and the payload, and
	// the flags.
	HeaderSize = 4

	// MaxLength is the largest value of the length field, although 24 bits would allow more.
	MaxLength = 2 << 20

	// MaxPayload is the largest payload, both as sent and decompressed.
	MaxPayload = MaxLength - 1

	// CompressFrom is the encoded size from which a payload is compressed.
	CompressFrom = 1024
)

// Flags are the fourth byte of a frame. The low four bits are reserved and ignored.
type Flags byte

const (
	flagTerminal  Flags = 0x80
	flagReconnect Flags = 0x10
	codecMask     Flags = 0x60
	codecShift          = 5
)

// Terminal says that the payload is a status and an error body, and that nothing follows.
func (f Flags) Terminal() bool { return f&flagTerminal != 0 }

// Reconnect says that the server is about to go away: the client should move to another connection.
func (f Flags) Reconnect() bool { return f&flagReconnect != 0 }

// Codec is how the payload is compressed.
func (f Flags) Codec() Codec { return Codec(f & codecMask >> codecShift) }

// A Codec is a way to compress payloads, numbered as in the flags.
type Codec uint8

// The codecs. Number 3 is invalid.
const (
	None Codec = iota
	Zstd
	Gzip
)

// String returns the codec's name as in the header accept-encoding; "" for None.
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

// A FormatError is a frame that breaks the protocol. What comes behind it cannot be understood.
type FormatError struct{ Reason string }

func (e *FormatError) Error() string { return "malformed frame: " + e.Reason }
