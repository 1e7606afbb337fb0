package dicomnode

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"endogate/dicomnode/accept"
	"endogate/dicomnode/pdu"
)

// Bounds of connections that have no association.
const (
	maxStrangers        = 32 // from addresses of no peer, all together; they wait for a reject
	maxStrangersPerHost = 8
	maxTurnedAway       = 32 // rejected unread, at a time; beyond it the connection is closed without a word
)

// crowd counts the connections without an association: of the peers' hosts, or of strangers.
type crowd struct {
	all     int
	perHost map[netip.Addr]int
}

func (w *crowd) enter(host netip.Addr) {
	if w.perHost == nil {
		w.perHost = make(map[netip.Addr]int)
	}
	w.all++
	w.perHost[host]++
}

func (w *crowd) leave(host netip.Addr) {
	w.all--
	if w.perHost[host]--; w.perHost[host] == 0 {
		delete(w.perHost, host)
	}
}

// listed reports whether a peer may call from the address.
func (is *policy) listed(host netip.Addr) bool {
	return slices.ContainsFunc(is.Peers, func(p Peer) bool { return p.from(host) })
}

// gather counts c among those without an association if there is room. Strangers take no place of listed hosts, and
// one listed host leaves room for others. The caller holds mu.
func (s *Server) gather(c *conn) bool {
	is := c.policy
	all, perHost := 2*is.MaxAssociations+16, is.MaxAssociations/2+16
	c.crowd = &s.waiting
	if !is.listed(c.host) {
		all, perHost, c.crowd = maxStrangers, maxStrangersPerHost, &s.strangers
	}
	if c.crowd.all >= all || c.crowd.perHost[c.host] >= perHost {
		return false
	}
	c.crowd.enter(c.host)
	return true
}

// turnAway rejects before the request is read, in a goroutine of its own: over TLS a write waits for the handshake.
func (s *Server) turnAway(nc net.Conn) {
	s.rejected(accept.Host(nc), overLimit, "remote", nc.RemoteAddr().String())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners.Closed() || s.turnedAway == maxTurnedAway {
		_ = nc.Close()
		return
	}
	s.turnedAway++
	s.wg.Go(func() {
		sayNo(nc)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.turnedAway--
	})
}

// sayNo takes a second at most. What the peer sends is read, because closing over it would reset the connection under the reject.
func sayNo(nc net.Conn) {
	defer nc.Close()
	b, err := pdu.Append(nil, overLimit.pdu())
	if err == nil {
		err = nc.SetDeadline(time.Now().Add(time.Second))
	}
	if err == nil {
		_, err = nc.Write(b)
	}
	if err == nil {
		_, _ = io.CopyN(io.Discard, nc, pdu.MaxAssociateLength) // up to the peer's close, or the deadline
	}
}
