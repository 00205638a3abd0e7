package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// network is one whose dials end as told, the first as the first, and so on. What
// is not told ends with its context, as when packets are lost.
type network struct {
	mu     sync.Mutex
	ends   []dialEnd
	dials  int
	inside int
	open   map[net.Conn]bool
}

type dialEnd struct {
	after time.Duration
	err   error
	// late is set where a connection comes about although nobody wants it any more.
	late bool
}

type countedPipe struct {
	net.Conn
	n *network
}

func (c *countedPipe) Close() error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	delete(c.n.open, c)
	return nil
}

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	i := n.dials
	n.dials++
	n.inside++
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.inside--
		n.mu.Unlock()
	}()
	if i >= len(n.ends) || n.ends[i] == (dialEnd{}) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	end := n.ends[i]
	if end.late {
		<-ctx.Done()
	} else {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(end.after):
		}
	}
	if end.err != nil {
		return nil, end.err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &countedPipe{n: n}
	n.open[c] = true
	return c, nil
}

func TestDialingEagerly(t *testing.T) {
	refused := errors.New("connection refused")
	for name, c := range map[string]struct {
		ends  []dialEnd
		err   error
		after time.Duration
		dials int
	}{
		"the first packet arrives":                 {ends: []dialEnd{{after: time.Millisecond}}, after: time.Millisecond, dials: 1},
		"the first packet is lost":                 {ends: []dialEnd{{}, {after: time.Millisecond}}, after: dialEvery + time.Millisecond, dials: 2},
		"the first two are lost":                   {ends: []dialEnd{{}, {}, {after: time.Millisecond}}, after: 2*dialEvery + time.Millisecond, dials: 3},
		"the first answers after the second":       {ends: []dialEnd{{late: true}, {after: time.Millisecond}}, after: dialEvery + time.Millisecond, dials: 2},
		"nobody listens":                           {ends: []dialEnd{{after: time.Millisecond, err: refused}}, err: refused, after: time.Millisecond, dials: 1},
		"a lost packet, and then nobody listens":   {ends: []dialEnd{{}, {after: time.Millisecond, err: refused}}, err: refused, after: dialEvery + time.Millisecond, dials: 2},
		"everything is lost":                       {err: context.DeadlineExceeded, after: probeDial, dials: dialMost},
		"everything is lost, the last not in time": {ends: make([]dialEnd, dialMost), err: context.DeadlineExceeded, after: probeDial, dials: dialMost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{ends: c.ends, open: map[net.Conn]bool{}}
				begun := time.Now()
				conn, err := eagerly(n.dial)(t.Context(), "tcp", "10.0.0.1:9082")
				require.Equal(t, c.after, time.Since(begun))
				require.Equal(t, c.dials, n.dials)
				require.Zero(t, n.inside, "nobody dials any more")
				if c.err != nil {
					require.ErrorIs(t, err, c.err)
					require.Nil(t, conn)
					require.Empty(t, n.open)
					return
				}
				require.NoError(t, err)
				require.Equal(t, map[net.Conn]bool{conn: true}, n.open, "no other is open")
			})
		})
	}
}

func TestDialingEagerlyEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{open: map[net.Conn]bool{}}
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := eagerly(n.dial)(ctx, "tcp", "10.0.0.1:9082")
		require.Error(t, err)
		require.Equal(t, 40*time.Millisecond, time.Since(begun))
		require.Zero(t, n.inside)
	})
}
