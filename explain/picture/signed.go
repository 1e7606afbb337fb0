package picture

import (
	"image"
	"image/color"
	"math"
	"slices"

	"golang.org/x/image/draw"

	"endogate/explain"
)

// Signed blends a map of both signs over a frame of its size, in grey and darkened, since mucosa is red itself: what
// speaks for the class is red, what speaks against it blue, the more opaque the greater its magnitude; the greatest has
// the opacity given, 0 to 1. The error is explain.ErrZeroMap
// or explain.ErrNotFinite where there is nothing to show.
func Signed(frame *image.RGBA, m explain.Map, opacity float64) (*image.RGBA, error) {
	greatest, err := m.Magnitude()
	if err != nil {
		return nil, err
	}
	opacity = min(max(opacity, 0), 1)
	out := image.NewRGBA(image.Rectangle{Max: frame.Rect.Size()})
	for y := range m.Height {
		from, to := frame.Pix[y*frame.Stride:], out.Pix[y*out.Stride:]
		for x := range m.Width {
			light := 0.299*float64(from[4*x]) + 0.587*float64(from[4*x+1]) + 0.114*float64(from[4*x+2])
			c := forAgainst(m.Values[y*m.Width+x]/greatest, light/255, opacity)
			to[4*x], to[4*x+1], to[4*x+2], to[4*x+3] = c[0], c[1], c[2], 255
		}
	}
	return out, nil
}

// forAgainst is the colour of v, -1 to 1, over a pixel of a lightness.
func forAgainst(v float32, light, opacity float64) [3]uint8 {
	grey := 0.6 * 255 * light
	alpha, colour := opacity*math.Sqrt(math.Abs(float64(v))), [3]float64{255, 40, 40}
	if v < 0 {
		colour = [3]float64{40, 80, 255}
	}
	var out [3]uint8
	for c := range out {
		out[c] = uint8(grey*(1-alpha) + colour[c]*alpha + 0.5)
	}
	return out
}

// clipped is the share of values, the lowest first, at which Clip ends the scale: a gradient's few greatest values are far
// above all others (Smilkov et al. 2017, section 3.1).
const clipped = 0.99

// Clip returns the map with magnitudes above the 99th percentile brought down to it, so that a few pixels do not
// darken all others. A map that would become zero is returned as it is.
func Clip(m explain.Map) explain.Map {
	sizes := make([]float32, len(m.Values))
	for i, v := range m.Values {
		sizes[i] = max(v, -v)
	}
	slices.Sort(sizes)
	if len(sizes) == 0 {
		return m
	}
	limit := sizes[int(clipped*float64(len(sizes)-1))]
	if !(limit > 0) {
		return m
	}
	out := explain.Map{Width: m.Width, Height: m.Height, Values: make([]float32, len(m.Values))}
	for i, v := range m.Values {
		out.Values[i] = min(max(v, -limit), limit)
	}
	return out
}

// Guided draws an attribution of three channels as a colour picture of the network's input: grey is zero, a deviation is a tenth of the
// range, as Springenberg et al. and those after them show guided backpropagation. Values lie as layout says, of one frame.
func Guided(values []float32, l explain.Layout) (*image.RGBA, error) {
	if _, err := (explain.Map{Values: values}).Magnitude(); err != nil {
		return nil, err
	}
	mean, square := 0.0, 0.0
	for _, v := range values {
		mean += float64(v) / float64(len(values))
		square += float64(v) * float64(v) / float64(len(values))
	}
	deviation := math.Sqrt(max(square-mean*mean, 0))
	out := image.NewRGBA(image.Rect(0, 0, l.Width, l.Height))
	plane, step := l.Width*l.Height, 1
	if l.ChannelsLast {
		plane, step = 1, l.Channels
	}
	for i := range l.Width * l.Height {
		for c := range 3 {
			v := float64(values[min(c, l.Channels-1)*plane+i*step])
			out.Pix[4*i+c] = uint8(255*min(max((v-mean)/(deviation+1e-12)*0.1+0.5, 0), 1) + 0.5)
		}
		out.Pix[4*i+3] = 255
	}
	return out, nil
}

// Laid lays a picture of the network's input over a frame of a size where the input came from; what the network did not see
// is grey, as a guided picture is where there is nothing.
func Laid(guided *image.RGBA, size image.Point, crop image.Rectangle, masked []image.Rectangle) *image.RGBA {
	out := image.NewRGBA(image.Rectangle{Max: size})
	nothing := image.NewUniform(color.RGBA{128, 128, 128, 255})
	draw.Draw(out, out.Rect, nothing, image.Point{}, draw.Src)
	draw.BiLinear.Scale(out, crop, guided, guided.Rect, draw.Src, nil)
	for _, box := range masked {
		draw.Draw(out, box, nothing, image.Point{}, draw.Src)
	}
	return out
}
