package boltlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/bits"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// We store a batch as blocks, and not with one key for each record. A tree of blocks is shallow, one Put stores dozens
// of records, and one copy reads them. The key of a block is the seq of its first record, in big-endian order. The
// contents of a block:
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
// bbolt has checksums only for its meta pages. Without our checksum, a reader would get the bytes of a damaged page as
// records. maxTime never falls from one block to the next, so we can find a time by bisection.
const (
	blockVersion = 1
	trailerBytes = 8 + 4
)

// blockBytes is the size of a full block. A larger record has a block of its own. With every append, bbolt rewrites the
// last leaf page, and a leaf keeps up to four values, even very large ones. So larger blocks are written several times,
// and smaller blocks waste the end of a page. Two blocks of blockBytes, with their keys, fill exactly four pages of 4
// KiB.
const blockBytes = (4*4096-16)/2 - 24

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// errCorrupt is the error of decoding. The store adds the file, the stream and the seq.
var errCorrupt = errors.New("corrupt block")

// blocks are the encoded records of one Write, except for the parts that the commit decides: the keys and the trailers.
type blocks struct {
	data    [][]byte // each ends with room for its trailer
	counts  []int    // number of records in each block
	latest  []int64  // latest time of the records in each block
	records int      // number of records in all blocks
	size    int      // bytes of all blocks
}

// encode copies recs into blocks. It runs in the goroutine of the sender, so the encoding goes on while a commit waits
// for the disk.
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

// fit returns how many of recs belong to the next block, at least one, and the approximate size of the block in bytes.
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
			// The record gets the time of the record before it, so the difference is 0 and takes one byte.
			b++
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

// uvarintLen returns the number of bytes of n as a uvarint.
func uvarintLen(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

// appendRecord appends the encoding of one record to data. elapsed is the time since the record before.
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

// seal fills in the trailer of the i-th block. first is the seq of its first record, and before is the latest time of
// all records before the block. seal returns the latest time up to the end of the block.
func (b *blocks) seal(i int, first uint64, before int64) (latest int64) {
	data := b.data[i]
	body, trailer := data[:len(data)-trailerBytes], data[len(data)-trailerBytes:]
	latest = max(before, b.latest[i])
	binary.LittleEndian.PutUint64(trailer, uint64(latest))
	binary.LittleEndian.PutUint32(trailer[8:], checksum(body, trailer[:8], first))
	return latest
}

// checksum covers the key of the block too, so that we notice a block in the wrong place.
func checksum(body, latest []byte, first uint64) uint32 {
	sum := crc32.Update(0, crcTable, body)
	sum = crc32.Update(sum, crcTable, latest)
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], first)
	return crc32.Update(sum, crcTable, key[:])
}
