package dicomtest

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"slices"

	"endogate/dicomnode/dicom"
)

// Element is one data element of a Dataset. Value is in the byte order of the transfer syntax it is encoded for,
// unless it is made by Text or US, which know how to encode themselves.
type Element struct {
	Tag       dicom.Tag
	VR        string
	Value     []byte
	numbers   []uint16
	Items     []Dataset // of a sequence
	Fragments [][]byte  // of encapsulated pixel data, the offset table first
}

// Dataset is a data set under construction; Encode sorts it.
type Dataset []Element

// Text returns an element of a character VR, padded to even length.
func Text(tag dicom.Tag, vr, value string) Element {
	pad := " "
	if vr == "UI" {
		pad = "\x00"
	}
	if len(value)%2 != 0 {
		value += pad
	}
	return Element{Tag: tag, VR: vr, Value: []byte(value)}
}

// US returns an element of VR US.
func US(tag dicom.Tag, values ...uint16) Element {
	return Element{Tag: tag, VR: "US", numbers: values}
}

// Sequence returns an element of VR SQ.
func Sequence(tag dicom.Tag, items ...Dataset) Element {
	return Element{Tag: tag, VR: "SQ", Items: items}
}

// Set returns the data set with e in place of the element of the same tag, or added.
func (ds Dataset) Set(e Element) Dataset {
	out := slices.DeleteFunc(slices.Clone(ds), func(old Element) bool { return old.Tag == e.Tag })
	return append(out, e)
}

// Without returns the data set without the elements of the tags.
func (ds Dataset) Without(tags ...dicom.Tag) Dataset {
	return slices.DeleteFunc(slices.Clone(ds), func(e Element) bool { return slices.Contains(tags, e.Tag) })
}

// Encode returns the bytes of the data set in the transfer syntax, sequences and items with defined lengths.
func (ds Dataset) Encode(uid dicom.UID) []byte {
	ts, ok := dicom.LookupTransferSyntax(uid)
	if !ok {
		panic("dicomtest: unknown transfer syntax " + uid)
	}
	e := encoder{explicit: ts.ExplicitVR, order: binary.LittleEndian}
	if ts.BigEndian {
		e.order = binary.BigEndian
	}
	out := e.dataset(nil, ds)
	if ts.Deflated {
		return deflate(out)
	}
	return out
}

func deflate(b []byte) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a bytes.Buffer does not fail
	}
	if out.Len()%2 != 0 {
		out.WriteByte(0)
	}
	return out.Bytes()
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

type encoder struct {
	explicit bool
	order    byteOrder
}

const (
	itemTag           dicom.Tag = 0xFFFEE000
	sequenceDelimiter dicom.Tag = 0xFFFEE0DD
	undefinedLength             = 0xFFFFFFFF
)

func (e encoder) dataset(b []byte, ds Dataset) []byte {
	sorted := slices.Clone(ds)
	slices.SortFunc(sorted, func(x, y Element) int { return int(int64(x.Tag) - int64(y.Tag)) })
	for _, element := range sorted {
		b = e.element(b, element)
	}
	return b
}

func (e encoder) element(b []byte, el Element) []byte {
	switch {
	case el.Fragments != nil:
		b = e.header(b, el.Tag, el.VR, undefinedLength)
		for _, fragment := range el.Fragments {
			b = e.item(b, itemTag, uint32(len(fragment)))
			b = append(b, fragment...)
		}
		return e.item(b, sequenceDelimiter, 0)
	case el.VR == "SQ":
		var items []byte
		for _, ds := range el.Items {
			content := e.dataset(nil, ds)
			items = append(e.item(items, itemTag, uint32(len(content))), content...)
		}
		return append(e.header(b, el.Tag, "SQ", uint32(len(items))), items...)
	}
	value := el.Value
	for _, n := range el.numbers {
		value = e.order.AppendUint16(value, n)
	}
	return append(e.header(b, el.Tag, el.VR, uint32(len(value))), value...)
}

func (e encoder) header(b []byte, tag dicom.Tag, vr string, n uint32) []byte {
	b = e.order.AppendUint16(b, tag.Group())
	b = e.order.AppendUint16(b, tag.Element())
	switch {
	case !e.explicit:
		return e.order.AppendUint32(b, n)
	case slices.Contains([]string{"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UR", "UT", "UN"}, vr):
		b = append(append(b, vr...), 0, 0) // PS3.5 table 7.1-1
		return e.order.AppendUint32(b, n)
	}
	return e.order.AppendUint16(append(b, vr...), uint16(n))
}

func (e encoder) item(b []byte, tag dicom.Tag, n uint32) []byte {
	b = e.order.AppendUint16(b, tag.Group())
	b = e.order.AppendUint16(b, tag.Element())
	return e.order.AppendUint32(b, n)
}
