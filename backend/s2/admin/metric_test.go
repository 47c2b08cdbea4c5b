package admin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

func TestMetrics(t *testing.T) {
	ctx := t.Context()
	srv := s2test.New(t, s2test.Basin(basinName, true))
	c := dial(t, srv)
	put(t, srv.Client().Basin(basinName).Stream("measured"), "12345", "67")
	q := admin.MetricQuery{Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Minute)}
	q.Set = "active-basins"
	got, err := c.Metrics(ctx, q)
	if err != nil || len(got) != 1 || got[0].Kind != "label" || !slices.Equal(got[0].Labels, []string{basinName}) {
		t.Errorf("active basins %+v, %v", got, err)
	}
	q.Set, q.Interval = "append-throughput", "minute"
	got, err = c.Basin(basinName).Metrics(ctx, q)
	if err != nil || len(got) != 2 || got[1].Kind != "accumulation" || got[1].Unit != "bytes" || got[1].Interval != "minute" || len(got[1].Samples) != 1 ||
		got[1].Samples[0].Value != 8+5+8+2 || got[1].Samples[0].Time.Unix()%60 != 0 {
		t.Errorf("append throughput %+v, %v", got, err)
	}
	q.Set, q.Interval = "storage", ""
	got, err = c.Basin(basinName).StreamMetrics(ctx, "measured", q)
	if err != nil || len(got) != 1 || got[0].Kind != "gauge" || len(got[0].Samples) != 1 || got[0].Samples[0].Value != 23 {
		t.Errorf("storage %+v, %v", got, err)
	}
	q.Set = "nonsense"
	if _, err := c.Metrics(ctx, q); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown set: %v", err)
	}
	var m admin.Metric
	check(t, m.UnmarshalJSON([]byte(`{"scalar":{"name":"n","unit":"operations","value":3}}`)))
	if m.Kind != "scalar" || len(m.Samples) != 1 || m.Samples[0].Value != 3 {
		t.Errorf("a scalar is %+v", m)
	}
	if m.UnmarshalJSON([]byte(`{}`)) == nil {
		t.Error("a metric of no kind is taken")
	}
}
