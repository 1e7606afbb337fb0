package pixeldata

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"

	"endogate/dicomnode/dicom"
)

// native gives the frames of Pixel Data that are not compressed (PS3.5 8.1.1).
type native struct {
	r      io.Reader
	px     *pixels
	swap   bool // 16-bit samples, big endian
	buffer []byte
}

func newNative(r *dicom.Reader, t dicom.Token, px *pixels, ts dicom.TransferSyntax) (*native, error) {
	if int64(t.Length) < int64(px.size()) {
		return nil, fmt.Errorf("%w: %d bytes of Pixel Data for frames of %d", ErrCorrupt, t.Length, px.size())
	}
	if err := px.isNative(); err != nil {
		return nil, err
	}
	n := &native{r: r, px: px, swap: ts.BigEndian && px.allocated == 16, buffer: make([]byte, px.size())}
	if ts.BigEndian && px.allocated == 8 && t.VR == "OW" {
		n.r = &pairReader{r: r} // PS3.5 A.2: bytes are written as words
	}
	return n, nil
}

// isFull reports whether so many bytes are frames in which each pixel has samples of its own, with or without padding.
func (p *pixels) isFull(length int64) bool {
	full := int64(p.rows*p.columns*p.samples*p.bytes()) * int64(p.frames)
	return length == full || length == full+full%2
}

// isNative refuses what no uncompressed frame is.
func (p *pixels) isNative() error {
	switch {
	case p.photometric == "YBR_ICT", p.photometric == "YBR_RCT", p.photometric == "XYB":
		return fmt.Errorf("%w: %s in native Pixel Data", ErrCorrupt, p.photometric)
	case p.photometric == "YBR_FULL_422" && p.columns%2 == 1:
		return fmt.Errorf("%w: YBR_FULL_422 with %d columns", ErrCorrupt, p.columns)
	}
	return nil
}

// step is how much is passed over at once: of a deflated data set it is inflated.
const step = 16 << 20

// skip passes over the next frames.
func (n *native) skip(ctx context.Context, frames int) error {
	length := int64(frames) * int64(len(n.buffer))
	for ; length > 0 && ctx.Err() == nil; length -= step {
		var err error
		if r, ok := n.r.(*dicom.Reader); ok {
			err = r.Skip(min(length, step))
		} else {
			_, err = io.CopyN(io.Discard, n.r, min(length, step))
		}
		if err != nil {
			return asCorrupt(err)
		}
	}
	return context.Cause(ctx)
}

func (n *native) next(pace pace) (*image.RGBA, error) {
	raw, err := n.samples(pace)
	if err != nil {
		return nil, err
	}
	return n.px.picture(pace, raw)
}

// samples returns the next frame, Little Endian; it is valid until the next call.
func (n *native) samples(pace pace) ([]byte, error) {
	if _, err := io.ReadFull(paced{pace, n.r}, n.buffer); err != nil {
		if errors.Is(err, ErrTooMuch) {
			return nil, err
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, asCorrupt(fmt.Errorf("pixel data end early: %w", err))
	}
	if n.swap {
		err := pace.bands(len(n.buffer)/2, func(from, to int) {
			for i := from; i < to; i++ {
				n.buffer[2*i], n.buffer[2*i+1] = n.buffer[2*i+1], n.buffer[2*i]
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return n.buffer, nil
}

// pairReader swaps the bytes of each pair in a stream.
type pairReader struct {
	r    io.Reader
	pair [2]byte
	left int
}

func (s *pairReader) Read(p []byte) (int, error) {
	for i := range p {
		if s.left == 0 {
			if _, err := io.ReadFull(s.r, s.pair[:]); err != nil {
				return i, err
			}
			s.left = 2
		}
		s.left--
		p[i] = s.pair[s.left]
	}
	return len(p), nil
}
