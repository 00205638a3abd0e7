package server

import (
	"io"
	"sync"
)

// goAwayFrame is a GOAWAY frame without an error whose last stream is the largest
// there can be: the peer is to begin no more streams, and none that it has begun is
// refused (RFC 9113, 6.8).
const goAwayFrame = "\x00\x00\x08\x07\x00\x00\x00\x00\x00" + "\x7f\xff\xff\xff\x00\x00\x00\x00"

// frameHeader is the size of an HTTP/2 frame's header, of which the first three
// bytes are the size of the rest.
const frameHeader = 9

// frameWriter passes on what an HTTP server writes to a connection and can say
// goodbye on it in between.
//
// Go's server sends a GOAWAY frame too, but with the last stream that it has seen:
// it drops those that were on their way. A client knows that they were not
// executed, yet few can repeat a request whose body they have sent.
type frameWriter struct {
	w io.Writer

	mu sync.Mutex
	// http1, once the first byte has shown it. A server's HTTP/2 begins with a
	// SETTINGS frame, whose size is below 1<<16, HTTP/1.1 with its name.
	begun, http1 bool
	// header has the read bytes of the present frame's header, left is how much of
	// its payload is to come. With neither the writer is between two frames.
	header [frameHeader]byte
	read   int
	left   int
	// leaving: goodbye is to be said; gone: it has been.
	leaving, gone bool
}

// Write passes p on.
func (f *frameWriter) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.w.Write(p)
	f.advance(p[:n])
	if err == nil {
		f.goodbye()
	}
	return n, err
}

// goAway says goodbye to an HTTP/2 client, once, as soon as a frame ends. It waits
// while a Write waits for the client to read. To HTTP/1.1 it does nothing.
func (f *frameWriter) goAway() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaving = true
	f.goodbye()
}

func (f *frameWriter) goodbye() {
	if !f.leaving || f.gone || f.http1 || !f.begun || f.read > 0 || f.left > 0 {
		return
	}
	f.gone = true
	// Where it fails the server's next write does too.
	_, _ = io.WriteString(f.w, goAwayFrame)
}

// advance follows the frames in p.
func (f *frameWriter) advance(p []byte) {
	if !f.begun && len(p) > 0 {
		f.begun, f.http1 = true, p[0] != 0
	}
	for len(p) > 0 && !f.http1 {
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left -= n
			p = p[n:]
			continue
		}
		n := copy(f.header[f.read:], p)
		f.read += n
		p = p[n:]
		if f.read == frameHeader {
			f.left = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
			f.read = 0
		}
	}
}
