package pdf

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"

	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// WideFont is where Debian's fonts-droid-fallback has a font of Chinese and Japanese; it has no Hangul.
const WideFont = "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"

// maxFont bounds a font file: those with all of CJK are a few MiB.
const maxFont = 64 << 20

// ErrNoWideFont is returned for a document with Chinese, Japanese or Korean where no font has them.
var ErrNoWideFont = errors.New("pdf: no font for Chinese, Japanese and Korean: install Debian's fonts-droid-fallback, or let reports.font name a TrueType font (.ttf)")

// Fonts are what documents are set in. They may be used from any goroutine.
type Fonts struct{ latin, bold, wide *face }

// face is a font file; names are its names in a document.
type face struct {
	family, style string
	data          []byte
	glyphs        *sfnt.Font
}

// OpenFonts reads and tries the font at path for what Liberation Sans lacks. Where path is empty it is WideFont, which
// need not be there: documents that need it then fail with [ErrNoWideFont].
func OpenFonts(path string) (*Fonts, error) {
	f := &Fonts{}
	var err error
	if f.latin, err = newFace("latin", "", liberationsansregular.TTF); err != nil {
		return nil, err
	}
	if f.bold, err = newFace("latin", "B", liberationsansbold.TTF); err != nil {
		return nil, err
	}
	data, err := readFont(path)
	if path == "" && errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		f.wide, err = newFace("wide", "", data)
	}
	if err != nil {
		return nil, fmt.Errorf("pdf: font: %w; let reports.font name a TrueType font (.ttf), such as that of Debian's fonts-droid-fallback", err)
	}
	return f, nil
}

// Wide reports whether there is a font for Chinese, Japanese and Korean.
func (f *Fonts) Wide() bool { return f.wide != nil }

// has reports whether one of the fonts can show r.
func (f *Fonts) has(r rune) bool { return f.latin.has(r) || f.wide != nil && f.wide.has(r) }

// Lacks names the scripts of names of which the fonts have no letters, or not the shapes in which they join.
func (f *Fonts) Lacks() (scripts []string) {
	for _, s := range []struct {
		name   string
		letter rune
	}{
		{"Arabic", 'ﻣ'}, {"Armenian", 'Ա'}, {"Chinese", '山'}, {"Georgian", 'გ'}, {"Hebrew", 'ש'}, {"Japanese", 'か'}, {"Korean", '김'}, {"Thai", 'ก'},
	} {
		if !f.has(s.letter) {
			scripts = append(scripts, s.name)
		}
	}
	return append(scripts, "Devanagari and its kin")
}

func readFont(path string) ([]byte, error) {
	if path == "" {
		path = WideFont
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFont {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxFont>>20)
	}
	return os.ReadFile(path)
}

// tried are the faces that have set a line, by what they are made of: a font is tried once, and not at each reload.
var tried sync.Map

// newFace takes the bytes of a TrueType font after it has set a line in it.
func newFace(family, style string, data []byte) (*face, error) {
	type key struct {
		family, style string
		sum           [sha256.Size]byte
	}
	of := key{family, style, sha256.Sum256(data)}
	if known, ok := tried.Load(of); ok {
		return known.(*face), nil
	}
	f, err := tryFace(family, style, data)
	if err == nil {
		tried.Store(of, f)
	}
	return f, err
}

func tryFace(family, style string, data []byte) (*face, error) {
	switch {
	case bytes.HasPrefix(data, []byte("ttcf")):
		return nil, errors.New("a font collection (.ttc) cannot be embedded")
	case bytes.HasPrefix(data, []byte("OTTO")):
		return nil, errors.New("a font with PostScript outlines (.otf) cannot be embedded")
	case !bytes.HasPrefix(data, []byte{0, 1, 0, 0}) && !bytes.HasPrefix(data, []byte("true")):
		return nil, errors.New("it is not a TrueType font")
	}
	glyphs, err := sfnt.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	f := &face{family, style, data, glyphs}
	return f, f.try()
}

// try sets a line: the library checks little of a font, and panics at what it did not expect.
func (f *face) try() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("it is damaged")
		}
	}()
	doc := fpdf.New("P", "mm", "A4", "")
	doc.AddPage()
	f.add(doc)
	doc.SetFont(f.family, f.style, body)
	doc.Text(10, 10, "Endoscopy 内視鏡")
	return doc.Output(&bytes.Buffer{})
}

// add makes f a font of doc. The library writes into the bytes of a font, so each document has its own.
func (f *face) add(doc *fpdf.Fpdf) {
	doc.AddUTF8FontFromBytes(f.family, f.style, bytes.Clone(f.data))
}

// has reports whether f can show r.
func (f *face) has(r rune) bool {
	index, err := f.glyphs.GlyphIndex(nil, r)
	return err == nil && index != 0
}

// advance is the width of r, in parts of the size of the letters.
func (f *face) advance(r rune) float64 {
	const ppem = 1000
	index, err := f.glyphs.GlyphIndex(nil, r)
	if err != nil {
		return 1
	}
	a, err := f.glyphs.GlyphAdvance(nil, index, fixed.I(ppem), font.HintingNone)
	if err != nil {
		return 1
	}
	return float64(a) / 64 / ppem
}
