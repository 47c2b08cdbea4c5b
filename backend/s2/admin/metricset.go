package admin

// A MetricSet says what to measure.
type MetricSet string

// The metric sets. The first two are of an account, and the others of a basin. A stream has the last only.
const (
	MetricActiveBasins     MetricSet = "active-basins"
	MetricAccountOps       MetricSet = "account-ops"
	MetricAppendOps        MetricSet = "append-ops"
	MetricAppendThroughput MetricSet = "append-throughput"
	MetricReadOps          MetricSet = "read-ops"
	MetricReadThroughput   MetricSet = "read-throughput"
	MetricBasinOps         MetricSet = "basin-ops"
	MetricStorage          MetricSet = "storage"
)

// An Interval is the time between two samples of a metric.
type Interval string

// The intervals.
const (
	EveryMinute Interval = "minute"
	EveryHour   Interval = "hour"
	EveryDay    Interval = "day"
)
