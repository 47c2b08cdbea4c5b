package histories

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
)

// A kind says what becomes of a value.
type kind byte

const (
	plain    kind = 'v'
	poison   kind = 'p' // the codec cannot decode it
	unwanted kind = 'u' // the sink refuses it
	rejected kind = 'r' // the destination of a Pipe refuses it
	large    kind = 'l' // Enqueue refuses it
)

// A value is the n-th one that a sender made.
type value struct {
	sender, n int
	kind      kind
	fill      []byte
}

func (v value) id() string { return fmt.Sprintf("%d/%d", v.sender, v.n) }

var errPoison = errors.New("poison")

var values = codec.Func("application/x-history", encode, decode)

func encode(dst []byte, v value) ([]byte, error) {
	return append(fmt.Appendf(dst, "%c/%d/%d/", v.kind, v.sender, v.n), v.fill...), nil
}

func decode(src []byte) (value, error) {
	v, err := parse(src)
	if err == nil && v.kind == poison {
		err = errPoison
	}
	return v, err
}

// parse also reads what decode refuses.
func parse(src []byte) (v value, err error) {
	parts := bytes.SplitN(src, []byte("/"), 4)
	if len(parts) != 4 || len(parts[0]) != 1 {
		return v, fmt.Errorf("%.40q is no value of a history", src)
	}
	v.kind, v.fill = kind(parts[0][0]), parts[3]
	sender, errS := strconv.Atoi(string(parts[1]))
	n, errN := strconv.Atoi(string(parts[2]))
	v.sender, v.n = sender, n
	return v, errors.Join(errS, errN)
}

// mustParse is for what was encoded here.
func mustParse(r *backend.Record) value {
	v, err := parse(r.Value)
	if err != nil {
		panic(err)
	}
	return v
}

func idOf(r *backend.Record) string { return mustParse(r).id() }

// place is the number of the record at o. Both backends count their records in decimal from 0, and nothing is trimmed here.
func place(o backend.Offset) int {
	number, _, _ := strings.Cut(string(o), "@") // behind it stands which stream this is
	n, err := strconv.Atoi(number)
	if err != nil {
		panic(fmt.Sprintf("the offset %q is no number", o))
	}
	return n
}

// newDice makes the randomness of one actor, which depends on nobody else's.
func newDice(seed uint64, role string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(role))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func chance(d *rand.Rand, p float64) bool { return d.Float64() < p }

func pick[E any](d *rand.Rand, of ...E) E { return of[d.IntN(len(of))] }
