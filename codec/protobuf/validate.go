package protobuf

import (
	"errors"
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"github.com/headrace/headrace/codec"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A ValidationError lists the broken rules of a message. A ValidationError comes inside a codec.InvalidError, and wraps a
// protovalidate.ValidationError.
type ValidationError struct {
	Name       string // full name of the message, such as "acme.orders.v1.Order"
	Violations []Violation

	cause error
}

// A Violation is a rule and the field that breaks the rule.
type Violation struct {
	Field   string // the path to the field, such as "lines[2].price.currency"; "" if the rule is for the whole message
	Rule    string // the id of the rule, such as "string.min_len"
	Message string // what the rule says about the field
}

func (v Violation) String() string {
	s := v.Message
	if s == "" {
		s = "is invalid"
	}
	if v.Field != "" {
		s = v.Field + ": " + s
	}
	if v.Rule != "" {
		s += " [" + v.Rule + "]"
	}
	return s
}

func (e *ValidationError) Error() string {
	var b strings.Builder
	b.WriteString("protobuf: validate " + e.Name)
	for i, v := range e.Violations {
		b.WriteString([]string{": ", "; "}[min(i, 1)] + v.String())
	}
	return b.String()
}

// Unwrap returns the *protovalidate.ValidationError, with the values and descriptors.
func (e *ValidationError) Unwrap() error { return e.cause }

// newValidator compiles the rules of all types in the reach of a message. So making the codec fails if a rule does not
// compile. Otherwise only the first record with the field would show the mistake.
func newValidator(root protoreflect.MessageDescriptor, opts []protovalidate.ValidatorOption) protovalidate.Validator {
	messages := newClosure(root).messages
	v, err := protovalidate.New(append([]protovalidate.ValidatorOption{protovalidate.WithMessageDescriptors(messages...)}, opts...)...)
	if err != nil {
		panic(fmt.Sprintf("protobuf: validate %s: %v", root.FullName(), err))
	}
	// New says nothing about a rule that does not compile. Only validating a message does.
	for _, m := range messages {
		var broken *protovalidate.CompilationError
		if err := v.Validate(dynamicpb.NewMessage(m)); errors.As(err, &broken) {
			panic(fmt.Sprintf("protobuf: validate %s: %v", m.FullName(), broken))
		}
	}
	return v
}

func (c *protoCodec[T]) validate(v proto.Message) error {
	err := c.validator.Validate(v)
	if err == nil {
		return nil
	}
	var broken *protovalidate.ValidationError
	if !errors.As(err, &broken) {
		return c.failed("validate", err)
	}
	e := &ValidationError{Name: string(c.name), cause: err}
	for _, b := range broken.Violations {
		e.Violations = append(e.Violations, Violation{
			Field: protovalidate.FieldPathString(b.Proto.GetField()), Rule: b.Proto.GetRuleId(), Message: b.Proto.GetMessage(),
		})
	}
	return &codec.InvalidError{Err: e}
}
