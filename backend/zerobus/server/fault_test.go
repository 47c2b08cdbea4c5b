package server_test

import (
	"encoding/hex"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

func TestFaultsBeforeTheStreamIsOpen(t *testing.T) {
	for name, c := range map[string]struct {
		fault zerobustest.Fault
		code  codes.Code
	}{
		"fails before headers":  {zerobustest.Fault{Stage: zerobustest.Opening, Do: zerobustest.Status(codes.Unavailable, "")}, codes.Unavailable},
		"ends before headers":   {zerobustest.Fault{Stage: zerobustest.Opening, Do: zerobustest.EOF()}, codes.OK},
		"drops before headers":  {zerobustest.Fault{Stage: zerobustest.Opening, Do: zerobustest.Drop()}, codes.Unavailable},
		"fails the create":      {zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Status(codes.ResourceExhausted, "")}, codes.ResourceExhausted},
		"ends at the create":    {zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.EOF()}, codes.OK},
		"delays, then fails":    {zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Then(zerobustest.Delay(time.Millisecond), zerobustest.Status(codes.Aborted, ""))}, codes.Aborted},
		"only for this table":   {zerobustest.Fault{Stage: zerobustest.Creating, On: tbl, Do: zerobustest.Status(codes.DataLoss, "")}, codes.DataLoss},
		"fails with status OK":  {zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Status(codes.OK, "")}, codes.OK},
		"drops at the response": {zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Drop()}, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			srv := zerobustest.New(t, zerobustest.Table(tbl))
			srv.Inject(c.fault)
			conn := dial(t, srv)
			s := authorized(t, srv, conn, tbl)
			s.send(createJSON(tbl))
			if got, err := s.recv(); err == nil {
				t.Fatalf("received %x", got)
			}
			s.wantCode(c.code, "")
			again := authorized(t, srv, conn, tbl) // once is once
			again.send(createJSON(tbl))
			again.opened()
		})
	}
}

func TestFaultsInTheStream(t *testing.T) {
	for name, c := range map[string]struct {
		fault zerobustest.Fault
		want  []string // after three records
		code  codes.Code
		rows  int
	}{
		"fails before storing": {zerobustest.Fault{Stage: zerobustest.Receiving, Skip: 1, Do: zerobustest.Status(codes.Internal, "")}, []string{"12020800"}, codes.Internal, 1},
		"fails after storing":  {zerobustest.Fault{Stage: zerobustest.Stored, Skip: 1, Do: zerobustest.Status(codes.Internal, "")}, []string{"12020800"}, codes.Internal, 2},
		"ends":                 {zerobustest.Fault{Stage: zerobustest.Stored, Skip: 2, Do: zerobustest.EOF()}, []string{"12020800", "12020801"}, codes.OK, 3},
		"acks too far":         {zerobustest.Fault{Stage: zerobustest.Stored, Do: zerobustest.AckAhead(5)}, []string{"12020805", "12020801", "12020802"}, codes.OK, 3},
		"acks backwards":       {zerobustest.Fault{Stage: zerobustest.Stored, Skip: 2, Do: zerobustest.Ack(0)}, []string{"12020800", "12020801", "12020800", "12020802"}, codes.OK, 3},
		"acks twice":           {zerobustest.Fault{Stage: zerobustest.Stored, Skip: 1, Do: zerobustest.Then(zerobustest.Ack(0), zerobustest.Ack(1))}, []string{"12020800", "12020800", "12020801", "12020802"}, codes.OK, 3},
		"acks nothing":         {zerobustest.Fault{Stage: zerobustest.Stored, Skip: 1, Do: zerobustest.AckWithoutOffset()}, []string{"12020800", goldenAckAbsent, "12020802"}, codes.OK, 3},
		"withholds an ack":     {zerobustest.Fault{Stage: zerobustest.Stored, Skip: 1, Do: zerobustest.Silence()}, []string{"12020800", "12020802"}, codes.OK, 3},
		"signals":              {zerobustest.Fault{Stage: zerobustest.Stored, Skip: 1, Do: zerobustest.CloseSignal(1500 * time.Millisecond)}, []string{"12020800", goldenSignal, "12020801", "12020802"}, codes.OK, 3},
		"signals always":       {zerobustest.Fault{Stage: zerobustest.Stored, Times: -1, Do: zerobustest.CloseSignal(-1)}, []string{goldenSignalNone, "12020800", goldenSignalNone, "12020801", goldenSignalNone, "12020802"}, codes.OK, 3},
		"signals twice":        {zerobustest.Fault{Stage: zerobustest.Stored, Times: 2, Do: zerobustest.CloseSignal(-1)}, []string{goldenSignalNone, "12020800", goldenSignalNone, "12020801", "12020802"}, codes.OK, 3},
		"says nothing":         {zerobustest.Fault{Stage: zerobustest.Stored, Do: zerobustest.Reply(nil)}, []string{"", "12020801", "12020802"}, codes.OK, 3},
		"creates again":        {zerobustest.Fault{Stage: zerobustest.Stored, Do: zerobustest.Reply(server.CreatedWith("x"))}, []string{hex.EncodeToString(server.CreatedWith("x")), "12020801", "12020802"}, codes.OK, 3},
		"fails at the end":     {zerobustest.Fault{Stage: zerobustest.Closing, Do: zerobustest.Status(codes.Unavailable, "")}, []string{"12020800", "12020801", "12020802"}, codes.Unavailable, 3},
	} {
		t.Run(name, func(t *testing.T) {
			srv := zerobustest.New(t, zerobustest.Table(tbl))
			srv.Inject(c.fault)
			s := authorized(t, srv, dial(t, srv), tbl)
			s.send(createJSON(tbl), ingest(jsonRecord, 0, `{"n":1}`), ingest(jsonRecord, 1, `{"n":2}`), ingest(jsonRecord, 2, `{"n":3}`))
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			s.opened()
			s.want(c.want...)
			s.wantCode(c.code, "")
			if n := len(srv.Rows(tbl)); n != c.rows {
				t.Errorf("%d rows, want %d", n, c.rows)
			}
		})
	}
}

