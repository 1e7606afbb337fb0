package dicom

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Recode returns a copy of a whose values are as they stand in a Little Endian data set with Specific Character Set
// ISO_IR 192: text in UTF-8, binary numbers swapped where they have to be, everything of even length, in items too.
// An object derived from a takes its values from there.
func (a *Attributes) Recode() *Attributes {
	out := a.recode()
	charset := Element{Tag: SpecificCharacterSet, VR: "CS", Value: []byte("ISO_IR 192")}
	i := slices.IndexFunc(out.elements, func(e Element) bool { return e.Tag > SpecificCharacterSet })
	if i < 0 {
		i = len(out.elements)
	}
	out.elements = slices.Insert(out.elements, i, charset)
	return out
}

// recode leaves Specific Character Set out: items inherit it (PS3.3 C.12.1.1.2). Depth is bounded by the reader.
func (a *Attributes) recode() *Attributes {
	out := &Attributes{order: binary.LittleEndian, charset: characterSet{utf8: true}}
	if a == nil {
		return out
	}
	for _, e := range a.elements {
		if e.Tag == SpecificCharacterSet {
			continue
		}
		items := make([]*Attributes, 0, len(e.Items))
		for _, item := range e.Items {
			items = append(items, item.recode())
		}
		out.elements = append(out.elements, Element{Tag: e.Tag, VR: e.VR, Value: a.recodeValue(e), Items: items})
	}
	return out
}

func (a *Attributes) recodeValue(e Element) []byte {
	info := vrOf(e.VR)
	value := slices.Clone(e.Value)
	switch {
	case info.charset:
		value = []byte(strings.Join(a.decode(e, info), string(valueSeparator)))
	case info.word > 1 && a.ByteOrder() == binary.BigEndian:
		for word := range slices.Chunk(value, info.word) {
			slices.Reverse(word)
		}
	}
	if len(value)%2 == 1 {
		pad := byte(0)
		if info.text && e.VR != "UI" {
			pad = ' '
		}
		value = append(value, pad)
	}
	return value
}
