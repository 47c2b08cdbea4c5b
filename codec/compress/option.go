package compress

import "fmt"

// An Option adjusts a compressing codec.
type Option func(*config)

// Level sets how much effort goes into making records small. The range and the default depend on the format; with a level outside
// the range the constructor panics. A codec of any level reads records of all levels.
func Level(n int) Option { return func(c *config) { c.level = &n } }

// MinSize leaves values of fewer than n bytes plain, because frames of small values save little and cost time. The default is 0:
// every value is compressed, and the plain value is written when the frame is not smaller. A value that begins with the magic of
// the format is compressed at any size.
func MinSize(n int) Option { return func(c *config) { c.minSize = n } }

// Dictionary compresses with a zstd dictionary, made by [Train] or by "zstd --train". Small records that
// resemble each other become much smaller with a dictionary. Only [Zstd] takes a dictionary. A record names its dictionary by an
// id, so every reader needs the dictionary for as long as the stream holds records made with the dictionary; the older dictionaries
// are for reading only. A record whose dictionary is missing fails to decode. The constructor panics when an argument is not a
// dictionary, or when two dictionaries have the same id.
func Dictionary(current []byte, older ...[]byte) Option {
	return func(c *config) { c.dictionaries = append([][]byte{current}, older...) }
}

type config struct {
	level        *int
	minSize      int
	dictionaries [][]byte // the first is for encoding
	maxDecoded   int
}

// abilities describes the options that a format allows.
type abilities struct {
	normal, last int // the default level and the highest; the lowest is 1
	dictionary   bool
}

// newConfig applies the options and the defaults. newConfig panics on a wrong option, because a wrong option is a mistake in the
// program. The constructors return no error, so that calls of constructors can be nested.
func newConfig(name string, can abilities, maxDecoded int, opts []Option) config {
	c := config{maxDecoded: maxDecoded}
	for _, o := range opts {
		o(&c)
	}
	if maxDecoded < 1 {
		panic(fmt.Sprintf("compress: %s: maxDecoded is %d, want at least 1 byte", name, maxDecoded))
	}
	if c.level == nil {
		c.level = &can.normal
	}
	if *c.level < 1 || *c.level > can.last {
		panic(fmt.Sprintf("compress: %s: level %d, want 1 to %d", name, *c.level, can.last))
	}
	if c.minSize < 0 {
		panic(fmt.Sprintf("compress: %s: MinSize is %d, want 0 or more", name, c.minSize))
	}
	if c.dictionaries != nil && !can.dictionary {
		panic(fmt.Sprintf("compress: %s takes no dictionary, only Zstd does", name))
	}
	return c
}
