package explain

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sync"
)

// Map is a picture of weights, row by row. A class activation map has no negative values and is not
// normalised.
type Map struct {
	Width, Height int
	Values        []float32
	Extent        Extent // the part of the picture that it lies on
}

// What keeps a map from being shown. A picture of it would look like an explanation and be none.
var (
	ErrZeroMap   = errors.New("explain: the map is zero everywhere: nothing in the layer speaks for the class")
	ErrNotFinite = errors.New("explain: the map has values that are not finite")
)

// Max returns the greatest value, or ErrNotFinite or ErrZeroMap when there is nothing to show.
func (m Map) Max() (float32, error) {
	var mu sync.Mutex
	greatest, finite := float32(0), true
	m.bands(func(values []float32) {
		// Numbers above zero are ordered as their bits are, and what is no number has all the bits of the exponent.
		const exponent, last = 0x7f800000, 0x00800000
		top, beyond := int32(0), uint32(0)
		for _, v := range values {
			bits := math.Float32bits(v)
			top, beyond = max(top, int32(bits)), beyond|(bits&exponent+last)
		}
		mu.Lock()
		defer mu.Unlock()
		greatest, finite = max(greatest, math.Float32frombits(uint32(top))), finite && beyond>>31 == 0
	})
	switch {
	case !finite:
		return 0, ErrNotFinite
	case greatest == 0:
		return 0, ErrZeroMap
	}
	return greatest, nil
}

// bands does the values of a map, a band of rows at a time; those of a small map all at once.
func (m Map) bands(do func(values []float32)) {
	const small = 1 << 14
	if len(m.Values) < small {
		do(m.Values)
		return
	}
	Bands(len(m.Values)/256, func(top, bottom int) {
		end := 256 * bottom
		if bottom == len(m.Values)/256 {
			end = len(m.Values)
		}
		do(m.Values[256*top : end])
	})
}

// Magnitude returns the greatest absolute value, or ErrNotFinite or ErrZeroMap when there is nothing to show.
func (m Map) Magnitude() (float32, error) {
	greatest := float32(0)
	for _, v := range m.Values {
		if v != v || math.IsInf(float64(v), 0) {
			return 0, ErrNotFinite
		}
		greatest = max(greatest, v, -v)
	}
	if greatest == 0 {
		return 0, ErrZeroMap
	}
	return greatest, nil
}

// Normalised returns the map divided by its maximum: values from 0 to 1. Errors as Max.
func (m Map) Normalised() (Map, error) {
	scaled := Map{m.Width, m.Height, slices.Clone(m.Values), m.Extent}
	if err := scaled.Normalise(); err != nil {
		return Map{}, err
	}
	return scaled, nil
}

// Normalise divides the map by its maximum where it is: values from 0 to 1. Errors as Max.
func (m Map) Normalise() error {
	greatest, err := m.Max()
	if err != nil {
		return err
	}
	m.bands(func(values []float32) {
		for i, v := range values {
			if v > 0 {
				values[i] = v / greatest
			} else {
				values[i] = 0
			}
		}
	})
	return nil
}

// Resize returns the map as large as its picture by bilinear interpolation between the centres of its cells, which are held
// constant beyond the outermost (PyTorch's interpolate with align_corners=False). Where a cell or more of the picture is beyond
// the map's extent, the map is zero there: the network did not look there.
func (m Map) Resize(width, height int) Map {
	out := Map{Width: width, Height: height, Values: make([]float32, width*height)}
	m.ResizeInto(out.Values, width, width, height)
	return out
}

// ResizeInto does as Resize, into rows that begin stride values apart.
func (m Map) ResizeInto(out []float32, stride, width, height int) {
	columns, rows := taps(m.Width, width, m.Extent.Left, m.Extent.Right), taps(m.Height, height, m.Extent.Top, m.Extent.Bottom)
	Bands(height, func(top, bottom int) { m.resizeRows(out[top*stride:], stride, columns, rows[top:bottom]) })
}

// ResizedMax returns the greatest value that the map has as large as its picture, which is all that it covers. It looks only at rows
// that can have it: between two rows of cells nothing is above what lies between the greatest of each.
func (m Map) ResizedMax(width, height int) float32 {
	columns := taps(m.Width, width, 0, 0)
	stretched, most := make([][]float32, m.Height), make([]float32, m.Height)
	for y := range stretched {
		stretched[y] = make([]float32, width)
		m.stretchRow(stretched[y], y, columns)
		most[y] = slices.Max(stretched[y])
	}
	rows := taps(m.Height, height, 0, 0)
	slices.SortFunc(rows, func(a, b tap) int { return cmp.Compare(b.between(most), a.between(most)) })
	greatest := float32(0)
	for _, row := range rows {
		if row.between(most)*(1+1e-6) <= greatest {
			break
		}
		upper, lower := stretched[row.low], stretched[row.high]
		for x, above := range upper {
			greatest = max(greatest, above+(lower[x]-above)*row.weight)
		}
	}
	return greatest
}

// between is the most that can lie between two cells.
func (t tap) between(cells []float32) float32 {
	return cells[t.low] + (cells[t.high]-cells[t.low])*t.weight
}

func (m Map) resizeRows(out []float32, stride int, columns, rows []tap) {
	width := len(columns)
	upper, lower := make([]float32, width), make([]float32, width)
	have := [2]int{-1, -1} // which rows of m upper and lower hold
	for y, row := range rows {
		if row.beyond {
			clear(out[y*stride:][:width])
			continue
		}
		if have[0] != row.low {
			if have[1] == row.low {
				upper, lower = lower, upper
				have[0], have[1] = have[1], have[0]
			} else {
				m.stretchRow(upper, row.low, columns)
				have[0] = row.low
			}
		}
		if have[1] != row.high {
			m.stretchRow(lower, row.high, columns)
			have[1] = row.high
		}
		line, below := out[y*stride:][:len(upper)], lower[:len(upper)]
		for x, above := range upper {
			line[x] = above + (below[x]-above)*row.weight
		}
	}
}

// stretchRow interpolates row y of m along the columns.
func (m Map) stretchRow(into []float32, y int, columns []tap) {
	row := m.Values[y*m.Width : (y+1)*m.Width]
	for x, t := range columns {
		if into[x] = row[t.low] + (row[t.high]-row[t.low])*t.weight; t.beyond {
			into[x] = 0
		}
	}
}

// tap says between which two cells a point lies; weight is that of the higher one.
type tap struct {
	low, high int
	weight    float32
	beyond    bool // of what the cells cover
}

// taps places cells on the part of a line of so many points that lies between two fractions of it; on all of it where both are zero.
func taps(cells, points int, from, to float64) []tap {
	if from == to {
		from, to = 0, 1
	}
	scale := float64(cells) / (to - from)
	before, after := from*scale > 1, (1-to)*scale > 1 // a cell or more
	all := make([]tap, points)
	for i := range all {
		point := (float64(i) + 0.5) / float64(points)
		at := min(max((point-from)*scale-0.5, 0), float64(cells-1))
		low := int(at)
		all[i] = tap{low, min(low+1, cells-1), float32(at - float64(low)), before && point < from || after && point > to}
	}
	return all
}
