package main

import (
	"errors"
	"flag"
	"path/filepath"

	s2server "github.com/headrace/headrace/backend/s2/server"
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
			c := s2server.Config{Token: f.token, Retain: retain}
			if data != "" {
				c.Data = filepath.Join(data, "s2.db")
			}
			s, err := s2server.New(c)
			if err != nil {
				return nil, err
			}
			if err := s.Start(f.addr); err != nil {
				return nil, errors.Join(err, s.Close())
			}
			return s2Server{s}, nil
		},
	}
}

type s2Server struct{ *s2server.Server }

func (s s2Server) Address() string { return s.URL() }
