package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"endogate/dicomnode/accept"
	"endogate/dicomnode/failure"
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("mllp: server closed")

// Peer is who sent a message.
type Peer struct {
	Host    netip.Addr
	Remote  string // address and port
	Subject string // of its certificate, where mutual TLS has checked one
}

// Observer has functions that a Server calls as things happen, for metrics; nil ones are left out. They are called from
// many goroutines and should return at once.
type Observer struct {
	Connected func()
	Refused   func(cause string) // before anything was read: RefusedHost, RefusedLimit
	Dropped   func(bytes int64)  // that were in no frame
	Ended     func(cause string) // a connection has, by one of the Cause constants
}

// Causes for which a connection is refused, or ends.
const (
	RefusedHost  = "host"  // it is not listed
	RefusedLimit = "limit" // there are too many

	CauseClosed   = "closed"   // by the peer, between messages
	CauseLost     = "lost"     // in the middle of one, or of its answer
	CauseIdle     = "idle"     // nothing came for IdleTimeout
	CauseTimeout  = "timeout"  // it was silent or slow in the middle of a message, or did not read its answer
	CauseFrame    = "frame"    // what came is no frame, or too large
	CauseHandler  = "handler"  // a message could not be taken, and is not answered
	CauseTLS      = "tls"      // the handshake did not come about
	CauseShutdown = "shutdown" // we end it
)

// Server takes connections and hands their messages to Handler, those of a connection one after the other. Its fields are
// set before Serve; what is in a [Policy] may be set anew by Change while it serves.
type Server struct {
	// Handler returns what a message is answered, once it is durable: nothing, one message, or two (an accept and an
	// application acknowledgement). With an error the connection is closed without an answer, and the peer sends again.
	// It may keep message. ctx ends when Shutdown does not wait any longer.
	Handler func(ctx context.Context, peer Peer, message []byte) (answers [][]byte, err error)
	// TooLarge returns what a message of more than MaxSize is answered, of which it gets the beginning, before the connection
	// is closed. It may be nil: there is no answer.
	TooLarge func(peer Peer, beginning []byte) (answer []byte)

	Allow []netip.Prefix // hosts that may connect; none listed is nobody
	TLS   *tls.Config    // nil: none

	MaxConnections int // 64 by default
	MaxPerHost     int // 16 by default
	MaxSize        int // of a message, in bytes; DefaultMaxSize by default
	MaxHeld        int // of all messages that are being read or handled, in bytes; 256 MiB by default

	IdleTimeout  time.Duration // between messages; an hour by default: an interface may have nothing to say for long
	ReadTimeout  time.Duration // for a message once begun, and a second for each 16 KiB of it; 60 s by default
	WriteTimeout time.Duration // for an answer; 60 s by default

	Log     *slog.Logger // slog.Default by default; gets addresses, never contents
	Observe Observer

	policy    atomic.Pointer[Policy] // in force, with its defaults filled in
	listeners accept.Listeners

	mu      sync.Mutex
	conns   map[*conn]context.CancelFunc
	perHost map[netip.Addr]int
	held    int

	repeated failure.Thinning
	wg       sync.WaitGroup
}

// Serve takes connections on ln until Shutdown, and then returns ErrServerClosed. It closes ln. It may be called for
// several listeners at once.
func (s *Server) Serve(ln net.Listener) error {
	s.prepare()
	err := s.listeners.Serve(ln, s.start, func(err error, pause time.Duration) {
		s.Log.Error("mllp: accept; trying again", "error", err, "pause", pause)
	})
	if !errors.Is(err, accept.ErrClosed) {
		return fmt.Errorf("mllp: %w", err)
	}
	return ErrServerClosed
}

// prepare fills in the defaults, once.
func (s *Server) prepare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns != nil {
		return
	}
	s.MaxHeld = orDefault(s.MaxHeld, 256<<20)
	s.Change(Policy{s.Allow, s.MaxConnections, s.MaxPerHost, s.MaxSize, s.IdleTimeout, s.ReadTimeout})
	s.WriteTimeout = orDefault(s.WriteTimeout, time.Minute)
	if s.Log == nil {
		s.Log = slog.Default()
	}
	s.conns = make(map[*conn]context.CancelFunc)
	s.perHost = make(map[netip.Addr]int)
}

