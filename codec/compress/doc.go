// Package compress makes a codec of smaller records from any other: [Zstd], [Gzip], [S2] and [Snappy] wrap a codec and
// compress each of its values by itself.
//
// # Contract
//
// Compression can be switched on and off over the life of a stream. A compressed record is a complete frame of its
// format and is known by the frame's magic bytes; a record that does not begin with them is plain. Each codec reads both,
// side by side, and writes whichever is smaller: a value below [MinSize], or one that compression does not make smaller,
// stays plain. A plain value that happens to begin with the magic is always compressed, so that nothing is ever taken for
// what it is not.
//
// Frames are standard, so other tools read them, one record at a time, and frames from other tools are read: zstd
// frames of any window, gzip members, S2 and Snappy streams, also several in a row.
//
// A record that is cut short anywhere behind its magic fails to decode, and so does one with other bytes behind its
// frames. The formats S2 and Snappy do not tell where a stream ends, so a record has its length in a chunk that other tools
// skip. Records of several frames in a row are made by other tools only: cut between two frames they look whole.
//
// # Bombs
//
// A few bytes can decompress to gigabytes. That is why every constructor demands maxDecoded, the largest value in bytes
// that a record may hold: a record that announces or turns out to hold more fails with [*SizeError], and the memory for
// it is never taken. At most maxDecoded is allocated for one record, besides 128 KiB that a zstd block may overshoot by.
// A value larger than maxDecoded is refused when it is encoded: nobody could read it back.
//
// # Memory
//
// Encoding costs no allocation once it is warm, decoding one: the decompressed value, of which a codec within may keep
// what it likes. The zstd coders are made and used once in the constructor, because they hold channels, and a channel
// made by the first call inside a testing/synctest bubble could not be used outside it. There is one decoder for each
// processor and one encoder, up to four from level 6 on; an encoder takes about 0.3 MiB below level 3, 1.3 MiB below
// level 6, 5 to 13 MiB below level 10 and 36 to 43 MiB above. So make a codec once and share it. No goroutine is started.
package compress
