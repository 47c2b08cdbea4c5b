// Package memory is a stream in the memory of the process, for tests. It refuses whatever is out of contract.
//
// # Delivery
//
//   - Order: one order for all producers, whole batches, sequence numbers without a gap.
//   - Durability: none beyond the process. An ack says that every reader can see the records.
//   - Duplicates after a lost reply: none from one producer. The stream knows a resend by its seq, compares it with what it
//     holds, and acknowledges it without storing it again; other records under that seq are [backend.ErrConflict].
//   - Resume grain: every record. Offsets are sequence numbers in decimal; every portable start is supported.
//   - Limits: 1,000 records and 1 MiB a batch, 1 MiB a record, 16 batches in flight, each an option. They are those of
//     S2, so a test here meets them before production does. A record counts its value, header names and header values.
//   - Times: kept to the nanosecond in UTC where given, else assigned when the batch is taken.
//   - End of stream: [Stream.Close] closes it for good: appends fail with [backend.ErrStreamClosed], readers get io.EOF
//     behind the last record.
//   - Trim: [Stream.Trim]; a reader or an offset below it is [backend.ErrOutOfRange].
//
// # Memory
//
// Send copies what it is given, so lent memory is not read after it. Read copies nothing: what it returns may be kept for
// ever and is for reading only, the slice of records as well as the bytes of values and headers, because every reader is
// given the same ones. So reading costs no allocation, and the garbage collector has nothing to do after it.
package memory
