package boltlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/bits"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// A batch is stored as blocks and not as one key a record: a tree of blocks is shallow, one Put carries dozens of
// records, and reading them is one copy. The key of a block is the seq of its first record, big-endian. The block:
//
//	version  1 byte
//	count    uvarint, at least 1
//	records  count times:
//	           time     varint, nanoseconds after the record before it in the block; of the first: Unix time
//	           length   uvarint, of the value times two, plus one when headers follow
//	           headers  when there are: uvarint count, then name and value of each, each behind its uvarint length
//	           value
//	maxTime  8 bytes, little-endian: the latest time of all records up to here, trimmed ones included
//	crc      4 bytes, little-endian: CRC-32C of all before it and of the key
//
// The checksum is there because bbolt keeps one of its meta pages only: without it a rotten page is delivered as records.
// maxTime never falls from one block to the next, which is what finding a time by bisection needs.
const (
	blockVersion = 1
	trailerBytes = 8 + 4
)

// blockBytes is where a block is cut; a larger record has a block of its own. bbolt rewrites the last leaf with every
// append, and a leaf keeps up to four values however large they are: larger blocks are written several times over,
// smaller ones waste the end of a page. Two blocks of this size fill four pages of 4 KiB together with their keys.
const blockBytes = (4*4096-16)/2 - 24

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// errCorrupt is what decoding says; the store adds file, stream and seq.
var errCorrupt = errors.New("corrupt block")

// blocks are the encoded records of one Write, ready but for what is known at the commit: the key and the trailer.
type blocks struct {
	data    [][]byte // each ends in room for its trailer
	counts  []int
	latest  []int64 // of the records of each block
	records int     // in all of them
	size    int     // of all of them
}

// encode copies recs into blocks. It runs in the sender's goroutine, so encoding goes on while a commit waits for the disk.
func encode(recs []backend.Record, now int64) (b blocks) {
	b.records = len(recs)
	for len(recs) > 0 {
		n, size := fit(recs)
		data := make([]byte, 0, size)
		data = append(data, blockVersion)
		data = binary.AppendUvarint(data, uint64(n))
		var last, latest int64
		for i := range recs[:n] {
			t := streamlog.Time(recs[i].Time, now)
			data = appendRecord(data, &recs[i], t-last)
			if last = t; i == 0 || t > latest {
				latest = t
			}
		}
		data = append(data, make([]byte, trailerBytes)...)
		b.data = append(b.data, data)
		b.counts = append(b.counts, n)
		b.latest = append(b.latest, latest)
		b.size += len(data)
		recs = recs[n:]
	}
	return b
}

// fit returns how many of recs, one at least, make the next block, and about how large it gets.
func fit(recs []backend.Record) (n, size int) {
	size = 1 + binary.MaxVarintLen32 + trailerBytes
	for i := range recs {
		r := &recs[i]
		b := uvarintLen(len(r.Value)<<1) + streamlog.Bytes(r)
		if len(r.Headers) > 0 {
			b += uvarintLen(len(r.Headers))
			for j := range r.Headers {
				b += uvarintLen(len(r.Headers[j].Name)) + uvarintLen(len(r.Headers[j].Value))
			}
		}
		if i > 0 && r.Time.IsZero() {
			b++ // the same now as the record before it: no time passed
		} else {
			b += binary.MaxVarintLen64
		}
		if i > 0 && size+b > blockBytes {
			return i, size
		}
		size += b
	}
	return len(recs), size
}

func uvarintLen(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

func appendRecord(data []byte, r *backend.Record, elapsed int64) []byte {
	data = binary.AppendVarint(data, elapsed)
	length := uint64(len(r.Value)) << 1
	if len(r.Headers) == 0 {
		data = binary.AppendUvarint(data, length)
		return append(data, r.Value...)
	}
	data = binary.AppendUvarint(data, length|1)
	data = binary.AppendUvarint(data, uint64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		data = binary.AppendUvarint(data, uint64(len(h.Name)))
		data = append(data, h.Name...)
		data = binary.AppendUvarint(data, uint64(len(h.Value)))
		data = append(data, h.Value...)
	}
	return append(data, r.Value...)
}

// seal finishes the i-th block: first is the seq of its first record, before the latest time of all records before it. It
// returns the latest time up to the end of the block.
func (b *blocks) seal(i int, first uint64, before int64) (latest int64) {
	data := b.data[i]
	body, trailer := data[:len(data)-trailerBytes], data[len(data)-trailerBytes:]
	latest = max(before, b.latest[i])
	binary.LittleEndian.PutUint64(trailer, uint64(latest))
	binary.LittleEndian.PutUint32(trailer[8:], checksum(body, trailer[:8], first))
	return latest
}

func checksum(body, latest []byte, first uint64) uint32 {
	sum := crc32.Update(0, crcTable, body)
	sum = crc32.Update(sum, crcTable, latest)
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], first)
	return crc32.Update(sum, crcTable, key[:])
}
