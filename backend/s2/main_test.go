package s2_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/internal/waiting"
)

func TestMain(m *testing.M) {
	if os.Getenv(serverMark) != "" {
		if err := serveBench(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	waiting.AtOnce(12)
	goleak.VerifyTestMain(m)
}
