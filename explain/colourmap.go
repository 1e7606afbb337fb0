package explain

import (
	"fmt"
	"image/color"
	"math"
)

// ColourMap gives a colour to each of 256 steps from 0 to 1.
type ColourMap [256]color.RGBA

// ColourMapNames are the names that NamedColourMap knows.
var ColourMapNames = []string{"jet", "turbo", "viridis", "inferno"}

// NamedColourMap returns jet (the blue to red of Hicks et al.), turbo, viridis or inferno.
func NamedColourMap(name string) (*ColourMap, error) {
	switch name {
	case "jet":
		return sampled(jet), nil
	case "turbo":
		return sampled(turbo), nil
	case "viridis":
		return sampled(between(viridis)), nil
	case "inferno":
		return sampled(between(inferno)), nil
	}
	return nil, fmt.Errorf("explain: colour map %q is unknown; there are %v", name, ColourMapNames)
}

func sampled(f func(v float64) [3]float64) *ColourMap {
	var m ColourMap
	for i := range m {
		c := f(float64(i) / 255)
		m[i] = color.RGBA{channel(c[0]), channel(c[1]), channel(c[2]), 255}
	}
	return &m
}

func channel(v float64) uint8 { return uint8(math.Round(255 * min(max(v, 0), 1))) }

// jet is three overlapping trapezoids: blue, green, red.
func jet(v float64) [3]float64 {
	return [3]float64{1.5 - math.Abs(4*v-3), 1.5 - math.Abs(4*v-2), 1.5 - math.Abs(4*v-1)}
}

// turbo is the fifth-degree approximation that A. Mikhailov published with the map (2019).
func turbo(v float64) [3]float64 {
	return [3]float64{
		0.13572138 + v*(4.61539260+v*(-42.66032258+v*(132.13108234+v*(-152.94239396+v*59.28637943)))),
		0.09140261 + v*(2.19418839+v*(4.84296658+v*(-14.18503333+v*(4.27729857+v*2.82956604)))),
		0.10667330 + v*(12.64194608+v*(-60.58204836+v*(110.36276771+v*(-89.90310912+v*27.34824973)))),
	}
}

// Ten equidistant colours of maps by S. van der Walt and N. Smith (2015, public domain).
var (
	viridis = []uint32{0x440154, 0x482878, 0x3e4989, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779, 0x6ece58, 0xb5de2b, 0xfde725}
	inferno = []uint32{0x000004, 0x1b0c42, 0x4b0c6b, 0x781c6d, 0xa52c60, 0xcf4446, 0xed6925, 0xfb9a06, 0xf7d03c, 0xfcffa4}
)

// between interpolates linearly between equidistant colours.
func between(stops []uint32) func(v float64) [3]float64 {
	return func(v float64) [3]float64 {
		at := v * float64(len(stops)-1)
		low := min(int(at), len(stops)-2)
		part := at - float64(low)
		var c [3]float64
		for i, shift := range []int{16, 8, 0} {
			a, b := float64(stops[low]>>shift&0xff), float64(stops[low+1]>>shift&0xff)
			c[i] = (a + (b-a)*part) / 255
		}
		return c
	}
}
