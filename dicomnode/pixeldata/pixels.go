package pixeldata

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"endogate/dicomnode/dicom"
)

// pixels is the Image Pixel Module (PS3.3 C.7.6.3) of an instance, checked.
type pixels struct {
	rows, columns    int // 1 to 65535
	samples          int // 1 or 3
	photometric      string
	planar           bool // Planar Configuration 1: all of a sample before the next sample
	allocated        int  // 8 or 16
	stored, high     int
	signed           bool
	frames           int
	window           *Window
	voi              *lut // where there is no window
	slope, intercept float64
	palette          *palette

	table []byte // of stored values to 8 bits; see levels
}

// Window is a VOI window (PS3.3 C.11.2.1.2), in units of the rescaled values: Width is above 0, and of a Linear one 1 or more.
type Window struct {
	Center, Width float64
	Function      Function
}

// Function is how a window maps values (VOI LUT Function, PS3.3 C.11.2.1.2.1, C.11.2.1.3).
type Function string

// The functions that there are.
const (
	Linear      Function = "" // LINEAR, which is also meant where none is said
	LinearExact Function = "LINEAR_EXACT"
	Sigmoid     Function = "SIGMOID"
)

// Valid reports whether the window is one.
func (w Window) Valid() bool {
	finite := !math.IsNaN(w.Center) && !math.IsInf(w.Center, 0) && !math.IsNaN(w.Width) && !math.IsInf(w.Width, 0)
	return finite && (w.Width >= 1 || w.Width > 0 && w.Function != Linear)
}

// describe reads the module. What the standard requires and real devices leave out gets the value they mean.
func describe(a *dicom.Attributes) (pixels, error) {
	p := pixels{
		rows:        number(a, dicom.Rows, 0),
		columns:     number(a, dicom.Columns, 0),
		photometric: strings.ToUpper(a.Text(dicom.PhotometricInterpretation)),
		planar:      number(a, dicom.PlanarConfiguration, 0) == 1,
		allocated:   number(a, dicom.BitsAllocated, 8),
		signed:      number(a, dicom.PixelRepresentation, 0) == 1,
		frames:      max(1, number(a, dicom.NumberOfFrames, 1)),
		slope:       1,
	}
	p.samples = number(a, dicom.SamplesPerPixel, p.wanted())
	p.stored = number(a, dicom.BitsStored, p.allocated)
	byteWide := p.allocated == 8 // which has no room for anything beside
	if byteWide && (p.stored < 1 || p.stored > 8) {
		p.stored = 8
	}
	p.high = number(a, dicom.HighBit, p.stored-1)
	if byteWide && (p.high+1 < p.stored || p.high >= 8) {
		p.high = p.stored - 1
	}
	if err := p.check(); err != nil {
		return p, err
	}
	switch {
	case p.photometric == "PALETTE COLOR":
		var err error
		if p.palette, err = readPalette(a, p.signed); err != nil {
			return p, err
		}
	case p.samples == 1:
		p.grayscale(a)
	}
	return p, nil
}

func number(a *dicom.Attributes, t dicom.Tag, absent int) int {
	if n, ok := a.Int(t); ok {
		return n
	}
	return absent
}

// check refuses what cannot be and what is not handled.
func (p *pixels) check() error {
	switch {
	case p.rows < 1 || p.columns < 1 || p.rows > 65535 || p.columns > 65535:
		return fmt.Errorf("%w: %d rows, %d columns", ErrCorrupt, p.rows, p.columns)
	case p.allocated != 8 && p.allocated != 16:
		return fmt.Errorf("%w: %d bits allocated", ErrUnsupported, p.allocated)
	case p.stored < 1 || p.stored > p.allocated || p.high >= p.allocated || p.high+1 < p.stored:
		return fmt.Errorf("%w: %d bits allocated, %d stored, high bit %d", ErrCorrupt, p.allocated, p.stored, p.high)
	}
	switch p.photometric {
	case "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "XYB":
	case "":
		return fmt.Errorf("%w: no Photometric Interpretation", ErrCorrupt)
	default:
		if !slices.Contains([]string{"YBR_PARTIAL_422", "YBR_PARTIAL_420", "HSV", "ARGB", "CMYK"}, p.photometric) {
			return fmt.Errorf("%w: a Photometric Interpretation that PS3.3 C.7.6.3.1.2 does not know", ErrCorrupt)
		}
		return fmt.Errorf("%w: Photometric Interpretation %s", ErrUnsupported, p.photometric)
	}
	if p.samples != p.wanted() {
		return fmt.Errorf("%w: %d samples per pixel in %s", ErrCorrupt, p.samples, p.photometric)
	}
	return nil
}

// wanted is how many samples a pixel has by its Photometric Interpretation.
func (p *pixels) wanted() int {
	switch p.photometric {
	case "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR":
		return 1
	}
	return 3
}

// grayscale reads rescale and VOI window or table, the first of several; multi-frame functional groups are not looked into.
func (p *pixels) grayscale(a *dicom.Attributes) {
	if slope, ok := a.Float(dicom.RescaleSlope); ok && slope != 0 {
		p.slope = slope
		p.intercept, _ = a.Float(dicom.RescaleIntercept)
	}
	center, ok1 := a.Float(dicom.WindowCenter)
	width, ok2 := a.Float(dicom.WindowWidth)
	w := Window{Center: center, Width: width}
	switch f := Function(strings.ToUpper(a.Text(dicom.VOILUTFunction))); f {
	case LinearExact, Sigmoid:
		w.Function = f
	}
	if ok1 && ok2 && w.Valid() {
		p.window = &w
		return // of window and table one is applied (PS3.3 C.11.2.1); the window, as it has been
	}
	p.voi = readLUT(a.Item(dicom.VOILUTSequence, 0), p.signed || p.intercept < 0)
}

func (p *pixels) bytes() int { return p.allocated / 8 }

// size is the length of a native frame in bytes; it cannot overflow after check.
func (p *pixels) size() int {
	if p.photometric == "YBR_FULL_422" {
		return p.rows * p.columns * 2 * p.bytes() // PS3.3 C.7.6.3.1.2: two Y share a Cb and a Cr
	}
	return p.rows * p.columns * p.samples * p.bytes()
}

// levels returns the table from the stored bits of a sample to 8 bits: through rescale and window or table where there is one,
// else the full range of Bits Stored; MONOCHROME1 is turned round.
func (p *pixels) levels() []byte {
	if p.table != nil {
		return p.table
	}
	n := 1 << p.stored
	p.table = make([]byte, n)
	low := 0
	if p.signed {
		low = -n / 2
	}
	for i := range p.table {
		value := i
		if p.signed && i >= n/2 {
			value -= n
		}
		level := float64(value-low) / float64(n-1)
		switch x := float64(value)*p.slope + p.intercept; {
		case p.window != nil:
			level = p.window.level(x)
		case p.voi != nil:
			level = p.voi.level(x)
		}
		if p.photometric == "MONOCHROME1" {
			level = 1 - level
		}
		p.table[i] = byte(level*255 + 0.5)
	}
	return p.table
}

// level maps x to 0..1.
func (w *Window) level(x float64) float64 {
	switch {
	case w.Function == Sigmoid:
		return 1 / (1 + math.Exp(-4*(x-w.Center)/w.Width))
	case w.Function == LinearExact:
		return min(1, max(0, (x-w.Center)/w.Width+0.5))
	case w.Width == 1:
		if x <= w.Center-0.5 {
			return 0
		}
		return 1
	}
	return min(1, max(0, (x-(w.Center-0.5))/(w.Width-1)+0.5))
}
