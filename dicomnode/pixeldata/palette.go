package pixeldata

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"endogate/dicomnode/dicom"
)

// palette is the Palette Color Lookup Table of an instance (PS3.3 C.7.6.3.1.5 and .6), at 8 bits a colour.
type palette struct {
	first  int // the stored value that the first entry is for
	colors [][3]byte
}

// at returns the colour of a stored value; those outside the table get its ends.
func (p *palette) at(value int) [3]byte {
	return p.colors[min(max(value-p.first, 0), len(p.colors)-1)]
}

func readPalette(a *dicom.Attributes, signed bool) (*palette, error) {
	if _, segmented := a.Get(dicom.SegmentedRedPaletteColorLookupTableData); segmented {
		return nil, fmt.Errorf("%w: segmented palette", ErrUnsupported)
	}
	p := &palette{}
	var tables [3]lookupTable
	deep := false
	for i, tags := range [3][2]dicom.Tag{
		{dicom.RedPaletteColorLookupTableDescriptor, dicom.RedPaletteColorLookupTableData},
		{dicom.GreenPaletteColorLookupTableDescriptor, dicom.GreenPaletteColorLookupTableData},
		{dicom.BluePaletteColorLookupTableDescriptor, dicom.BluePaletteColorLookupTableData},
	} {
		t, err := readLookupTable(a, tags[0], tags[1], signed)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			p.first, p.colors = t.first, make([][3]byte, len(t.entries))
		}
		if len(t.entries) != len(p.colors) {
			return nil, fmt.Errorf("%w: palettes of %d and %d entries", ErrCorrupt, len(p.colors), len(t.entries))
		}
		tables[i] = t
		deep = deep || t.wide && slices.Max(t.entries) > 0xFF
	}
	for color, t := range tables {
		for i, v := range t.entries {
			if t.wide && deep { // some writers say 16 bits and mean the 8 that they have
				v >>= 8
			}
			p.colors[i][color] = byte(v)
		}
	}
	return p, nil
}

// lookupTable is one colour of a palette, or a table of grey values.
type lookupTable struct {
	first   int
	entries []uint16 // one at least
	bits    int      // of an entry, as the descriptor says
	wide    bool     // entries are of 16 bits, as the descriptor says
}

func readLookupTable(a *dicom.Attributes, descriptor, data dicom.Tag, signed bool) (t lookupTable, err error) {
	e, _ := a.Get(descriptor)
	if len(e.Value) < 6 {
		return t, fmt.Errorf("%w: no descriptor of the palette in %v", ErrCorrupt, descriptor)
	}
	order := a.ByteOrder()
	n, bits := int(order.Uint16(e.Value)), order.Uint16(e.Value[4:])
	if n == 0 {
		n = 1 << 16
	}
	if t.first = int(order.Uint16(e.Value[2:])); signed {
		t.first = int(int16(t.first))
	}
	table, _ := a.Get(data)
	if len(table.Value) < n {
		return t, fmt.Errorf("%w: palette of %d entries with %d bytes in %v", ErrCorrupt, n, len(table.Value), data)
	}
	words := len(table.Value) >= 2*n
	t.entries, t.bits, t.wide = make([]uint16, n), int(bits), words && bits != 8
	for i := range n {
		switch {
		case words:
			t.entries[i] = order.Uint16(table.Value[2*i:])
		case order == binary.BigEndian: // bytes in big endian words
			t.entries[i] = uint16(table.Value[min(i^1, len(table.Value)-1)])
		default:
			t.entries[i] = uint16(table.Value[i])
		}
	}
	return t, nil
}

// lut is a VOI LUT (PS3.3 C.11.2.1.1), of rescaled values.
type lut struct {
	lookupTable
	signed bool
}

// readLUT reads an item of the VOI LUT Sequence; nil where it is no table, as then the values are shown as they are.
func readLUT(item *dicom.Attributes, signed bool) *lut {
	descriptor, _ := item.Get(dicom.LUTDescriptor)
	signed = signed || descriptor.VR == "SS"
	t, err := readLookupTable(item, dicom.LUTDescriptor, dicom.LUTData, signed)
	if err != nil || t.bits < 8 || t.bits > 16 {
		return nil
	}
	return &lut{t, signed}
}

// level maps x to 0..1; values outside of the table get its ends.
func (l *lut) level(x float64) float64 {
	at := min(max(math.Round(x)-float64(l.first), 0), float64(len(l.entries)-1))
	return min(1, float64(l.entries[int(at)])/float64(int(1)<<l.bits-1))
}
