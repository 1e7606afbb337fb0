package mllp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"endogate/dicomnode/failure"
)

const (
	minimumRate      = 16 << 10         // bytes a second that a message must come with, once its time is used up
	handshakeTimeout = 10 * time.Second // of TLS
	endTimeout       = 3 * time.Second  // for the last byte of a frame, which some senders write late and some never
	farewell         = time.Second      // for which what still comes is read, so that the last answer is not lost over it
)

var (
	errDraining = errors.New("mllp: the server shuts down")
	errHandler  = errors.New("mllp: message not taken")
)

// conn is one connection of a server.
type conn struct {
	s    *Server
	nc   net.Conn // its deadlines and its end
	rw   net.Conn // what is read and written: nc, or TLS over it
	peer Peer
	r    *Reader
	held int // bytes, under the server's mu

	policy *Policy // under which it began

	began time.Time // of the message that is being read

	mu       sync.Mutex
	busy     bool // a message is under way
	draining bool
}

func newConn(s *Server, nc net.Conn, host netip.Addr) *conn {
	return &conn{s: s, nc: nc, rw: nc, peer: Peer{Host: host, Remote: nc.RemoteAddr().String()}}
}

// serve is the connection from accept to close.
func (c *conn) serve(ctx context.Context) {
	if c.s.Observe.Connected != nil {
		c.s.Observe.Connected()
	}
	err := c.handshake(ctx)
	cause := CauseTLS
	if err == nil {
		err = c.messages(ctx)
		cause = c.causeOf(err)
	}
	if errors.Is(err, errDraining) && c.isBusy() { // the peer was answered just now, and may have sent more
		c.leave()
	}
	level := slog.LevelWarn
	if cause == CauseClosed || cause == CauseIdle || cause == CauseShutdown {
		level = slog.LevelDebug
	}
	c.s.logThinned(level, "mllp: connection ended", c.peer.Host, "cause", cause, "error", err)
	if c.s.Observe.Ended != nil {
		c.s.Observe.Ended(cause)
	}
}

func (c *conn) causeOf(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return CauseClosed
	case errors.Is(err, errDraining), errors.Is(err, net.ErrClosed):
		return CauseShutdown
	case errors.Is(err, errHandler):
		return CauseHandler
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrDamaged), errors.Is(err, ErrNoFrame), errors.Is(err, ErrFrameBytes):
		return CauseFrame
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.isBusy():
		return CauseIdle
	case errors.Is(err, os.ErrDeadlineExceeded):
		return CauseTimeout
	}
	return CauseLost
}

func (c *conn) handshake(ctx context.Context) error {
	if c.s.TLS == nil {
		return nil
	}
	tc := tls.Server(c.nc, c.s.TLS)
	if err := c.idle(handshakeTimeout); err != nil {
		return err
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	if chains := tc.ConnectionState().VerifiedChains; len(chains) > 0 {
		c.peer.Subject = chains[0][0].Subject.String()
	}
	c.rw = tc
	return nil
}

// messages takes messages until the connection ends, which is always an error.
func (c *conn) messages(ctx context.Context) error {
	c.r = NewReader(c.rw)
	c.r.MaxSize, c.r.progress, c.r.ending = c.policy.MaxSize, c.progress, c.ending
	for {
		if err := c.idle(c.policy.IdleTimeout); err != nil {
			return err
		}
		message, err := c.r.Next()
		c.countDropped()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && c.isDraining():
			return errDraining
		case errors.Is(err, ErrTooLarge):
			return errors.Join(err, c.refuse(message))
		case err != nil:
			return err
		}
		if empty(message) {
			continue
		}
		if err := c.answer(ctx, message); err != nil {
			return err
		}
	}
}

// idle begins the wait for a message, which drain ends.
func (c *conn) idle(timeout time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return errDraining
	}
	c.busy = false
	return c.nc.SetReadDeadline(time.Now().Add(timeout))
}

// progress gives a message that has begun, and of which n bytes have come, its time and its room.
func (c *conn) progress(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 0 {
		c.busy, c.began = true, time.Now()
	}
	allowed := c.policy.ReadTimeout + time.Duration(n/minimumRate)*time.Second
	if err := c.nc.SetReadDeadline(c.began.Add(allowed)); err != nil {
		return err
	}
	return c.s.hold(c, n)
}

func (c *conn) ending() error {
	return c.nc.SetReadDeadline(time.Now().Add(endTimeout))
}

// drain ends the connection unless a message is under way, and then after it.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if !c.busy {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // a closed connection needs no deadline
	}
}

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

func (c *conn) isBusy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy
}

// answer hands the message over and writes what it is answered.
func (c *conn) answer(ctx context.Context, message []byte) error {
	answers, err := c.handle(ctx, message)
	if err != nil {
		return fmt.Errorf("%w: %w", errHandler, err)
	}
	for _, answer := range answers {
		if err := c.write(answer); err != nil {
			return err
		}
	}
	return c.s.hold(c, 0)
}

// handle guards against a handler that panics.
func (c *conn) handle(ctx context.Context, message []byte) (answers [][]byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.s.Log.Error("mllp: handler panicked", "host", c.peer.Host.String(), "reason", failure.Reason(p), "stack", string(debug.Stack()))
			err = errors.New("internal fault; the log has the stack")
		}
	}()
	return c.s.Handler(ctx, c.peer, message)
}

func (c *conn) write(message []byte) error {
	framed, err := Append(nil, message)
	if err != nil {
		return err
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.s.WriteTimeout)); err != nil {
		return err
	}
	_, err = c.rw.Write(framed)
	return err
}

// refuse answers a message of which the rest is not read.
func (c *conn) refuse(beginning []byte) error {
	if c.s.TooLarge == nil || len(beginning) == 0 {
		return nil
	}
	answer := c.s.TooLarge(c.peer, beginning)
	if answer == nil {
		return nil
	}
	err := c.write(answer)
	c.leave()
	return err
}

// leave says that no more is answered, and throws away for a moment what still comes: closing over it would reset the
// connection, and a reset can take the last answer away from a peer that has not read it yet.
func (c *conn) leave() {
	if half, ok := c.rw.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // where it fails there is nobody to leave
	}
	if c.nc.SetReadDeadline(time.Now().Add(farewell)) == nil {
		_, _ = io.Copy(io.Discard, c.rw)
	}
}

// countDropped says what was between frames, or half of one.
func (c *conn) countDropped() {
	if c.r.Dropped == 0 {
		return
	}
	c.s.logThinned(slog.LevelWarn, "mllp: bytes outside of frames dropped", c.peer.Host, "bytes", c.r.Dropped)
	if c.s.Observe.Dropped != nil {
		c.s.Observe.Dropped(c.r.Dropped)
	}
	c.r.Dropped = 0
}
