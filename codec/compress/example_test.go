package compress_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/compress"
)

// Records of up to a mebibyte, compressed from 200 bytes on. Plain records that are in the stream already stay readable.
func ExampleZstd() {
	c := compress.Zstd(codec.String(), 1<<20, compress.MinSize(200))

	long := strings.Repeat("all work and no play. ", 100)
	b, err := c.AppendEncode(nil, long)
	fmt.Println(len(long), "bytes, compressed to fewer than 100:", len(b) < 100, err)

	v, err := c.Decode(b)
	fmt.Println(v == long, err)

	v, err = c.Decode([]byte("an old, plain record"))
	fmt.Println(v, err)

	fmt.Printf("%+v\n", c.Format())
	// Output:
	// 2200 bytes, compressed to fewer than 100: true <nil>
	// true <nil>
	// an old, plain record <nil>
	// {ContentType:text/plain; charset=utf-8 ContentEncoding:zstd Schema:[]}
}

// A small record alone does not become smaller. With a dictionary it does.
func ExampleTrain() {
	record := func(i int) string {
		return fmt.Sprintf(`{"order":%d,"status":"paid","currency":"EUR","warehouse":"north","customer":"customer-%d"}`, 1000+i, i%7)
	}
	var samples [][]byte
	for i := range 500 {
		samples = append(samples, []byte(record(i)))
	}
	dictionary, err := compress.Train(samples, 16<<10)
	if err != nil {
		fmt.Println(err)
		return
	}
	c := compress.Zstd(codec.String(), 1<<20, compress.Dictionary(dictionary))
	b, err := c.AppendEncode(nil, record(777))
	fmt.Println(len(record(777)), "bytes, compressed to fewer than 60:", len(b) < 60, err)
	// Output: 91 bytes, compressed to fewer than 60: true <nil>
}

// A record that would decompress to more than the reader allows is refused before the memory is taken.
func ExampleSizeError() {
	bomb, _ := compress.Gzip(codec.Bytes(), 1<<30).AppendEncode(nil, make([]byte, 10<<20))
	fmt.Println("the record has fewer than 50,000 bytes:", len(bomb) < 50_000)

	_, err := compress.Gzip(codec.Bytes(), 1<<20).Decode(bomb)
	var size *compress.SizeError
	fmt.Println(errors.As(err, &size), err)
	// Output:
	// the record has fewer than 50,000 bytes: true
	// true compress: gzip: decode: 10485760 bytes or more exceed the limit of 1048576 for a decompressed value
}

func ExampleMinSize() {
	c := compress.S2(codec.String(), 1<<20, compress.MinSize(1000))
	b, _ := c.AppendEncode(nil, strings.Repeat("a", 999))
	fmt.Println(len(b))
	// Output: 999
}
