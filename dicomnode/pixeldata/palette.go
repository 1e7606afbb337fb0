package pixeldata

import (
	"encoding/binary"
	"fmt"

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
	for i, tags := range [3][2]dicom.Tag{
		{dicom.RedPaletteColorLookupTableDescriptor, dicom.RedPaletteColorLookupTableData},
		{dicom.GreenPaletteColorLookupTableDescriptor, dicom.GreenPaletteColorLookupTableData},
		{dicom.BluePaletteColorLookupTableDescriptor, dicom.BluePaletteColorLookupTableData},
	} {
		if err := p.read(a, i, tags[0], tags[1], signed); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// read fills one colour.
func (p *palette) read(a *dicom.Attributes, color int, descriptor, data dicom.Tag, signed bool) error {
	e, _ := a.Get(descriptor)
	if len(e.Value) < 6 {
		return fmt.Errorf("%w: no descriptor of the palette in %v", ErrCorrupt, descriptor)
	}
	order := a.ByteOrder()
	n, first, bits := int(order.Uint16(e.Value)), int(order.Uint16(e.Value[2:])), order.Uint16(e.Value[4:])
	if n == 0 {
		n = 1 << 16
	}
	if signed {
		first = int(int16(first))
	}
	if color == 0 {
		p.first, p.colors = first, make([][3]byte, n)
	}
	table, _ := a.Get(data)
	if n != len(p.colors) || len(table.Value) < n {
		return fmt.Errorf("%w: palette of %d entries with %d bytes in %v", ErrCorrupt, n, len(table.Value), data)
	}
	wide := len(table.Value) >= 2*n
	for i := range n {
		switch {
		case !wide && order == binary.BigEndian: // bytes in big endian words
			p.colors[i][color] = table.Value[min(i^1, len(table.Value)-1)]
		case !wide:
			p.colors[i][color] = table.Value[i]
		case bits == 8:
			p.colors[i][color] = byte(order.Uint16(table.Value[2*i:]))
		default:
			p.colors[i][color] = byte(order.Uint16(table.Value[2*i:]) >> 8)
		}
	}
	return nil
}
