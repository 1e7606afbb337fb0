package picture

import (
	"image"
	"image/color"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// WideFont is where Debian's fonts-droid-fallback has a font of Chinese and Japanese; it has no Hangul. Where it is not there, what
// only it can write is said in other words.
const WideFont = "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"

// fonts are those of all text: Latin, Greek and Cyrillic, then what the machine has of others.
var fonts = sync.OnceValue(func() []*sfnt.Font {
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err) // it is part of the program
	}
	all := []*sfnt.Font{regular}
	if file, err := os.Open(WideFont); err == nil { // open for good: of its megabytes only the letters that are written are read
		if wide, err := sfnt.ParseReaderAt(file); err == nil {
			all = append(all, wide)
		}
	}
	return all
})

// fontOf is the font that has a letter; -1 for none.
func fontOf(b *sfnt.Buffer, r rune) int {
	for i, f := range fonts() {
		if glyph, err := f.GlyphIndex(b, r); err == nil && glyph != 0 {
			return i
		}
	}
	return -1
}

// Writable reports whether there is a font for all of a text. Scripts whose letters join or that run from right to left
// would be misspelt and are not.
func Writable(text string) bool {
	var b sfnt.Buffer
	for _, r := range text {
		if unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Devanagari, unicode.Thai, unicode.Mn) || fontOf(&b, r) < 0 {
			return false
		}
	}
	return true
}

// letters write text at a size in pixels. They may be used by one goroutine at a time.
type letters struct {
	faces    []font.Face
	buffer   sfnt.Buffer
	advances map[rune]fixed.Int26_6
}

func lettersOf(pixels float64) *letters {
	l := &letters{advances: map[rune]fixed.Int26_6{}}
	for _, f := range fonts() {
		face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: pixels, DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			panic(err) // the size is ours
		}
		l.faces = append(l.faces, face)
	}
	return l
}

func (l *letters) face(r rune) font.Face { return l.faces[max(fontOf(&l.buffer, r), 0)] }

// line is the distance from line to line.
func (l *letters) line() int { return l.faces[0].Metrics().Height.Ceil() }

// width is how wide a text is.
func (l *letters) width(text string) int {
	var sum fixed.Int26_6
	for _, r := range text {
		advance, known := l.advances[r]
		if !known {
			advance, _ = l.face(r).GlyphAdvance(r)
			l.advances[r] = advance
		}
		sum += advance
	}
	return sum.Ceil()
}

// write draws a line of text with its upper left corner at a point.
func (l *letters) write(on *image.RGBA, at image.Point, colour color.Color, text string) {
	d := font.Drawer{Dst: on, Src: image.NewUniform(colour), Dot: fixed.P(at.X, at.Y+l.faces[0].Metrics().Ascent.Ceil())}
	for _, r := range text {
		d.Face = l.face(r)
		d.DrawString(string(r))
	}
}

// wrap breaks text into lines of at most width: between words, behind hyphens, slashes and underscores, and where a word is
// wider than a line, within it.
func (l *letters) wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range pieces(text) {
		if line != "" && l.width(strings.TrimRight(line+word, " ")) > width {
			lines, line = append(lines, strings.TrimRight(line, " ")), ""
		}
		for l.width(strings.TrimRight(word, " ")) > width {
			cut := l.fitting(word, width)
			if cut == len(word) {
				break
			}
			lines, word = append(lines, word[:cut]), word[cut:]
		}
		line += word
	}
	if line = strings.TrimRight(line, " "); line != "" {
		lines = append(lines, line)
	}
	return lines
}

// fitting is how many bytes of a word fit into a width, at least one letter.
func (l *letters) fitting(word string, width int) int {
	fits := 0
	for i, r := range word {
		if next := i + len(string(r)); fits == 0 || l.width(word[:next]) <= width {
			fits = next
		}
	}
	return fits
}

// pieces are what text may be broken between, each with what follows it.
func pieces(text string) []string {
	var all []string
	from := 0
	for i, r := range text {
		wide := unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
		if wide && i > from {
			all, from = append(all, text[from:i]), i
		}
		if wide || strings.ContainsRune(" -_/", r) {
			next := i + len(string(r))
			all, from = append(all, text[from:next]), next
		}
	}
	if from < len(text) {
		all = append(all, text[from:])
	}
	return all
}
