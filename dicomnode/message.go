package dicomnode

import (
	"errors"
	"fmt"
	"io"
	"time"

	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// readCommand reads the next command set. It waits for it, which is wait between messages and expect within one, no
// longer than timeout.
func (c *conn) readCommand(contexts contextTable, wait func(time.Duration) error, timeout time.Duration) (PresentationContext, dimse.Command, error) {
	c.credit = c.pduTimeout
	if len(c.pdvs) == 0 {
		if err := wait(timeout); err != nil {
			return PresentationContext{}, nil, err
		}
	}
	pc, b, err := c.commandBytes(contexts)
	if err != nil {
		return pc, nil, err
	}
	cmd, err := dimse.Decode(b)
	if err != nil { // DIMSE is the user of the upper layer
		return pc, nil, &violation{pdu.AbortServiceUser, pdu.ReasonNotSpecified, err.Error()}
	}
	return pc, cmd, nil
}

// commandBytes puts the fragments of a command set together; they are valid until the next read.
func (c *conn) commandBytes(contexts contextTable) (PresentationContext, []byte, error) {
	v, err := c.pdv()
	for err == nil && c.isStray(v) {
		v, err = c.pdv()
	}
	if err != nil {
		return PresentationContext{}, nil, err
	}
	pc, ok := contexts.find(v.ContextID)
	if !ok {
		return pc, nil, violates(pdu.InvalidPDUParameterValue, "presentation context %d was not accepted", v.ContextID)
	}
	if v.Command && v.Last {
		return pc, v.Data, within(len(v.Data))
	}
	c.command = c.command[:0]
	for {
		switch {
		case !v.Command:
			return pc, nil, violates(pdu.UnexpectedPDUParameter, "a data set fragment where a command is due")
		case v.ContextID != pc.ID:
			return pc, nil, violates(pdu.UnexpectedPDUParameter, "a message on two presentation contexts")
		}
		if err := within(len(c.command) + len(v.Data)); err != nil {
			return pc, nil, err
		}
		c.command = append(c.command, v.Data...)
		if v.Last {
			return pc, c.command, nil
		}
		if v, err = c.pdv(); err != nil {
			return pc, nil, midMessage(err)
		}
	}
}

// isStray takes a fragment of a data set that is no part of a message. What else comes ends the wait for one.
func (c *conn) isStray(v pdu.PDV) bool {
	if v.Command || v.ContextID != c.stray {
		c.stray = 0
		return false
	}
	if v.Last {
		c.stray = 0
	}
	return true
}

// passStray takes of such a data set what has come.
func (c *conn) passStray() error {
	for c.stray != 0 && c.arrived() {
		v, err := c.pdv()
		if err != nil {
			return err
		}
		if !c.isStray(v) {
			c.pdvs = append([]pdu.PDV{v}, c.pdvs...)
		}
	}
	return nil
}

func within(n int) error {
	if n > dimse.MaxCommandLength {
		return violates(pdu.InvalidPDUParameterValue, "command set above %d bytes", dimse.MaxCommandLength)
	}
	return nil
}

// midMessage makes the end of the connection what it is inside a message.
func midMessage(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// errDrainLimit: more of a data set that nobody wants is still to come than is worth reading.
var errDrainLimit = errors.New("dicomnode: data set refused, and the rest of it is too long to wait for")

// datasetReader is a data set while it arrives. Its end is the last fragment, not the end of the connection.
type datasetReader struct {
	c    *conn
	id   uint8
	rest []byte // of the current fragment, in the connection's buffer
	last bool
	err  error // why no more can be read; not io.EOF
	n    int64 // bytes of the fragments so far
}

// Read reads on into the next fragment.
func (r *datasetReader) Read(p []byte) (int, error) {
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// WriteTo hands w the fragments where they lie.
func (r *datasetReader) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		switch err := r.fill(); {
		case err == io.EOF:
			return written, nil
		case err != nil:
			return written, err
		}
		n, err := w.Write(r.rest)
		written += int64(n)
		r.rest = r.rest[n:]
		if err != nil {
			return written, err
		}
	}
}

// fill makes rest hold something, or returns io.EOF after the last fragment.
func (r *datasetReader) fill() error {
	for len(r.rest) == 0 && r.err == nil {
		if r.last {
			return io.EOF
		}
		r.next()
	}
	return r.err
}

func (r *datasetReader) next() {
	v, err := r.c.pdv()
	switch {
	case err != nil:
		r.err = midMessage(err)
	case v.Command:
		r.err = violates(pdu.UnexpectedPDUParameter, "a command inside a data set")
	case v.ContextID != r.id:
		r.err = violates(pdu.UnexpectedPDUParameter, "a message on two presentation contexts")
	default:
		r.rest, r.last = v.Data, v.Last
		r.n += int64(len(v.Data))
	}
}

// drain reads what is left, so that the peer gets its status, but no more than limit bytes of it.
func (r *datasetReader) drain(limit int64) error {
	limit += r.n
	for r.err == nil && !r.last {
		if r.n > limit {
			r.err = errDrainLimit
			break
		}
		r.next()
	}
	r.rest = nil
	return r.err
}

// writeCommand sends a message without a data set in one write.
func (c *conn) writeCommand(id uint8, cmd dimse.Command) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out, c.command = c.appendCommand(c.out[:0], c.command, id, cmd)
	return c.write(c.out)
}

