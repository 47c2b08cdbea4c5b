package codec

import "github.com/go-json-experiment/json"

// A JSONOption changes what [JSON] accepts when it decodes. No option changes what JSON writes.
type JSONOption func() json.Options

// RejectUnknown refuses an object with a member that T has no field for. Without this option such members are ignored, so that a
// consumer from before a new field still reads the records.
func RejectUnknown() JSONOption {
	return func() json.Options { return json.RejectUnknownMembers(true) }
}

// IgnoreCase lets a member fill a field whose name differs only in case, in dashes and in underscores: "ID" fills `json:"id"`, as in
// encoding/json. An exact match still goes first.
func IgnoreCase() JSONOption {
	return func() json.Options { return json.MatchCaseInsensitiveNames(true) }
}
