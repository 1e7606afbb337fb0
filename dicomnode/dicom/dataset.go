package dicom

import (
	"encoding/binary"
	"slices"
)

// Dataset is a data set or an item to be written, by tag. Append puts its elements in order and gives each the VR that
// PS3.6 names for its tag. A value of no strings, numbers or items is a zero-length element, as type 2 allows.
type Dataset map[Tag]Value

// Value is a Text, Ints, Floats, Tags, Bytes, Items or Fragments, or one of these in an As.
type Value interface{ isValue() }

type (
	// Text is the values of a character VR in UTF-8, without padding.
	Text []string
	// Ints is the values of US, SS, UL, SL, UV, SV or IS.
	Ints []int
	// Floats is the values of FL, FD, OF or OD.
	Floats []float64
	// Tags is the values of AT.
	Tags []Tag
	// Bytes is a whole value as it is encoded in Little Endian, its padding aside. It is not copied before it is written.
	Bytes []byte
	// Items is the items of a sequence.
	Items []Dataset
	// Fragments is encapsulated Pixel Data, the Basic Offset Table first (PS3.5 A.4). See Encapsulate.
	Fragments [][]byte
	// As is a value that PS3.6 alone does not settle.
	As struct {
		VR       string // in place of that of PS3.6: of private elements, and where PS3.6 leaves a choice
		Verbatim bool   // taken over from elsewhere, with the items in it: values may break what their VR allows
		Value    Value
	}
)

func (Text) isValue()      {}
func (Ints) isValue()      {}
func (Floats) isValue()    {}
func (Tags) isValue()      {}
func (Bytes) isValue()     {}
func (Items) isValue()     {}
func (Fragments) isValue() {}
func (As) isValue()        {}

// Tags returns the tags of ds in the order of a data set (PS3.5 7.1).
func (ds Dataset) Tags() []Tag {
	tags := make([]Tag, 0, len(ds))
	for t := range ds {
		tags = append(tags, t)
	}
	slices.Sort(tags)
	return tags
}

// Value returns the value of t without its As, and the VR that it is written with.
func (ds Dataset) Value(t Tag) (Value, string) {
	value, vr, _ := settle(t, ds[t])
	return value, vr
}

// Encapsulate returns encapsulated Pixel Data of one fragment a frame and the offset table for it.
func Encapsulate(frames ...[]byte) Fragments {
	out := Fragments{nil}
	var table []byte
	offset := uint64(0)
	for _, frame := range frames {
		table = little.AppendUint32(table, uint32(offset))
		offset += 8 + uint64(len(frame)+len(frame)%2)
		out = append(out, frame)
	}
	if offset <= maxLength { // else none: the Basic Offset Table may be empty (PS3.5 A.4)
		out[0] = table
	}
	return out
}

// Dataset returns a as a data set to be written, for an answer or an object that takes a's elements over: text in UTF-8,
// as well as it can be read, and Specific Character Set ISO_IR 192, everything else byte for byte. What may not stand in a data set, such as group
// lengths, is left out; of several elements with one tag the first stays.
func (a *Attributes) Dataset() Dataset {
	ds := a.dataset()
	ds[SpecificCharacterSet] = Text{utf8Term}
	return ds
}

// dataset leaves Specific Character Set out: items inherit it (PS3.3 C.12.1.1.2). Depth is bounded by the reader.
func (a *Attributes) dataset() Dataset {
	ds := Dataset{}
	if a == nil {
		return ds
	}
	for _, e := range a.elements {
		if _, twice := ds[e.Tag]; twice || e.Tag == SpecificCharacterSet || !standsInDataset(e.Tag) {
			continue
		}
		ds[e.Tag] = As{VR: e.VR, Verbatim: true, Value: a.value(e)}
	}
	return ds
}

func (a *Attributes) value(e Element) Value {
	info := vrOf(e.VR)
	switch {
	case info.name == "SQ":
		items := make(Items, 0, len(e.Items))
		for _, item := range e.Items {
			items = append(items, item.dataset())
		}
		return items
	case info.charset:
		return Text(a.values(e, info, a.charset.likely))
	case info.word > 1 && a.ByteOrder() == binary.BigEndian:
		value := slices.Clone(e.Value)
		swap(value, info.word)
		return Bytes(value)
	}
	return Bytes(e.Value)
}
