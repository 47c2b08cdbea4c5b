package server

// A StorageOption is an option of [NewMemory] and [OpenBolt].
type StorageOption func(*storageOptions)

type storageOptions struct {
	retain   int64
	volatile bool // units are kept in the streams themselves
}

// Retain keeps about the last n bytes of every stream and drops whole appends before them; a read that asks for what was
// dropped is answered 410. Not given, or 0: everything is kept.
func Retain(n int64) StorageOption { return func(o *storageOptions) { o.retain = max(n, 0) } }

func storageOptionsOf(opts []StorageOption) storageOptions {
	var o storageOptions
	for _, opt := range opts {
		opt(&o)
	}
	return o
}
