package picture

import (
	"image"
	"image/color"
	"image/draw"

	scale "golang.org/x/image/draw"
)

// Tile is one picture of a contact sheet.
type Tile struct {
	Title   string
	Caption string
	Words   *Words // nil: of a picture of no map
	Picture image.Image
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

// Sheet lays tiles out in rows of so many columns under a title, each with its legend. Pictures keep their proportions
// and are brought to one width.
func Sheet(title string, tiles []Tile, columns int) *image.RGBA {
	columns = max(min(columns, len(tiles)), 1)
	text, head := lettersOf(textSize), lettersOf(titleSize)
	width := columns*(tileWidth+margin) + margin
	titles := head.wrap(title, width-2*margin)
	warning := text.wrap(NotVerified+"; not for primary diagnosis", width-2*margin)
	top := 2*margin + len(titles)*head.line() + len(warning)*text.line()
	out := image.NewRGBA(image.Rect(0, 0, width, top+sum(heights(text, tiles, columns))))
	draw.Draw(out, out.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	at := image.Pt(margin, margin)
	at = lines(out, at, head, ink, titles)
	lines(out, at, text, faint, warning)
	at.Y = top
	for i, height := range heights(text, tiles, columns) {
		for k, t := range tiles[i*columns : min((i+1)*columns, len(tiles))] {
			t.draw(out, image.Pt(margin+k*(tileWidth+margin), at.Y), text)
		}
		at.Y += height
	}
	return out
}

func sum(of []int) (n int) {
	for _, v := range of {
		n += v
	}
	return n
}

// heights are those of the rows.
func heights(l *letters, tiles []Tile, columns int) []int {
	all := make([]int, (len(tiles)+columns-1)/columns)
	for i, t := range tiles {
		all[i/columns] = max(all[i/columns], t.height(l))
	}
	return all
}

func (t Tile) height(l *letters) int {
	return (len(l.wrap(t.Title, tileWidth))+len(t.below(l)))*l.line() + scaledHeight(t.Picture) + 2*margin
}

// below is what stands under the picture.
func (t Tile) below(l *letters) []row {
	var rows []row
	if t.Words != nil {
		rows = t.Words.rows(l, tileWidth)
	}
	for _, line := range l.wrap(t.Caption, tileWidth) {
		rows = append(rows, row{text: line, colour: faint})
	}
	return rows
}

func (t Tile) draw(on *image.RGBA, at image.Point, l *letters) {
	at = lines(on, at, l, ink, l.wrap(t.Title, tileWidth))
	at.Y += 2
	to := image.Rectangle{at, at.Add(image.Pt(tileWidth, scaledHeight(t.Picture)))}
	scale.CatmullRom.Scale(on, to, t.Picture, t.Picture.Bounds(), draw.Src, nil)
	w := Words{}
	if t.Words != nil {
		w = *t.Words
	}
	w.legend(on, image.Pt(at.X, to.Max.Y+2), tileWidth, l, t.below(l))
}

// lines writes lines under one another, and returns where the next would stand.
func lines(on *image.RGBA, at image.Point, l *letters, colour color.Color, texts []string) image.Point {
	for _, text := range texts {
		l.write(on, at, colour, text)
		at.Y += l.line()
	}
	return at
}

func scaledHeight(p image.Image) int {
	size := p.Bounds().Size()
	return max(tileWidth*size.Y/max(size.X, 1), 1)
}
