package observe

import "github.com/headrace/headrace/internal/calls"

// A Call is a kind of call of a server and how the call ended. The servers of this module use the same type.
type Call = calls.Call

// A Server holds the numbers of a server in this process.
type Server struct {
	Name    string
	Calls   map[Call]int64 // that have ended
	Open    int64          // calls that have not ended: sessions, and readers that wait
	Streams int            // streams or tables that there are now

	Appends   int64 // batches stored; 0 where the server counts only records
	Records   int64 // records stored; 0 where the server sees only bytes
	Bytes     int64 // stored
	ReadBytes int64 // read by clients
	Faults    int64 // injected faults that struck
}

// Server shows a server under the given name. read returns the present numbers; each Snapshot calls read, and does not use the Name
// in the result. If the name is in use, the new server takes the place of the old one.
//
//	reg.Server("streams", func() observe.Server {
//		s := srv.Stats() // of backend/durablestreams/server
//		return observe.Server{Calls: s.Calls, Open: s.Open, Streams: s.Streams, Appends: s.Appends, Bytes: s.Bytes}
//	})
func (r *Registry) Server(name string, read func() Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers[name] = &serverMeter{name, read}
}

type serverMeter struct {
	name string
	read func() Server
}

func (m *serverMeter) snapshot() Server {
	s := m.read()
	s.Name = m.name
	return s
}
