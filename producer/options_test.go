package producer_test

import (
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

func TestNewSaysWhatIsNil(t *testing.T) {
	for want, c := range map[string]struct {
		sink  backend.Sink
		codec codec.Codec[string]
		opts  []producer.Option
	}{
		"the sink is nil":  {codec: text()},
		"the codec is nil": {sink: memory.New()},
		"Logger(nil)":      {sink: memory.New(), codec: text(), opts: []producer.Option{producer.Logger(nil)}},
	} {
		p, err := producer.New(t.Context(), c.sink, c.codec, c.opts...)
		if p != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
