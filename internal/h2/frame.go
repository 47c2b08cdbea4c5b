package h2

import "encoding/binary"

// A frame of HTTP/2 begins with a head: the length of its payload (24 bits), a type, flags, and the number of a stream.
const headBytes = 9

type frameType byte

// The types of frames (RFC 9113, section 6). Frames of other types are skipped, as the RFC demands.
const (
	frameData         frameType = 0
	frameHeaders      frameType = 1
	frameResetStream  frameType = 3
	frameSettings     frameType = 4
	framePush         frameType = 5
	framePing         frameType = 6
	frameGoAway       frameType = 7
	frameWindowUpdate frameType = 8
	frameContinuation frameType = 9
)

type flags byte

const (
	flagEndStream  flags = 0x01 // of DATA and HEADERS
	flagAck        flags = 0x01 // of SETTINGS and PING
	flagEndHeaders flags = 0x04
	flagPadded     flags = 0x08
	flagPriority   flags = 0x20
)

// The settings that matter to a client which sends one request (RFC 9113, section 6.5.2).
const (
	settingEnablePush    = 2
	settingInitialWindow = 4
	settingMaxFrame      = 5
	settingMaxHeaders    = 6
)

const (
	// leastMaxFrame is the largest payload that every peer must accept. It is our own limit too, because acks are small.
	leastMaxFrame = 16 << 10

	// mostData is the largest payload that we send, whatever the server accepts, because the server must hold a frame in memory.
	// With 256 KiB a record of 1 KiB took a twentieth more processor time, and 1 MiB saved nothing beyond the spread of the
	// measurements.
	mostData = 512 << 10

	// mostFrames is how many frames leave in one call of the operating system: 512 KiB for a server that takes frames of 16 KiB. With
	// a call for each frame, a loop that sends prepared records of 1 KiB takes 1.8 times the processor time, and its server 1.6 times.
	mostFrames = 32

	// firstWindow is the window of a stream and of a connection before anybody changes it.
	firstWindow = 65_535

	mostWindow = 1<<31 - 1
)

// requestStream is the number of our only stream. A client's streams have odd numbers, from 1 on.
const requestStream = 1

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func putHead(b []byte, length int, typ frameType, f flags, stream uint32) {
	binary.BigEndian.PutUint32(b, uint32(length)<<8|uint32(typ))
	b[4] = byte(f)
	binary.BigEndian.PutUint32(b[5:], stream)
}

// appendFrame appends a frame to dst.
func appendFrame(dst []byte, typ frameType, f flags, stream uint32, payload ...byte) []byte {
	var head [headBytes]byte
	putHead(head[:], len(payload), typ, f, stream)
	return append(append(dst, head[:]...), payload...)
}

func appendWindowUpdate(dst []byte, stream uint32, n int) []byte {
	return appendFrame(dst, frameWindowUpdate, 0, stream, binary.BigEndian.AppendUint32(nil, uint32(n))...)
}
