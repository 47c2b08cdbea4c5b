package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/internal/goroutines"
	"github.com/headrace/headrace/producer"
)

// A follower is a consumer whose loop runs in a goroutine of its own.
type follower struct {
	*consumer.Consumer[string]
	got   chan string
	ended chan error
}

func follow(ctx context.Context, t *testing.T, s backend.Source, opts ...consumer.Option) *follower {
	t.Helper()
	c, err := consumer.New(s, codec.String(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{Consumer: c, got: make(chan string, 1000), ended: make(chan error, 1)}
	go func() {
		var last error
		for m, err := range c.Messages(ctx) {
			if last = err; err == nil {
				f.got <- m.Value
			}
		}
		f.ended <- last
	}()
	return f
}

func opened(t *testing.T, s backend.Sink) *producer.Producer[string] {
	t.Helper()
	p, err := producer.New(t.Context(), s, codec.String(), producer.IdleTimeout(0))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func send(t *testing.T, p *producer.Producer[string], v string) {
	t.Helper()
	if err := p.Send(t.Context(), v); err != nil {
		t.Fatal(err)
	}
}

func TestConsumerAtTheTailHasTheGoroutineOfItsLoopOnly(t *testing.T) {
	for _, decoders := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			s := memory.New()
			p := opened(t, s)
			defer p.Close()
			send(t, p, "first")
			ctx, stop := context.WithCancel(t.Context())
			f := follow(ctx, t, s, consumer.Decoders(decoders))
			if v := <-f.got; v != "first" {
				t.Fatalf("the first record is %q", v)
			}
			for round := range 3 {
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if n := goroutines.Of("consumer"); n != 1 {
					t.Errorf("the consumer has %d goroutines, and its loop among them, after a pause, in round %d with %d decoders; want 1", n, round, decoders)
				}
				send(t, p, strconv.Itoa(round))
				if v := <-f.got; v != strconv.Itoa(round) {
					t.Errorf("the record after the pause is %q in round %d", v, round)
				}
			}
			stop()
			if err := <-f.ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// Records that come at the very moment at which reading gives its goroutine up are read at once, and in order.
func TestRecordsAtTheMomentOfParkingAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := opened(t, s)
		defer p.Close()
		ctx, stop := context.WithCancel(t.Context())
		f := follow(ctx, t, s)
		for i := range 1000 {
			time.Sleep([]time.Duration{time.Second, 2 * time.Second, time.Second / 2}[i%3])
			sent := time.Now()
			send(t, p, strconv.Itoa(i))
			if v := <-f.got; v != strconv.Itoa(i) {
				t.Fatalf("got %q, want %d", v, i)
			}
			if late := time.Since(sent); late > 0 {
				t.Fatalf("record %d was read %v late", i, late)
			}
		}
		stop()
		<-f.ended
	})
}

// A hesitant codec needs a minute for some records, and says when more decoders work at the same time than they should.
type hesitant struct {
	codec.Codec[string]
	t        *testing.T
	decoders int64
	working  atomic.Int64
}

func (h *hesitant) Decode(src []byte) (string, error) {
	if n := h.working.Add(1); n > h.decoders {
		h.t.Errorf("%d decoders work at the same time, want %d at most", n, h.decoders)
	}
	defer h.working.Add(-1)
	if len(src)%2 == 0 {
		time.Sleep(time.Minute)
	}
	return h.Codec.Decode(src)
}

// Reading gives its goroutine up while the decoders still work. The decoders that begin with the next record must not work beside
// the decoders from before the pause, or the records would change places.
func TestRecordsKeepTheirOrderWhenDecodingTakesLongerThanThePause(t *testing.T) {
	for _, decoders := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			s := memory.New()
			p := opened(t, s)
			defer p.Close()
			f, err := consumer.New[string](s, &hesitant{Codec: codec.String(), t: t, decoders: int64(decoders)}, consumer.Decoders(decoders))
			if err != nil {
				t.Fatal(err)
			}
			var want, got []string
			go func() {
				for i := range 12 {
					want = append(want, strings.Repeat("v", i+1))
					send(t, p, want[i])
					if i%4 == 3 {
						time.Sleep(3 * time.Second)
					}
				}
				_ = s.Seal(context.Background())
			}()
			for m, err := range f.Messages(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m.Value)
			}
			if !slices.Equal(got, want) {
				t.Errorf("with %d decoders: got %q, want %q", decoders, got, want)
			}
		})
	}
}

// A loop that ends while nothing reads ends at once, for each of the reasons, and closes its reader.
func TestLoopEndsAtOnceWhileParked(t *testing.T) {
	cut := errors.New("cut")
	for name, test := range map[string]struct {
		end  func(s *watched, stop context.CancelFunc)
		want error
	}{
		"the context":           {func(_ *watched, stop context.CancelFunc) { stop() }, context.Canceled},
		"the end of the stream": {func(s *watched, _ context.CancelFunc) { _ = s.Stream.Seal(context.Background()) }, nil},
		"an error of the store": {func(s *watched, _ context.CancelFunc) { s.fail(cut) }, cut},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &watched{Stream: memory.New()}
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				f := follow(ctx, t, s)
				time.Sleep(time.Minute)
				synctest.Wait()
				began := time.Now()
				test.end(s, stop)
				if err := <-f.ended; !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("the loop has ended after %v", took)
				}
				if s.open != 0 {
					t.Errorf("%d readers are open", s.open)
				}
			})
		})
	}
}

// A reader that is lost while the consumer has no goroutine for it is opened again, and no record is lost or repeated.
func TestReaderLostWhileParkedIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &watched{Stream: memory.New()}
		p := opened(t, s)
		defer p.Close()
		ctx, stop := context.WithCancel(t.Context())
		f := follow(ctx, t, s, consumer.Backoff(0, 0))
		var want, got []string
		for i := range 5 {
			send(t, p, strconv.Itoa(i))
			want, got = append(want, strconv.Itoa(i)), append(got, <-f.got)
			time.Sleep(time.Minute)
			synctest.Wait()
			s.fail(backend.ErrTransient)
			time.Sleep(time.Minute)
		}
		if !slices.Equal(got, want) || f.Stats().Reopened != 5 {
			t.Errorf("got %q and %d readers again, want %q and 5", got, f.Stats().Reopened, want)
		}
		stop()
		<-f.ended
	})
}

// watched is a stream whose readers can be lost, and are counted. Only the goroutines of a bubble use it, one at a time.
type watched struct {
	*memory.Stream
	open   int
	reader *watchedReader // the newest
}

func (s *watched) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	r, err := s.Stream.OpenReader(ctx, from)
	if err != nil {
		return nil, err
	}
	s.open++
	s.reader = &watchedReader{Notifier: r.(backend.Notifier), stream: s}
	return s.reader, nil
}

// fail ends the newest reader with err.
func (s *watched) fail(err error) {
	s.reader.failed = err
	_ = s.reader.Notifier.Close()
}

type watchedReader struct {
	backend.Notifier
	stream *watched
	failed error
	closed bool
}

func (r *watchedReader) Read(ctx context.Context) (backend.Batch, error) {
	b, err := r.Notifier.Read(ctx)
	if err != nil && r.failed != nil {
		err = r.failed
	}
	return b, err
}

func (r *watchedReader) Close() error {
	if !r.closed {
		r.closed = true
		r.stream.open--
	}
	return r.Notifier.Close()
}
