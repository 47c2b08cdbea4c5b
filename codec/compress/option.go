package compress

import "fmt"

// An Option adjusts a compressing codec.
type Option func(*config)

// Level sets how much effort goes into making records small. Its range and default are those of the format; a level
// outside the range panics in the constructor. Records of all levels can be read by codecs of any level.
func Level(n int) Option { return func(c *config) { c.level = &n } }

// MinSize leaves values of fewer than n bytes plain, because their frames would save little or nothing and cost time.
// The default is 0: every value is compressed, and the plain one is written where it is not larger. A value that begins
// with the magic of the format is compressed whatever its size.
func MinSize(n int) Option { return func(c *config) { c.minSize = n } }

// Dictionary compresses with a zstd dictionary, as "zstd --train" makes them from samples: small records that resemble
// each other become a fraction of what they are without one. Only [Zstd] takes it. A record names its dictionary by the
// id within, so every reader needs it for as long as the stream holds records made with it: older ones are for reading
// alone. A record whose dictionary is missing fails to decode. The constructor panics if one of them is no dictionary or
// two have one id.
func Dictionary(current []byte, older ...[]byte) Option {
	return func(c *config) { c.dictionaries = append([][]byte{current}, older...) }
}

type config struct {
	level        *int
	minSize      int
	dictionaries [][]byte // the first is for encoding
	maxDecoded   int
}

// abilities are what a format allows.
type abilities struct {
	normal, last int // the default level and the highest; the lowest is 1
	dictionary   bool
}

// newConfig completes the options. What is wrong with them is a mistake in the program, and the constructors have no
// error to return, so that they can wrap each other.
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
		panic(fmt.Sprintf("compress: %s takes no dictionary, Zstd does", name))
	}
	return c
}