func TestACreateWithoutIDAndHeal(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl))
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.NoStreamID()})
	conn := dial(t, srv)
	s := authorized(t, srv, conn, tbl)
	s.send(createJSON(tbl))
	s.want("0a00")
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Times: -1, Do: zerobustest.Stall()})
	srv.InjectToken(zerobustest.TokenFault{Times: -1, Status: 503})
	srv.Heal()
	s = authorized(t, srv, conn, tbl)
	s.send(createJSON(tbl))
	s.opened()
}

func TestAHangingStreamEndsWithItsClientAndWithTheServer(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl))
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Closing, Do: zerobustest.Stall()})
	conn := dial(t, srv)
	s := authorized(t, srv, conn, tbl)
	s.send(createJSON(tbl))
	s.opened()
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	s.cancel()
	s.wantCode(codes.Canceled, "")
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Stall()})
	s = authorized(t, srv, conn, tbl)
	s.send(createJSON(tbl)) // Close must not wait for it
}

func TestEndDropAndRestart(t *testing.T) {
	// Restart listens at the same address again. On the network, another program could have taken the port meanwhile.
	srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.InMemory(), zerobustest.Token("mine"))
	conn := dial(t, srv, grpc.WithContextDialer(srv.Dial))
	open := func() *rawClient {
		t.Helper()
		s := openStream(t, conn, "authorization", "Bearer mine", "x-databricks-zerobus-table-name", tbl)
		s.send(createJSON(tbl))
		s.opened()
		return s
	}
	s := open()
	srv.End(tbl, zerobustest.Status(codes.PermissionDenied, "gone"))
	s.wantCode(codes.PermissionDenied, "gone")

	s = open()
	srv.DropConnections()
	s.wantCode(codes.Unavailable, "")

	s = open()
	if err := srv.Restart(false, 0); err != nil {
		t.Fatal(err)
	}
	s.wantCode(codes.Unavailable, "")

	s = open()
	restarted := make(chan error, 1)
	go func() { restarted <- srv.Restart(true, 0) }()
	s.send(ingest(jsonRecord, 0, `{"n":1}`)) // a graceful one lets the stream go on
	s.want("12020800")
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	s.wantCode(codes.OK, "")
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	open()
	if n := srv.Stats().Connections; n != 4 {
		t.Errorf("%d connections, want 4", n)
	}
}

func TestLifetimeSignalsAndThenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.InMemory(), zerobustest.Token("mine"),
			zerobustest.Lifetime(time.Hour, time.Second+500*time.Millisecond, zerobustest.EOF()))
		conn := dial(t, srv, grpc.WithContextDialer(srv.Dial))
		s := openStream(t, conn, "authorization", "Bearer mine", "x-databricks-zerobus-table-name", tbl)
		s.send(createJSON(tbl))
		s.opened()
		began := time.Now()
		s.want(goldenSignal)
		if d := time.Since(began); d != time.Hour {
			t.Errorf("the notice came after %v, want an hour", d)
		}
		if _, err := s.recv(); err != io.EOF {
			t.Errorf("after the notice: %v, want EOF", err)
		}
		if d := time.Since(began); d != time.Hour+1500*time.Millisecond {
			t.Errorf("it ended after %v, want 1.5 s behind the notice", d)
		}
	})
}

func TestLifetimeMayEndWithADroppedConnection(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.Lifetime(time.Millisecond, 0, zerobustest.Drop()))
	s := authorized(t, srv, dial(t, srv), tbl)
	s.send(createJSON(tbl))
	s.wantCode(codes.Unavailable, "")
}

// A server that does not read lets a client send no more than the window.
func TestASlowReaderHoldsUpItsClient(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl), zerobustest.Window(64<<10))
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.Stall()})
	s := authorized(t, srv, dial(t, srv), tbl)
	s.send(createJSON(tbl))
	s.opened()
	rec := ingest(jsonRecord, 0, strings.Repeat("x", 1<<20))
	sent := make(chan error, 1)
	go func() {
		var err error
		for range 64 { // more than all buffers between them
			if err = s.SendMsg(rec); err != nil {
				break
			}
		}
		sent <- err
	}()
	for srv.Stats().Requests == 0 {
		runtime.Gosched()
	}
	s.cancel()
	if err := <-sent; err == nil {
		t.Error("64 MiB were sent to a server that does not read")
	}
	s.wantCode(codes.Canceled, "")
}

func TestErrorDetailsReachTheClient(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl))
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Status(codes.InvalidArgument, "no", &errdetails.ErrorInfo{Reason: "BECAUSE"})})
	s := authorized(t, srv, dial(t, srv), tbl)
	s.send(createJSON(tbl))
	d := s.wantCode(codes.InvalidArgument, "no").Details()
	if len(d) != 1 {
		t.Fatalf("details %v", d)
	}
	if info, ok := d[0].(*errdetails.ErrorInfo); !ok || info.Reason != "BECAUSE" {
		t.Errorf("detail %v", d[0])
	}
}

func TestScript(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(tbl))
	srv.Script(tbl,
		zerobustest.StepFail(codes.Unavailable, "first", 0),
		zerobustest.StepCreate("one", time.Millisecond), zerobustest.StepAck(1, 0), zerobustest.StepSignal(1500*time.Millisecond, 0), zerobustest.StepFail(codes.Internal, "enough", 0), zerobustest.StepAck(7, 0),
		zerobustest.StepCreate("two", 0))
	conn := dial(t, srv)
	s := authorized(t, srv, conn, tbl)
	s.send(createJSON(tbl))
	s.wantCode(codes.Unavailable, "first")

	s = authorized(t, srv, conn, tbl)
	s.send(createJSON(tbl))
	if id := s.opened(); id != "one" {
		t.Errorf("stream id %q", id)
	}
	for i := range int64(4) {
		s.send(ingest(jsonRecord, i, `{}`))
	}
	s.want("12020801", goldenSignal)
	s.wantCode(codes.Internal, "enough")

	for _, want := range []string{"two", ""} { // the ack of 7 is skipped; what follows has an id of its own
		s = authorized(t, srv, conn, tbl)
		s.send(createJSON(tbl))
		if id := s.opened(); want != "" && id != want || id == "" {
			t.Errorf("stream id %q, want %q", id, want)
		}
	}
}
