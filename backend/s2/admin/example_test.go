package admin_test

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

func ExampleBasin_Streams() {
	srv, err := s2test.Start(s2test.Basin("my-basin-1", false))
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx := context.Background()
	basin := admin.New(srv.Client()).Basin("my-basin-1")
	for _, name := range []string{"orders/eu", "orders/us", "users"} {
		if _, err := basin.CreateStream(ctx, name, s2.StreamConfig{}); err != nil {
			log.Fatal(err)
		}
	}
	for info, err := range basin.Streams(ctx, admin.List{Prefix: "orders/"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(info.Name)
	}
	// Output:
	// orders/eu
	// orders/us
}
