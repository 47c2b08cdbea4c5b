package streamstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
	"github.com/headrace/headrace/checkpoint/streamstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	for name, every := range map[string]int{"records are kept": 0, "records are trimmed at once": 1} {
		t.Run(name, func(t *testing.T) {
			var s *memory.Stream
			open := func() checkpoint.Store {
				if every == 0 {
					return streamstore.New(s)
				}
				return streamstore.New(s, streamstore.Trim(s.Trim, every))
			}
			checkpointtest.Run(t, func(*testing.T) checkpoint.Store {
				s = memory.New()
				return open()
			}, checkpointtest.Reopen(func(*testing.T, checkpoint.Store) checkpoint.Store { return open() }))
		})
	}
}

// Stores of several processes on one stream, one of them trimming, see one order of claims and saves.
func TestContractOfSeveralStoresOnOneStream(t *testing.T) {
	checkpointtest.Run(t, func(*testing.T) checkpoint.Store {
		s := memory.New()
		return &rotating{stores: []checkpoint.Store{
			streamstore.New(s), streamstore.New(s, streamstore.Trim(s.Trim, 200)), streamstore.New(s),
		}}
	})
}

func TestTrimmingKeepsTheStreamSmall(t *testing.T) {
	s := memory.New()
	store := streamstore.New(s, streamstore.Trim(s.Trim, 50))
	idle, err := store.Claim(t.Context(), "idle")
	if err != nil {
		t.Fatal(err)
	}
	cp, err := store.Claim(t.Context(), "busy")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		cp.Offset = backend.Offset(fmt.Sprint(i))
		if err := store.Save(t.Context(), "busy", cp); err != nil {
			t.Fatal(err)
		}
		if s.Len() > 170 {
			t.Fatalf("%d records after %d saves", s.Len(), i)
		}
	}
	if s.Len() < 50 {
		t.Errorf("only %d records are left", s.Len())
	}
	fresh := streamstore.New(s)
	for key, want := range map[string]checkpoint.Checkpoint{"idle": idle, "busy": cp} {
		if got, err := fresh.Load(t.Context(), key); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", key, got, err, want)
		}
	}
}

func TestRecordThatIsNoCheckpointIsCorrupt(t *testing.T) {
	for _, value := range []string{"", "{}", "hello", `{"key":"aw==","version":1,"writer":"w","epoch":1} x`, `{"key":"aw==","version":1,"writer":"w","epoch":1,"ahead":"eA=="}`} {
		s := memory.New()
		session, err := s.NewAppender(backend.Format{}).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Send(t.Context(), 0, []backend.Record{{Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
		if _, err := session.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = session.Close()
		_, err = streamstore.New(s).Load(t.Context(), "orders/billing")
		var corrupt *checkpoint.CorruptError
		if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "orders/billing") {
			t.Errorf("%q: %v", value, err)
		}
	}
}
