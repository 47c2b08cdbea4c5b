package server

import (
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Causes of a schema rejection, spelled as the service spells them, because clients compare them as text.
const (
	notInTable    = "FIELD_NOT_IN_TABLE"
	missing       = "MISSING_REQUIRED_COLUMN"
	outOfOrder    = "FIELD_OUT_OF_ORDER"
	incompatible  = "TYPE_INCOMPATIBLE"
	countMismatch = "FIELD_COUNT_MISMATCH"
)

// A schemaError says why a record or a descriptor does not fit the table. The text names the field or the column.
type schemaError struct {
	causes []string
	text   string
}

func (e *schemaError) Error() string { return e.text }

func mismatch(cause, format string, args ...any) *schemaError {
	return &schemaError{causes: []string{cause}, text: fmt.Sprintf(format, args...)}
}

// rejected returns the status of a schema rejection, with the same detail as from the service. Clients read the detail
// and not the text, so the spelling of the detail must be the service's. The error_code 8001 is the one seen from the
// service.
func (e *schemaError) rejected(prefix string) error {
	s, err := status.New(codes.InvalidArgument, prefix+e.text).WithDetails(&errdetails.ErrorInfo{
		Domain: "zerobus.databricks.com", Reason: "SCHEMA_VALIDATION_FAILED",
		Metadata: map[string]string{"causes": strings.Join(e.causes, ","), "error_code": "8001"},
	})
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return s.Err()
}
