package picture

import (
	"image"
	"image/color"
	"image/draw"

	"endogate/explain"

	scale "golang.org/x/image/draw"
)

// Tile is one picture of a contact sheet.
type Tile struct {
	Title, Caption string
	Picture        image.Image
}

// Sizes of a contact sheet in pixels.
const (
	tileWidth = 360
	margin    = 12
	textSize  = 15
	titleSize = 20
)

var (
	paper = color.RGBA{18, 20, 24, 255}
	ink   = color.RGBA{235, 235, 235, 255}
	faint = color.RGBA{160, 165, 172, 255}
)

// NotVerified stands on everything that is shown.
const NotVerified = "AI, not verified"

// Sheet lays tiles out in rows of so many columns under a title. Pictures keep their proportions and are brought to one width.
func Sheet(title string, tiles []Tile, columns int) *image.RGBA {
	columns = max(min(columns, len(tiles)), 1)
	text, head := face(textSize), face(titleSize)
	line := lineHeight(text)
	height := 0
	for _, t := range tiles {
		height = max(height, scaledHeight(t.Picture))
	}
	cell := image.Pt(tileWidth+margin, height+2*line+margin+4)
	top := lineHeight(head) + lineHeight(text) + 2*margin
	rows := (len(tiles) + columns - 1) / columns
	out := image.NewRGBA(image.Rect(0, 0, columns*cell.X+margin, top+rows*cell.Y))
	draw.Draw(out, out.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	write(out, image.Pt(margin, margin), out.Rect.Dx()-2*margin, head, ink, title)
	write(out, image.Pt(margin, margin+lineHeight(head)), out.Rect.Dx()-2*margin, text, faint, NotVerified+"; not for primary diagnosis")
	for i, t := range tiles {
		at := image.Pt(margin+i%columns*cell.X, top+i/columns*cell.Y)
		write(out, at, tileWidth, text, ink, t.Title)
		at.Y += line + 2
		to := image.Rectangle{at, at.Add(image.Pt(tileWidth, scaledHeight(t.Picture)))}
		scale.CatmullRom.Scale(out, to, t.Picture, t.Picture.Bounds(), draw.Src, nil)
		write(out, image.Pt(at.X, to.Max.Y+2), tileWidth, text, faint, t.Caption)
	}
	return out
}

func scaledHeight(p image.Image) int {
	size := p.Bounds().Size()
	return max(tileWidth*size.Y/max(size.X, 1), 1)
}

// Legend returns the overlay with a strip below it: the colour bar from nothing to the map's maximum (none for a nil
// colour map), and what the picture shows.
func Legend(overlay *image.RGBA, colours *explain.ColourMap, text string) *image.RGBA {
	size := overlay.Rect.Size()
	f := face(max(float64(size.Y)/45, 11))
	line := lineHeight(f)
	out := image.NewRGBA(image.Rect(0, 0, size.X, size.Y+2*line+line/2))
	draw.Draw(out, out.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	draw.Draw(out, image.Rectangle{Max: size}, overlay, overlay.Rect.Min, draw.Src)
	write(out, image.Pt(line/2, size.Y+line/4), size.X-line, f, ink, text)
	at := image.Pt(line/2, size.Y+line+line/3)
	if colours != nil {
		bar := image.Rect(at.X+line, at.Y+line/6, at.X+line+size.X/4, at.Y+line*5/6)
		write(out, at, line, f, faint, "0")
		for x := range bar.Dx() {
			c := colours[255*x/max(bar.Dx()-1, 1)]
			draw.Draw(out, image.Rect(bar.Min.X+x, bar.Min.Y, bar.Min.X+x+1, bar.Max.Y), image.NewUniform(c), image.Point{}, draw.Src)
		}
		write(out, image.Pt(bar.Max.X+line/3, at.Y), 4*line, f, faint, "max")
		at.X = bar.Max.X + 4*line
	}
	write(out, at, size.X-at.X-line/2, f, ink, NotVerified)
	return out
}

// Refused is the frame with the reason why there is no map over it.
func Refused(frame *image.RGBA, reason string) *image.RGBA {
	return Legend(frame, nil, "No map: "+reason)
}
