package pixeldata

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
)

// DecodePicture decodes a PNG or JPEG file within the bounds of one frame. What is neither is ErrUnsupported.
func DecodePicture(ctx context.Context, data []byte, o Options) (Frame, error) {
	b := o.Bounds.withDefaults()
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || format != "png" && format != "jpeg" {
		return Frame{}, fmt.Errorf("%w: neither PNG nor JPEG that can be read", ErrUnsupported)
	}
	if config.Width*config.Height > b.Pixels {
		return Frame{}, fmt.Errorf("%w: %d x %d, %s", ErrTooMuch, config.Width, config.Height, b.words()[0])
	}
	if err := b.holds(12 * int64(config.Width*config.Height)); err != nil { // 16 bits a sample, and the frame
		return Frame{}, err
	}
	decode := png.Decode
	if format == "jpeg" {
		decode = jpeg.Decode
		s, err := inspectJPEG(data)
		if err == nil {
			err = b.admitStream(s)
		}
		if err != nil {
			return Frame{}, err
		}
	}
	pace, end := b.begin(ctx)
	defer end()
	picture, err := decode(paced{pace, bytes.NewReader(data)})
	switch over := pace.over(); {
	case over != nil:
		return Frame{}, over
	case err != nil:
		return Frame{}, fmt.Errorf("%w: %s: %w", ErrCorrupt, format, err)
	}
	out := image.NewRGBA(image.Rectangle{Max: picture.Bounds().Size()})
	draw.Draw(out, out.Rect, picture, picture.Bounds().Min, draw.Src)
	return Frame{Number: 1, Image: out, Orientation: Orientation(data)}, nil
}
