package inference

import (
	"math"

	"endogate/inference/pixels"
)

// Filter is how a frame is resized to the network's input. It has to be the one the network was
// trained with: the "antialias" filters widen with the reduction and are PIL's, bit for bit.
type Filter string

// The filters.
const (
	BilinearAntialias Filter = "bilinear-antialias" // PIL BILINEAR
	BicubicAntialias  Filter = "bicubic-antialias"  // PIL BICUBIC
	Area              Filter = "area"               // PIL BOX: the mean of the pixels that fall into one
	Bilinear          Filter = "bilinear"           // two neighbours whatever the reduction, as OpenCV's INTER_LINEAR
	Nearest           Filter = "nearest"            // PIL NEAREST
)

// kernel is a filter's weight function, zero outside of ±support. A narrow kernel does not widen with the reduction.
type kernel struct {
	support float64
	weight  func(x float64) float64
	narrow  bool
}

var kernels = map[Filter]kernel{
	BilinearAntialias: {support: 1, weight: triangle},
	BicubicAntialias:  {support: 2, weight: cubic},
	Area:              {support: 0.5, weight: box},
	Bilinear:          {support: 1, weight: triangle, narrow: true},
	Nearest:           {support: 0.5, weight: box, narrow: true},
}

func filterNames() []Filter {
	return []Filter{BilinearAntialias, BicubicAntialias, Area, Bilinear, Nearest}
}

func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

func box(x float64) float64 {
	if x > -0.5 && x <= 0.5 {
		return 1
	}
	return 0
}

// cubic is Keys' kernel with a = -0.5.
func cubic(x float64) float64 {
	const a = -0.5
	switch x = math.Abs(x); {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	default:
		return 0
	}
}

// taps computes the weights that resize in pixels to out pixels along one axis.
func (f Filter) taps(in, out int) *pixels.Taps {
	spans := make([]pixels.Span, out)
	scale := float64(in) / float64(out)
	if f == Nearest {
		for i := range spans {
			spans[i] = pixels.Span{First: min(int((float64(i)+0.5)*scale), in-1), Weights: []int32{1 << pixels.Fraction}}
		}
		return pixels.NewTaps(in, spans)
	}
	k := kernels[f]
	widen := max(scale, 1)
	if k.narrow {
		widen = 1
	}
	support := k.support * widen
	for i := range spans {
		centre := (float64(i) + 0.5) * scale
		first := max(int(centre-support+0.5), 0)
		last := min(int(centre+support+0.5), in)
		spans[i] = pixels.Span{First: first, Weights: k.weights(first, last, centre, widen)}
	}
	return pixels.NewTaps(in, spans)
}

// weights are those of the pixels from first to before last, normalised to a sum of one, in fixed point.
func (k kernel) weights(first, last int, centre, widen float64) []int32 {
	exact := make([]float64, last-first)
	sum := 0.0
	for i := range exact {
		exact[i] = k.weight((float64(i+first) - centre + 0.5) * (1 / widen))
		sum += exact[i]
	}
	weights := make([]int32, len(exact))
	for i, w := range exact {
		if sum != 0 {
			w /= sum
		}
		weights[i] = int32(math.Round(w * (1 << pixels.Fraction)))
	}
	return weights
}
