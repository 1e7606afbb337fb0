//go:build !linux

package dicomnode

import "net"

// transport adds nothing where the kernel has no TCP_QUICKACK.
type transport struct{ net.Conn }

func newTransport(nc net.Conn) *transport { return &transport{nc} }

func (t *transport) readable() bool { return false }
