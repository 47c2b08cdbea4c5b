package zerobus_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

const (
	secret = `hunter2"\ and more`
	bearer = "tok-0123456789"
)

// wantHidden checks that an error, and every error that errors.As finds in it, hides both secrets.
func wantHidden(t *testing.T, err error) {
	t.Helper()
	var said *zerobus.Error
	var refused *zerobus.TokenError
	texts := []string{err.Error()}
	if errors.As(err, &said) {
		texts = append(texts, said.Message, said.Reason, said.ErrorCode)
		texts = append(texts, said.Causes...)
	}
	if errors.As(err, &refused) {
		texts = append(texts, refused.Code)
		if refused.Err != nil {
			texts = append(texts, refused.Err.Error())
		}
	}
	for _, s := range texts {
		if strings.Contains(s, "hunter2") || strings.Contains(s, bearer) || strings.Contains(s, "aWQ6aHVudGVyM") {
			t.Errorf("%q shows a secret", s)
		}
	}
}

// echo is the text of a service that repeats the request.
func echo(code codes.Code) zerobustest.Effect {
	const all = "authorization: Bearer " + bearer + " of id:" + secret
	return zerobustest.Status(code, all, &errdetails.ErrorInfo{
		Reason: all, Metadata: map[string]string{"causes": all + "," + bearer, "error_code": bearer},
	})
}

func TestAServiceThatRepeatsTheCredentials(t *testing.T) {
	srv := serve(t, zerobustest.Token(bearer))
	c := config(srv)
	c.ClientSecret = secret
	own := zerobus.Headers(zerobus.HeadersFunc(func(_ context.Context, name string) (map[string]string, error) {
		return map[string]string{"Authorization": "Bearer " + bearer, "x-key": secret, "x-short": "a", "x-databricks-zerobus-table-name": name}, nil
	}))
	for name, sink := range map[string]*zerobus.Sink{"OAuth": clientOf(c).Table(table), "headers": clientOf(c, own).Table(table)} {
		t.Run(name, func(t *testing.T) {
			srv.Heal()
			srv.InjectToken(zerobustest.TokenFault{Times: -1, Body: `{"access_token":"` + bearer + `","token_type":"Bearer","expires_in":3600}`})
			srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: echo(codes.FailedPrecondition)})
			_, err := sink.NewAppender(jsonFormat).Open(limited(t))
			wantIs(t, err, backend.ErrTransient)
			wantHidden(t, err)
			if !strings.Contains(err.Error(), "authorization: ") {
				t.Errorf("%v: the rest is hidden too", err)
			}
			s := open(t, sink)
			srv.End(table, echo(codes.PermissionDenied))
			_, err = s.Recv(limited(t))
			wantIs(t, err, backend.ErrUnauthorized)
			wantHidden(t, err)
			srv.Script(table, zerobustest.StepCreate(bearer, 0)) // as the name of the stream
			s = open(t, sink)
			wantHidden(t, s.Send(limited(t), 7, records(`{}`)))
		})
	}
}

func TestCredentialsThatAreWordsLeaveMessagesAndCodesAlone(t *testing.T) {
	for _, short := range []string{"air", "invalid", "SCHEMA_VALIDATION_FAILED"} {
		srv := serve(t)
		c := config(srv)
		c.ClientSecret = short
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Status(codes.InvalidArgument, "invalid row of main.air.readings",
			&errdetails.ErrorInfo{Reason: "SCHEMA_VALIDATION_FAILED", Metadata: map[string]string{"causes": "TYPE_INCOMPATIBLE", "error_code": "8001"}})})
		err := openWith(t, c)
		var said *zerobus.Error
		if !errors.As(err, &said) || said.Message != "invalid row of main.air.readings" || said.Reason != "SCHEMA_VALIDATION_FAILED" || said.ErrorCode != "8001" {
			t.Errorf("secret %q: %v", short, err)
		}
	}
}

func TestATokenEndpointThatRepeatsTheCredentials(t *testing.T) {
	const basic = "Basic aWQ6aHVudGVyMiJcIGFuZCBtb3Jl"
	for name, body := range map[string]string{
		"code":        `{"error":"` + `hunter2\"\\ and more` + `"}`,
		"header":      `{"error":"` + basic + `"}`,
		"description": `{"error":"invalid_client","error_description":"` + basic + `","error_uri":"https://x/?` + basic + `"}`,
		"no JSON":     "no entry with " + basic + " and " + secret,
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t)
			srv.InjectToken(zerobustest.TokenFault{Status: 401, Body: body})
			c := config(srv)
			c.ClientSecret = secret
			err := openWith(t, c)
			wantIs(t, err, backend.ErrUnauthorized)
			wantHidden(t, err)
		})
	}
	t.Run("no HTTP", func(t *testing.T) {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(c, basic+" "+secret+"\r\n\r\n")
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		})
		t.Cleanup(func() { _ = l.Close(); wg.Wait() })
		c := zerobus.Config{Endpoint: "http://127.0.0.1:1", UnityCatalog: "http://" + l.Addr().String(), ClientID: "id", ClientSecret: secret}
		_, err = clientOf(c).Table(table).NewAppender(jsonFormat).Open(limited(t))
		wantIs(t, err, backend.ErrTransient)
		if wantHidden(t, err); !strings.Contains(err.Error(), "[hidden]") {
			t.Errorf("%v: it is not what was said", err)
		}
	})
}
