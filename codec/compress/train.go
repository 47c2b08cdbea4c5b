package compress

import (
	"fmt"
	"math/rand/v2"

	"github.com/klauspost/compress/dict"
	"github.com/klauspost/compress/zstd"
)

// Train makes a dictionary for [Dictionary] from samples: plain encoded records, as the codec within writes them. Take some
// hundred to some thousand records that are typical for the stream. A small record alone hardly repeats anything, so compression
// alone does not make it smaller; a dictionary holds what the records have in common.
//
// size is the most bytes of content that the dictionary may hold; 16 KiB suit records of some hundred bytes. Train takes less than a
// second for 2,000 samples of 100 to 1,000 bytes. Train fails when the samples have too little in common, or when there are too few.
//
// Of a sample of more than 128 KiB, only the first 128 KiB count.
//
// Every dictionary has a new random id. Train a dictionary once, and keep it: a reader needs every dictionary with which a record
// of the stream was written.
func Train(samples [][]byte, size int) ([]byte, error) {
	cut := make([][]byte, len(samples))
	for i, s := range samples {
		cut[i] = s[:min(len(s), mostOfSample)]
	}
	d, err := dict.BuildZstdDict(cut, dict.Options{
		MaxDictSize: size,
		ZstdDictID:  firstFreeID + rand.Uint32N(firstReservedID-firstFreeID),
		// Measured with records of 100 bytes. With 6 bytes instead of 4, level 1 made records of 66 bytes instead of 62. The highest
		// level of training took 10 to 28 seconds instead of a tenth of a second, and made records of 61 bytes.
		HashBytes: 4,
		ZstdLevel: zstd.SpeedFastest,
	})
	if err != nil {
		return nil, fmt.Errorf("compress: train a dictionary of %d bytes from %d samples: %w", size, len(samples), err)
	}
	return d, nil
}

// mostOfSample is the size of the largest block of zstd. The training encodes each sample as one block, and panics when a sample is
// much larger.
const mostOfSample = 128 << 10

// RFC 8878 leaves the ids from firstFreeID to firstReservedID-1 to everybody.
const (
	firstFreeID     = 1 << 15
	firstReservedID = 1 << 31
)
