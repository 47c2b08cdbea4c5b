package server

// A StorageOption is an option of [NewMemory] and [OpenBolt].
type StorageOption func(*storageOptions)

type storageOptions struct {
	retain   int64
	volatile bool // the streams themselves hold their units
}

// Retain keeps about the last n bytes of every stream, and drops the whole appends before them. A read of dropped data
// is answered with 410. Without Retain, or with 0, everything is kept.
func Retain(n int64) StorageOption { return func(o *storageOptions) { o.retain = max(n, 0) } }

func storageOptionsOf(opts []StorageOption) storageOptions {
	var o storageOptions
	for _, opt := range opts {
		opt(&o)
	}
	return o
}
