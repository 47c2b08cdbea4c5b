package backend

// A Format describes the bytes of a stream's records, in HTTP's terms, plus the schema of their type when the type has a
// schema. Package codec has the same type under the same name.
type Format struct {
	ContentType     string // a media type such as "application/json"; "" is unknown
	ContentEncoding string // such as "zstd"; "" is none
	Schema          []byte // a serialized google.protobuf.DescriptorProto for protobuf types; nil for none
}
