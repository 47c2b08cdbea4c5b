package s2

// A StorageClass says how a stream's records are stored.
type StorageClass string

// The storage classes.
const (
	Standard StorageClass = "standard"
	Express  StorageClass = "express"
)

// A TimestampMode says where records get their times from.
type TimestampMode string

// The timestamp modes.
const (
	ClientPrefer  TimestampMode = "client-prefer"  // that of the record, else of its arrival
	ClientRequire TimestampMode = "client-require" // that of the record, without which it is refused
	Arrival       TimestampMode = "arrival"        // that of its arrival
)

// A Cipher says how the streams of a basin are encrypted.
type Cipher string

// The ciphers.
const (
	Aegis256  Cipher = "aegis-256"
	AES256GCM Cipher = "aes-256-gcm"
)

// An Operation is what an access token may be allowed to do.
type Operation string

// The operations.
const (
	OpListBasins         Operation = "list-basins"
	OpCreateBasin        Operation = "create-basin"
	OpDeleteBasin        Operation = "delete-basin"
	OpReconfigureBasin   Operation = "reconfigure-basin"
	OpGetBasinConfig     Operation = "get-basin-config"
	OpIssueAccessToken   Operation = "issue-access-token"
	OpRevokeAccessToken  Operation = "revoke-access-token"
	OpListAccessTokens   Operation = "list-access-tokens"
	OpListStreams        Operation = "list-streams"
	OpCreateStream       Operation = "create-stream"
	OpDeleteStream       Operation = "delete-stream"
	OpGetStreamConfig    Operation = "get-stream-config"
	OpReconfigureStream  Operation = "reconfigure-stream"
	OpCheckTail          Operation = "check-tail"
	OpAppend             Operation = "append"
	OpRead               Operation = "read"
	OpTrim               Operation = "trim"
	OpFence              Operation = "fence"
	OpAccountMetrics     Operation = "account-metrics"
	OpBasinMetrics       Operation = "basin-metrics"
	OpStreamMetrics      Operation = "stream-metrics"
	OpListLocations      Operation = "list-locations"
	OpGetDefaultLocation Operation = "get-default-location"
	OpSetDefaultLocation Operation = "set-default-location"
)

// A MetricSet is what is measured.
type MetricSet string

// The metric sets. The first two are of an account, the others of a basin; a stream has the last alone.
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
