package postgres

// The statements by which a listener waits for older transactions.
const (
	NextSQL  = nextSQL
	EndedSQL = endedSQL
)

// The statement of a reader, and the largest limit that it is called with.
const (
	ReadSQL     = readSQL
	ReadRecords = readRecords
)
