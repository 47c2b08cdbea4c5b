package boltlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/headrace/headrace/internal/streamlog"
)

// The state of a stream is stored under one key, and every commit rewrites it. The rewrite costs no extra page: an
// append rewrites the page of this key in any case, because the page also refers to the records. The numbers have fixed
// widths, in little-endian order:
//
//	version 1, flags 1 (bit 0: closed for good), head 8, tail 8, maxTime 8, incarnation 11, content type, crc 4
//
// Version 1 has no incarnation. A stream keeps version 1 until its next write.
type streamState struct {
	streamlog.State
	latest int64 // latest time of all records that were ever stored
}

const (
	stateVersion     = 2
	stateBytes       = 1 + 1 + 8 + 8 + 8
	incarnationBytes = 11
)

var errCorruptState = errors.New("corrupt stream state")

// encode returns the bytes of the state, with the checksum at the end.
func (s *streamState) encode() []byte {
	b := make([]byte, 0, stateBytes+incarnationBytes+len(s.ContentType)+4)
	var flags byte
	if s.Closed {
		flags = 1
	}
	version := byte(stateVersion)
	if s.Incarnation == "" {
		version = 1
	}
	b = append(b, version, flags)
	b = binary.LittleEndian.AppendUint64(b, s.Head)
	b = binary.LittleEndian.AppendUint64(b, s.Tail)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.latest))
	b = append(b, s.Incarnation...)
	b = append(b, s.ContentType...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crcTable))
}

// decodeState reads a state, and refuses what encode cannot have written. A wrong head or tail would make records
// disappear, or would let new records replace old ones.
func decodeState(b []byte) (s streamState, err error) {
	if len(b) < stateBytes+4 {
		return s, fmt.Errorf("%d bytes: %w", len(b), errCorruptState)
	}
	body := b[:len(b)-4]
	switch {
	case binary.LittleEndian.Uint32(b[len(body):]) != crc32.Checksum(body, crcTable):
		return s, fmt.Errorf("checksum: %w", errCorruptState)
	case b[0] != 1 && b[0] != stateVersion:
		return s, fmt.Errorf("version %d, want 1 or %d: %w", b[0], stateVersion, errCorruptState)
	case b[0] == stateVersion && len(body) < stateBytes+incarnationBytes:
		return s, fmt.Errorf("%d bytes of version %d: %w", len(b), stateVersion, errCorruptState)
	// An unknown flag comes from a later version. To ignore the flag could reopen a stream that is closed in a new way.
	case b[1] > 1:
		return s, fmt.Errorf("flags %#x: %w", b[1], errCorruptState)
	}
	s.Closed = b[1] == 1
	s.Head = binary.LittleEndian.Uint64(b[2:])
	s.Tail = binary.LittleEndian.Uint64(b[10:])
	s.latest = int64(binary.LittleEndian.Uint64(b[18:]))
	rest := body[stateBytes:]
	if b[0] == stateVersion {
		s.Incarnation, rest = string(rest[:incarnationBytes]), rest[incarnationBytes:]
	}
	s.ContentType = string(rest)
	// The checksum is right, so such a state was written wrongly. The number of records would be below zero.
	if s.Head > s.Tail {
		return s, fmt.Errorf("head %d is behind tail %d: %w", s.Head, s.Tail, errCorruptState)
	}
	return s, nil
}
