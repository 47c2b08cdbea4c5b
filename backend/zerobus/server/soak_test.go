package server_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

const soaked = "main.soak.numbers"

// A shape is how the numbers are written.
type shape struct {
	columns []zerobustest.Column
	codec   func(t testing.TB) codec.Codec[int]
	number  func(row []byte) (int, error)
}

func unread([]byte) (int, error) { return 0, io.EOF }

var forms = map[string]shape{
	"JSON": {
		codec: func(testing.TB) codec.Codec[int] {
			return codec.Func("application/json", func(dst []byte, n int) ([]byte, error) {
				return append(strconv.AppendInt(append(dst, `{"n":`...), int64(n), 10), '}'), nil
			}, unread)
		},
		number: func(row []byte) (int, error) { return strconv.Atoi(string(row[len(`{"n":`) : len(row)-1])) },
	},
	"PROTO": {
		columns: []zerobustest.Column{{Name: "n", Type: "BIGINT", Required: true}}, // each record is checked
		codec: func(t testing.TB) codec.Codec[int] {
			return numberMessages{codec.Func("application/x-protobuf", func(dst []byte, n int) ([]byte, error) {
				return protowire.AppendVarint(append(dst, 1<<3), uint64(n)), nil
			}, unread), numberSchema(t)}
		},
		number: func(row []byte) (int, error) {
			n, size := protowire.ConsumeVarint(row[1:])
			if row[0] != 1<<3 || size != len(row)-1 {
				return 0, errors.New("not a number")
			}
			return int(n), nil
		},
	},
}

// numberMessages are a codec with a schema.
type numberMessages struct {
	codec.Codec[int]
	schema []byte
}

func (m numberMessages) Format() codec.Format {
	f := m.Codec.Format()
	f.Schema = m.schema
	return f
}

