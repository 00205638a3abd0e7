// Package bodyhold reads the body of a request while the request is held.
//
// Go's HTTP/1.1 server sees that a client has hung up only once the body has
// been read to its end. A request whose body nobody reads while it waits is
// therefore executed for a client that left long ago. Reading it has a price,
// and this package bounds it: the first bytes go into memory, what is beyond
// into a file, and beyond that nothing is read until the request goes on its way.
package bodyhold

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/rawserve/rawserve/internal/budget"
	"github.com/rawserve/rawserve/internal/clientconn"
)

// ErrNoMemory says that the memory set aside for held bodies is used up.
var ErrNoMemory = errors.New("no memory left for bodies of held requests")

// ErrOverShare is the ErrNoMemory of whoever has used up a share while others have
// room.
var ErrOverShare = fmt.Errorf("%w of this share", ErrNoMemory)

// errClosed is what readers get after Close.
var errClosed = errors.New("the held body has been closed")

// Options bound what one held body may take.
type Options struct {
	// MaxMemory is the largest part kept in memory.
	MaxMemory int64
	// Memory is the budget for that part; nil is unlimited.
	Memory *budget.Budget
	// Spool is where bytes beyond MaxMemory go. nil: they are not read while held.
	Spool *Spool
	// Unread reports whether the client has sent bytes that have not been read yet. May
	// be nil.
	Unread func() bool
	// Interrupt makes a Read that is blocked return. It is called once at most.
	Interrupt func()
}

// Body is the body of a held request. Its reading goes on in a goroutine of its
// own, which Close ends.
type Body struct {
	src     io.Reader
	opts    Options
	length  int64
	settled chan struct{}

	mu     sync.Mutex
	mem    []byte
	taken  int64 // units of opts.Memory
	file   *os.File
	filed  int64 // bytes in file
	held   int64 // of opts.Spool
	parked bool  // the pump ended before the body's end
	stop   bool  // the pump is to end after its present Read
	err    error // io.EOF when the whole body is in
	off    int64 // next byte for Read
	closed bool
	gone   chan struct{} // closed by Close
	direct chan struct{} // closed when the Read of the source under way ends; nil without one
}

// Start begins to read src, the body of a request whose Content-Length is
// length, -1 where it is unknown.
func Start(src io.Reader, length int64, opts Options) *Body {
	b := &Body{src: src, opts: opts, length: length, settled: make(chan struct{}), gone: make(chan struct{})}
	go b.pump()
	return b
}

// StartRequest begins to read the body of a request that an http.Server has given
// to a handler. It knows how to interrupt that itself.
func StartRequest(w http.ResponseWriter, r *http.Request, opts Options) *Body {
	opts.Interrupt = func() { r.Body.Close() }
	if r.ProtoMajor == 1 {
		// Over HTTP/1.1 Close waits for the Read that is to be interrupted.
		rc := http.NewResponseController(w)
		opts.Interrupt = func() { _ = rc.SetReadDeadline(time.Unix(1, 0)) }
	}
	opts.Unread = clientconn.From(r.Context()).Unread
	return Start(r.Body, r.ContentLength, opts)
}

// Settled is closed when nothing more is read until the request goes on: the
// whole body is in, reading it came to an error, or a bound is reached.
func (b *Body) Settled() <-chan struct{} { return b.settled }

// Err is nil as long as the body may still be whole. ErrNoMemory: there was no
// room for it. Any other error: it will never be whole, as a rule because the
// client has hung up.
func (b *Body) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(b.err, io.EOF) {
		return nil
	}
	return b.err
}

// Whole reports whether the whole body is in.
func (b *Body) Whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Is(b.err, io.EOF)
}

// Coming reports whether the body is still being read ahead: it is not settled,
// and nobody has asked to end it by Release.
func (b *Body) Coming() bool {
	select {
	case <-b.settled:
		return false
	default:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.stop
}

// Await waits until the body is settled, cancelled is closed, no byte has come
// for stall, or most has passed. A client that has been silent for stall is
// alive as far as anyone can know, for everything that it sent has been read; it
// may be one that sends more only after it got an answer. One that goes on
// sending after most is slow, or sends for as long as it gets answers. But where
// its bytes are there and have not been read it is not the client who is slow; then
// both last up to ten times as long.
func (b *Body) Await(cancelled <-chan struct{}, stall, most time.Duration) {
	begun := time.Now()
	end := time.NewTimer(most)
	defer end.Stop()
	silence := time.NewTimer(stall)
	defer silence.Stop()
	last := b.received()
	for {
		late := false
		select {
		case <-b.settled:
			return
		case <-cancelled:
			return
		case <-end.C:
			late = true
			end.Reset(most)
		case <-silence.C:
			silence.Reset(stall)
		}
		now := b.received()
		if (late || now == last) && !b.behind(time.Since(begun), most) {
			return
		}
		last = now
	}
}

// behind reports whether reading is what the body waits for.
func (b *Body) behind(waited, most time.Duration) bool {
	return b.opts.Unread != nil && waited < 10*most && b.opts.Unread()
}

// Release ends the reading ahead after the Read that is under way. What follows
// is read when Read asks for it.
func (b *Body) Release() {
	b.mu.Lock()
	b.stop = true
	b.mu.Unlock()
}

// Read hands out the body from its start: first what is held, then, after
// Release, what is left of the source.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return 0, errClosed
		}
		if b.off < int64(len(b.mem)) {
			n := copy(p, b.mem[b.off:])
			b.off += int64(n)
			b.mu.Unlock()
			return n, nil
		}
		if at := b.off - int64(len(b.mem)); at < b.filed {
			n, err := b.file.ReadAt(p[:min(int64(len(p)), b.filed-at)], at)
			b.off += int64(n)
			b.mu.Unlock()
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		if b.err != nil {
			err := b.err
			b.mu.Unlock()
			return 0, err
		}
		if b.parked {
			return b.readSource(p)
		}
		b.mu.Unlock()
		select {
		case <-b.settled:
		case <-b.gone:
		}
	}
}

// readSource reads what is left of the source. It is called with the lock held.
func (b *Body) readSource(p []byte) (int, error) {
	done := make(chan struct{})
	b.direct = done
	b.mu.Unlock()
	n, err := b.src.Read(p)
	b.mu.Lock()
	if err != nil && b.err == nil {
		b.err = err
	}
	b.direct = nil
	b.mu.Unlock()
	close(done)
	return n, err
}

// Close ends the reading and gives back memory and disk. When it returns the
// source is no longer used.
func (b *Body) Close() {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.closed, b.stop = true, true
	direct := b.direct
	b.mu.Unlock()
	close(b.gone)
	b.endReading(direct)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opts.Memory.Give(b.taken)
	if b.file != nil {
		b.file.Close()
		b.opts.Spool.give(b.held)
	}
	b.mem, b.file, b.filed, b.taken, b.held = nil, nil, 0, 0, 0
}

// endReading interrupts the Read of the source that is under way, by the pump
// or by a reader, and waits for its end.
func (b *Body) endReading(direct chan struct{}) {
	pumping := true
	select {
	case <-b.settled:
		pumping = false
	default:
	}
	if (pumping || direct != nil) && b.opts.Interrupt != nil {
		b.opts.Interrupt()
	}
	<-b.settled
	if direct != nil {
		<-direct
	}
}

func (b *Body) received() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int64(len(b.mem)) + b.filed
}

func (b *Body) fail(err error) {
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.mu.Unlock()
}
