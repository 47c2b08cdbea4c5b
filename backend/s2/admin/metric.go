package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/internal/names"
)

// A MetricQuery selects a set of metrics from Start to End.
type MetricQuery struct {
	Set        MetricSet
	Start, End time.Time
	Interval   Interval // "" where the set has only one
}

// A Metric is a series of samples, one value, or a list of labels.
type Metric struct {
	Kind     string // "scalar", "accumulation", "gauge" or "label"
	Name     string
	Unit     string // "bytes" or "operations"
	Interval Interval
	Samples  []Sample // a scalar has one sample, without a time
	Labels   []string
}

// A Sample is a value at a time.
type Sample struct {
	Time  time.Time
	Value float64
}

// Metrics returns metrics of the account.
func (a *Admin) Metrics(ctx context.Context, q MetricQuery) ([]Metric, error) {
	return q.fetch(ctx, a.client, "account", "metrics")
}

// Metrics returns metrics of the basin.
func (b *Basin) Metrics(ctx context.Context, q MetricQuery) ([]Metric, error) {
	if err := names.CheckBasin(b.name); err != nil {
		return nil, refused("metrics of basin", err)
	}
	return q.fetch(ctx, b.client, "basin "+b.name, "metrics", b.name)
}

// StreamMetrics returns metrics of a stream.
func (b *Basin) StreamMetrics(ctx context.Context, stream string, q MetricQuery) ([]Metric, error) {
	if err := names.CheckStream(b.name, stream); err != nil {
		return nil, refused("metrics of stream", err)
	}
	return q.fetch(ctx, b.client, "stream "+stream, "metrics", b.name, stream)
}

func (q MetricQuery) fetch(ctx context.Context, c *s2.Client, of string, path ...string) ([]Metric, error) {
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
	out, err := call[struct {
		Values []Metric `json:"values"`
	}](ctx, c, s2.Request{Op: "metrics of " + of, Method: http.MethodGet, Path: path, Query: query})
	return out.Values, err
}

// UnmarshalJSON reads an object with a single field, named after the kind.
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
	return errors.New("a metric without a kind")
}
