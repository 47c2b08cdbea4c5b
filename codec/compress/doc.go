// Package compress makes records smaller: [Zstd], [Gzip], [S2] and [Snappy] wrap a codec and compress each value separately.
//
// # Contract
//
// Compression can be switched on and off over the life of a stream. A compressed record is a complete frame of its format and
// begins with the magic bytes of the frame; a record with another beginning is plain. Each codec reads both kinds and writes the
// smaller: a value below [MinSize], or a value that compression does not make smaller, stays plain. A plain value that happens to
// begin with the magic is always compressed, so that a reader never takes a plain value for a frame.
//
// Frames are standard, so other tools can read the frames, a record at a time. The codecs read frames from other tools: zstd
// frames of any window, gzip members, S2 and Snappy streams, also several in a row.
//
// A record that is cut short anywhere behind its magic fails to decode, and a record with other bytes behind its frames fails too.
// The formats S2 and Snappy do not mark the end of a stream, so a record holds its length in a chunk that other tools skip. Only
// other tools make records of several frames in a row; such a record, cut between two frames, looks whole.
//
// # Bombs
//
// A few bytes can decompress to gigabytes. Therefore every constructor demands maxDecoded, the size in bytes of the largest value
// in a record. A record that announces or holds more fails with [*SizeError], and the memory for the record is never allocated. A
// record costs at most maxDecoded bytes, and 128 KiB more when a zstd block overshoots. Encoding refuses a value larger than
// maxDecoded, because nobody could read the value back.
//
// # Memory
//
// After the first records, encoding allocates nothing. Decoding allocates the decompressed value, because the inner codec may keep
// any part of the value. The constructor makes the zstd coders and uses them once, because the coders hold channels: a channel made
// by the first call inside a testing/synctest bubble could not be used outside. There is a decoder and an encoder for each
// processor; from level 6 on there are at most four encoders. An encoder takes about 0.3 MiB below level 3, 1.3 MiB below level 6, 5
// to 13 MiB below level 10 and 36 to 43 MiB above. So make a codec once and share the codec. The package starts no goroutine.
package compress