// Policy is what a Server holds those to who connect: its fields of the same names.
type Policy struct {
	Allow          []netip.Prefix
	MaxConnections int
	MaxPerHost     int
	MaxSize        int
	IdleTimeout    time.Duration
	ReadTimeout    time.Duration
}

// Change sets another policy for connections that come from now on; those that stand go on under theirs, to their end. It may be called
// from any goroutine.
func (s *Server) Change(p Policy) {
	p.MaxConnections = orDefault(p.MaxConnections, 64)
	p.MaxPerHost = orDefault(p.MaxPerHost, 16)
	p.MaxSize = orDefault(p.MaxSize, DefaultMaxSize)
	p.IdleTimeout = orDefault(p.IdleTimeout, time.Hour)
	p.ReadTimeout = orDefault(p.ReadTimeout, time.Minute)
	s.policy.Store(&p)
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// start serves nc in a goroutine that Shutdown waits for. Who is not listed costs neither a place nor memory.
func (s *Server) start(nc net.Conn) {
	host, is := accept.Host(nc), s.policy.Load()
	if !accept.Listed(is.Allow, host) {
		s.refuse(nc, host, RefusedHost)
		return
	}
	if !s.admit(nc, host, is) {
		s.refuse(nc, host, RefusedLimit)
	}
}

// admit reports whether there is room for nc. After Shutdown it is closed, and nothing said of it.
func (s *Server) admit(nc net.Conn, host netip.Addr, is *Policy) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners.Closed() {
		_ = nc.Close()
		return true
	}
	if len(s.conns) >= is.MaxConnections || s.perHost[host] >= is.MaxPerHost {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := newConn(s, nc, host)
	c.policy = is
	s.conns[c] = cancel
	s.perHost[host]++
	s.wg.Go(func() {
		defer s.forget(c)
		c.serve(ctx)
	})
	return true
}

// refuse closes nc: there is nothing that could be said to it.
func (s *Server) refuse(nc net.Conn, host netip.Addr, cause string) {
	_ = nc.Close()
	s.logThinned(slog.LevelWarn, "mllp: connection refused", host, "cause", cause)
	if s.Observe.Refused != nil {
		s.Observe.Refused(cause)
	}
}

func (s *Server) forget(c *conn) {
	defer func() { _ = c.rw.Close() }() // last, so that the peer can come again at once
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c]()
	delete(s.conns, c)
	s.held -= c.held
	if s.perHost[c.peer.Host]--; s.perHost[c.peer.Host] == 0 {
		delete(s.perHost, c.peer.Host)
	}
}

// hold counts n bytes as those that c holds, if there is room for them.
func (s *Server) hold(c *conn, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if most := max(s.MaxHeld, c.policy.MaxSize); s.held+n-c.held > most {
		return fmt.Errorf("mllp: %w: with those of others more than %d bytes", ErrTooLarge, most)
	}
	s.held += n - c.held
	c.held = n
	return nil
}

// Connections is how many there are.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Shutdown closes the listeners before anything else, and the connections on which no message is under way; one that is
// comes to its end and is answered. When ctx ends first, what is left is closed, the contexts of handlers are cancelled, and
// the error is that of ctx. No handler runs any more when Shutdown returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.listeners.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()

	idle := accept.Idle(&s.wg)
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c, cancel := range s.conns {
		_ = c.nc.Close()
		cancel()
	}
	s.mu.Unlock()
	<-idle
	return context.Cause(ctx)
}

// logThinned writes a line about a host that may come again and again; lines that were left out are counted in a later one.
func (s *Server) logThinned(level slog.Level, msg string, host netip.Addr, args ...any) {
	left, ok := s.repeated.Due(msg+host.String(), time.Now())
	if !ok {
		return
	}
	if left > 0 {
		args = append(args, "left_out", left)
	}
	s.Log.Log(context.Background(), level, msg, append(args, "host", host.String())...)
}
