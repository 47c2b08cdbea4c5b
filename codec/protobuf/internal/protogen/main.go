// Command protogen generates the Go code of the test messages in internal/testpb. protoc must be on the PATH.
//
// Nothing else has to be downloaded or installed: the descriptor of buf/validate/validate.proto comes from the Go
// module generated from validate.proto, and the plugin is built in the version of go.mod.
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	if err := generate("internal/testpb"); err != nil {
		log.Fatal(err)
	}
}

func generate(dir string) error {
	tmp, err := os.MkdirTemp("", "protogen")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()

	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	for _, f := range []protoreflect.FileDescriptor{
		validate.File_buf_validate_validate_proto, anypb.File_google_protobuf_any_proto,
		structpb.File_google_protobuf_struct_proto, wrapperspb.File_google_protobuf_wrappers_proto,
	} {
		add(set, f, seen)
	}
	b, err := proto.Marshal(set)
	if err != nil {
		return err
	}
	imports := filepath.Join(tmp, "imports.binpb")
	if err := os.WriteFile(imports, b, 0o600); err != nil {
		return err
	}
	plugin := filepath.Join(tmp, "protoc-gen-go")
	if err := run("go", "build", "-o", plugin, "google.golang.org/protobuf/cmd/protoc-gen-go"); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.proto"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no .proto files in %s", dir)
	}
	args := []string{
		"--proto_path=" + dir, "--descriptor_set_in=" + imports, "--plugin=" + plugin,
		"--go_out=" + dir, "--go_opt=paths=source_relative",
	}
	for _, f := range files {
		args = append(args, filepath.Base(f))
	}
	return run("protoc", args...)
}

// add appends f behind all files that f imports, because protoc needs the imported files first.
func add(set *descriptorpb.FileDescriptorSet, f protoreflect.FileDescriptor, seen map[string]bool) {
	if seen[f.Path()] {
		return
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		add(set, f.Imports().Get(i).FileDescriptor, seen)
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
}

func run(name string, args ...string) error {
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}
