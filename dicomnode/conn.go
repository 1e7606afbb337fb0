package dicomnode

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"endogate/dicomnode/pdu"
)

const (
	// DefaultMaxPDULength is the P-DATA-TF length that is advertised and, where the peer allows it, sent.
	// At 16 KiB a stock storescu runs into Nagle's algorithm on every PDU.
	DefaultMaxPDULength uint32 = 128 << 10

	// minPeerPDULength is the smallest maximum length of a peer that leaves room for a fragment.
	minPeerPDULength = pdu.PDVHeaderLength + 2

	// minimumRate is how fast a message has to come once the deadline of one PDU is used up, in bytes a second.
	minimumRate = 1 << 10

	// drainIdle is how long an idle association may stay when the server shuts down.
	drainIdle = 500 * time.Millisecond
)

// conn is the transport of one association and its buffers: one PDU each way. Methods are for one goroutine,
// except drain, abort and Close.
type conn struct {
	*transport
	r          *pdu.Reader
	pduTimeout time.Duration // for the rest of a PDU once it has begun, and for a write
	artim      time.Duration // PS3.8 9.1.5
	maxSend    int           // body length of the P-DATA-TF PDUs we send
	out        []byte
	command    []byte
	pdvs       []pdu.PDV     // of the last PDU, not yet taken; they lie in r's buffer
	credit     time.Duration // how long we may still wait within the current message
	lost       bool          // what still comes is not read as PDUs
	stray      uint8         // presentation context on which a data set may come that is no part of a message; 0: none

	host   netip.Addr
	policy *policy // of a server's connection: the one that it began under
	crowd  *crowd  // of a server's connection that has no association and is not our own; under the server's mu

	writing sync.Mutex // a message is written whole

	mu       sync.Mutex
	waiting  bool // between messages
	draining bool
}

func newConn(nc net.Conn, artim, pduTimeout time.Duration) *conn {
	t := newTransport(nc)
	return &conn{transport: t, r: pdu.NewReader(t), artim: artim, pduTimeout: pduTimeout, credit: pduTimeout}
}

// receiveUpTo sizes the read buffer for PDUs of n bytes; what is short comes in one read with what follows it.
func (c *conn) receiveUpTo(n uint32) {
	c.r.MaxDataLength = n
	c.r.Reserve(pdu.HeaderLength + int(n) + 1024)
}

// sendUpTo sets the PDU length for sending, from the peer's maximum length (0 is no limit, PS3.8 D.1.1) and our own.
func (c *conn) sendUpTo(peer, own uint32) error {
	if peer == 0 {
		peer = own
	}
	if peer < minPeerPDULength {
		return violates(pdu.InvalidPDUParameterValue, "maximum length %d is too short for a fragment", peer)
	}
	c.maxSend = int(min(peer, own) &^ 1) // fragments of even length
	return nil
}

// wait returns once a PDU has begun to arrive; timeout is for the time between messages.
func (c *conn) wait(timeout time.Duration) error {
	if c.r.Buffered() > 0 {
		return nil
	}
	if err := c.idle(timeout); err != nil {
		return err
	}
	err := c.r.Wait()
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	return err
}

// expect returns once a PDU has begun to arrive that belongs to what is under way, so that drain lets it come.
func (c *conn) expect(timeout time.Duration) error {
	if c.r.Buffered() > 0 {
		return nil
	}
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	return c.r.Wait()
}

// idle sets the deadline of a wait between messages, which drain may bring forward.
func (c *conn) idle(timeout time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		timeout = min(timeout, drainIdle)
	}
	c.waiting = true
	return c.SetReadDeadline(time.Now().Add(timeout))
}

// drain makes the association end soon unless a message is under way, then as soon as it idles.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.waiting {
		_ = c.SetReadDeadline(time.Now().Add(drainIdle)) // a closed connection needs no deadline
	}
}

// arrived reports, without waiting, whether there is something to read: a message, a PDU, or the end.
func (c *conn) arrived() bool {
	return len(c.pdvs) > 0 || c.r.Buffered() > 0 || c.readable() && !c.silent()
}

// silent reports that what can be read are no bytes of the association, but of the TLS beneath it.
func (c *conn) silent() bool {
	return errors.Is(c.wait(20*time.Millisecond), os.ErrDeadlineExceeded)
}

// whySendFailed looks for the A-ABORT that a peer sends before it closes under our writing.
func (c *conn) whySendFailed(err error) error {
	var dataset errDataset
	if errors.As(err, &dataset) || errors.Is(err, net.ErrClosed) {
		return err
	}
	c.credit = time.Second
	for {
		_, readErr := c.pdv()
		var aborted *AbortError
		if errors.As(readErr, &aborted) {
			return aborted
		}
		if readErr != nil {
			return err
		}
	}
}

