package serve

import (
	"sync/atomic"
	"time"
)

// stats count the requests of an endpoint since it began, as the protocol shows them.
type stats struct {
	good, goodNS, bad, badNS atomic.Int64
	last                     atomic.Int64 // when one was answered, milliseconds since 1970
}

func (s *stats) request(took time.Duration, good bool) {
	n, ns := &s.bad, &s.badNS
	if good {
		n, ns = &s.good, &s.goodNS
	}
	n.Add(1)
	ns.Add(int64(took))
	s.last.Store(time.Now().UnixMilli())
}
