package pixeldata

import (
	"bufio"
	"io"
)

// seekable reads ahead a little and passes over more than that by seeking.
type seekable struct {
	*bufio.Reader
	seeker io.Seeker
	left   int64 // bytes of the source behind what the buffer has taken
}

func newSeekable(r io.ReadSeeker) (*seekable, error) {
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	end, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	_, err = r.Seek(start, io.SeekStart)
	s := &seekable{seeker: r, left: end - start}
	s.Reader = bufio.NewReaderSize(readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		s.left -= int64(n)
		return n, err
	}), 1<<10)
	return s, err
}

// Skip passes over n bytes; io.ErrUnexpectedEOF where there are fewer, which seeking alone would not say.
func (s *seekable) Skip(n int64) error {
	ahead := min(n, int64(s.Buffered()))
	if _, err := s.Discard(int(ahead)); err != nil {
		return err
	}
	n -= ahead
	if n > s.left {
		return io.ErrUnexpectedEOF
	}
	if n > 0 {
		s.left -= n
		_, err := s.seeker.Seek(n, io.SeekCurrent)
		return err
	}
	return nil
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
