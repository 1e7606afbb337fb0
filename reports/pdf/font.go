package pdf

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
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

// face is a font file; names are its names in a document. Its bytes stay in the file until a document has them embedded.
type face struct {
	family, style string
	file          source
	glyphs        *sfnt.Font
}

// source is a font file, which stays open, or the bytes of one that is part of the program.
type source interface {
	io.ReaderAt
	Size() int64
}

type fontFile struct {
	*os.File
	size int64
}

func (f fontFile) Size() int64 { return f.size }

func content(s source) *io.SectionReader { return io.NewSectionReader(s, 0, s.Size()) }

// OpenFonts reads and tries the font at path for what Liberation Sans lacks. Where path is empty it is WideFont, which
// need not be there: documents that need it then fail with [ErrNoWideFont].
func OpenFonts(path string) (*Fonts, error) {
	f := &Fonts{}
	var err error
	if f.latin, err = newFace("latin", "", bytes.NewReader(liberationsansregular.TTF)); err != nil {
		return nil, err
	}
	if f.bold, err = newFace("latin", "B", bytes.NewReader(liberationsansbold.TTF)); err != nil {
		return nil, err
	}
	file, err := openFont(path)
	if path == "" && errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		if f.wide, err = newFace("wide", "", file); err != nil || f.wide.file != file {
			_ = file.Close() // it is not needed, or open already
		}
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

func openFont(path string) (fontFile, error) {
	file, err := os.Open(cmp.Or(path, WideFont))
	if err != nil {
		return fontFile{}, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > maxFont {
		err = fmt.Errorf("%s is larger than %d MiB", file.Name(), maxFont>>20)
	}
	if err != nil {
		_ = file.Close()
		return fontFile{}, err
	}
	return fontFile{file, info.Size()}, nil
}

// tried are the faces that have set a line, by what they are made of: a font is tried once, and not at each reload.
var tried sync.Map

// newFace takes a TrueType font after it has set a line in it.
func newFace(family, style string, file source) (*face, error) {
	type key struct {
		family, style string
		sum           [sha256.Size]byte
	}
	of, sum := key{family: family, style: style}, sha256.New()
	if _, err := io.Copy(sum, content(file)); err != nil {
		return nil, err
	}
	sum.Sum(of.sum[:0])
	if known, ok := tried.Load(of); ok {
		return known.(*face), nil
	}
	f, err := tryFace(family, style, file)
	if err == nil {
		tried.Store(of, f)
	}
	return f, err
}

func tryFace(family, style string, file source) (*face, error) {
	head := make([]byte, 4)
	_, _ = file.ReadAt(head, 0) // of what is shorter the rest are zeros, as of no font
	switch string(head) {
	case "ttcf":
		return nil, errors.New("a font collection (.ttc) cannot be embedded")
	case "OTTO":
		return nil, errors.New("a font with PostScript outlines (.otf) cannot be embedded")
	case "true", "\x00\x01\x00\x00":
	default:
		return nil, errors.New("it is not a TrueType font")
	}
	glyphs, err := sfnt.ParseReaderAt(file)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	f := &face{family, style, file, glyphs}
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
	data := make([]byte, f.file.Size())
	if _, err := io.ReadFull(content(f.file), data); err != nil {
		doc.SetError(fmt.Errorf("pdf: font: %w", err))
		return
	}
	doc.AddUTF8FontFromBytes(f.family, f.style, data)
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
