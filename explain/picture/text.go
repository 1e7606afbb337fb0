package picture

import (
	"image"
	"image/color"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// regular is the font of all text.
var regular = sync.OnceValue(func() *opentype.Font {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err) // it is part of the program
	}
	return f
})

// face is the font at a size in pixels. It may be used by one goroutine at a time.
func face(pixels float64) font.Face {
	f, err := opentype.NewFace(regular(), &opentype.FaceOptions{Size: pixels, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic(err) // the size is ours
	}
	return f
}

// write draws a line of text with its upper left corner at a point, cut off with an ellipsis where it is wider than width.
func write(on *image.RGBA, at image.Point, width int, f font.Face, colour color.Color, text string) {
	text = fit(f, width, text)
	d := font.Drawer{Dst: on, Src: image.NewUniform(colour), Face: f, Dot: fixed.P(at.X, at.Y+f.Metrics().Ascent.Ceil())}
	d.DrawString(text)
}

// fit cuts a text off where it would be too wide: in the middle, since the ends of a layer's name tell more.
func fit(f font.Face, width int, text string) string {
	letters := []rune(text)
	for cut := 0; font.MeasureString(f, text).Ceil() > width && cut < len(letters)-1; cut++ {
		half := (len(letters) - cut) / 2
		text = string(letters[:half]) + "…" + string(letters[len(letters)-half:])
	}
	return text
}

func lineHeight(f font.Face) int { return f.Metrics().Height.Ceil() }
