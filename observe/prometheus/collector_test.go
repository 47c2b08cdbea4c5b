package prometheus_test

import (
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/observe"
	headraceprom "github.com/headrace/headrace/observe/prometheus"
	"github.com/headrace/headrace/producer"
)

func observed(t *testing.T) *observe.Registry {
	t.Helper()
	reg := observe.NewRegistry()
	stream := memory.New()
	p, err := producer.New(t.Context(), stream, codec.String(), reg.Producer("orders"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(t.Context(), "a", "b", "c"); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := consumer.New(stream, codec.String(), reg.Consumer("billing"), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	reg.Server("dev", func() observe.Server {
		return observe.Server{Calls: map[observe.Call]int64{{Name: "append", Status: "200"}: 4, {Name: "read", Status: "404"}: 1}, Bytes: 7}
	})
	return reg
}

func TestNumbersOfTheRegistryAreExported(t *testing.T) {
	got := headraceprom.New(observed(t))
	want := `
# HELP headrace_consumer_records_done_total Records that are done.
# TYPE headrace_consumer_records_done_total counter
headrace_consumer_records_done_total{consumer="billing"} 3
# HELP headrace_producer_batches_sent_total Batches sent for the first time, by the reason why each one ended.
# TYPE headrace_producer_batches_sent_total counter
headrace_producer_batches_sent_total{cause="close",producer="orders"} 0
headrace_producer_batches_sent_total{cause="flush",producer="orders"} 0
headrace_producer_batches_sent_total{cause="full",producer="orders"} 0
headrace_producer_batches_sent_total{cause="linger",producer="orders"} 0
headrace_producer_batches_sent_total{cause="wanted",producer="orders"} 1
# HELP headrace_producer_records_acked_total Records that are durable.
# TYPE headrace_producer_records_acked_total counter
headrace_producer_records_acked_total{producer="orders"} 3
# HELP headrace_server_calls_total Calls that have ended, by name and status.
# TYPE headrace_server_calls_total counter
headrace_server_calls_total{call="append",server="dev",status="200"} 4
headrace_server_calls_total{call="read",server="dev",status="404"} 1
# HELP headrace_server_stored_bytes_total Bytes stored.
# TYPE headrace_server_stored_bytes_total counter
headrace_server_stored_bytes_total{server="dev"} 7
`
	err := testutil.CollectAndCompare(got, strings.NewReader(want),
		"headrace_consumer_records_done_total", "headrace_producer_batches_sent_total", "headrace_producer_records_acked_total",
		"headrace_server_calls_total", "headrace_server_stored_bytes_total")
	if err != nil {
		t.Error(err)
	}
}

func TestTheCollectorIsConsistent(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(headraceprom.New(observed(t))); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) < 20 {
		t.Errorf("%d metrics", len(families))
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// Every metric is in the operator's guide.
func TestEveryMetricIsDocumented(t *testing.T) {
	guide, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc, 100)
	headraceprom.New(observe.NewRegistry()).Describe(descs)
	close(descs)
	for d := range descs {
		name := strings.Split(d.String(), `"`)[1]
		if !strings.Contains(string(guide), name) {
			t.Errorf("docs/operations.md does not tell of %s", name)
		}
	}
}
