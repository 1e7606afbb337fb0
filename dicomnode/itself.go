package dicomnode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// AssociateItself calls the server where it listens, in clear or secured by TLS, as a modality would, and asks it by C-ECHO whether it answers. So
// what no counter shows is found: that connections are not accepted any more, or that the machine has none left. The connection
// is known by the address that it comes from, which is taken before it is made: it needs no peer in the list, takes nobody's
// place, and is neither logged nor observed. A listener that wants certificates has to have its configuration from [Server.Sparing].
func (s *Server) AssociateItself(ctx context.Context, listening net.Addr, secured bool) error {
	at, err := netip.ParseAddrPort(listening.String())
	if err != nil {
		return fmt.Errorf("dicomnode: where the server listens: %w", err)
	}
	host := at.Addr().Unmap()
	switch {
	case host.Zone() != "": // of one link, on which a socket is bound by other means
		return nil
	case host.IsUnspecified(): // all of IPv6 has all of IPv4 with it
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if err := s.associateItself(ctx, netip.AddrPortFrom(host, at.Port()), secured); err != nil {
		return fmt.Errorf("no association with ourselves, as a modality would have it: %w", err)
	}
	return nil
}

func (s *Server) associateItself(ctx context.Context, at netip.AddrPort, secured bool) error {
	var from netip.AddrPort
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if refused := c.Control(func(fd uintptr) { from, err = bind(int(fd), at.Addr()) }); refused != nil {
			return refused
		}
		s.expectItself(from, true)
		return err
	}}
	defer func() { s.expectItself(from, false) }()
	client := Client{AETitle: s.AETitle, Dial: dialer.DialContext, Log: slog.New(slog.DiscardHandler)}
	if secured { // whom it calls it knows by the address, and what the certificate says is for others to look at
		overTLS := tls.Dialer{NetDialer: &dialer, Config: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}}
		client.Dial = overTLS.DialContext
	}
	status, _, err := client.Echo(ctx, at.String(), s.AETitle)
	if err == nil && status != dimse.Success {
		err = fmt.Errorf("C-ECHO was answered by %s", status)
	}
	return err
}

// Sparing is config of a server, which asks for no certificate where the connection is from [Server.AssociateItself]: ours is one of a server,
// and need not be one that a client may show.
func (s *Server) Sparing(config *tls.Config) *tls.Config {
	out := config.Clone()
	out.GetConfigForClient = func(hello *tls.ClientHelloInfo) (c *tls.Config, err error) {
		if config.GetConfigForClient != nil {
			if c, err = config.GetConfigForClient(hello); err != nil {
				return nil, err
			}
		}
		if c == nil {
			c = config
		}
		s.mu.Lock()
		itself := s.isItself(hello.Conn)
		s.mu.Unlock()
		if itself {
			c = c.Clone()
			c.ClientAuth, c.GetConfigForClient = tls.NoClientCert, nil
		}
		return c, nil
	}
	return out
}

// bind gives a socket the address and a port, which it returns.
func bind(fd int, host netip.Addr) (netip.AddrPort, error) {
	var sa syscall.Sockaddr = &syscall.SockaddrInet6{Addr: host.As16()}
	if host.Is4() {
		sa = &syscall.SockaddrInet4{Addr: host.As4()}
	}
	err := syscall.Bind(fd, sa)
	if err == nil {
		sa, err = syscall.Getsockname(fd)
	}
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(host, uint16(sa.Port)), nil
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(host, uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("a socket of another kind: %T", sa)
}

// expectItself notes that a connection from the address is our own, or that it is over.
func (s *Server) expectItself(from netip.AddrPort, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !is {
		delete(s.itself, from)
		return
	}
	if s.itself == nil {
		s.itself = map[netip.AddrPort]bool{}
	}
	s.itself[from] = true
}

// isItself reports whether nc is from [Server.AssociateItself]. The caller holds mu.
func (s *Server) isItself(nc net.Conn) bool {
	from, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	return err == nil && s.itself[netip.AddrPortFrom(from.Addr().Unmap(), from.Port())]
}

// serveItself is serve for a connection of our own.
func (s *Server) serveItself(ctx context.Context, c *conn) {
	rq, err := c.readRequest()
	if err != nil {
		return
	}
	a := &association{link: &link{conn: c, services: c.policy.services, responseTimeout: c.policy.IdleTimeout, log: slog.New(slog.DiscardHandler)}}
	if err = s.accept(a, rq); err == nil {
		err = s.messages(ctx, a)
	}
	if errors.Is(err, errReleaseRequested) && a.send(&pdu.ReleaseRP{}) == nil {
		a.awaitClose()
	}
}
