package bodyhold

import (
	"io"
	"sync"

	"github.com/rawserve/rawserve/internal/budget"
)

const (
	// firstBuffer is the first size of the memory of a body whose length is not
	// known or not trusted yet: most requests fit, and ten thousand of them are 20 MB.
	firstBuffer = 2 << 10
	// spoolBuffer is what is read at a time on the way to the file.
	spoolBuffer = 32 << 10
)

var spoolBuffers = sync.Pool{New: func() any { return new([spoolBuffer]byte) }}

// pump reads until the body is whole, fails, a bound is reached or Release is
// called. Only the pump appends to mem and file.
func (b *Body) pump() {
	defer close(b.settled)
	for {
		room, err := b.grow()
		if err != nil {
			b.fail(err)
			return
		}
		if len(room) == 0 {
			break
		}
		n, err := b.src.Read(room)
		b.mu.Lock()
		b.mem = b.mem[:len(b.mem)+n]
		b.mu.Unlock()
		if err != nil {
			b.fail(err)
			return
		}
		if b.park(false) {
			return
		}
	}
	b.spool()
}

// grow returns the part of the memory that the next Read may fill; none when
// the memory's bound is reached.
func (b *Body) grow() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mem) < cap(b.mem) {
		return b.mem[len(b.mem):cap(b.mem)], nil
	}
	size := int64(2 * cap(b.mem))
	if size == 0 {
		size = firstBuffer
	}
	if b.length >= 0 && size > b.length {
		// One byte more than announced, so that the Read that finds the end of the
		// body has a place to be made with.
		size = b.length + 1
	}
	size = min(size, b.opts.MaxMemory)
	more := size - int64(cap(b.mem))
	if more <= 0 {
		return nil, nil
	}
	switch b.opts.Memory.Try(more) {
	case budget.Full:
		return nil, ErrNoMemory
	case budget.OverShare:
		return nil, ErrOverShare
	}
	b.taken += more
	mem := make([]byte, len(b.mem), size)
	copy(mem, b.mem)
	b.mem = mem
	return mem[len(mem):size:size], nil
}

// park marks the pump as ended early, if it was told to stop or must.
func (b *Body) park(must bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stop && !must {
		return false
	}
	b.parked = true
	return true
}

// spool goes on reading into a file.
func (b *Body) spool() {
	buf := spoolBuffers.Get().(*[spoolBuffer]byte)
	defer spoolBuffers.Put(buf)
	for {
		if !b.spoolRoom() {
			b.park(true)
			return
		}
		n, err := b.src.Read(buf[:])
		if n > 0 {
			if _, werr := b.file.Write(buf[:n]); werr != nil {
				// The bytes are out of the source and nowhere else.
				b.opts.Spool.note(werr)
				b.fail(ErrNoMemory)
				return
			}
			b.mu.Lock()
			b.filed += int64(n)
			b.mu.Unlock()
		}
		if err != nil {
			b.fail(err)
			return
		}
		if b.park(false) {
			return
		}
	}
}

// spoolRoom makes sure that one more buffer fits into the file.
func (b *Body) spoolRoom() bool {
	s := b.opts.Spool
	if s == nil {
		return false
	}
	if b.file == nil {
		f, err := s.open()
		if err != nil {
			s.note(err)
			return false
		}
		b.mu.Lock()
		b.file = f
		b.mu.Unlock()
	}
	if b.filed+spoolBuffer > s.maxEach {
		return false
	}
	if b.filed+spoolBuffer > b.held {
		step := min(int64(spoolStep), s.maxEach-b.held)
		if !s.take(step) {
			return false
		}
		b.held += step
	}
	return true
}

var _ io.Reader = (*Body)(nil)
