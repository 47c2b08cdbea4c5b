package compress

import (
	"errors"
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/internal/owned"
)

var errNoAppend = errors.New("the codec within did not append: its result does not begin with the bytes it was given")

// maxPooled is the largest scratch memory, in bytes, that we keep for the next record.
const maxPooled = 1 << 20

// wrap makes the codec that all constructors return.
func wrap[T any](inner codec.Codec[T], encoding string, cfg config, coder coder) codec.Codec[T] {
	c := &compressCodec[T]{
		inner: inner, coder: coder, format: inner.Format(), name: encoding,
		minSize: cfg.minSize, limit: cfg.maxDecoded,
	}
	// As in HTTP, encodings are listed in the order in which they were applied.
	if c.format.ContentEncoding != "" {
		encoding = c.format.ContentEncoding + ", " + encoding
	}
	c.format.ContentEncoding = encoding
	c.scratch.New = func() any { return new([]byte) }
	return c
}

type compressCodec[T any] struct {
	inner   codec.Codec[T]
	coder   coder
	format  codec.Format
	name    string
	minSize int
	limit   int
	scratch sync.Pool // of *[]byte: memory for a frame, until we know whether the frame is smaller than the plain value
}

func (c *compressCodec[T]) Format() codec.Format { return c.format }

func (c *compressCodec[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	// We write the plain value behind dst, where a plain record belongs. So the small records of a codec with MinSize are never
	// copied.
	out, err := c.inner.AppendEncode(dst, v)
	if err != nil {
		return dst, err
	}
	// The frame may overwrite the plain value, so the memory must not belong to v.
	out, ok := owned.Append(dst, out)
	if !ok {
		return dst, fmt.Errorf("compress: %s: encode: %w", c.name, errNoAppend)
	}
	plain := out[len(dst):]
	if len(plain) > c.limit {
		return dst, fmt.Errorf("compress: %s: encode: %w", c.name, &SizeError{Size: int64(len(plain)), Limit: c.limit})
	}
	ambiguous := c.coder.framed(plain)
	if len(plain) < c.minSize && !ambiguous {
		return out, nil
	}
	scratch := c.scratch.Get().(*[]byte)
	frame := c.coder.compress((*scratch)[:0], plain)
	if ambiguous || len(frame) < len(plain) {
		out = append(out[:len(dst)], frame...)
	}
	if cap(frame) <= maxPooled {
		*scratch = frame
		c.scratch.Put(scratch)
	}
	return out, nil
}

func (c *compressCodec[T]) AppendHeaders(h backend.Headers, v T) (backend.Headers, error) {
	return codec.AppendHeaders(c.inner, h, v)
}

func (c *compressCodec[T]) Decode(src []byte) (T, error) { return c.DecodeRecord(src, nil) }

func (c *compressCodec[T]) DecodeRecord(src []byte, h backend.Headers) (T, error) {
	if !c.coder.framed(src) {
		return codec.DecodeRecord(c.inner, src, h)
	}
	// The memory cannot be pooled, because the inner codec may keep the memory.
	plain, err := c.coder.decompress(src, c.limit)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("compress: %s: decode: %w", c.name, err)
	}
	return codec.DecodeRecord(c.inner, plain, h)
}
