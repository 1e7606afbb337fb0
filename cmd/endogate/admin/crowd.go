package admin

import (
	"net"
	"net/http"
	"sync"
)

// crowd bounds the connections of a server: where there are most, a new one is closed, and so are those that are kept open between
// requests, to make room for the next. Those that send too slowly end by the server's times.
type crowd struct {
	most   int
	server *http.Server

	mu   sync.Mutex
	open map[net.Conn]bool
}

// changed is http.Server.ConnState.
func (w *crowd) changed(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !w.enters(conn) {
			_ = conn.Close() // it has heard nothing yet
			w.server.SetKeepAlivesEnabled(false)
			w.server.SetKeepAlivesEnabled(true)
		}
	case http.StateClosed, http.StateHijacked:
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, conn)
	}
}

func (w *crowd) enters(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.open) >= w.most {
		return false
	}
	w.open[conn] = true
	return true
}
