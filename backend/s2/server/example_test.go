package server_test

import (
	"context"
	"log"

	"github.com/headrace/headrace/backend/s2/server"
)

// A program of its own that serves S2 from a file until it is stopped.
func Example() {
	s, err := server.New(server.Config{Data: "s2.db", Token: "secret"})
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Start("127.0.0.1:4243"); err != nil {
		log.Fatal(err)
	}
	log.Println("S2 is served at", s.URL())
	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}
