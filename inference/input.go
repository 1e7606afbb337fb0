package inference

import (
	"fmt"
	"image"
	"image/draw"
	"slices"

	"endogate/explain"
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

// DType is the element type of the input tensor.
type DType string

// The element types.
const (
	Float32 DType = "float32"
	UInt8   DType = "uint8"
	Float16 DType = "float16"
)

// elementTypes are ONNX's numbers of them.
var elementTypes = map[DType]int32{Float32: 1, UInt8: 2, Float16: 10}

// Fit says how a frame comes to the size of the input.
type Fit string

// The ways to fit a frame.
const (
	Stretch    Fit = "stretch"     // to the input's rows and columns, whatever its aspect ratio
	Letterbox  Fit = "letterbox"   // as large as it fits, centred, with a colour beside it
	CenterCrop Fit = "center-crop" // resized until its shorter side has a length, and the centre cut out
)

// Input describes the tensor the network takes, one frame at a time.
type Input struct {
	Name          string
	Layout        Layout
	Rows, Columns int
	Channels      Channels
	DType         DType // "": the network's
	Fit           Fit
	ShorterSide   int      // of the frame before a center crop; 0: as small as covers the input
	Pad           [3]uint8 // red, green and blue of what is beside the frame
	Resize        Filter
	Scale         float64    // a channel of 0 to 255 is multiplied by it first
	Mean, Std     [3]float64 // then (x-mean)/std, in the order of Channels
}

// takes says why a network whose input is of an ONNX element type cannot take what is prepared, or "". 0 is whatever the manifest says.
func (in Input) takes(element int32) string {
	said := elementTypes[in.DType]
	if element == 0 {
		element = said
	}
	switch {
	case said != 0 && said != element:
		return fmt.Sprintf("input.dtype is %s, the network takes %s: write that, or leave it out", in.DType, explain.TypeName(element))
	case element == elementTypes[UInt8] && (in.Scale != 1 || in.Mean != [3]float64{} || in.Std != [3]float64{1, 1, 1}):
		return "the network takes uint8, which is the frame's pixels as they are: scale must be 1, mean 0 and std 1, or left out with dtype: uint8"
	case element != 0 && element != 1 && element != 2 && element != 10:
		return fmt.Sprintf("the network's input is of %s; float32, uint8 and float16 can be given: export it with one of these and a Cast behind it", explain.TypeName(element))
	}
	return ""
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

// BlackFrame is a frame that the model can be tried on: as large as its input, or as what is cut out of a frame.
func (b *Bundle) BlackFrame() *image.RGBA {
	size, at := image.Pt(b.Input.Columns, b.Input.Rows), image.Point{}
	for _, step := range b.Preprocess {
		if c := step.Crop; c != nil {
			at = at.Add(image.Pt(c.Left, c.Top))
			size = image.Pt(max(size.X, at.X+c.Columns), max(size.Y, at.Y+c.Rows))
		}
	}
	img := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(img, img.Rect, image.Black, image.Point{}, draw.Src)
	return img
}