// numberSchema describes a message with one field, required int64 n.
func numberSchema(t testing.TB) []byte {
	t.Helper()
	b, err := proto.Marshal(&descriptorpb.DescriptorProto{Name: proto.String("Number"), Field: []*descriptorpb.FieldDescriptorProto{{
		Name: proto.String("n"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum(),
		Label: descriptorpb.FieldDescriptorProto_LABEL_REQUIRED.Enum(),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A soak sends numbers in order through faults and rotations. Every number that is acknowledged must be in the table then,
// each stream must hold consecutive numbers, and what is there twice must be of a batch that was sent again.
type soak struct {
	shape
	life  time.Duration // of a stream, after which the server wants it to go
	pause time.Duration // between faults, about
	pace  time.Duration // between numbers; 0: as fast as it goes
	opts  []zerobustest.Option
	dial  func(*zerobustest.Server) []zerobus.Option

	goOn func(n int, s zerobustest.Stats) bool // whether number n follows
}

func (k soak) run(t *testing.T) {
	t.Helper()
	book := newLedger(k.number)
	srv := zerobustest.New(t, append(k.opts, zerobustest.Table(soaked, k.columns...), zerobustest.DiscardRows(), zerobustest.Tap(book.stored),
		zerobustest.Lifetime(k.life, k.life/4, zerobustest.EOF()))...)
	client, err := zerobus.New(zerobus.Config{Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, ClientID: "id", ClientSecret: "secret"}, k.dial(srv)...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := producer.New(t.Context(), client.Table(soaked), k.codec(t), producer.Linger(time.Millisecond), producer.Attempts(200), // a busy machine gets few acks into a short life
		producer.Observe(producer.Hooks{BatchAcked: book.acked, BatchResent: book.resent, BatchFailed: book.failed}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var trouble sync.WaitGroup
	trouble.Go(func() { makeTrouble(ctx, srv, k.pause) })

	start := time.Now()
	n := 0
	for ; n%1000 != 0 || k.goOn(n, srv.Stats()); n++ {
		if _, err := p.Enqueue(t.Context(), n); err != nil {
			t.Fatalf("record %d: %v", n, err)
		}
		if k.pace > 0 {
			<-time.After(k.pace)
		}
	}
	cancel()
	trouble.Wait()
	srv.Heal()
	if err := p.Flush(t.Context()); err != nil {
		t.Fatalf("flush: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	elapsed := time.Since(start)
	book.report(t, n)
	s := srv.Stats()
	t.Logf("%d records in %v (%.0f/s): %d streams, %d connections, %d requests, %d duplicates in %d batches sent again",
		n, elapsed.Round(time.Millisecond), float64(n)/elapsed.Seconds(), s.Streams, s.Connections, s.Requests, book.twice, len(book.again))
}

// HEADRACE_SOAK_RECORDS=20000000 makes it long, with a rotation every 2 s.
func TestSoak(t *testing.T) {
	records, streams, life, pause := 100_000, int64(10), 500*time.Millisecond, 15*time.Millisecond
	if v := os.Getenv("HEADRACE_SOAK_RECORDS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("HEADRACE_SOAK_RECORDS: %v", err)
		}
		records, streams, life, pause = n, 100, 2*time.Second, 200*time.Millisecond
	}
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			soak{
				shape: f, life: life, pause: pause,
				dial: func(*zerobustest.Server) []zerobus.Option { return nil },
				// Faster than trouble comes, it goes on until there was enough.
				goOn: func(n int, s zerobustest.Stats) bool { return n < records || s.Streams < streams },
			}.run(t)
		})
	}
}

// Five minutes with a rotation every 2 s of a stream's life, on the bubble's clock.
func TestSoakOnAClockOfItsOwn(t *testing.T) {
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				soak{
					shape: f, life: 2 * time.Second, pause: time.Second, pace: 20 * time.Millisecond, dial: inMemory,
					opts: []zerobustest.Option{zerobustest.InMemory(), zerobustest.Acks(zerobustest.AckAfter(30 * time.Millisecond))},
					goOn: func(int, zerobustest.Stats) bool { return time.Since(began) < 5*time.Minute },
				}.run(t)
			})
		})
	}
}

// inMemory is the client's side of a server that is off the network.
func inMemory(srv *zerobustest.Server) []zerobus.Option {
	dial := func(ctx context.Context, _, hostport string) (net.Conn, error) { return srv.Dial(ctx, hostport) }
	return []zerobus.Option{
		zerobus.Dial(srv.Dial),
		zerobus.HTTP(&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}),
	}
}

// makeTrouble does one thing at random after another, each after about pause.
func makeTrouble(ctx context.Context, srv *zerobustest.Server, pause time.Duration) {
	transient := []codes.Code{codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.AlreadyExists, codes.ResourceExhausted,
		codes.FailedPrecondition, codes.Aborted, codes.Internal, codes.Unavailable, codes.DataLoss}
	stages := []zerobustest.Stage{zerobustest.Opening, zerobustest.Creating, zerobustest.Receiving, zerobustest.Stored}
	at := func(s zerobustest.Stage, a zerobustest.Effect) {
		srv.Inject(zerobustest.Fault{Stage: s, Skip: rand.IntN(3), Do: a})
	}
	// An opening replaces a token that was revoked, but not a second one: there is another to revoke once a stream that
	// was opened with the new one has had an ack.
	var issued, first int64
	revoke := func() bool {
		s := srv.Stats()
		if s.Tokens <= issued || first < 0 || s.Acks <= first {
			return false
		}
		issued, first = s.Tokens, -1
		srv.RevokeTokens()
		return true
	}
	token := func(f zerobustest.TokenFault) {
		if revoke() { // else faults pile up for as long as a token lasts
			srv.InjectToken(f)
		}
	}
	things := []func(){
		func() { at(stages[rand.IntN(4)], zerobustest.Status(transient[rand.IntN(len(transient))], "trouble")) },
		func() { at(stages[rand.IntN(4)], zerobustest.Drop()) },
		func() { at(stages[rand.IntN(4)], zerobustest.EOF()) },
		func() { at(stages[rand.IntN(4)], zerobustest.Delay(rand.N(pause))) },
		func() { at(zerobustest.Stored, zerobustest.Silence()) },
		func() { at(zerobustest.Stored, zerobustest.AckWithoutOffset()) },
		func() { at(zerobustest.Stored, zerobustest.AckAhead(1<<40)) },
		func() { at(zerobustest.Stored, zerobustest.AckAhead(-1)) },
		func() { at(zerobustest.Stored, zerobustest.Reply(nil)) },
		func() { at(zerobustest.Stored, zerobustest.CloseSignal(rand.N(pause)-1)) },
		func() { at(zerobustest.Creating, zerobustest.NoStreamID()) },
		func() { at(zerobustest.Closing, zerobustest.Status(codes.Unavailable, "trouble")) },
		func() { srv.End("", zerobustest.Status(codes.Unavailable, "trouble")) },
		func() { srv.Signal("", rand.N(2*pause)) },
		func() { srv.DropConnections() },
		func() { revoke() },
		func() { token(zerobustest.TokenFault{Status: 503}) },
		func() { token(zerobustest.TokenFault{Status: 429, RetryAfter: "0"}) },
		func() { token(zerobustest.TokenFault{Drop: true}) },
	}
	acks := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause)):
			// Without progress in between, trouble would pile up until the producer rightly gives up.
			s := srv.Stats()
			if first < 0 && s.Tokens > issued {
				first = s.Acks
			}
			if s.Acks == acks {
				continue
			}
			acks = s.Acks
			things[rand.IntN(len(things))]()
		}
	}
}
