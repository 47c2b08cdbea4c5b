package codec_test

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/headrace/headrace/codec"
)

type Reading struct {
	Sensor  string  `json:"sensor"`
	Celsius float64 `json:"celsius"`
	Tags    []string
}

func ExampleJSON() {
	c := codec.JSON[Reading]()
	b, err := c.AppendEncode(nil, Reading{Sensor: "roof <1>", Celsius: 21.5})
	fmt.Println(string(b), err)

	v, err := c.Decode(b)
	fmt.Println(v.Sensor, v.Celsius, err)
	// Output:
	// {"sensor":"roof <1>","celsius":21.5,"Tags":[]} <nil>
	// roof <1> 21.5 <nil>
}

func ExampleBytes() {
	c := codec.Bytes()
	b, _ := c.AppendEncode([]byte("header "), []byte("payload"))
	fmt.Println(string(b))
	// Output: header payload
}

func ExampleString() {
	_, err := codec.String().AppendEncode(nil, "\xff")
	fmt.Println(err)
	// Output: codec: string: encode: not valid UTF-8 (use Bytes for values that are not text)
}

// A format of your own is two functions.
func ExampleFunc() {
	c := codec.Func("application/octet-stream",
		func(dst []byte, v uint64) ([]byte, error) { return binary.BigEndian.AppendUint64(dst, v), nil },
		func(src []byte) (uint64, error) {
			if len(src) != 8 {
				return 0, fmt.Errorf("%d bytes, want 8", len(src))
			}
			return binary.BigEndian.Uint64(src), nil
		})
	b, _ := c.AppendEncode(nil, 258)
	v, err := c.Decode(b)
	fmt.Println(b, v, err)
	_, err = c.Decode(b[1:])
	fmt.Println(err)
	// Output:
	// [0 0 0 0 0 0 1 2] 258 <nil>
	// codec: func: decode: 7 bytes, want 8
}

// A codec without a decode function is for streams that this program only writes.
func ExampleFunc_writeOnly() {
	c := codec.Func[string]("text/plain", func(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }, nil)
	_, err := c.Decode([]byte("a"))
	fmt.Println(errors.Is(err, errors.ErrUnsupported))
	// Output: true
}

func ExampleValidate() {
	c := codec.Validate(codec.JSON[Reading](), func(r Reading) error {
		if r.Celsius < -273.15 {
			return errors.New("colder than possible")
		}
		return nil
	})
	_, err := c.AppendEncode(nil, Reading{Celsius: -300})
	var invalid *codec.InvalidError
	fmt.Println(errors.As(err, &invalid), err)
	// Output: true codec: invalid value: colder than possible
}

// Event is what the records of a stream say. Each kind of event is a type of its own.
type Event interface{ isEvent() }

type OrderPlaced struct {
	Item string `json:"item"`
}

type OrderPaid struct {
	Cents int `json:"cents"`
}

func (OrderPlaced) isEvent() {}
func (OrderPaid) isEvent()   {}

func ExampleUnion() {
	c := codec.Union("type",
		codec.Case[Event]("order.placed", codec.JSON[OrderPlaced]()),
		codec.Case[Event]("order.paid", codec.JSON[OrderPaid]()))

	b, _ := c.AppendEncode(nil, OrderPaid{Cents: 120})
	h, _ := c.AppendHeaders(nil, OrderPaid{Cents: 120})
	fmt.Printf("%s: %s, %s\n", h[0].Name, h[0].Value, b)

	v, _ := c.DecodeRecord(b, h)
	switch e := v.(type) {
	case OrderPlaced:
		fmt.Println("placed", e.Item)
	case OrderPaid:
		fmt.Println("paid", e.Cents)
	}
	// Output:
	// type: order.paid, {"cents":120}
	// paid 120
}

// The name of the type is in the bytes where the store keeps no headers.
func ExampleEnvelope() {
	c := codec.Envelope(
		codec.Case[Event]("order.placed", codec.JSON[OrderPlaced]()),
		codec.Case[Event]("order.paid", codec.JSON[OrderPaid]()))
	b, _ := c.AppendEncode(nil, OrderPlaced{Item: "pencil"})
	fmt.Printf("%s\n", b)

	_, err := c.Decode([]byte(`{"type":"order.sent","value":{}}`))
	var unknown *codec.UnknownCaseError
	fmt.Println(errors.As(err, &unknown), err)
	// Output:
	// {"type":"order.placed","value":{"item":"pencil"}}
	// true codec: union: no case has the name "order.sent"
}
