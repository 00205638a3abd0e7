package strict

import (
	"bytes"
	"io"
)

// What is given to the server in place of the byte that is wrong. Whatever has come
// of the request so far, with this it is none. It is whole in itself, so that the
// server asks for nothing more before it answers, and begins with a byte that no
// empty line does.
const (
	// wrongHead has a line without a colon and, if that was within a value, one
	// without a name. It is longer than what HTTP/2 begins with, for which the server
	// looks first.
	wrongHead = "? what follows is malformed\r\n:\r\n\r\n"
	// wrongChunk has a CR that is not followed by LF, nor preceded by contents.
	wrongChunk = "\rx\n"
)

// maxDiscarded is how much is read after a refusal.
const maxDiscarded = 64 << 10

// mode is what is done with what comes in.
type mode uint8

const (
	screening mode = iota
	// undecided: the request before asked for another protocol and has no answer
	// yet. Until then the server reads one byte at most, to see whether the client
	// is there, and that one goes on unseen.
	undecided
	// asked: that byte is out. Who reads on without having taken the connection over
	// wants a request, and first is where it begins.
	asked
	passing
	refusing
)

// reader screens what is read from a connection.
type reader struct {
	machine
	mode  mode
	first byte
	// untold: it has just begun to refuse.
	untold bool
	// out is to be handed out before anything else.
	out string
	// ahead has been read and not been looked at.
	ahead []byte
	// discarded is how much has been read since it refuses.
	discarded int
}

// read reads from src what may go on.
func (r *reader) read(src io.Reader, p []byte) (int, error) {
	for {
		if r.mode == asked {
			r.judgeFirst()
		}
		if len(r.out) > 0 {
			n := copy(p, r.out)
			r.out = r.out[n:]
			return n, nil
		}
		if r.mode == refusing {
			return 0, r.discard(src)
		}
		n, err := r.fetch(src, p)
		if n == 0 || r.mode == passing {
			return n, err
		}
		n = r.screen(p, n)
		if r.mode == refusing || len(r.out) > 0 {
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// fetch reads what has not been looked at.
func (r *reader) fetch(src io.Reader, p []byte) (int, error) {
	switch {
	case r.mode == undecided:
		p = p[:min(1, len(p))]
	case r.withheld() > 0:
		// No further, so that what has been withheld can be handed out next.
		p = p[:min(len(preface)-r.pos, len(p))]
	}
	if len(r.ahead) == 0 {
		return src.Read(p) //nolint:wrapcheck // the connection's own
	}
	n := copy(p, r.ahead)
	if r.ahead = r.ahead[n:]; len(r.ahead) == 0 {
		r.ahead = nil
	}
	return n, nil
}

// screen looks at the first n bytes of p and returns how many there are to hand
// out: fewer, or more where something is put in place of what is wrong.
func (r *reader) screen(p []byte, n int) int {
	if r.mode == undecided {
		r.mode, r.first = asked, p[0]
		return n
	}
	for i := 0; ; {
		seen, e := r.scan(p[i:n])
		i += seen
		switch e {
		case more:
			return max(0, i-r.withheld())
		case skip:
			n = i + copy(p[i:n], p[i+1:n])
		case bad:
			shown := max(0, i-r.withheld())
			return shown + r.refuseWith(p[shown:])
		case mayChange:
			r.mode = undecided
			if i < n {
				r.ahead = append(bytes.Clone(p[i:n]), r.ahead...)
			}
			return i
		case isHTTP2:
			r.mode = passing
			if i < len(preface)-prefaceOpen {
				r.out = preface[prefaceOpen:]
				return 0
			}
			return n
		}
	}
}

// withheld is how much has been read of what HTTP/2 begins with and is not handed
// out yet. Go's server would take the first half of it for a request.
func (r *reader) withheld() int {
	if r.mode != screening || r.state != inPreface {
		return 0
	}
	return max(0, r.pos-prefaceOpen)
}

// judgeFirst looks at the byte that went on unseen.
func (r *reader) judgeFirst() {
	r.mode, r.skipped = screening, true
	if _, e := r.scan([]byte{r.first}); e == bad {
		r.refuseWith(nil)
	}
}

// refuseWith puts into p, and what does not fit into out, what makes the server
// refuse the request.
func (r *reader) refuseWith(p []byte) int {
	r.mode, r.untold, r.ahead = refusing, true, nil
	r.out = wrongHead
	if r.reason == BadChunk {
		r.out = wrongChunk
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n
}

// discard reads until there is a reason to end. The server may be busy with an
// earlier request and look whether the client is there: an end made up here would
// say that it is not. And if it should come to read a further request, because an
// earlier answer was complete before the body broke off, it must not find one.
func (r *reader) discard(src io.Reader) error {
	for buf := make([]byte, 512); r.discarded < maxDiscarded; {
		n, err := src.Read(buf)
		r.discarded += n
		if err != nil {
			return err //nolint:wrapcheck // the connection's own
		}
	}
	return io.EOF
}

// passOn passes on all that follows.
func (r *reader) passOn() {
	if r.mode != refusing {
		r.mode = passing
	}
}

// through reports whether nothing is looked at or handed out from here any more.
func (r *reader) through() bool { return r.mode == passing && r.out == "" && r.ahead == nil }
