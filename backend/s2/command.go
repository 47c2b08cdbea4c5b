package s2

import (
	"encoding/binary"

	"github.com/headrace/headrace/backend"
)

// FenceRecord makes the command to set the fencing token of a stream. An empty token clears the stream's token. Append the
// record with [Stream.Append], or use [Stream.SetFence].
func FenceRecord(token string) backend.Record { return command("fence", []byte(token)) }

// TrimRecord makes the command to delete the records below seqNum. S2 deletes the records some time after the append.
func TrimRecord(seqNum uint64) backend.Record {
	return command("trim", binary.BigEndian.AppendUint64(nil, seqNum))
}

// command makes a command record: a single header with an empty name, and the name of the command as the value.
func command(name string, body []byte) backend.Record {
	return backend.Record{Headers: backend.Headers{{Value: []byte(name)}}, Value: body}
}

// Command returns the name of the command if r is a command: "fence" or "trim". Otherwise Command returns "".
func Command(r *backend.Record) string {
	if isCommand(r) {
		return string(r.Headers[0].Value)
	}
	return ""
}

func isCommand(r *backend.Record) bool { return len(r.Headers) == 1 && r.Headers[0].Name == "" }
