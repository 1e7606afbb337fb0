// Package accept is how servers take connections in, whatever they speak on them: one loop, its pauses and its end.
package accept

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// ErrClosed is what Serve returns after Close.
var ErrClosed = errors.New("accept: closed")

// Listeners are those of a server. The zero value is ready; methods may be called from any goroutine.
type Listeners struct {
	mu     sync.Mutex
	closed bool
	all    map[net.Listener]struct{}
}

// Serve hands what ln accepts to take until Close, and closes ln. take returns at once: whatever waits for the peer, such as
// the handshake of TLS, is for a goroutine of its own. What the machine lacks, such as file descriptors, is waited for, and lacks
// is told each time.
func (l *Listeners) Serve(ln net.Listener, take func(net.Conn), lacks func(err error, pause time.Duration)) error {
	defer ln.Close()
	if !l.add(ln) {
		return ErrClosed
	}
	for pause := time.Duration(0); ; {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			take(nc)
			continue
		case l.Closed():
			return ErrClosed
		case !temporary(err):
			return fmt.Errorf("accept: %w", err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		lacks(err, pause)
		time.Sleep(pause)
	}
}

// temporary: it may succeed once other files are closed.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (l *Listeners) add(ln net.Listener) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.all == nil {
		l.all = make(map[net.Listener]struct{})
	}
	l.all[ln] = struct{}{}
	return true
}

// Close closes the listeners, and those that come later.
func (l *Listeners) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for ln := range l.all {
		_ = ln.Close()
	}
}

// Closed reports whether Close was called.
func (l *Listeners) Closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Host is where a connection comes from; the zero value, which nothing lists, where that is no IP address.
func Host(nc net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// Listed reports whether one of the networks has host.
func Listed(networks []netip.Prefix, host netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(host) })
}

// Idle is closed once nobody is left of those that wg waits for.
func Idle(wg *sync.WaitGroup) <-chan struct{} {
	idle := make(chan struct{})
	go func() {
		wg.Wait()
		close(idle)
	}()
	return idle
}
