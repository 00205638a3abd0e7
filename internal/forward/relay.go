package forward

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

const copyBuffer = 32 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// relay sends the response to the client.
func (x *Exchange) relay(ctx context.Context, res *http.Response, l *limits) Outcome {
	h := x.w.Header()
	dropHopByHop(res.Header)
	for name, values := range res.Header {
		h[name] = values
	}
	announced := len(res.Trailer)
	if announced > 0 {
		names := make([]string, 0, announced)
		for name := range res.Trailer {
			names = append(names, name)
		}
		h["Trailer"] = []string{strings.Join(names, ", ")}
	}
	if x.CloseClient {
		h["Connection"] = closeConn
	}
	x.w.WriteHeader(res.StatusCode)
	if x.flushHeader(res) {
		x.flush()
	}
	if err := x.copyBody(res, l); err != nil {
		return x.broken(ctx, res.StatusCode, err)
	}
	x.copyTrailer(res, announced)
	return Outcome{Result: Done, Code: res.StatusCode}
}

// flushHeader reports whether the header goes to the client before the first byte
// of the body: where a body of unknown length follows, that may take as long as
// the model needs for its first token.
func (x *Exchange) flushHeader(res *http.Response) bool { return res.ContentLength < 0 }

// writeError marks that it was the client's side that failed.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// copyBody streams: what has been read is with the client before more is waited
// for. Only where nothing more will come is the flush left to the handler's end.
func (x *Exchange) copyBody(res *http.Response, l *limits) error {
	// An empty body has to be read where trailers follow: they are known after its end.
	if res.Body == http.NoBody || (res.ContentLength == 0 && len(res.Trailer) == 0) {
		return nil
	}
	buf := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buf)
	left := res.ContentLength
	for {
		n, err := res.Body.Read(buf[:])
		if n > 0 {
			if _, werr := x.w.Write(buf[:n]); werr != nil {
				return &writeError{werr}
			}
			left -= int64(n)
			if left != 0 && err == nil {
				x.flush()
			}
			l.progress()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (x *Exchange) flush() {
	if f, ok := x.w.(http.Flusher); ok {
		f.Flush()
	}
}

func (x *Exchange) copyTrailer(res *http.Response, announced int) {
	if len(res.Trailer) == 0 {
		return
	}
	// Trailers force the chunked coding even where the body was empty.
	x.flush()
	h := x.w.Header()
	if len(res.Trailer) == announced {
		for name, values := range res.Trailer {
			h[name] = values
		}
		return
	}
	for name, values := range res.Trailer {
		h[http.TrailerPrefix+name] = values
	}
}

// broken says what an error within the response means.
func (x *Exchange) broken(ctx context.Context, code int, err error) Outcome {
	var write *writeError
	cause := context.Cause(ctx)
	timedOut := errors.Is(cause, errIdle) || errors.Is(cause, errTotal)
	if !timedOut && (errors.As(err, &write) || x.in.Context().Err() != nil) {
		return Outcome{Result: ClientGone, Code: code, Err: err}
	}
	if cause != nil {
		err = cause
	}
	return Outcome{Result: Cut, Code: code, Err: err}
}
