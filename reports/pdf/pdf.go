package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"strings"
	"time"
	"unicode"

	"codeberg.org/go-pdf/fpdf"

	"endogate/explain"
	"endogate/reports/draft"
)

// maxPages bounds a document: nobody reads more.
const maxPages = 200

// ErrTooLong is returned for a document that would have more pages than anybody reads.
var ErrTooLong = fmt.Errorf("pdf: more than %d pages; shorten the report's texts", maxPages)

// ErrNoPicture is what Options.Picture wraps when the picture is not here any more, however often it is asked for.
var ErrNoPicture = errors.New("pdf: the picture is not here any more")

// failed is what a picture that cannot be read now panics with; Render recovers it.
type failed struct{ error }

// Options are what a document does not say of itself.
type Options struct {
	Fonts       *Fonts                                        // needed
	Label       func(language, name string) string            // what a page says of its own (draft.Templates.Label); needed
	Called      func(language string, f draft.Finding) string // nil: as its code is
	Picture     func(draft.KeyImage) (Picture, error)         // nil, or an ErrNoPicture: left out; any other error ends it
	Timeline    func(draft.Video) (image.Image, error)        // as Picture
	Sheet       func(draft.Frame) (image.Image, error)        // of the clip that a frame is in; nil, or an ErrNoPicture: left out; any other error ends it
	Colours     *explain.ColourMap                            // of the heatmaps, for their legend; nil: none
	Location    *time.Location                                // of the times shown; nil is UTC
	Institution string                                        // above the title
	Links       []Link                                        // at the end
}

// Picture is a frame, and the same with a heatmap blended in.
type Picture struct {
	Frame   image.Image
	Heatmap image.Image // nil: there is none
}

// Link is an address that a reader can open.
type Link struct{ Text, URL string }

// Render makes the PDF of doc. The same doc, pictures and options give the same bytes.
func Render(doc draft.Document, o Options) (out []byte, err error) {
	if o.Fonts == nil {
		return nil, errors.New("pdf: no fonts; open them with OpenFonts")
	}
	if o.Label == nil {
		return nil, errors.New("pdf: no words; give it those of the templates")
	}
	defer func() {
		p := recover()
		if f, ok := p.(failed); ok {
			out, err = nil, fmt.Errorf("pdf: picture: %w", f.error)
		} else if p == errTooLong {
			out, err = nil, ErrTooLong
		} else if p != nil {
			panic(p)
		}
	}()
	p := newPages(doc, o)
	p.header()
	p.notices()
	p.sections()
	p.videos()
	p.disclosure()
	p.signature()
	p.footers()
	var b bytes.Buffer
	if err := p.Output(&b); err != nil {
		return nil, fmt.Errorf("pdf: %w", err)
	}
	return b.Bytes(), nil
}

func newPages(doc draft.Document, o Options) *pages {
	if doc.TimeZone != "" { // as its texts have it
		o.Location = doc.Location()
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	f := fpdf.New("P", "mm", "A4", "")
	f.SetCatalogSort(true)
	f.SetCreationDate(doc.At.UTC())
	f.SetModificationDate(doc.At.UTC())
	f.SetProducer("endogate", true)
	f.SetCreator("endogate", true)
	p := &pages{Fpdf: f, doc: doc, Options: o, glyphs: map[glyphKey]glyph{}, added: map[*face]bool{}, widths: map[int]bool{}}
	f.SetTitle(p.title()+" – "+p.patientName(), true)
	f.SetSubject(p.standing(), true)
	f.SetAuthor(p.author(doc.Author), true)
	f.SetLang(languageTag(doc.Language))
	f.SetAutoPageBreak(false, 0)
	f.SetMargins(left, top, left)
	p.newPage()
	return p
}

// languageTag is the language of a document (RFC 5646); it stands in the catalog as it is.
func languageTag(name string) string {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && (r < '0' || r > 'z' || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) {
		return "en"
	}
	return name
}
