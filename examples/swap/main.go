// Swap shows one function on two backends: main runs the function on a file, and the test runs it on memory.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend/bolt"
)

func main() {
	log.SetFlags(0)
	file := flag.String("file", "swap.db", "where the stream lies")
	flag.Parse()
	if err := run(*file); err != nil {
		log.Fatal(err)
	}
}

func run(file string) error {
	db, err := bolt.Open(file)
	if err != nil {
		return err
	}
	defer db.Close()
	total, err := Transfer(context.Background(), db.Stream("payments"), 25, 50, 75)
	if err != nil {
		return err
	}
	fmt.Printf("%d cents were paid into %s so far\n", total, file)
	return nil
}
