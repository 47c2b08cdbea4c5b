package backend

// A Format says what the bytes of a stream's records are, in HTTP's terms, plus the schema of their type when it has
// one. It has the fields of codec.Format, so that one converts to the other.
type Format struct {
	ContentType     string // a media type such as "application/json"; "" is unknown
	ContentEncoding string // such as "zstd"; "" is none
	Schema          []byte // a serialized google.protobuf.DescriptorProto for protobuf types; nil for none
}
