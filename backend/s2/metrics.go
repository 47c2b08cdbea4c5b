package s2

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// A MetricQuery says what to measure, from Start to End.
type MetricQuery struct {
	Set        MetricSet
	Start, End time.Time
	Interval   Interval // "" where the set has one only
}

// A Metric is a series of samples, one value, or a list of labels.
type Metric struct {
	Kind     string // "scalar", "accumulation", "gauge" or "label"
	Name     string
	Unit     string // "bytes" or "operations"
	Interval Interval
	Samples  []Sample // one for a scalar, at no time
	Labels   []string
}

// A Sample is a value at a time.
type Sample struct {
	Time  time.Time
	Value float64
}

// Metrics returns metrics of the account.
func (c *Client) Metrics(ctx context.Context, q MetricQuery) ([]Metric, error) {
	return c.metrics(ctx, "account", q, "metrics")
}

// Metrics returns metrics of the basin.
func (b *Basin) Metrics(ctx context.Context, q MetricQuery) ([]Metric, error) {
	if err := checkBasin(b.name); err != nil {
		return nil, fmt.Errorf("s2: metrics: %w", err)
	}
	return b.client.metrics(ctx, "basin "+b.name, q, "metrics", b.name)
}

// Metrics returns metrics of the stream.
func (s *Stream) Metrics(ctx context.Context, q MetricQuery) ([]Metric, error) {
	if err := s.basin.check(s.name); err != nil {
		return nil, fmt.Errorf("s2: metrics: %w", err)
	}
	return s.client().metrics(ctx, "stream "+s.name, q, "metrics", s.basin.name, s.name)
}

func (c *Client) metrics(ctx context.Context, of string, q MetricQuery, segments ...string) ([]Metric, error) {
	query := url.Values{"set": {string(q.Set)}}
	if !q.Start.IsZero() {
		query.Set("start", strconv.FormatInt(q.Start.Unix(), 10))
	}
	if !q.End.IsZero() {
		query.Set("end", strconv.FormatInt(q.End.Unix(), 10))
	}
	if q.Interval != "" {
		query.Set("interval", string(q.Interval))
	}
	out, _, err := fetch[struct {
		Values []Metric `json:"values"`
	}](ctx, c, &call{op: "metrics of " + of, method: http.MethodGet, url: c.account.at("", segments...), query: query})
	return out.Values, err
}

// UnmarshalJSON reads S2's form: an object with one field, named by the kind.
func (m *Metric) UnmarshalJSON(b []byte) error {
	type series struct {
		Name     string          `json:"name"`
		Unit     string          `json:"unit"`
		Interval Interval        `json:"interval"`
		Value    float64         `json:"value"`
		Values   json.RawMessage `json:"values"`
	}
	var kinds map[string]series
	if err := json.Unmarshal(b, &kinds); err != nil {
		return err
	}
	for kind, s := range kinds {
		*m = Metric{Kind: kind, Name: s.Name, Unit: s.Unit, Interval: s.Interval}
		switch {
		case kind == "scalar":
			m.Samples = []Sample{{Value: s.Value}}
		case kind == "label":
			return json.Unmarshal(s.Values, &m.Labels)
		case s.Values != nil:
			var pairs [][2]float64
			if err := json.Unmarshal(s.Values, &pairs); err != nil {
				return err
			}
			for _, p := range pairs {
				m.Samples = append(m.Samples, Sample{time.Unix(int64(p[0]), 0), p[1]})
			}
		}
		return nil
	}
	return fmt.Errorf("a metric of no kind")
}
