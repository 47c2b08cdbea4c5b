package server

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refuse returns the status that ends a stream on a table. The code is the service's and must not change, because clients
// decide by the code whether they try again. The text is for people: the text names the table, because a program may have
// streams on many tables, then the cause, and then what the client must do.
func refuse(code codes.Code, table, format string, args ...any) error {
	return status.Error(code, about(table)+fmt.Sprintf(format, args...))
}

// refuseSchema returns the status for what does not fit a table. what is "" or names the record, and ends with ": ".
func refuseSchema(table, what string, err error) error {
	var s *schemaError
	if errors.As(err, &s) {
		return s.rejected(about(table) + what)
	}
	return refuse(codes.InvalidArgument, table, "%s%v", what, err)
}

// about begins the text of a refusal.
func about(table string) string { return fmt.Sprintf("table %q: ", table) }
