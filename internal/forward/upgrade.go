package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// join connects client and server after the server has agreed to change the protocol.
func (x *Exchange) join(ctx context.Context, res *http.Response) Outcome {
	server, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		res.Body.Close()
		return Outcome{Result: Failed, Err: errors.New("the server changed the protocol on a connection that cannot")}
	}
	defer server.Close()
	if got := upgradeType(res.Header); x.upgrade == "" || !strings.EqualFold(got, x.upgrade) {
		return Outcome{Result: Failed, Err: fmt.Errorf("the server changed to protocol %q where %q was asked for", got, x.upgrade)}
	}
	client, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return Outcome{Result: Failed, Err: fmt.Errorf("taking over the client's connection: %w", err)}
	}
	defer client.Close()
	dropHopByHop(res.Header)
	res.Header["Connection"] = upgradeConn
	res.Header["Upgrade"] = []string{x.upgrade}
	res.Body = nil
	if err := res.Write(buffered); err != nil {
		return Outcome{Result: ClientGone, Code: res.StatusCode, Err: err}
	}
	if err := buffered.Flush(); err != nil {
		return Outcome{Result: ClientGone, Code: res.StatusCode, Err: err}
	}
	x.pump(ctx, client, buffered, server)
	return Outcome{Result: Done, Code: res.StatusCode}
}

// pump copies both ways until both sides are done, or one has failed.
func (x *Exchange) pump(ctx context.Context, client net.Conn, fromClient io.Reader, server io.ReadWriteCloser) {
	ended := make(chan error, 2)
	go func() {
		_, err := io.Copy(server, fromClient)
		if err == nil {
			err = closeWrite(server)
		}
		ended <- err
	}()
	go func() {
		_, err := io.Copy(client, server)
		if err == nil {
			err = closeWrite(client)
		}
		ended <- err
	}()
	left := 2
	for left > 0 {
		select {
		case err := <-ended:
			left--
			if err == nil {
				continue
			}
		case <-ctx.Done():
		case <-x.Cutoff:
		}
		break
	}
	client.Close()
	server.Close()
	for ; left > 0; left-- {
		<-ended //nolint:errcheck // why it ended does not matter any more
	}
}

var errNoHalfClose = errors.New("the connection cannot be closed one way")

// closeWrite passes on the end of one direction. Where that cannot be said, the
// end of one direction is the end of both.
func closeWrite(c io.Writer) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errNoHalfClose
}
