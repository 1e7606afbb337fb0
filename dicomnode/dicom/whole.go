package dicom

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// What is wrong with a data set whose bytes are all there. None quotes a value.
const (
	RemarkDelimiter  = "a delimiter is missing"
	RemarkItem       = "an item is longer than what it is in: it ends there"
	RemarkDepth      = "sequences are nested deeper than 64: what is deeper is kept and not read"
	RemarkLate       = "elements that belong before Pixel Data stand behind it"
	RemarkNoPixels   = "Rows and Columns are there and no Pixel Data"
	RemarkFewerBytes = "Pixel Data have fewer bytes than Rows, Columns and Number of Frames say"
	RemarkFewer      = "Pixel Data have fewer fragments than frames"
	RemarkMore       = "Pixel Data have more frames than Number of Frames says: those behind are kept and not looked at"
	RemarkPadded     = "bytes behind its end belong to no element"
)

// ErrCutOff: the data set ends before its own lengths do. It wraps io.ErrUnexpectedEOF.
var ErrCutOff = fmt.Errorf("dicom: data set is cut off: %w", io.ErrUnexpectedEOF)

func (r *Reader) remark(what string) {
	if !slices.Contains(r.says, what) {
		r.says = append(r.says, what)
	}
}

// LacksDelimiter reports whether Next has come to the end of its source where the next item of the Pixel Data was due, or the
// delimiter behind the last one.
func (r *Reader) LacksDelimiter() bool {
	return errors.Is(r.err, io.ErrUnexpectedEOF) && !errors.Is(r.err, ErrDeflate) && r.value == 0 && !r.begun &&
		len(r.levels) == 2 && r.top().kind == FragmentsStart
}

// ReadWhole reads the data set in r to its end and returns its attributes, whatever their order, and what is wrong with it
// although all its bytes are there. Bounds and errors are those of [ReadAttributes].
//
// Where lengths promise more bytes than came the error is ErrCutOff. So it is where the data set ends amid a sequence, or
// amid fragments that are not all there, but for the last delimiter (PS3.5 7.5, A.4), without which nothing is lost.
func ReadWhole(r io.Reader, ts TransferSyntax) (*Attributes, []string, error) {
	reader := NewReader(r, ts)
	a, pixels, err := reader.Attributes()
	if err == nil && pixels.Kind != 0 {
		err = reader.behind(a, pixels, ts)
	} else if err == nil && a.pictured() {
		reader.remark(RemarkNoPixels)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w (%w)", ErrCutOff, err)
	}
	return a, reader.says, err
}

// behind reads Pixel Data, and what is behind them into a.
func (r *Reader) behind(a *Attributes, pixels Token, ts TransferSyntax) error {
	p := passed{promised: a.frames()}
	b := builder{r: r, left: keptForTop, stack: []*Attributes{a}}
	for open := pixels.Kind == FragmentsStart; ; {
		t, err := r.Next()
		switch {
		case err == io.EOF:
			r.weigh(a, pixels, p)
			return nil
		case r.LacksDelimiter() && p.whole(ts):
			r.remark(RemarkDelimiter)
			r.weigh(a, pixels, p)
			return nil
		case err != nil:
			return err
		case open && t.Kind == Fragment:
			err = p.take(r, t)
		case open: // its end
			open = false
		default:
			if t.Depth == 0 && t.Tag < PixelData && t.Tag.Group() > 0x0002 && (t.Kind == ElementToken || t.Kind == SequenceStart) {
				r.remark(RemarkLate)
			}
			err = b.add(t)
		}
		if err != nil {
			return err
		}
	}
}

// passed is what is to be known of fragments that were passed over.
type passed struct {
	promised    int // frames
	fragments   int // without the Basic Offset Table
	codestreams int // fragments that begin as those of JPEG and JPEG 2000 do
	begun       bool
	tail        []byte // the last bytes of the last one
}

func (p *passed) take(r *Reader, t Token) error {
	if !p.begun {
		p.begun = true
		return nil
	}
	const enough = 16
	left := int64(t.Length)
	if left > 2*enough {
		head := make([]byte, 4)
		if _, err := io.ReadFull(r, head); err != nil {
			return fmt.Errorf("dicom: fragment: %w", err)
		}
		if bytes.HasPrefix(head, []byte("\xff\xd8\xff")) || string(head) == "\xff\x4f\xff\x51" {
			p.codestreams++
		}
		left -= 4
	}
	if err := r.Skip(max(0, left-enough)); err != nil {
		return fmt.Errorf("dicom: fragment: %w", err)
	}
	p.tail = make([]byte, min(t.Length, enough))
	if _, err := io.ReadFull(r, p.tail); err != nil {
		return fmt.Errorf("dicom: fragment: %w", err)
	}
	p.fragments++
	return nil
}

// whole reports whether nothing but the delimiter was to come: each frame has a fragment, and the last one ends as
// codestreams do.
func (p *passed) whole(ts TransferSyntax) bool {
	if p.fragments < p.promised {
		return false
	}
	endOfImage := bytes.HasSuffix(bytes.TrimRight(p.tail, "\x00"), []byte{0xFF, 0xD9})
	return ts.UID == RLELossless || endOfImage && strings.HasPrefix(string(ts.UID), "1.2.840.10008.1.2.4.")
}

// weigh holds Pixel Data that came whole against what is said of them.
func (r *Reader) weigh(a *Attributes, pixels Token, p passed) {
	switch {
	case pixels.Kind == FragmentsStart && p.fragments < p.promised && p.fragments != 1: // one may be a video
		r.remark(RemarkFewer)
	case pixels.Kind == FragmentsStart && p.codestreams > p.promised:
		r.remark(RemarkMore)
	case pixels.Tag == PixelData && pixels.Kind == ElementToken && int64(pixels.Length) < a.pixelBytes():
		r.remark(RemarkFewerBytes)
	case pixels.Tag == PixelData && pixels.Kind == ElementToken && a.hasMore(int64(pixels.Length)):
		r.remark(RemarkMore)
	}
}

// hasMore reports whether native Pixel Data of so many bytes have a frame more than is said. Nobody knows where the size of one is in doubt.
func (a *Attributes) hasMore(length int64) bool {
	_, ok := a.Int(SamplesPerPixel)
	one := a.pixelBytes() / int64(a.frames())
	return ok && one > 0 && length >= a.pixelBytes()+one && !strings.Contains(a.Text(PhotometricInterpretation), "_42")
}

// pictured reports whether a is of an image.
func (a *Attributes) pictured() bool {
	rows, _ := a.Int(Rows)
	columns, _ := a.Int(Columns)
	return rows > 0 && columns > 0
}

func (a *Attributes) frames() int {
	n, _ := a.Int(NumberOfFrames)
	return max(1, n)
}

// pixelBytes is how many bytes native Pixel Data have (PS3.5 8.1.1); 0 where nobody says.
func (a *Attributes) pixelBytes() int64 {
	bits := float64(a.frames())
	for _, t := range []Tag{Rows, Columns, BitsAllocated, SamplesPerPixel} {
		n, ok := a.Int(t)
		if !ok && t == SamplesPerPixel {
			n = 1
		}
		bits *= float64(max(0, n))
	}
	switch a.Text(PhotometricInterpretation) {
	case "YBR_FULL_422", "YBR_PARTIAL_422": // PS3.3 C.7.6.3.1.2
		bits = bits / 3 * 2
	case "YBR_PARTIAL_420":
		bits /= 2
	}
	return int64(min(bits/8, math.MaxInt64/2))
}
