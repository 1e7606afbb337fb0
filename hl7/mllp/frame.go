package mllp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// The bytes of a frame (HL7 v2.5.1 C.2.1).
const (
	vt byte = 0x0B // start block
	fs byte = 0x1C // end block
	cr byte = 0x0D // and what follows it
)

const (
	// DefaultMaxSize is what a message may have, in bytes: one with a PDF of 15 MB in it.
	DefaultMaxSize = 20 << 20

	readBuffer = 16 << 10
	maxBetween = 1 << 20 // bytes in a row that are in no frame, after which there will not be one
)

// What a stream can be wrong about. After any of them it is of no more use.
var (
	ErrTooLarge   = errors.New("message is too large")
	ErrDamaged    = errors.New("frame is damaged: 1C inside it")
	ErrNoFrame    = errors.New("no frame: 0B is missing")
	ErrFrameBytes = errors.New("message has the bytes 0B or 1C in it, which end a frame")
)

// Reader takes messages out of their frames. Its methods are for one goroutine.
type Reader struct {
	MaxSize int   // of a message, in bytes; DefaultMaxSize by default
	Dropped int64 // bytes so far that were in no frame, or in half of one; line ends and NULs between frames are not counted

	br       *bufio.Reader
	progress func(n int) error // told that so many bytes of a frame have come; 0 is its start
	ending   func() error      // told that what is missing of a frame is its last byte
}

// NewReader returns a reader of r.
func NewReader(r io.Reader) *Reader {
	none := func() error { return nil }
	return &Reader{br: bufio.NewReaderSize(r, readBuffer), ending: none, progress: func(int) error { return nil }}
}

// Next returns the next message, which is the caller's. io.EOF is the end of the stream between frames. With ErrTooLarge
// it returns how the message begins.
func (r *Reader) Next() ([]byte, error) {
	if err := r.start(); err != nil {
		return nil, err
	}
	var message []byte
	for {
		part, err := r.br.ReadSlice(fs)
		if message = append(message, part...); len(message) > r.maxSize()+1 {
			return message[:r.maxSize()], fmt.Errorf("mllp: %w: more than %d bytes", ErrTooLarge, r.maxSize())
		}
		if progress := r.progress(len(message)); progress != nil {
			return nil, progress
		}
		switch {
		case err == nil:
			return r.whole(message[:len(message)-1])
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("mllp: half a frame: %w", io.ErrUnexpectedEOF)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

func (r *Reader) maxSize() int {
	if r.MaxSize > 0 {
		return r.MaxSize
	}
	return DefaultMaxSize
}

// start reads up to the start of a frame.
func (r *Reader) start() error {
	for range maxBetween {
		b, err := r.br.ReadByte()
		switch {
		case err != nil:
			return err
		case b == vt:
			return r.progress(0)
		case b > ' ':
			r.Dropped++
		}
	}
	return fmt.Errorf("mllp: %w", ErrNoFrame)
}

// whole takes the end of the frame, and from what came before it the message: after half of one the sender may have begun
// anew, and a frame may have two starts.
func (r *Reader) whole(message []byte) ([]byte, error) {
	if err := r.end(); err != nil {
		return nil, err
	}
	for _, first := range [][]byte{{vt, 'M', 'S', 'H'}, {vt, 'F', 'H', 'S'}, {vt, 'B', 'H', 'S'}} {
		if i := bytes.LastIndex(message, first); i > 0 {
			r.Dropped += int64(i)
			message = message[i:]
		}
	}
	return bytes.TrimLeft(message, string(vt)), nil
}

// end reads what follows 1C. That it is 0D is the standard's; senders that write line ends as 0A, or nothing, or the next
// frame, mean the same. Anything else says that 1C was no end, as in UTF-16.
func (r *Reader) end() error {
	if r.br.Buffered() == 0 {
		if err := r.ending(); err != nil {
			return err
		}
	}
	b, err := r.br.ReadByte()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded):
		return nil // nothing follows
	case err != nil:
		return err
	case b == cr, b == '\n':
		return nil
	case b == vt, b == fs:
		return r.br.UnreadByte()
	}
	return fmt.Errorf("mllp: %w", ErrDamaged)
}

// empty says of a frame that there is no message in it: so peers look whether anybody is there, and wait for nothing.
func empty(message []byte) bool { return len(bytes.TrimSpace(message)) == 0 }

// Append appends the frame of message to dst.
func Append(dst, message []byte) ([]byte, error) {
	if bytes.IndexByte(message, vt) >= 0 || bytes.IndexByte(message, fs) >= 0 {
		return dst, fmt.Errorf("mllp: %w", ErrFrameBytes)
	}
	dst = append(append(dst, vt), message...)
	return append(dst, fs, cr), nil
}
