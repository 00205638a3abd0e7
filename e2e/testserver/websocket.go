package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// maxMessage bounds a message of a WebSocket.
	maxMessage = 1 << 20
	// closeWithin is how long the other side may take to answer a close frame, and
	// to take a message.
	closeWithin = 5 * time.Second
)

// sockets are the open WebSockets, which the HTTP server does not know of any more.
type sockets struct {
	upgrader websocket.Upgrader
	// stopping is closed when they have to end.
	stopping chan struct{}
	open     sync.WaitGroup
}

func newSockets() *sockets {
	return &sockets{
		stopping: make(chan struct{}),
		upgrader: websocket.Upgrader{
			HandshakeTimeout: closeWithin,
			// Whoever reaches the server may use it.
			CheckOrigin: func(*http.Request) bool { return true },
		},
	}
}

// end says goodbye on every WebSocket.
func (s *sockets) end() { close(s.stopping) }

// wait returns when the other sides have said goodbye too, or taken too long. It is
// called when no new ones come any more.
func (s *sockets) wait() { s.open.Wait() }

// socket echoes the messages of a WebSocket until either side closes it. The whole
// of it is one execution.
func (s *server) socket(w http.ResponseWriter, r *http.Request) {
	s.sockets.open.Add(1)
	defer s.sockets.open.Done()
	_ = s.execute(r.Context(), r.URL.Path, 0, func() error {
		conn, err := s.sockets.upgrader.Upgrade(w, r, http.Header{startedHeader: w.Header()[startedHeader], nameHeader: {s.name}})
		if err != nil {
			return err // the client has been told
		}
		defer conn.Close()
		over := make(chan struct{})
		defer close(over)
		go s.sockets.sayGoodbye(conn, over)
		return echoMessages(conn)
	})
}

// sayGoodbye sends the close frame when the server stops, unless the socket is over
// before. The answer to it is left to who reads the socket.
func (s *sockets) sayGoodbye(conn *websocket.Conn, over <-chan struct{}) {
	select {
	case <-over:
	case <-s.stopping:
		until := time.Now().Add(closeWithin)
		_ = conn.SetReadDeadline(until)
		goodbye := websocket.FormatCloseMessage(websocket.CloseGoingAway, "the server stops")
		_ = conn.WriteControl(websocket.CloseMessage, goodbye, until)
	}
}

func echoMessages(conn *websocket.Conn) error {
	conn.SetReadLimit(maxMessage)
	for {
		kind, message, err := conn.ReadMessage()
		if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
			return nil
		}
		if err != nil {
			return errLeft
		}
		if err := conn.SetWriteDeadline(time.Now().Add(closeWithin)); err != nil {
			return errLeft
		}
		if err := conn.WriteMessage(kind, message); err != nil {
			return errLeft
		}
	}
}
