package consumer_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// Records 0 to 9 are read within a second, and finished one an hour.
func TestLagIsTheAgeOfWhatIsNotDone(t *testing.T) {
	loops := map[string]func(t *testing.T, c *consumer.Consumer[int], each func(int)){
		"Messages": func(t *testing.T, c *consumer.Consumer[int], each func(int)) {
			for m, err := range c.Messages(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				each(m.Value)
			}
		},
		"Pipe": func(t *testing.T, c *consumer.Consumer[int], each func(int)) {
			err := c.Pipe(t.Context(), func(_ context.Context, m consumer.Message[int]) (producer.Receipt, error) {
				each(m.Value)
				return producer.Resolved("", nil), nil
			})
			if err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, loop := range loops {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := count(t, 0)
				for i := range 10 {
					appendNumbers(t, s, i, i+1)
					<-time.After(time.Minute)
				}
				c := newConsumer(t, s, consumer.StopAtTail())
				loop(t, c, func(i int) {
					elapse(time.Hour)
					written := s.Records()[i].Time
					if got, want := c.Stats().Lag.Age, time.Since(written); got != want {
						t.Errorf("with record %d in hand: lag %v, want its age %v", i, got, want)
					}
				})
				if st := c.Stats(); !st.Lag.CaughtUp || st.Lag.Age != 0 || st.Lag.Records != 0 {
					t.Errorf("lag %v with everything done", st.Lag)
				}
			})
		})
	}
}

func TestLagOfAReadCountsWhatWasReadBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := count(t, 1)
		var lags []time.Duration
		c := newConsumer(t, s, consumer.Observe(consumer.Hooks{BatchRead: func(e consumer.ReadEvent) {
			if e.Records > 0 {
				lags = append(lags, e.Lag)
			}
		}}))
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Value == 2 {
				break
			}
			elapse(time.Hour)
			appendNumbers(t, s, m.Value+1, m.Value+2)
			synctest.Wait()
		}
		// The second batch comes while record 0, an hour old, is in hand; so it goes on.
		if len(lags) != 3 || lags[0] != 0 || lags[1] != time.Hour || lags[2] != time.Hour {
			t.Errorf("lags %v, want the age of the record in hand and not of what was just read", lags)
		}
	})
}

func TestStalledReadingIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		opts []consumer.Option
		end  bool
		want string
	}{
		"window":        {[]consumer.Option{consumer.BufferBytes(300)}, false, "reading has stopped"},
		"end of stream": {nil, true, "waits at its end"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				src := newScript()
				for i := range 10 {
					src.add(recs(i, i+1))
				}
				if tc.end {
					src.add(step{read: io.EOF})
				}
				c := newConsumer(t, src, append(tc.opts, consumer.ManualAck(),
					consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))...)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Second)
				defer cancel()
				for m, err := range c.Messages(ctx) {
					if err == nil && m.Value == 0 {
						m.Ack() // record 1 is forgotten
					}
				}
				if n := strings.Count(log.String(), tc.want); n != 5 || !strings.Contains(log.String(), "oldest=1 ") {
					t.Errorf("%d warnings in 5 minutes, want one a minute with the oldest offset:\n%s", n, log.String())
				}
			})
		})
	}
}

func TestSlowBodyIsNotCalledStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c := newConsumer(t, count(t, 3), consumer.BufferBytes(1), consumer.StopAtTail(),
			consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		for _, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			elapse(time.Hour)
		}
		if strings.Contains(log.String(), "WARN") {
			t.Errorf("warned of a body at work:\n%s", log.String())
		}
	})
}
