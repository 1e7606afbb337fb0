package inference

import (
	"image"
	"image/draw"
	"slices"

	"endogate/inference/analysis"
)

// Layout is the order of the input tensor's axes.
type Layout string

// The layouts.
const (
	NCHW Layout = "NCHW"
	NHWC Layout = "NHWC"
)

// Channels is the order of the colours in the input tensor.
type Channels string

// The channel orders.
const (
	RGB Channels = "RGB"
	BGR Channels = "BGR"
)

// Input describes the tensor the network takes, one frame at a time.
type Input struct {
	Name          string
	Layout        Layout
	Rows, Columns int
	Channels      Channels
	Resize        Filter
	Scale         float64    // a channel of 0 to 255 is multiplied by it first
	Mean, Std     [3]float64 // then (x-mean)/std, in the order of Channels
}

// Shape is the shape of the input tensor.
func (in Input) Shape() []int64 {
	if in.Layout == NHWC {
		return []int64{1, int64(in.Rows), int64(in.Columns), 3}
	}
	return []int64{1, 3, int64(in.Rows), int64(in.Columns)}
}

// Len is the number of values in the input tensor.
func (in Input) Len() int { return 3 * in.Rows * in.Columns }

// fill writes 8 bit pixels, row by row as RGB, into the tensor.
func (in Input) fill(pixels []uint8, dst []float32) {
	table := in.table()
	plane, step := in.Rows*in.Columns, 1
	if in.Layout == NHWC {
		plane, step = 1, 3
	}
	for c := range 3 {
		from := c
		if in.Channels == BGR {
			from = 2 - c
		}
		normalised := &table[c]
		for i := range in.Rows * in.Columns {
			dst[c*plane+i*step] = normalised[pixels[3*i+from]]
		}
	}
}

// Uniform is the input that a frame of one grey level, 0 to 255, becomes.
func (in Input) Uniform(level uint8) []float32 {
	dst := make([]float32, in.Len())
	in.fill(slices.Repeat([]uint8{level}, in.Len()), dst)
	return dst
}

// table has the normalised value of each of the 256 a channel can have.
func (in Input) table() (t [3][256]float32) {
	for c := range t {
		for x := range t[c] {
			t[c][x] = float32((float64(x)*in.Scale - in.Mean[c]) / in.Std[c])
		}
	}
	return t
}

// blackFrame is as large as the input.
func blackFrame(in Input) analysis.Sample {
	img := image.NewRGBA(image.Rect(0, 0, in.Columns, in.Rows))
	draw.Draw(img, img.Rect, image.Black, image.Point{}, draw.Src)
	return analysis.Sample{Span: analysis.Still(1), Frames: []*image.RGBA{img}}
}