// read returns the next PDU, which is valid until the following call. A peer that lets us wait longer than
// pduTimeout for it, or on average sends less than minimumRate, gets no further.
func (c *conn) read() (pdu.PDU, error) {
	if c.r.Complete() {
		return c.r.Next()
	}
	start := time.Now()
	if err := c.SetReadDeadline(start.Add(min(c.pduTimeout, c.credit))); err != nil {
		return nil, err
	}
	p, err := c.r.Next()
	c.credit -= time.Since(start)
	return p, err
}

// earn lets n bytes of a message count for the time that more may take.
func (c *conn) earn(n int) {
	c.credit = min(c.pduTimeout, c.credit+time.Duration(n)*time.Second/minimumRate)
}

// pdv returns the next fragment. What is not P-DATA-TF comes as an error: errReleaseRequested, *AbortError or *violation.
func (c *conn) pdv() (pdu.PDV, error) {
	if len(c.pdvs) == 0 {
		p, err := c.read()
		if err != nil {
			return pdu.PDV{}, err
		}
		switch p := p.(type) {
		case *pdu.Data:
			c.pdvs = p.PDVs
		case *pdu.ReleaseRQ:
			return pdu.PDV{}, errReleaseRequested
		case *pdu.Abort:
			return pdu.PDV{}, &AbortError{p.Source, p.Reason}
		default: // AA-8 of PS3.8 table 9-10
			return pdu.PDV{}, violates(pdu.UnexpectedPDU, "%s on an established association", p.Type())
		}
		if len(c.pdvs) == 0 {
			return pdu.PDV{}, violates(pdu.InvalidPDUParameterValue, "P-DATA-TF without a value")
		}
	}
	v := c.pdvs[0]
	c.pdvs = c.pdvs[1:]
	c.earn(len(v.Data))
	return v, nil
}

// send writes p in one write.
func (c *conn) send(p pdu.PDU) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	b, err := pdu.Append(c.out[:0], p)
	if err != nil {
		return err
	}
	c.out = b[:0]
	return c.write(b)
}

func (c *conn) write(b []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(c.pduTimeout)); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}

// abort sends A-ABORT. It may be called from any goroutine: a PDU is one write, so it never lands inside another.
func (c *conn) abort(source pdu.AbortSource, reason pdu.AbortReason) error {
	b, err := pdu.Append(nil, &pdu.Abort{Source: source, Reason: reason})
	if err != nil {
		return err
	}
	_ = c.SetWriteDeadline(time.Now().Add(min(c.artim, time.Second))) // a peer that reads nothing does without
	_, err = c.Write(b)
	return err
}

// abortFor sends the A-ABORT that answers err; none when the peer has released, aborted or gone.
func (c *conn) abortFor(err error) {
	var (
		v       *violation
		invalid *pdu.Error
		aborted *AbortError
		timeout net.Error
	)
	switch {
	case errors.As(err, &v):
		_ = c.abort(v.source, v.reason)
	case errors.As(err, &invalid):
		c.lost = true
		_ = c.abort(pdu.AbortServiceProvider, invalid.Reason)
	case errors.Is(err, errReleaseRequested), errors.As(err, &aborted), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
	case errors.As(err, &timeout) && timeout.Timeout():
		if c.maxSend > 0 { // before the association ARTIM just closes: AA-2
			_ = c.abort(pdu.AbortServiceProvider, pdu.ReasonNotSpecified)
		}
	default:
		_ = c.abort(pdu.AbortServiceUser, pdu.ReasonNotSpecified)
	}
}

// leftover is how much is read after the last answer, in bytes: more than the kernels of both sides buffer.
const leftover = 8 << 20

// awaitClose is Sta13 of PS3.8 table 9-10: the peer closes the connection, or ARTIM expires. What still comes is
// thrown away, so that closing does not reset the connection under the answer just sent, unless the peer goes on
// sending regardless.
func (c *conn) awaitClose() {
	deadline := time.Now().Add(c.artim)
	for thrown := 0; !c.lost && thrown < leftover; {
		if c.wait(time.Until(deadline)) != nil || c.SetReadDeadline(deadline) != nil {
			return
		}
		p, err := c.r.Next()
		switch p := p.(type) {
		case *pdu.AssociateRQ: // AA-7
			_ = c.abort(pdu.AbortServiceProvider, pdu.UnexpectedPDU)
		case *pdu.Data: // AA-6
			for _, v := range p.PDVs {
				thrown += len(v.Data)
			}
		case *pdu.Abort: // AA-2
			return
		}
		var invalid *pdu.Error
		if err != nil && !errors.As(err, &invalid) {
			return
		}
		if err != nil { // AA-7
			c.abortFor(err)
		}
	}
	if c.lost && c.idle(time.Until(deadline)) == nil {
		_, _ = io.CopyN(io.Discard, c.transport, leftover)
	}
}
