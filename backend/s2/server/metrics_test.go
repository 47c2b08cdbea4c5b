package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/s2/s2test"
)

func TestMetricsHaveTheShapesOfTheirSets(t *testing.T) {
	c := newClock() // 20 s into a minute, 13 minutes into an hour, 22 hours into a day
	p := start(t, s2test.Clock(c.now))
	p.append("s", `{"body":"0123456789"},{"body":"0123456789"}`) // 18 metered bytes each
	c.move(time.Minute)
	p.append("s", `{"body":"0123456789"}`)
	p.want(200, "", "GET", "/streams/s/records?seq_num=0", "")
	r := p.readSession("s", "seq_num=0&count=3")
	if _, _, err := r.frame(); err != nil {
		t.Fatal(err)
	}
	r.wantEnd()

	now := c.now().Unix()
	minute := now - now%60
	span := fmt.Sprintf("&start=%d&end=%d", now-3600, now)
	accumulation := func(name, unit, interval string, values string) string {
		return fmt.Sprintf(`{"accumulation":{"name":%q,"unit":%q,"interval":%q,"values":%s}}`, name, unit, interval, values)
	}
	for path, want := range map[string]string{
		"?set=active-basins":              `{"label":{"name":"active-basins","values":["test-basin"]}}`,
		"/test-basin?set=storage":         fmt.Sprintf(`{"gauge":{"name":"storage","unit":"bytes","values":[[%d,54]]}}`, now),
		"/test-basin/s?set=storage":       fmt.Sprintf(`{"gauge":{"name":"storage","unit":"bytes","values":[[%d,54]]}}`, now),
		"/test-basin?set=read-ops":        accumulation("streaming", "operations", "minute", fmt.Sprintf("[[%d,1]]", minute)) + "," + accumulation("unary", "operations", "minute", fmt.Sprintf("[[%d,1]]", minute)),
		"/test-basin?set=read-throughput": accumulation("read-throughput", "bytes", "minute", fmt.Sprintf("[[%d,108]]", minute)),
		"/test-basin?set=append-ops": accumulation("standard", "operations", "minute", "[]") + "," +
			accumulation("express", "operations", "minute", fmt.Sprintf("[[%d,1],[%d,1]]", minute-60, minute)),
		"/test-basin?set=append-throughput&interval=hour": accumulation("standard", "bytes", "hour", "[]") + "," +
			accumulation("express", "bytes", "hour", fmt.Sprintf("[[%d,54]]", now-now%3600)),
		"/test-basin?set=append-throughput&interval=day": accumulation("standard", "bytes", "day", "[]") + "," +
			accumulation("express", "bytes", "day", fmt.Sprintf("[[%d,54]]", now-now%86400)),
	} {
		p.want(200, `{"values":[`+want+`]}`, "GET", "/metrics"+path+span, "")
	}
	p.want(200, `"account-ops","unit":"operations","interval":"minute"`, "GET", "/metrics?set=account-ops"+span, "")
	p.want(200, `"basin-ops","unit":"operations"`, "GET", "/metrics/test-basin?set=basin-ops"+span, "")
}

func TestMetricsRefuseWhatTheyCannotAnswer(t *testing.T) {
	c := newClock()
	p := start(t, s2test.Clock(c.now))
	p.append("s", `{"body":"a"}`)
	now := c.now().Unix()
	span := func(from, to int64) string { return fmt.Sprintf("&start=%d&end=%d", now+from, now+to) }
	for path, status := range map[string]int{
		"?set=active-basins":                                       422, // no span
		fmt.Sprintf("?set=active-basins&start=%d", now):            422,
		"?set=active-basins" + span(0, -1):                         422, // it ends before it starts
		"?set=active-basins" + span(0, 61):                         422, // in the future
		"?set=active-basins" + span(-30*86400-1, 0):                422, // too long
		"?set=active-basins&start=x&end=y":                         400,
		"?set=no-such-set" + span(-60, 0):                          400,
		"?set=account-ops&interval=week" + span(-60, 0):            400,
		"/test-basin?set=storage&interval=minute" + span(-60, 0):   422,
		"/test-basin/s?set=storage&interval=hour" + span(-60, 0):   422,
		"/test-basin/s?set=append-ops" + span(-60, 0):              400, // of basins
		"/no-such-basin?set=storage" + span(-60, 0):                404,
		"/test-basin/no-such-stream?set=storage" + span(-60, 0):    404,
		"?set=active-basins" + span(0, 60):                         200,
		"?set=active-basins" + span(-30*86400, 0):                  200,
		"/test-basin?set=storage&interval=hour" + span(-60, 0):     200,
		"/test-basin/s?set=storage&interval=minute" + span(-60, 0): 200,
	} {
		p.want(status, "", "GET", "/metrics"+path, "")
	}
	p.want(200, `{"values":[]}`, "GET", "/metrics?set=active-basins"+span(-60, -60), "")
}
