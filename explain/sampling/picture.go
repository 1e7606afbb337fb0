package sampling

import "fmt"

// Layout is the order of the axes of an input, without the batch.
type Layout int

const (
	ChannelsFirst       Layout = iota // C×H×W, or T×C×H×W
	ChannelsLast                      // H×W×C, or T×H×W×C
	FramesAfterChannels               // C×T×H×W
)

// Picture says how the values of one input lie: the shape of the network's input without the batch.
type Picture struct {
	Frames, Channels, Height, Width int // Frames is 1 for a still
	Layout                          Layout
}

// Size is the number of values.
func (p Picture) Size() int { return p.Frames * p.Channels * p.cells() }

// cells is the number of pixels of a frame.
func (p Picture) cells() int { return p.Height * p.Width }

func (p Picture) check() error {
	if p.Frames < 1 || p.Channels < 1 || p.Height < 1 || p.Width < 1 {
		return fmt.Errorf("sampling: picture of %d frames, %d channels, %d×%d pixels: each must be at least 1", p.Frames, p.Channels, p.Width, p.Height)
	}
	if p.Layout < ChannelsFirst || p.Layout > FramesAfterChannels {
		return fmt.Errorf("sampling: layout %d is unknown", p.Layout)
	}
	return nil
}

// row calls each with the place of every row's first value and the distance from pixel to pixel.
func (p Picture) rows(each func(frame, channel, y, at, step int)) {
	frame, channel, row, step := p.strides()
	for t := range p.Frames {
		for c := range p.Channels {
			for y := range p.Height {
				each(t, c, y, t*frame+c*channel+y*row, step)
			}
		}
	}
}

// strides are the distances between neighbours along each axis.
func (p Picture) strides() (frame, channel, row, column int) {
	switch p.Layout {
	case ChannelsLast:
		return p.cells() * p.Channels, 1, p.Width * p.Channels, p.Channels
	case FramesAfterChannels:
		return p.cells(), p.Frames * p.cells(), p.Width, 1
	default:
		return p.Channels * p.cells(), p.cells(), p.Width, 1
	}
}

// hide writes the input where mask is 1, the baseline where it is 0, and between the two in between. The
// mask is H×W and holds for each frame and channel.
func (p Picture) hide(into, input, baseline, mask []float32) {
	p.rows(func(_, _, y, at, step int) {
		for _, keep := range mask[y*p.Width : (y+1)*p.Width] {
			into[at] = keep*input[at] + (1-keep)*baseline[at] // exact at both ends
			at += step
		}
	})
}
