package explain

import (
	"encoding/binary"
	"fmt"
	"image"
	"runtime"
	"sync"
)

// rampShare is the part of the scale over which the overlay fades in. What has no weight keeps its own
// colour: tinting it would suggest that the network had looked there.
const rampShare = 0.25

// Overlay returns a copy of frame with the map blended over it: m has the frame's size and values from
// 0 to 1, opacity is that of the map's colours (0 to 1), which they reach at a quarter of the scale.
// It panics when the sizes differ.
func Overlay(frame *image.RGBA, m Map, colours *ColourMap, opacity float64) *image.RGBA {
	size := frame.Rect.Size()
	if size.X != m.Width || size.Y != m.Height {
		panic(fmt.Sprintf("explain: overlay: a map of %d×%d on a frame of %d×%d", m.Width, m.Height, size.X, size.Y))
	}
	blend := blendTable(colours, opacity)
	out := image.NewRGBA(image.Rect(0, 0, size.X, size.Y))
	Bands(size.Y, func(top, bottom int) {
		for y := top; y < bottom; y++ {
			from := frame.Pix[y*frame.Stride:][:4*size.X]
			to := out.Pix[y*out.Stride:][:4*size.X]
			values := m.Values[y*size.X:][:size.X]
			for x, v := range values {
				b := &blend[uint8(int32(v*255+0.5))] // a conversion by way of int32 is one instruction
				p := binary.LittleEndian.Uint32(from[4*x:])
				red := (p&255*b.keep + b.red) >> 16
				green := (p>>8&255*b.keep + b.green) >> 16
				blue := (p>>16&255*b.keep + b.blue) >> 16
				binary.LittleEndian.PutUint32(to[4*x:], red|green<<8|blue<<16|255<<24)
			}
		}
	})
	return out
}

// Bands does the rows of a picture, 0 to height, in as many bands as there are processors, all at a time. A panic in a band
// is one of the caller.
func Bands(height int, do func(top, bottom int)) {
	bands := min(runtime.GOMAXPROCS(0), height)
	panics := make([]any, bands)
	var wg sync.WaitGroup
	for band := range bands {
		wg.Go(func() {
			defer func() { panics[band] = recover() }()
			do(band*height/bands, (band+1)*height/bands)
		})
	}
	wg.Wait()
	for _, reason := range panics {
		if reason != nil {
			panic(reason)
		}
	}
}

// blended is a colour times its opacity and what the frame keeps, both times 1<<16.
type blended struct{ keep, red, green, blue uint32 }

func blendTable(colours *ColourMap, opacity float64) *[256]blended {
	var table [256]blended
	for i, c := range colours {
		alpha := opacity * min(float64(i)/255/rampShare, 1)
		share := alpha * (1 << 16)
		const half = 1 << 15 // rounds
		table[i] = blended{
			keep:  1<<16 - uint32(share),
			red:   uint32(share*float64(c.R)) + half,
			green: uint32(share*float64(c.G)) + half,
			blue:  uint32(share*float64(c.B)) + half,
		}
	}
	return &table
}
