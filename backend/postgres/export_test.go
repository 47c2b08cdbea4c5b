package postgres

// The statements by which a listener waits for older transactions.
const (
	NextSQL  = nextSQL
	EndedSQL = endedSQL
)
