package pdu

import (
	"encoding/binary"
	"io"
)

// MaxAssociateLength bounds the body of an A-ASSOCIATE-RQ or -AC PDU, in bytes.
const MaxAssociateLength = 1 << 20

// Reader takes PDUs off a connection. It has one buffer, which grows only as bytes arrive and never beyond
// one PDU of the largest length allowed, so that a length field alone costs nothing.
// A Reader is for one goroutine.
type Reader struct {
	// MaxDataLength bounds the body of a P-DATA-TF PDU, in bytes: what the local side has advertised.
	MaxDataLength uint32

	src        io.Reader
	buf        []byte
	start, end int // buf[start:end] is read and not yet consumed
	data       Data
}

// NewReader returns a Reader on src with a small buffer. P-DATA-TF is refused until MaxDataLength is set.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, buf: make([]byte, 4096)}
}

// Reserve makes the buffer hold exactly n bytes, or what it holds already if that is more.
// It also gives memory back that a long A-ASSOCIATE PDU took.
func (r *Reader) Reserve(n int) {
	buf := make([]byte, max(n, r.end-r.start))
	r.end = copy(buf, r.buf[r.start:r.end])
	r.buf, r.start = buf, 0
}

// Buffered returns how many bytes are read and not yet consumed.
func (r *Reader) Buffered() int { return r.end - r.start }

// Complete reports whether Next returns without reading from the connection.
func (r *Reader) Complete() bool {
	if r.Buffered() < HeaderLength {
		return false
	}
	_, n, err := r.header()
	return err != nil || uint64(r.Buffered()) >= HeaderLength+uint64(n)
}

// Wait returns once the next PDU has begun to arrive. io.EOF means that the peer closed between PDUs.
func (r *Reader) Wait() error { return r.need(1) }

// Peek returns the type of the next PDU without consuming it. Its error is an *Error when the type is
// unknown or the length is beyond what is allowed for the type.
func (r *Reader) Peek() (Type, error) {
	if err := r.need(HeaderLength); err != nil {
		return 0, err
	}
	t, _, err := r.header()
	return t, err
}

// Next returns the next PDU, which is valid until the following call. It returns an *Error for a PDU that
// cannot be decoded, after which nothing more can be read; io.EOF when the peer closed between PDUs and
// io.ErrUnexpectedEOF when it closed inside one.
func (r *Reader) Next() (PDU, error) {
	t, err := r.Peek()
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(r.buf[r.start+2:]))
	if err := r.need(HeaderLength + n); err != nil {
		return nil, err
	}
	body := r.buf[r.start+HeaderLength : r.start+HeaderLength+n]
	r.start += HeaderLength + n
	if t == TypeData {
		return &r.data, r.data.decode(body)
	}
	return Decode(t, body)
}

// header reads type and length from the buffer, which holds them.
func (r *Reader) header() (Type, uint32, error) {
	t, n := Type(r.buf[r.start]), binary.BigEndian.Uint32(r.buf[r.start+2:])
	if !t.Known() {
		return t, n, unrecognized(t)
	}
	allowed := uint32(4)
	switch t {
	case TypeAssociateRQ, TypeAssociateAC:
		allowed = MaxAssociateLength
	case TypeData:
		allowed = r.MaxDataLength
	}
	if n > allowed {
		return t, n, invalid("%s: %w: %d > %d bytes", t, ErrTooLarge, n, allowed)
	}
	return t, n, nil
}

// need reads until n bytes are in the buffer.
func (r *Reader) need(n int) error {
	for r.Buffered() < n {
		r.room(n)
		m, err := r.src.Read(r.buf[r.end:])
		r.end += m
		if err != nil && r.Buffered() < n {
			if err == io.EOF && r.Buffered() > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// room makes free space behind what is buffered, in a buffer that will have to hold n bytes.
func (r *Reader) room(n int) {
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
	if r.start+n <= len(r.buf) && r.end < len(r.buf) {
		return
	}
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buf) { // full, and the PDU is longer: it has proved as many bytes as are added here
		buf := make([]byte, min(n, 2*len(r.buf)))
		copy(buf, r.buf[:r.end])
		r.buf = buf
	}
}
