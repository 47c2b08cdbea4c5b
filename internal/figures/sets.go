package main

// A set is the benchmarks of one package that make one table.
type set struct {
	name, pkg string
	bench     string // which benchmarks, as a pattern of the testing package
	beside    string // what the figures stand beside; "" is a raw loop
	needs     string // the variable of the environment without which the benchmarks would skip
	rows      []row
}

// A row is a benchmark beside its raw loop.
type row struct {
	work  string
	bench string // its name
	raw   string // the name of the benchmark that is its raw loop, or ""
	unit  unit
}

// A unit says what a row shows, and how.
type unit struct {
	name string
	text func(float64) string
	// A benchmark may measure its raw loop itself. It then reports the loop and the quotient in these units.
	loop, ofLoop string
}

var (
	rate        = unit{name: "records/s", text: many}
	rateOfLoop  = unit{name: "records/s", text: many, loop: "loop-records/s", ofLoop: "of-loop"}
	ofDecoder   = unit{name: "records/s", text: many, ofLoop: "of-bare-decoder"}
	duration    = unit{name: "ns/op", text: short}
	timesLoop   = unit{name: "ns/op", text: short, loop: "loop-ns/op", ofLoop: "x-loop"}
	timeARecord = unit{name: "ns/record", text: short}
)

