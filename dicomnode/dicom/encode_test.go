package dicom

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// encoder writes data sets for the tests, in any of the four encodings and with either kind of length.
type encoder struct {
	ts        TransferSyntax
	undefined bool // sequences and items end by delimiters
	bytes.Buffer
}

func newEncoder(uid UID, undefined bool) *encoder {
	ts, ok := LookupTransferSyntax(uid)
	if !ok {
		panic("unknown transfer syntax " + uid)
	}
	return &encoder{ts: ts, undefined: undefined}
}

func (e *encoder) order() binary.AppendByteOrder {
	if e.ts.BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (e *encoder) tag(t Tag) *encoder {
	b := e.order().AppendUint16(nil, t.Group())
	e.Write(e.order().AppendUint16(b, t.Element()))
	return e
}

func (e *encoder) u32(n uint32) *encoder {
	e.Write(e.order().AppendUint32(nil, n))
	return e
}

// head writes tag, VR and length.
func (e *encoder) head(t Tag, vr string, length uint32) *encoder {
	e.tag(t)
	switch {
	case !e.ts.ExplicitVR:
		return e.u32(length)
	case vrOf(vr).long:
		e.WriteString(vr + "\x00\x00")
		return e.u32(length)
	default:
		e.WriteString(vr)
		e.Write(e.order().AppendUint16(nil, uint16(length)))
		return e
	}
}

func (e *encoder) text(t Tag, vr, value string) *encoder {
	if len(value)%2 == 1 {
		value += " "
	}
	e.head(t, vr, uint32(len(value))).WriteString(value)
	return e
}

func (e *encoder) us(t Tag, n uint16) *encoder {
	e.head(t, "US", 2).Write(e.order().AppendUint16(nil, n))
	return e
}

// sequence writes one item for each of items.
func (e *encoder) sequence(t Tag, items ...func(*encoder)) *encoder {
	body := &encoder{ts: e.ts, undefined: e.undefined}
	for _, item := range items {
		content := &encoder{ts: e.ts, undefined: e.undefined}
		item(content)
		if e.undefined {
			body.tag(Item).u32(UndefinedLength).Write(content.Bytes())
			body.tag(ItemDelimitationItem).u32(0)
		} else {
			body.tag(Item).u32(uint32(content.Len())).Write(content.Bytes())
		}
	}
	if e.undefined {
		e.head(t, "SQ", UndefinedLength).Write(body.Bytes())
		return e.tag(SequenceDelimitationItem).u32(0)
	}
	e.head(t, "SQ", uint32(body.Len())).Write(body.Bytes())
	return e
}

func (e *encoder) fragments(parts ...string) *encoder {
	e.head(PixelData, "OB", UndefinedLength)
	for _, part := range parts {
		e.tag(Item).u32(uint32(len(part))).WriteString(part)
	}
	return e.tag(SequenceDelimitationItem).u32(0)
}

// dataset returns the bytes as they go over the wire.
func (e *encoder) dataset(t testing.TB) []byte {
	if !e.ts.Deflated {
		return e.Bytes()
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	require.NoError(t, err)
	_, err = w.Write(e.Bytes())
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// sample writes an instance such as a modality sends; pixel data included.
func sample(uid UID, undefined bool) *encoder {
	e := newEncoder(uid, undefined)
	e.text(SpecificCharacterSet, "CS", "ISO_IR 100")
	e.text(SOPClassUID, "UI", string(VLEndoscopicImageStorage))
	e.text(SOPInstanceUID, "UI", "1.2.3.4\x00")
	e.text(StudyDate, "DA", "20240229").text(StudyTime, "TM", "101500")
	e.text(AccessionNumber, "SH", "A1").text(Modality, "CS", "ES")
	e.text(StationName, "SH", "TOWER1").text(StudyDescription, "LO", "Koloskopie")
	e.sequence(ProcedureCodeSequence, func(i *encoder) {
		i.text(CodeValue, "SH", "KOLO").text(CodingSchemeDesignator, "SH", "99X")
	}, func(i *encoder) {
		i.text(CodeValue, "SH", "OTHER")
	})
	e.text(PatientName, "PN", "M\xfcller^J\xf6rg").text(PatientID, "LO", " 4711 ")
	e.text(StudyInstanceUID, "UI", "1.2.3").text(SeriesInstanceUID, "UI", "1.2.3.5")
	e.text(InstanceNumber, "IS", "7").text(NumberOfFrames, "IS", "3 ")
	e.us(Rows, 4).us(Columns, 6)
	if e.ts.Encapsulated {
		return e.fragments("", "first fragment", "second")
	}
	e.head(PixelData, "OW", 20000).Write(bytes.Repeat([]byte{1, 2, 3, 4}, 5000))
	return e.text(0xFFFCFFFC, "OB", "trailing padding")
}