// writeAside sends a message without a data set between the messages of the association's own goroutine.
func (c *conn) writeAside(id uint8, cmd dimse.Command) error {
	b, _ := c.appendCommand(nil, nil, id, cmd)
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.write(b)
}

// appendCommand appends the command set as P-DATA-TF PDUs; more than one only if the peer takes tiny ones. The command
// set is put together in command, which is returned to be used again.
func (c *conn) appendCommand(b, command []byte, id uint8, cmd dimse.Command) (pdus, whole []byte) {
	whole = dimse.Append(command[:0], cmd)
	fragment := c.maxSend - pdu.PDVHeaderLength
	for rest := whole; ; {
		n := min(len(rest), fragment)
		b = append(b, make([]byte, pdu.DataHeaderLength)...)
		pdu.PutDataHeader(b[len(b)-pdu.DataHeaderLength:], id, true, n == len(rest), n)
		b = append(b, rest[:n]...)
		if rest = rest[n:]; len(rest) == 0 {
			return b, whole
		}
	}
}

// errDataset marks an error of the data set's reader, not of the connection.
type errDataset struct{ error }

func (e errDataset) Unwrap() error { return e.error }

// writeLength is how many bytes of small PDUs go out in one write.
const writeLength = 64 << 10

// writeMessage sends a command set and the data set that follows it: the command with the first fragment, whole PDUs
// in each write. One byte is read ahead, because the last fragment has to say that it is the last.
func (c *conn) writeMessage(id uint8, cmd dimse.Command, dataset io.Reader) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	var b []byte
	b, c.command = c.appendCommand(c.out[:0], c.command, id, cmd)
	fragment := c.maxSend - pdu.PDVHeaderLength
	room := pdu.DataHeaderLength + fragment + 1
	if need := max(len(b)+room, writeLength); cap(b) < need {
		b = append(make([]byte, 0, need), b...)
	}
	c.out = b[:0]
	var ahead [1]byte
	for n, last := 0, false; !last; {
		if cap(b)-len(b) < room {
			if err := c.write(b); err != nil {
				return err
			}
			b = b[:0]
		}
		head := len(b)
		body := b[head+pdu.DataHeaderLength : head+room]
		copy(body[:n], ahead[:])
		m, end, err := readFull(dataset, body[n:])
		if err != nil {
			return errDataset{fmt.Errorf("dicomnode: reading the data set to send: %w", err)}
		}
		n, last = n+m, end
		if !last {
			n, ahead[0] = fragment, body[fragment]
		}
		b = b[:head+pdu.DataHeaderLength+n]
		pdu.PutDataHeader(b[head:], id, false, last, n)
		n = 1
	}
	return c.write(b)
}

// readFull fills b, or reports the end of r. Unlike io.ReadFull it keeps an io.ErrUnexpectedEOF of r apart from the
// end: a data set that broke off must not be sent as a whole one.
func readFull(r io.Reader, b []byte) (n int, end bool, err error) {
	for n < len(b) {
		m, err := r.Read(b[n:])
		n += m
		switch {
		case err == io.EOF:
			return n, n < len(b), nil // a full buffer may have more behind it; the next call tells
		case err != nil:
			return n, false, err
		}
	}
	return n, false, nil
}
