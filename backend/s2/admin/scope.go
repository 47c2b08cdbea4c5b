package admin

// A Scope is the permission of an access token: the operations of Ops and of OpGroups together, on the given resources. Nil
// resources allow nothing.
type Scope struct {
	Basins       *Resources  `json:"basins,omitempty"`
	Streams      *Resources  `json:"streams,omitempty"`
	AccessTokens *Resources  `json:"access_tokens,omitempty"`
	OpGroups     *OpGroups   `json:"op_groups,omitempty"`
	Ops          []Operation `json:"ops,omitempty"`
}

// Resources select names: a single name, or all names with a prefix.
type Resources struct {
	Exact  *string `json:"exact,omitempty"`
	Prefix *string `json:"prefix,omitempty"`
}

// Exactly selects a single name.
func Exactly(name string) *Resources { return &Resources{Exact: &name} }

// Under selects all names with the prefix. The prefix "" selects all names.
func Under(prefix string) *Resources { return &Resources{Prefix: &prefix} }

// OpGroups allow operations by level.
type OpGroups struct {
	Account *Access `json:"account,omitempty"`
	Basin   *Access `json:"basin,omitempty"`
	Stream  *Access `json:"stream,omitempty"`
}

// Access says whether the reading and the writing operations of a level are allowed.
type Access struct {
	Read  bool `json:"read"`
	Write bool `json:"write"`
}

// An Operation is a call that an access token may allow.
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
