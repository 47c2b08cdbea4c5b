package zerobus

import "github.com/headrace/headrace/backend"

// An appender is what [backend.Pipelined] makes of a streamDialer, with the meter that refuses what a table does not take.
// Pipelined itself has limits without that meter: a producer has already called it for every record, and to look at each
// byte of JSON twice is work.
type appender struct {
	backend.Appender
	kind recordType
}

// Limits are the service's for one request. The bytes around the records do not count: see batchRecords.
func (a appender) Limits() backend.Limits {
	l := a.Appender.Limits()
	l.Size = a.kind.size
	return l
}
