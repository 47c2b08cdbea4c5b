package prometheus_test

import (
	"log"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/headrace/headrace/observe"
	headraceprom "github.com/headrace/headrace/observe/prometheus"
)

func ExampleNew() {
	reg := observe.NewRegistry() // give reg.Producer(name) to producers and reg.Consumer(name) to consumers
	prometheus.MustRegister(headraceprom.New(reg))
	http.Handle("/metrics", promhttp.Handler())
	log.Fatal(http.ListenAndServe("localhost:9100", nil))
}
