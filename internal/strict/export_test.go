package strict

import (
	"io"
	"unsafe"
)

// Reader is what a Conn does with what it reads, for tests without a connection.
type Reader struct {
	Src io.Reader
	in  reader
}

// Read reads what may go on.
func (r *Reader) Read(p []byte) (int, error) { return r.in.read(r.Src, p) }

// Reason is why the rest is refused, empty if it is not.
func (r *Reader) Reason() Reason {
	if r.in.mode == refusing {
		return r.in.reason
	}
	return ""
}

// Hijacked passes on what follows.
func (r *Reader) Hijacked() { r.in.passOn() }

// Ahead is how many bytes have been read and not been handed out.
func (r *Reader) Ahead() int { return len(r.in.ahead) + r.in.withheld() }

// Size is the memory of a reader.
const Size = unsafe.Sizeof(reader{})
