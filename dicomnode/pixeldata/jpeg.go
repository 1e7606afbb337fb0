package pixeldata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"io"
	"strings"
)

// decodeJPEG decodes sequential and progressive JPEG of 8 bits; other processes are ErrUnsupported.
func decodeJPEG(pace pace, data []byte, px pixels, b Bounds) (*image.RGBA, error) {
	s, err := inspectJPEG(data)
	if err != nil {
		return nil, err
	}
	if err := s.fits(px); err != nil {
		return nil, err
	}
	if err := b.admitStream(s); err != nil {
		return nil, err
	}
	if s.rows*s.columns > 512*len(data) {
		// Every block of 8 x 8 takes a bit at least: memory is not spent on a header alone.
		return nil, fmt.Errorf("%w: JPEG of %d bytes for %d x %d pixels", ErrCorrupt, len(data), s.columns, s.rows)
	}
	if s.precision != 8 {
		return nil, fmt.Errorf("%w: JPEG with %d bits a sample", ErrUnsupported, s.precision)
	}
	if data, err = markTransform(data, s.jpegIsYCC(px.photometric)); err != nil {
		return nil, err
	}
	decode := func(r io.Reader) (image.Image, error) { return jpeg.Decode(paced{pace, r}) }
	img, err := decode(bytes.NewReader(data))
	for _, zeros := range []int{0, missed(px)} { // the end marker may be all that it lacks, or hardly more
		if err == nil || pace.ctx.Err() != nil || errors.Is(err, ErrTooMuch) || !lacksEnd(data, s) {
			break
		}
		img, err = decode(io.MultiReader(bytes.NewReader(data), bytes.NewReader(make([]byte, zeros)), strings.NewReader("\xff\xd9")))
	}
	switch {
	case pace.ctx.Err() != nil:
		return nil, context.Cause(pace.ctx)
	case errors.Is(err, ErrTooMuch):
		return nil, err
	case err != nil:
		return nil, jpegError(err)
	}
	if gray, ok := img.(*image.Gray); ok && px.samples == 1 {
		return px.fromGray(pace, gray)
	}
	return inRGB(img, image.Pt(px.columns, px.rows)), nil
}

// inRGB converts a picture, its upper and its lower half at the same time.
func inRGB(img image.Image, size image.Point) *image.RGBA {
	out := image.NewRGBA(image.Rectangle{Max: size})
	from, middle := img.Bounds().Min, size.Y/2
	lower := make(chan any, 1) // it ends also where the upper half panics
	go func() {
		defer func() { lower <- recover() }()
		draw.Draw(out, image.Rect(0, middle, size.X, size.Y), img, from.Add(image.Pt(0, middle)), draw.Src)
	}()
	draw.Draw(out, image.Rect(0, 0, size.X, middle), img, from, draw.Src)
	if reason := <-lower; reason != nil {
		panic(reason)
	}
	return out
}

// lacksEnd reports whether a stream whose header is s has no end of image.
func lacksEnd(data []byte, s stream) bool {
	return !bytes.Contains(data[min(s.header, len(data)):], []byte("\xff\xd9"))
}

// missed is how many bytes may be lacking at the end of a stream: zeros in their place are decoded, a block of 8 x 8 samples
// taking 24 of them, and make up a hundredth of the frame at most. What lacks more is not the frame.
func missed(px pixels) int {
	blocks := px.rows * px.columns * px.samples / 64
	return blocks / 100 * 24
}

// fromGray takes 8-bit samples through window or palette like native ones.
func (p pixels) fromGray(pace pace, gray *image.Gray) (*image.RGBA, error) {
	raw := make([]byte, 0, p.rows*p.columns)
	for y := range p.rows {
		raw = append(raw, gray.Pix[y*gray.Stride:][:p.columns]...)
	}
	p.stored = min(p.stored, 8)
	p.allocated, p.high, p.table = 8, p.stored-1, nil
	return p.picture(pace, raw)
}

// jpegError sorts what image/jpeg returns.
func jpegError(err error) error {
	var unsupported jpeg.UnsupportedError
	if errors.As(err, &unsupported) {
		return fmt.Errorf("%w: JPEG: %w", ErrUnsupported, err)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: JPEG: %w", ErrCorrupt, err)
}
