package main

import (
	"flag"
	"path/filepath"

	"github.com/headrace/headrace/backend/s2/s2test"
)

// s2Service serves S2. The account and its basins share one address.
func s2Service() service {
	var retain int
	return service{
		name: "s2",
		flags: func(set *flag.FlagSet) *flags {
			f := new(flags)
			set.StringVar(&f.addr, "s2", "", "serve S2 on this `host:port`; port 0 picks a free one")
			set.StringVar(&f.token, "s2-token", "", "the `token` that S2 clients must send (default: any)")
			set.IntVar(&retain, "s2-retain", 0, "drop the oldest records of an S2 stream when the stream uses more than this many `bytes` of memory (default: keep all)")
			return f
		},
		start: func(f *flags, data string) (server, error) {
			opts := []s2test.Option{s2test.Addr(f.addr), s2test.Token(f.token), s2test.Retain(retain)}
			if data != "" {
				opts = append(opts, s2test.Data(filepath.Join(data, "s2.db")))
			}
			s, err := s2test.Start(opts...)
			if err != nil {
				return nil, err
			}
			return s2Server{s}, nil
		},
	}
}

type s2Server struct{ *s2test.Server }

func (s s2Server) Address() string { return s.URL }
