package observe

// A Metric is a number of a snapshot S, as an exporter needs it. S is [Producer], [Consumer], [Handled],
// [Group] or [Server].
type Metric[S any] struct {
	Name    string // words with underscores, without prefix and unit
	Unit    string // "By", "s", or "" for a count
	Help    string
	Counter bool // never falls; otherwise a gauge
	Read    func(*S) float64
}

func counter[S any, N int64 | uint64](name, unit, help string, read func(*S) N) Metric[S] {
	return Metric[S]{name, unit, help, true, func(s *S) float64 { return float64(read(s)) }}
}

func gauge[S any](name, unit, help string, read func(*S) float64) Metric[S] {
	return Metric[S]{name, unit, help, false, read}
}

// ProducerMetrics are the numbers of a [Producer], without its histogram and without Sent.
var ProducerMetrics = []Metric[Producer]{
	gauge("live", "", "Producers that have not stopped.", func(p *Producer) float64 { return float64(p.Live) }),
	counter("records_acked", "", "Records that are durable.", func(p *Producer) uint64 { return p.Acked }),
	counter("records_failed", "", "Records that were accepted and given up.", func(p *Producer) uint64 { return p.Failed }),
	counter("acked", "By", "Bytes of durable records, by the store's meter.", func(p *Producer) uint64 { return p.AckedBytes }),
	counter("batches_resent", "", "Batches that were sent again.", func(p *Producer) uint64 { return p.Resent }),
	counter("sessions_opened", "", "Sessions opened with the store.", func(p *Producer) uint64 { return p.Opened }),
	counter("sessions_lost", "", "Sessions that ended with an error.", func(p *Producer) uint64 { return p.Lost }),
	counter("sessions_idle", "", "Sessions that IdleTimeout ended.", func(p *Producer) uint64 { return p.Idle }),
	gauge("sessions_open", "", "Sessions that are open.", func(p *Producer) float64 { return float64(p.Open) }),
	gauge("buffered_records", "", "Records that were accepted and are not decided.", func(p *Producer) float64 { return float64(p.Buffered) }),
	gauge("buffered", "By", "Bytes that buffered records use of BufferBytes.", func(p *Producer) float64 { return float64(p.BufferedBytes) }),
	gauge("in_flight_batches", "", "Batches taken by sessions and not acknowledged.", func(p *Producer) float64 { return float64(p.InFlight) }),
}

// ConsumerMetrics are the numbers of a [Consumer].
var ConsumerMetrics = []Metric[Consumer]{
	gauge("live", "", "Loops that run.", func(c *Consumer) float64 { return float64(c.Live) }),
	counter("records_read", "", "Records that were read.", func(c *Consumer) uint64 { return c.Read }),
	counter("records_done", "", "Records that are done.", func(c *Consumer) uint64 { return c.Done }),
	counter("read", "By", "Bytes read, as they count against BufferBytes.", func(c *Consumer) uint64 { return c.ReadBytes }),
	counter("records_poison", "", "Records that could not be decoded.", func(c *Consumer) uint64 { return c.Poison }),
	counter("dead_letters", "", "Records that are durable in the dead letters.", func(c *Consumer) uint64 { return c.DeadLetters }),
	counter("readers_opened", "", "Readers opened.", func(c *Consumer) uint64 { return c.Opened }),
	counter("readers_lost", "", "Readers that failed.", func(c *Consumer) uint64 { return c.Lost }),
	counter("checkpoints_saved", "", "Attempts to save a checkpoint that succeeded.", func(c *Consumer) uint64 { return c.Saved }),
	counter("checkpoints_failed", "", "Attempts to save a checkpoint that failed.", func(c *Consumer) uint64 { return c.SaveFails }),
	gauge("buffered", "By", "Bytes of records that were read and are not done.", func(c *Consumer) float64 { return float64(c.BufferedBytes) }),
	gauge("lag", "s", "Age of the oldest record that was read and is not done.", func(c *Consumer) float64 { return c.Lag.Seconds() }),
	gauge("caught_up", "", "1 when every loop has reached the tail.", func(c *Consumer) float64 {
		if c.CaughtUp {
			return 1
		}
		return 0
	}),
}

// HandlerMetrics are the numbers of a [Handled], without its histogram.
var HandlerMetrics = []Metric[Handled]{
	gauge("running", "", "Attempts that have not returned.", func(h *Handled) float64 { return float64(h.Running) }),
	counter("attempts_failed", "", "Attempts that returned an error or panicked.", func(h *Handled) uint64 { return h.Failed }),
}

// GroupMetrics are the numbers of a [Group].
var GroupMetrics = []Metric[Group]{
	gauge("members", "", "Members of the group in this process.", func(g *Group) float64 { return float64(g.Members) }),
	gauge("streams", "", "Streams of the whole group.", func(g *Group) float64 { return float64(g.Streams) }),
	gauge("streams_held", "", "Streams whose leases this process holds.", func(g *Group) float64 { return float64(len(g.Held)) }),
}

// ServerMetrics are the numbers of a [Server], without its Calls.
var ServerMetrics = []Metric[Server]{
	gauge("open_calls", "", "Calls that have not ended: sessions, and readers that wait.", func(s *Server) float64 { return float64(s.Open) }),
	gauge("streams", "", "Streams or tables that there are.", func(s *Server) float64 { return float64(s.Streams) }),
	counter("appends_stored", "", "Batches stored.", func(s *Server) int64 { return s.Appends }),
	counter("records_stored", "", "Records stored; 0 where the server sees only bytes.", func(s *Server) int64 { return s.Records }),
	counter("stored", "By", "Bytes stored.", func(s *Server) int64 { return s.Bytes }),
	counter("read", "By", "Bytes read by clients.", func(s *Server) int64 { return s.ReadBytes }),
	counter("faults", "", "Injected faults that struck.", func(s *Server) int64 { return s.Faults }),
}
