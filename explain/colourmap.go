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
		return sampled(between(turbo)), nil
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

// Every fifth colour of the published tables of 256; between them a straight line is right to a step of 255. Viridis and inferno are by
// N. Smith and S. van der Walt (2015, CC0), turbo by A. Mikhailov, Google (2019, Apache-2.0).
var (
	turbo = []uint32{
		0x30123b, 0x36215f, 0x3b2f80, 0x3f3e9c, 0x424bb5, 0x4559cb, 0x4666dd, 0x4773eb, 0x4680f6, 0x458cfd, 0x4099ff, 0x38a5fb, 0x2fb2f4,
		0x27bee9, 0x1fc9dd, 0x1ad4d0, 0x18ddc2, 0x1ae4b6, 0x22ebaa, 0x2ff19b, 0x3ff68a, 0x52fa7a, 0x65fd69, 0x79fe59, 0x8bff4b, 0x9cfe40,
		0xa9fb39, 0xb7f735, 0xc3f134, 0xd0ea34, 0xdbe236, 0xe5d938, 0xeecf3a, 0xf5c53a, 0xfaba39, 0xfdae35, 0xfea130, 0xfe932a, 0xfc8423,
		0xf9751d, 0xf46617, 0xef5811, 0xe84b0c, 0xe14109, 0xd83706, 0xce2d04, 0xc32503, 0xb71d02, 0xa91601, 0x9b0f01, 0x8b0902, 0x7a0403,
	}
	viridis = []uint32{
		0x440154, 0x46085c, 0x471063, 0x481769, 0x481d6f, 0x482475, 0x472a7a, 0x46307e, 0x453781, 0x433d84, 0x414287, 0x3f4889, 0x3d4e8a,
		0x3a538b, 0x38598c, 0x355e8d, 0x33638d, 0x31688e, 0x2e6d8e, 0x2c718e, 0x2a768e, 0x297b8e, 0x27808e, 0x25848e, 0x23898e, 0x218e8d,
		0x20928c, 0x1f978b, 0x1e9c89, 0x1fa188, 0x21a585, 0x24aa83, 0x28ae80, 0x2eb37c, 0x35b779, 0x3dbc74, 0x46c06f, 0x50c46a, 0x5ac864,
		0x65cb5e, 0x70cf57, 0x7cd250, 0x89d548, 0x95d840, 0xa2da37, 0xb0dd2f, 0xbddf26, 0xcae11f, 0xd8e219, 0xe5e419, 0xf1e51d, 0xfde725,
	}
	inferno = []uint32{
		0x000004, 0x02020c, 0x050417, 0x0a0722, 0x10092d, 0x160b39, 0x1e0c45, 0x260c51, 0x2f0a5b, 0x380962, 0x400a67, 0x490b6a, 0x510e6c,
		0x59106e, 0x61136e, 0x69166e, 0x71196e, 0x781c6d, 0x801f6c, 0x88226a, 0x902568, 0x982766, 0xa02a63, 0xa82e5f, 0xb0315b, 0xb73557,
		0xbf3952, 0xc63d4d, 0xcc4248, 0xd34743, 0xd94d3d, 0xdf5337, 0xe45a31, 0xe9612b, 0xed6925, 0xf1711f, 0xf47918, 0xf78212, 0xf98b0b,
		0xfa9407, 0xfb9d07, 0xfca60c, 0xfcb014, 0xfbba1f, 0xfac42a, 0xf8cd37, 0xf6d746, 0xf4e156, 0xf2ea69, 0xf2f27d, 0xf5f992, 0xfcffa4,
	}
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
