package s2s

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Coder compresses and decompresses payloads, one at a time. Only one goroutine may use a Coder, and each direction
// of a connection needs its own.
type Coder struct {
	codec Codec
	pool  *Coders
	gz    *gzip.Writer
	unz   *gzip.Reader
	out   bytes.Buffer
}

// Coders make the Coders of a client, and keep the encoders and decoders of zstd that no Coder uses. An encoder holds 1.4 MiB
// and a decoder 230 KiB, so a Coder borrows one for a single payload: thousands of sessions without work would otherwise hold
// as many.
//
// All clients of a process could share the pools. But encoders and decoders hold channels, and a channel that was made in a test
// on a fake clock (testing/synctest) ends the process when somebody outside of the test uses the channel.
type Coders struct{ encoders, decoders sync.Pool }

// New makes a Coder whose Seal compresses with codec. Open understands every codec, because the flags of a frame name the
// codec.
func (p *Coders) New(codec Codec) (*Coder, error) {
	if codec > Gzip {
		return nil, fmt.Errorf("unknown compression %v", codec)
	}
	return &Coder{codec: codec, pool: p}, nil
}

// Seal completes the frame in buf[at:]: HeaderSize free bytes and then a payload of at most MaxPayload bytes. Seal
// writes the header. The bytes in front of at belong to the caller. If the payload has at least CompressFrom bytes and
// becomes smaller by compression, compressed is true: the result is in the memory of spare, has at free bytes in front
// too, and the caller may use the memory of buf again.
func (c *Coder) Seal(buf, spare []byte, at int) (sealed []byte, compressed bool, err error) {
	flags := Flags(0)
	if payload := buf[at+HeaderSize:]; c.Compresses(len(payload)) {
		spare, err = c.compress(append(spare[:0], buf[:at+HeaderSize]...), payload)
		if err != nil {
			return nil, false, err
		}
		if len(spare) < len(buf) {
			buf, flags, compressed = spare, Flags(c.codec)<<codecShift, true
		}
	}
	frame := buf[at:]
	length := len(frame) - HeaderSize + 1
	if length > MaxLength {
		return nil, false, fmt.Errorf("frame of length %d, at most %d is allowed", length, MaxLength)
	}
	frame[0], frame[1], frame[2], frame[3] = byte(length>>16), byte(length>>8), byte(length), byte(flags)
	return buf, compressed, nil
}

func (c *Coder) compress(dst, src []byte) ([]byte, error) {
	if c.codec == Zstd {
		enc, err := c.pool.encoder()
		if err != nil {
			return nil, err
		}
		defer c.pool.encoders.Put(enc)
		return enc.EncodeAll(src, dst), nil
	}
	c.out.Reset()
	if c.gz == nil {
		c.gz, _ = gzip.NewWriterLevel(&c.out, gzip.BestSpeed)
	} else {
		c.gz.Reset(&c.out)
	}
	if _, err := c.gz.Write(src); err != nil {
		return nil, err
	}
	if err := c.gz.Close(); err != nil {
		return nil, err
	}
	return append(dst, c.out.Bytes()...), nil
}

func (p *Coders) encoder() (*zstd.Encoder, error) {
	if enc, ok := p.encoders.Get().(*zstd.Encoder); ok {
		return enc, nil
	}
	// With a concurrency of 1 the encoder works on the caller's goroutine and starts no goroutines of its own.
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
}

func (p *Coders) decoder() (*zstd.Decoder, error) {
	if dec, ok := p.decoders.Get().(*zstd.Decoder); ok {
		return dec, nil
	}
	// The library bounds the window by the limit of memory too, and window is already the smallest size that works.
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(window),
		zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
}

// window bounds how much memory a zstd frame may demand before its first byte, and how much is decompressed before we
// look at the result. A payload needs less than window. But an encoder that does not know the final size declares up to
// this window for any payload, and a smaller bound would refuse its frames.
const window = 8 << 20

// Open returns the payload without compression. If the payload is not compressed, Open returns payload itself,
// otherwise new memory. If the decompressed payload would be larger than MaxPayload, Open returns an error, and
// decompresses no more than a fixed amount. Otherwise a peer could fill our memory with a few bytes.
func (c *Coder) Open(flags Flags, payload []byte) ([]byte, error) {
	if flags.Codec() == None {
		return payload, nil
	}
	// An encoder that writes piece by piece does not tell the final size. In new memory such a payload would be allocated and
	// copied again each time the memory must grow, and then keep up to twice its size. That took three times as long.
	room := largest.Get().(*[MaxPayload]byte)
	defer largest.Put(room)
	decompress := c.unzstd
	if flags.Codec() == Gzip {
		decompress = c.unzip
	}
	out, err := decompress(room[:0], payload)
	switch {
	case err != nil:
		return nil, err
	case len(out) > MaxPayload:
		return nil, &FormatError{fmt.Sprintf("decompresses to more than %d bytes", MaxPayload)}
	}
	return bytes.Clone(out), nil
}

func (c *Coder) unzstd(room, payload []byte) ([]byte, error) {
	dec, err := c.pool.decoder()
	if err != nil {
		return nil, err
	}
	defer c.pool.decoders.Put(dec)
	out, err := dec.DecodeAll(payload, room)
	if err != nil {
		return nil, &FormatError{"zstd: " + err.Error()}
	}
	return out, nil
}

func (c *Coder) unzip(room, payload []byte) ([]byte, error) {
	if c.unz == nil {
		c.unz = new(gzip.Reader)
	}
	if err := c.unz.Reset(bytes.NewReader(payload)); err != nil {
		return nil, &FormatError{"gzip: " + unexpected(err).Error()}
	}
	out := bytes.NewBuffer(room)
	if _, err := io.Copy(out, io.LimitReader(c.unz, MaxPayload+1)); err != nil {
		return nil, &FormatError{"gzip: " + unexpected(err).Error()}
	}
	return out.Bytes(), nil
}

// Close releases the memory of the coder. A closed coder can still be used, and makes its parts anew.
func (c *Coder) Close() { *c = Coder{codec: c.codec, pool: c.pool} }

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Unzstd decompresses a whole HTTP body, without frames, to at most limit bytes.
func Unzstd(src []byte, limit int) ([]byte, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)),
		zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	return dec.DecodeAll(src, nil)
}

// Compresses reports whether Seal would try to compress a payload of n bytes.
func (c *Coder) Compresses(n int) bool { return c.codec != None && n >= CompressFrom }
