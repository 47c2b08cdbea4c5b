package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipMagic is the magic of RFC 1952, followed by 8 for deflate, the only method in the RFC.
var gzipMagic = []byte{0x1f, 0x8b, 8}

// gzipCoder may be used inside and outside of a testing/synctest bubble, because its pools hold memory only: no channel, timer or
// goroutine.
type gzipCoder struct {
	writers sync.Pool // of *gzipWriter
	readers sync.Pool // of *gzipReader
}

type gzipWriter struct {
	z   *gzip.Writer
	dst []byte
}

func (w *gzipWriter) Write(p []byte) (int, error) {
	w.dst = append(w.dst, p...)
	return len(p), nil
}

type gzipReader struct {
	z   gzip.Reader
	src bytes.Reader
	one [1]byte
}

func newGzipCoder(cfg config) *gzipCoder {
	g := new(gzipCoder)
	level := *cfg.level
	g.writers.New = func() any {
		w := new(gzipWriter)
		z, err := gzip.NewWriterLevel(w, level)
		if err != nil {
			panic(fmt.Sprintf("compress: Gzip: %v", err)) // the level was checked
		}
		w.z = z
		return w
	}
	g.readers.New = func() any { return new(gzipReader) }
	return g
}

func (g *gzipCoder) framed(b []byte) bool { return bytes.HasPrefix(b, gzipMagic) }

func (g *gzipCoder) compress(dst, src []byte) []byte {
	w := g.writers.Get().(*gzipWriter)
	w.dst = dst
	w.z.Reset(w)
	// Write and Close cannot fail, because gzipWriter.Write cannot fail.
	_, _ = w.z.Write(src)
	_ = w.z.Close()
	out := w.dst
	w.dst = nil
	g.writers.Put(w)
	return out
}

func (g *gzipCoder) decompress(src []byte, limit int) ([]byte, error) {
	r := g.readers.Get().(*gzipReader)
	r.src.Reset(src)
	b, err := r.read(src, limit)
	r.src.Reset(nil) // a reader in the pool must not keep the record's batch alive
	g.readers.Put(r)
	return b, err
}

// deflateRatio is the largest number of bytes to which a byte of deflate can decompress.
const deflateRatio = 1032

func (r *gzipReader) read(src []byte, limit int) ([]byte, error) {
	if err := r.next(); err != nil {
		return nil, err
	}
	// A member ends with its size modulo 4 GiB. The size of the last member is a lower bound for a sound record, and the exact size
	// for a record of a single member. A broken record may claim any size, so we allocate no more than the length of the record
	// allows.
	var size int
	if len(src) >= 4 {
		claim := uint64(binary.LittleEndian.Uint32(src[len(src)-4:]))
		if claim > uint64(limit) {
			return nil, &SizeError{Size: int64(claim), Limit: limit}
		}
		size = int(min(claim, uint64(len(src))*deflateRatio))
	}
	b := make([]byte, 0, size)
	for {
		to := b[len(b):cap(b)]
		if len(to) == 0 {
			to = r.one[:] // we must read on to see the end and the checksum, and must not allocate for that
		}
		n, err := r.z.Read(to)
		switch {
		case len(b) < cap(b):
			b = b[:len(b)+n]
		case n == 1 && len(b) == limit:
			return nil, &SizeError{Size: int64(limit) + 1, Limit: limit}
		case n == 1:
			b = append(make([]byte, 0, min(limit, max(2*len(b), 512))), b...)
			b = append(b, r.one[0])
		}
		if err == io.EOF {
			if r.src.Len() == 0 {
				return b, nil
			}
			err = r.next()
		}
		if err != nil {
			return nil, unexpected(err)
		}
	}
}

// next begins with the next member. The library could read several members by itself, but the library takes a member whose head is
// cut short for the end.
func (r *gzipReader) next() error {
	if err := r.z.Reset(&r.src); err != nil {
		return unexpected(err)
	}
	r.z.Multistream(false)
	return nil
}

// unexpected replaces io.EOF, because a caller would take the io.EOF of a record that is cut short for the end of the stream.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