var sets = []set{
	{name: "producer", pkg: "producer", bench: "Enqueue", rows: []row{
		{"`Enqueue`, one goroutine", "Enqueue/goroutines=1", "", rate},
		{"`Enqueue`, eight goroutines; beside one", "Enqueue/goroutines=8", "Enqueue/goroutines=1", rate},
	}},
	{name: "consumer", pkg: "consumer", bench: "Consume|Process", rows: []row{
		{"`Messages` from memory", "Consume/Messages", "", rate},
		{"`Batches` from memory; beside `Messages`", "Consume/Batches", "Consume/Messages", rate},
		{"`Messages` with `ManualAck`", "Consume/ManualAck", "", rate},
		{"`Pipe` with receipts that are durable", "Consume/Pipe", "", rate},
		{"`Process`, one worker", "Process/workers=1", "", timeARecord},
		{"`Process`, eight workers", "Process/workers=8", "", timeARecord},
	}},
	{name: "bolt", pkg: "backend/bolt", bench: "Append|Read|Producer|LoneSend", rows: []row{
		{"append, batches of 1,000", "Append/pipelined", "Append/raw_bbolt", rate},
		{"producer", "Producer/producer", "Producer/raw_bbolt", rate},
		{"read", "Read/stream", "Read/raw_bbolt", rate},
		{"lone append, session", "LoneAppend/in_turn", "", timesLoop},
		{"lone `Send`", "LoneSend/in_turn", "", timesLoop},
	}},
	{name: "S2", pkg: "backend/s2", bench: "^Benchmark(Produce|Consume|Lone)$", rows: []row{
		{"produce, 100 B", "Produce/100/plain/producer", "Produce/100/plain/raw", rate},
		{"produce, 1 KiB", "Produce/1024/plain/producer", "Produce/1024/plain/raw", rate},
		{"produce, zstd, 100 B", "Produce/100/zstd/producer", "Produce/100/zstd/raw", rate},
		{"produce, zstd, 1 KiB", "Produce/1024/zstd/producer", "Produce/1024/zstd/raw", rate},
		{"read batches, 100 B", "Consume/100/plain/reader", "Consume/100/plain/raw", rate},
		{"consume, 100 B", "Consume/100/plain/consumer", "Consume/100/plain/raw", rate},
		{"read batches, 1 KiB", "Consume/1024/plain/reader", "Consume/1024/plain/raw", rate},
		{"consume, 1 KiB", "Consume/1024/plain/consumer", "Consume/1024/plain/raw", rate},
		{"consume, zstd, 100 B; the raw loop decompresses", "Consume/100/zstd/consumer", "Consume/100/zstd/raw,_decompressed", rate},
		{"consume, zstd, 1 KiB; the raw loop decompresses", "Consume/1024/zstd/consumer", "Consume/1024/zstd/raw,_decompressed", rate},
		{"lone `Send`", "Lone/in_turn", "", timesLoop},
	}},
	{name: "SDK", pkg: "internal/interop/s2", bench: "Producer|Read", beside: "S2's Go SDK", needs: "HEADRACE_BIN", rows: []row{
		{"produce, 100 B", "Producer/ours/100B", "Producer/sdk/100B", rate},
		{"produce, 1 KiB", "Producer/ours/1024B", "Producer/sdk/1024B", rate},
		{"read, 100 B", "Read/ours/100B", "Read/sdk/100B", rate},
		{"read, 1 KiB", "Read/ours/1024B", "Read/sdk/1024B", rate},
	}},
	{name: "DurableStreams", pkg: "backend/durablestreams", bench: "^Benchmark(Append|LoneAppend|Read)$/^memory$", rows: []row{
		{"append, encoded records", "Append/memory/encoded", "Append/memory/bare", rate},
		{"append, typed records, default batches", "Append/memory/typed_by_default", "Append/memory/bare", rate},
		{"read, batches", "Read/memory/batches", "Read/memory/bare", rate},
		{"read, messages (`Bytes`)", "Read/memory/messages", "Read/memory/bare", rate},
		{"read, typed messages", "Read/memory/typed", "Read/memory/bare", rate},
		{"read, typed messages, one decoder; beside the decoder alone", "Read/memory/typed_beside_the_decoder", "", ofDecoder},
		{"read, typed messages, two decoders; beside the decoder alone", "Read/memory/typed_on_two_beside_the_decoder", "", ofDecoder},
		{"lone append, session", "LoneAppend/memory/session_in_turn", "", timesLoop},
		{"lone `Send`", "LoneAppend/memory/producer_in_turn", "", timesLoop},
	}},
	{name: "Zerobus", pkg: "backend/zerobus", bench: "Throughput/other/.*/.*/^(session|producer)$|LoneSend/other", rows: []row{
		{"session, JSON 20 B", "Throughput/other/json/20/session", "", rateOfLoop},
		{"session, JSON 100 B", "Throughput/other/json/100/session", "", rateOfLoop},
		{"session, JSON 1 KiB", "Throughput/other/json/1024/session", "", rateOfLoop},
		{"session, proto 20 B", "Throughput/other/proto/20/session", "", rateOfLoop},
		{"session, proto 100 B", "Throughput/other/proto/100/session", "", rateOfLoop},
		{"session, proto 1 KiB", "Throughput/other/proto/1024/session", "", rateOfLoop},
		{"producer, JSON 20 B", "Throughput/other/json/20/producer", "", rateOfLoop},
		{"producer, JSON 100 B", "Throughput/other/json/100/producer", "", rateOfLoop},
		{"producer, JSON 1 KiB", "Throughput/other/json/1024/producer", "", rateOfLoop},
		{"producer, proto 20 B", "Throughput/other/proto/20/producer", "", rateOfLoop},
		{"producer, proto 100 B", "Throughput/other/proto/100/producer", "", rateOfLoop},
		{"producer, proto 1 KiB", "Throughput/other/proto/1024/producer", "", rateOfLoop},
		{"lone `Send`, JSON", "LoneSend/other/json", "", timesLoop},
		{"lone `Send`, proto", "LoneSend/other/proto", "", timesLoop},
	}},
	{name: "PostgreSQL", pkg: "backend/postgres", bench: "Append|Read", beside: "bare pgx", needs: "HEADRACE_POSTGRES", rows: []row{
		{"producer, batches of 1,000; beside COPY", "Append/producer", "Append/copy", rate},
		{"reader; beside SELECT", "Read/reader", "Read/select", rate},
		{"lone append; beside INSERT", "LoneAppend/session", "LoneAppend/insert", duration},
	}},
	{name: "JSON", pkg: "codec", bench: "JSON", beside: "`encoding/json`", rows: []row{
		{"encode an order", "JSONEncode/order/headrace", "JSONEncode/order/encoding-json", duration},
		{"encode a nested value", "JSONEncode/nested/headrace", "JSONEncode/nested/encoding-json", duration},
		{"decode an order", "JSONDecode/order/headrace", "JSONDecode/order/encoding-json", duration},
		{"decode a nested value", "JSONDecode/nested/headrace", "JSONDecode/nested/encoding-json", duration},
	}},
}
