package analysis

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
)

// An encoded analysis is eight bytes that say what it is, the length of a text in four bytes, the text in JSON, and the
// values of all maps, those of parts and then those of sheets, in their order, four bytes each. Numbers are little endian.
const magic = "endoan1\n" // the digit is the version

// Bounds of what is encoded and decoded.
const (
	MaxText   = 64 << 20 // a thousand frames of a thousand classes
	maxValues = 64 << 20 // of all maps: 256 MiB
	maxSide   = 1<<16 - 1
	maxPixels = 1 << 25
	maxCount  = 1 << 30
)

// Encode writes a.
func (a Analysis) Encode(w io.Writer) error {
	if err := a.validate(); err != nil {
		return fmt.Errorf("analysis: encode: %w", err)
	}
	text, err := json.Marshal(a)
	switch {
	case err != nil:
		return fmt.Errorf("analysis: encode: %w", err)
	case len(text) > MaxText:
		return fmt.Errorf("analysis: encode: %d bytes of text, at most %d fit", len(text), MaxText)
	}
	head := binary.LittleEndian.AppendUint32([]byte(magic), uint32(len(text)))
	if _, err := w.Write(append(head, text...)); err != nil {
		return err
	}
	for m := range a.maps() {
		line := make([]byte, 0, 4*len(m.Values))
		for _, v := range m.Values {
			line = binary.LittleEndian.AppendUint32(line, math.Float32bits(v))
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// maps are all that a has.
func (a Analysis) maps() iter.Seq[*Map] {
	return func(yield func(*Map) bool) {
		for i := range a.Parts {
			for k := range a.Parts[i].Maps {
				if !yield(&a.Parts[i].Maps[k]) {
					return
				}
			}
		}
		for _, s := range a.Sheets {
			for _, moment := range s.Moments {
				if moment.Map != nil && !yield(moment.Map) {
					return
				}
			}
		}
	}
}

// ErrFormat is what Decode's error wraps where the bytes are no analysis; else it is r's.
var ErrFormat = errors.New("analysis: not an encoded analysis")

// Decode reads what Encode wrote, to the end of r. Memory is of the size of what is there, not of what it says it is.
func Decode(r io.Reader) (Analysis, error) {
	a, err := decode(r)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Analysis{}, fmt.Errorf("%w: it is cut off", ErrFormat)
	case err != nil:
		return Analysis{}, err
	}
	return a, nil
}

func decode(r io.Reader) (Analysis, error) {
	var head [len(magic) + 4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Analysis{}, unexpected(err)
	}
	length := binary.LittleEndian.Uint32(head[len(magic):])
	switch {
	case string(head[:len(magic)]) != magic:
		return Analysis{}, fmt.Errorf("%w, or one of another version", ErrFormat)
	case length > MaxText:
		return Analysis{}, fmt.Errorf("%w: %d bytes of text", ErrFormat, length)
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(length)))
	switch {
	case err != nil:
		return Analysis{}, err
	case len(text) < int(length):
		return Analysis{}, io.ErrUnexpectedEOF
	}
	var a Analysis
	if err := json.Unmarshal(text, &a); err != nil {
		return Analysis{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err := a.validateText(); err != nil {
		return Analysis{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	for m := range a.maps() {
		if err := m.read(r); err != nil {
			return Analysis{}, err
		}
	}
	if n, err := io.ReadFull(r, head[:1]); n > 0 || err != io.EOF {
		return Analysis{}, fmt.Errorf("%w: it goes on behind its end", ErrFormat)
	}
	return a, nil
}

// read fills m with its values, a piece at a time, so that a length alone takes no memory.
func (m *Map) read(r io.Reader) error {
	var piece [64 << 10]byte
	m.Values = nil
	for left := 4 * m.Width * m.Height; left > 0; {
		b := piece[:min(left, len(piece))]
		if _, err := io.ReadFull(r, b); err != nil {
			return unexpected(err)
		}
		for ; len(b) > 0; b = b[4:] {
			m.Values = append(m.Values, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
		left -= min(left, len(piece))
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// validate says what is wrong with a.
func (a Analysis) validate() error {
	for m := range a.maps() {
		if len(m.Values) != m.Width*m.Height {
			return fmt.Errorf("a map of %d x %d has %d values", m.Width, m.Height, len(m.Values))
		}
	}
	return a.validateText()
}

// validateText does without the values of the maps.
func (a Analysis) validateText() error {
	next, values := 1, 0
	if err := a.Moving.validate(); err != nil {
		return err
	}
	there := map[int]bool{}
	for _, p := range a.Parts {
		n, err := p.validate(next)
		if err != nil {
			return fmt.Errorf("part of frame %d: %w", p.Result.Span.First, err)
		}
		if a.Moving != nil && p.Result.Span.First+p.Result.Span.Count-1 > a.Moving.Frames {
			return fmt.Errorf("part of frame %d: the video has %d", p.Result.Span.First, a.Moving.Frames)
		}
		next = p.Result.Span.First + 1
		there[p.Result.Span.First] = true
		if values += n; values > maxValues {
			return fmt.Errorf("more than %d values in maps", maxValues)
		}
	}
	if len(a.Sheets) > 0 && a.Moving == nil || len(a.Sheets) > maxSheets {
		return errors.New("sheets that it cannot have")
	}
	for _, s := range a.Sheets {
		n, err := s.validate(there)
		if err != nil {
			return fmt.Errorf("a sheet: %w", err)
		}
		if values += n; values > maxValues {
			return fmt.Errorf("more than %d values in maps", maxValues)
		}
	}
	return nil
}

// maxSheets bounds the sheets of a video.
const maxSheets = 1000

// validate returns how many values the maps have, where there is something said of these frames.
func (s Sheet) validate(there map[int]bool) (values int, err error) {
	if s.First < 1 || s.Last < s.First || s.Last > maxCount || s.Frames < 1 || s.Frames > maxCount || !isProbability(s.Probability) {
		return 0, fmt.Errorf("it is of frames %d to %d, %d of them", s.First, s.Last, s.Frames)
	}
	before := 0
	for _, m := range s.Moments {
		if m.Frame <= before || !there[m.Frame] || m.Frame < s.First || m.Frame > s.Last || !(m.At >= 0) || math.IsNaN(m.Counts) || math.IsInf(m.Counts, 0) {
			return 0, fmt.Errorf("it shows frame %d", m.Frame)
		}
		before = m.Frame
		if m.Map == nil {
			continue
		}
		if err := m.Map.validate(); err != nil {
			return 0, err
		}
		values += m.Map.Width * m.Map.Height
	}
	return values, nil
}

// validate returns how many values the maps have.
func (p Part) validate(next int) (values int, err error) {
	r := p.Result
	switch s := r.Span; {
	case s.First < next || s.First > maxCount || s.Count < 1 || s.Count > maxCount || s.Start < 0 || s.Duration < 0:
		return 0, fmt.Errorf("it is about %+v", s)
	case r.Peak != 0 && (r.Peak < s.First || r.Peak >= s.First+s.Count):
		return 0, fmt.Errorf("frame %d counts most, which is not among %+v", r.Peak, s)
	case r.Rows != p.Geometry.Rows || r.Columns != p.Geometry.Columns:
		return 0, fmt.Errorf("it is of %d x %d pixels, its geometry of %d x %d", r.Columns, r.Rows, p.Geometry.Columns, p.Geometry.Rows)
	}
	if err := p.Geometry.validate(); err != nil {
		return 0, err
	}
	for _, score := range r.Scores {
		if !isProbability(score) {
			return 0, fmt.Errorf("a score of %g", score)
		}
	}
	for _, score := range p.Clip {
		if !isProbability(score) {
			return 0, fmt.Errorf("a score of %g", score)
		}
	}
	found := map[whose]bool{}
	for _, f := range r.Findings {
		me := whose{f.Class, f.Number}
		if f.Class == "" || found[me] || !isProbability(f.Probability) || f.Heatmap != "" || f.Sheet != "" || f.Drawn != nil {
			return 0, errors.New("a finding that is twice there, has no class, no probability, or a picture already")
		}
		if err := f.validateOutline(r.Columns, r.Rows); err != nil {
			return 0, err
		}
		found[me] = true
	}
	for _, m := range p.Maps {
		if !found[whose{m.Class, m.Number}] {
			return 0, errors.New("a map of a class that was not found")
		}
		if err := m.validate(); err != nil {
			return 0, err
		}
		values += m.Width * m.Height
	}
	return values, nil
}

// validate says what is wrong with the size of m, and where it lies.
func (m Map) validate() error {
	if m.Width < 1 || m.Height < 1 || m.Width > maxSide || m.Height > maxSide || m.Width*m.Height > maxPixels {
		return fmt.Errorf("a map of %d x %d", m.Width, m.Height)
	}
	if e := m.Extent; e != (Extent{}) && !(e.Top < e.Bottom && e.Left < e.Right && e.Bottom-e.Top < maxSide && e.Right-e.Left < maxSide) {
		return fmt.Errorf("a map over the part %+v of the input", e)
	}
	return nil
}

// whose tells the findings of a frame apart.
type whose struct {
	class  string
	number int
}

// maxPoints bounds the contours of a finding.
const maxPoints = 1 << 20

// validateOutline says what is wrong with where a finding is.
func (f Finding) validateOutline(columns, rows int) error {
	boxed, points := f.Outline == NetworkBox, 0
	switch {
	case f.Outline != HotRegion && f.Outline != NetworkBox && f.Outline != NetworkMask:
		return errors.New("a finding with an outline of another kind")
	case f.Outline == HotRegion && (len(f.Contours) > 0 || f.Share != 0), boxed && (len(f.Contours) != 1 || len(f.Contours[0]) != 5), boxed != (f.Number > 0), f.Number < 0, !isProbability(f.Share):
		return errors.New("a finding with a place that it cannot have")
	}
	for _, c := range f.Contours {
		if points += len(c); points > maxPoints {
			return errors.New("a finding with too many points around it")
		}
		for _, p := range c {
			if !(p[0] >= 0 && p[1] >= 0 && p[0] <= float64(columns) && p[1] <= float64(rows)) {
				return errors.New("a finding beside the frame")
			}
		}
	}
	return nil
}

func isProbability(p float64) bool { return p >= 0 && p <= 1 }
