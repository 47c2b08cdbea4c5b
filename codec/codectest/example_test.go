package codectest_test

import (
	"strconv"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/codectest"
)

var decimal = codec.Func("text/plain",
	func(dst []byte, v int) ([]byte, error) { return strconv.AppendInt(dst, int64(v), 10), nil },
	func(src []byte) (int, error) { return strconv.Atoi(string(src)) })

// A codec of your own, checked in a test of your own.
func Example() {
	var t *testing.T // the one of a function TestDecimal(t *testing.T)

	codectest.Run(t, decimal, 0, -1, 1<<30)
}

func TestDecimal(t *testing.T) { codectest.Run(t, decimal, 0, -1, 1<<30) }
