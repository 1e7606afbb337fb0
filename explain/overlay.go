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
	return OverlayIn(nil, frame, m, colours, opacity)
}

// OverlayIn does as Overlay in the pixels of a picture that nobody needs any more, where they are enough; nil: none.
func OverlayIn(room, frame *image.RGBA, m Map, colours *ColourMap, opacity float64) *image.RGBA {
	size := frame.Rect.Size()
	if size.X != m.Width || size.Y != m.Height {
		panic(fmt.Sprintf("explain: overlay: a map of %d×%d on a frame of %d×%d", m.Width, m.Height, size.X, size.Y))
	}
	blend := blendTable(colours, opacity)
	out := room
	if out == nil || cap(out.Pix) < 4*size.X*size.Y {
		out = image.NewRGBA(image.Rectangle{Max: size})
	}
	out = &image.RGBA{Pix: out.Pix[:4*size.X*size.Y], Stride: 4 * size.X, Rect: image.Rectangle{Max: size}}
	Bands(size.Y, func(top, bottom int) {
		for y := top; y < bottom; y++ {
			from := frame.Pix[y*frame.Stride:][:4*size.X]
			to := out.Pix[y*out.Stride:][:4*size.X]
			values := m.Values[y*size.X:][:size.X]
			for ; len(values) >= 4 && len(from) >= 16 && len(to) >= 16; values, from, to = values[4:], from[16:], to[16:] { // no bounds to check within
				a, b := binary.LittleEndian.Uint64(from), binary.LittleEndian.Uint64(from[8:])
				binary.LittleEndian.PutUint64(to, blend.pixel(values[0], a)|blend.pixel(values[1], a>>32)<<32)
				binary.LittleEndian.PutUint64(to[8:], blend.pixel(values[2], b)|blend.pixel(values[3], b>>32)<<32)
			}
			for x, v := range values {
				binary.LittleEndian.PutUint32(to[4*x:], uint32(blend.pixel(v, uint64(binary.LittleEndian.Uint32(from[4*x:])))))
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

// blended is what the frame keeps and a colour times its opacity, all times 1<<16: red in the low half of a word, blue in the high.
type blended struct{ keep, redBlue, green uint64 }

type blending [256]blended

// pixel blends the colour of a value into the low four bytes of p.
func (table *blending) pixel(v float32, p uint64) uint64 {
	b := &table[uint8(int32(v*255+0.5))] // a conversion by way of int32 is one instruction
	redBlue := (p&0xff|p&0xff0000<<16)*b.keep + b.redBlue
	green := (p>>8&0xff)*b.keep + b.green
	return redBlue>>16&0xff | green>>8&0xff00 | redBlue>>32&0xff0000 | 0xff<<24
}

func blendTable(colours *ColourMap, opacity float64) *blending {
	var table blending
	for i, c := range colours {
		alpha := opacity * min(float64(i)/255/rampShare, 1)
		share := alpha * (1 << 16)
		const half = 1 << 15 // rounds
		times := func(channel uint8) uint64 { return uint64(share*float64(channel)) + half }
		table[i] = blended{keep: 1<<16 - uint64(share), redBlue: times(c.R) | times(c.B)<<32, green: times(c.G)}
	}
	return &table
}
