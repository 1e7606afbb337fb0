package mllp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// What can come of an exchange, beside an answer. The connection is closed after any of them.
var (
	ErrNoConnection = errors.New("no connection")
	ErrNoControlID  = errors.New("message has no MSH-10, which an answer could be known by")
	ErrWrongAnswer  = errors.New("what came acknowledges no message, or another one")
	ErrNoAnswer     = errors.New("no answer in time")
	ErrBrokenOff    = errors.New("connection closed before the answer")
)

// Client sends messages to one receiver, one at a time on one connection. Its fields are set before use; its methods are
// for one goroutine at a time.
type Client struct {
	Address string // host:port
	// Dial makes the connection; nil: without TLS.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	DialTimeout time.Duration // with the TLS handshake; 10 s by default
	Timeout     time.Duration // for the answer to a message once it is written; 30 s by default
	MaxSize     int           // of an answer, in bytes; 1 MiB by default

	nc   net.Conn
	r    *Reader
	sent [][]byte // control IDs of the messages before this one, on any connection
}

// maxSent bounds what is remembered. There are receivers (node-hl7-server 2.5) that answer all the messages before again with each,
// others on the next connection what came too late on the one before.
const maxSent = 256

// Exchange sends message and returns what acknowledges it: its MSA-2 is the MSH-10 of message. An answer that comes after
// Timeout is never read. Where a connection was idle and the peer has ended it meanwhile, message is sent on a new one;
// it may so come twice under one MSH-10, as after any error.
func (c *Client) Exchange(ctx context.Context, message []byte) ([]byte, error) {
	id := controlID(message)
	if len(id) == 0 {
		return nil, fmt.Errorf("mllp: %w", ErrNoControlID)
	}
	framed, err := Append(make([]byte, 0, len(message)+3), message)
	if err != nil {
		return nil, err
	}
	if c.nc != nil && c.ended() {
		_ = c.Close()
	}
	reused := c.nc != nil // even so the peer may have ended it by now, and have nothing against the message
	answer, err := c.exchange(ctx, framed, id)
	if reused && errors.Is(err, ErrBrokenOff) && ctx.Err() == nil {
		answer, err = c.exchange(ctx, framed, id)
	}
	return answer, err
}

// Close closes the connection. The next Exchange opens another.
func (c *Client) Close() error {
	if c.nc == nil {
		return nil
	}
	nc := c.nc
	c.nc, c.r = nil, nil
	return nc.Close()
}

// glance is how long it is looked whether there is something to read.
const glance = 100 * time.Microsecond

// ended reports whether the peer has ended its side of the connection. There are receivers that read on after that: they would
// have a message that they cannot answer there, and once more on the next connection.
func (c *Client) ended() bool {
	if c.nc.SetReadDeadline(time.Now().Add(glance)) != nil {
		return true
	}
	_, err := c.r.br.Peek(1)
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// Connect makes sure that there is a connection.
func (c *Client) Connect(ctx context.Context) error {
	if c.nc != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(c.DialTimeout, 10*time.Second))
	defer cancel()
	dial := c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	nc, err := dial(ctx, "tcp", c.Address)
	if err != nil {
		return fmt.Errorf("mllp: %w: %w", ErrNoConnection, err)
	}
	c.nc, c.r = nc, NewReader(nc)
	c.r.MaxSize = orDefault(c.MaxSize, 1<<20)
	return nil
}

// exchange is one try. After an error there is no connection.
func (c *Client) exchange(ctx context.Context, framed, id []byte) ([]byte, error) {
	if err := c.Connect(ctx); err != nil {
		return nil, err
	}
	nc := c.nc
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	answer, err := c.converse(framed, id)
	c.sent = append(c.sent, id)
	c.sent = c.sent[max(0, len(c.sent)-maxSent):]
	if err == nil {
		return answer, nil
	}
	_ = c.Close()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("mllp: %w", ErrNoAnswer)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return nil, fmt.Errorf("mllp: %w", ErrBrokenOff)
	}
	return nil, err
}

func (c *Client) converse(framed, id []byte) ([]byte, error) {
	timeout := orDefault(c.Timeout, 30*time.Second)
	err := c.nc.SetDeadline(time.Now().Add(timeout + time.Duration(len(framed)/minimumRate)*time.Second))
	if err != nil {
		return nil, err
	}
	if _, err := c.nc.Write(framed); err != nil {
		return nil, err
	}
	if err := c.nc.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	for {
		answer, err := c.r.Next()
		if err != nil {
			return nil, err
		}
		if empty(answer) {
			continue
		}
		switch about := acknowledges(answer); {
		case bytes.Equal(about, id):
			return answer, nil
		case len(about) == 0 || !slices.ContainsFunc(c.sent, func(id []byte) bool { return bytes.Equal(id, about) }): // which acknowledges nothing any more
			return nil, fmt.Errorf("mllp: %w", ErrWrongAnswer)
		}
	}
}

// controlID is MSH-10.
func controlID(message []byte) []byte { return field(message, "MSH", 9) }

// acknowledges is MSA-2: the MSH-10 of the message that answer is about (HL7 v2.5.1 2.14.8.2).
func acknowledges(answer []byte) []byte { return field(answer, "MSA", 2) }

// field returns the n-th of the fields of a segment, as they are split at the separator that MSH says: all that is needed of
// a message here, whatever it is in other respects.
func field(message []byte, segment string, n int) []byte {
	message = bytes.TrimLeft(bytes.TrimPrefix(message, []byte("\ufeff")), " \t\r\n")
	if len(message) < 4 || string(message[:3]) != "MSH" {
		return nil
	}
	separator := message[3:4]
	for rest := message; len(rest) > 0; {
		line := rest
		if i := bytes.IndexAny(rest, "\r\n"); i >= 0 {
			line, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		if fields := bytes.SplitN(line, separator, n+2); string(fields[0]) == segment && len(fields) > n {
			return bytes.TrimSpace(fields[n])
		}
	}
	return nil
}
