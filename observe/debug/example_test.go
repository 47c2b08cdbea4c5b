package debug_test

import (
	"log"
	"net/http"

	"github.com/headrace/headrace/observe"
	"github.com/headrace/headrace/observe/debug"
)

func ExampleHandler() {
	reg := observe.NewRegistry() // give reg.Producer(name) to producers and reg.Consumer(name) to consumers
	http.Handle("/debug/headrace/", debug.Handler(reg))
	log.Fatal(http.ListenAndServe("localhost:6060", nil))
}
