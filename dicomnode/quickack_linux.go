package dicomnode

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// transport is a connection that acknowledges at once whatever it is about to wait for. A peer that leaves Nagle's
// algorithm on (stock DCMTK, Orthanc) sends the rest of a message only when its first bytes are acknowledged, which
// the kernel delays by 40 ms; TCP_QUICKACK wears off and is set again before each read.
type transport struct {
	net.Conn
	raw      syscall.RawConn // nil unless the connection is TCP
	quickack func(fd uintptr)
	peek     func(fd uintptr)
	peeked   bool
}

func newTransport(nc net.Conn) *transport {
	t := &transport{Conn: nc}
	if wrapped, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = wrapped.NetConn() // TLS
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		t.raw, _ = tcp.SyscallConn() // fails on a closed connection only, which the next read tells
	}
	t.quickack = func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) // speed only
	}
	var one [1]byte
	t.peek = func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		t.peeked = err != unix.EAGAIN
	}
	return t
}

func (t *transport) Read(p []byte) (int, error) {
	if t.raw != nil {
		_ = t.raw.Control(t.quickack)
	}
	return t.Conn.Read(p)
}

// readable reports whether a read would return at once: bytes, the end, or an error.
func (t *transport) readable() bool {
	if t.raw == nil {
		return false
	}
	t.peeked = false
	return t.raw.Control(t.peek) != nil || t.peeked
}
