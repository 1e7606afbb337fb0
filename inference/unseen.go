package inference

import (
	"encoding/binary"
	"image"

	"endogate/inference/analysis"
)

// Unseen are the parts of a frame that the network did not see: masked boxes, and what was cropped away where it shows more
// than a dark border.
func Unseen(g analysis.Geometry, frame *image.RGBA) []image.Rectangle {
	var all []image.Rectangle
	whole := image.Rect(0, 0, g.Columns, g.Rows)
	for _, strip := range []image.Rectangle{
		image.Rect(0, 0, g.Columns, g.Crop.Min.Y), image.Rect(0, g.Crop.Max.Y, g.Columns, g.Rows),
		image.Rect(0, g.Crop.Min.Y, g.Crop.Min.X, g.Crop.Max.Y), image.Rect(g.Crop.Max.X, g.Crop.Min.Y, g.Columns, g.Crop.Max.Y),
	} {
		if shows(frame, strip) {
			all = append(all, strip)
		}
	}
	for _, box := range g.Masked {
		if box = box.Intersect(whole); !box.Empty() {
			all = append(all, box)
		}
	}
	return all
}

// shows reports whether a quarter of a strip is brighter than a border is.
func shows(frame *image.RGBA, strip image.Rectangle) bool {
	const border = 30 // in one of the channels
	bright := 0
	for y := strip.Min.Y; y < strip.Max.Y; y++ {
		row := frame.Pix[frame.PixOffset(frame.Rect.Min.X+strip.Min.X, frame.Rect.Min.Y+y):]
		for x := range strip.Dx() {
			p := binary.LittleEndian.Uint32(row[4*x:])
			if max(p&255, p>>8&255, p>>16&255) > border {
				bright++
			}
		}
	}
	return 4*bright > strip.Dx()*strip.Dy() && bright > 0
}
