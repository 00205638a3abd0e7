package server

import (
	"context"
	"net"
	"time"
)

const (
	// probeDial is short because a connection that is asked for before the pod's
	// network is up is asked for again by the kernel only after a second.
	probeDial = 300 * time.Millisecond
	// dialEvery is when another one is asked for beside it.
	dialEvery = 25 * time.Millisecond
	// dialMost is how many are under way at most: as many as fit into probeDial.
	dialMost = int(probeDial / dialEvery)
)

// dialFunc is the type of net.Dialer.DialContext.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// patiently gives one try the time of probeDial.
func patiently(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, probeDial)
		defer cancel()
		return dial(ctx, network, addr)
	}
}

// eagerly tries anew every dialEvery while the tries before are still under way,
// so that a first packet that is lost, because the pod's address is known a
// moment before its network is up, costs 25 ms and not probeDial. The first try
// to end decides, also where it ends in a refusal: then the network is up. When
// it returns no other try is under way and no other connection open.
func eagerly(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, probeDial)
		defer cancel()
		type end struct {
			conn net.Conn
			err  error
		}
		ends := make(chan end)
		tries := 0
		try := func() {
			tries++
			go func() {
				conn, err := dial(ctx, network, addr)
				ends <- end{conn, err}
			}()
		}
		try()
		again := time.NewTicker(dialEvery)
		defer again.Stop()
		for {
			select {
			case first := <-ends:
				cancel()
				for range tries - 1 {
					if late := <-ends; late.conn != nil {
						late.conn.Close()
					}
				}
				return first.conn, first.err
			case <-again.C:
				if tries < dialMost {
					try()
				}
			}
		}
	}
}
