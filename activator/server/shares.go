package server

import "github.com/rawserve/rawserve/internal/budget"

// shareOf is how many times what is free one route may have, and one namespace. A
// single one that is flooded gets 88 % of all, ten of a namespace 88 % together.
const shareOf = 8

// shares are what there is of each thing that requests use up: everybody's, a
// namespace's, a route's.
type shares struct {
	conns    *budget.Budget // open connections
	inside   *budget.Budget // requests inside, held or not
	memory   *budget.Budget // what they may take
	requests *budget.Budget // held requests
	bytes    *budget.Budget // memory of their bodies, part of memory
}

// part is a new part of what all share.
func (p shares) part() shares {
	share := func(of *budget.Budget) *budget.Budget { return budget.NewShare(budget.NoLimit, of, shareOf) }
	return shares{share(p.conns), share(p.inside), share(p.memory), share(p.requests), share(p.bytes)}
}

// namespace is the part of a namespace. It is called by the goroutine that applies routes.
func (s *Server) namespace(name string) shares {
	n, ok := s.namespaces[name]
	if !ok {
		n = s.part()
		s.namespaces[name] = n
	}
	return n
}

// forgetNamespaces drops those that have no route any more. What is still inside
// gives back where it took.
func (s *Server) forgetNamespaces() {
	used := map[string]bool{}
	for key := range s.routes {
		used[key.Namespace] = true
	}
	for name := range s.namespaces {
		if !used[name] {
			delete(s.namespaces, name)
		}
	}
}
