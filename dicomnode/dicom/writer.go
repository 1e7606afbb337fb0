package dicom

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// maxLength is the longest defined length: even, and not UndefinedLength.
const maxLength = math.MaxUint32 - 1

const utf8Term = "ISO_IR 192"

// Append appends ds in a transfer syntax to b, without file meta information: sorted by tag, values padded,
// sequences and items with delimiters (PS3.5 7.5). Text is written in the Specific Character Set that ds or the item
// states; where ds states none and has text beyond ASCII it is ISO_IR 192, which is then stated.
//
// What PS3.5 does not allow is an error that names tags and never values: a value outside its VR, a length that does not
// fit, a character that its set lacks, a group length, a tag that no data set has.
func (ds Dataset) Append(b []byte, ts TransferSyntax) ([]byte, error) {
	e := appender{explicit: ts.ExplicitVR, encapsulated: ts.Encapsulated, order: little}
	if ts.BigEndian {
		e.order = binary.BigEndian
	}
	if _, stated := ds[SpecificCharacterSet]; !stated && ds.beyondASCII() {
		ds = maps.Clone(ds)
		ds[SpecificCharacterSet] = Text{utf8Term}
	}
	if !ts.Deflated {
		e.b = b
	}
	e.b = slices.Grow(e.b, ds.size())
	if err := e.dataset(ds, false); err != nil {
		return nil, fmt.Errorf("dicom: write: %w", err)
	}
	if ts.Deflated {
		return deflate(b, e.b)
	}
	return e.b, nil
}

// AppendCommand appends ds, elements of group 0000, as a command set: Implicit VR Little Endian, its group length first
// (PS3.7 6.3.1).
func (ds Dataset) AppendCommand(b []byte) ([]byte, error) { return ds.appendGroup(b, 0x0000, false) }

// appendGroup appends elements of one group behind their group length.
func (ds Dataset) appendGroup(b []byte, group uint16, explicit bool) ([]byte, error) {
	e := appender{b: b, explicit: explicit, order: little}
	e.header(Tag(group)<<16, vrOf("UL"), 4)
	e.b = little.AppendUint32(e.b, 0)
	start := len(e.b)
	for _, t := range ds.Tags() {
		if t.Group() != group || t.Element() == 0 {
			return nil, fmt.Errorf("dicom: write: %v does not stand in group %04X", t, group)
		}
		if err := e.element(t, ds[t], false); err != nil {
			return nil, fmt.Errorf("dicom: write: %w", err)
		}
	}
	little.PutUint32(e.b[start-4:], uint32(len(e.b)-start))
	return e.b, nil
}

// AppendHeader appends the tag, VR and length of an element whose value is written behind it, such as Pixel Data that
// nobody holds in memory; of an item or a delimiter tag and length. It checks nothing.
func AppendHeader(b []byte, ts TransferSyntax, t Tag, vr string, length uint32) []byte {
	e := appender{b: b, explicit: ts.ExplicitVR, order: little}
	if ts.BigEndian {
		e.order = binary.BigEndian
	}
	if t.Group() == Item.Group() {
		e.item(t, length)
	} else {
		e.header(t, vrOf(vr), length)
	}
	return e.b
}

// deflate appends data as an RFC 1951 stream of even length (PS3.5 A.5).
func deflate(b, data []byte) ([]byte, error) {
	out := bytes.NewBuffer(b)
	w, err := flate.NewWriter(out, flate.DefaultCompression)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil && (out.Len()-len(b))%2 == 1 {
		err = out.WriteByte(0)
	}
	return out.Bytes(), err
}

// standsInDataset reports whether a data set or an item may have t: not commands, file meta information and DICOMDIR's
// offsets, group lengths, items, nor what PS3.5 7.1 and 7.8.1 give to nobody.
func standsInDataset(t Tag) bool {
	group, element := t.Group(), t.Element()
	return group >= 0x0008 && group < 0xFFFE && element != 0 && (group%2 == 0 || element >= 0x10)
}

// beyondASCII reports whether ds has text for which the default repertoire is not enough, outside of items that state
// a set of their own.
func (ds Dataset) beyondASCII() bool {
	for t, value := range ds {
		value, vr, _ := settle(t, value)
		switch v := value.(type) {
		case Text:
			if vrOf(vr).charset && slices.ContainsFunc(v, func(s string) bool { return !isASCII(s) }) {
				return true
			}
		case Items:
			for _, item := range v {
				if _, stated := item[SpecificCharacterSet]; !stated && item.beyondASCII() {
					return true
				}
			}
		}
	}
	return false
}

// size is about the length that ds will have.
func (ds Dataset) size() int {
	n := 8
	for t, value := range ds {
		n += 16
		value, _, _ := settle(t, value)
		switch v := value.(type) {
		case Text:
			for _, s := range v {
				n += len(s) + 1
			}
		case Ints:
			n += 8 * len(v)
		case Floats:
			n += 8 * len(v)
		case Tags:
			n += 4 * len(v)
		case Bytes:
			n += len(v) + 1
		case Items:
			for _, item := range v {
				n += 16 + item.size()
			}
		case Fragments:
			for _, fragment := range v {
				n += 9 + len(fragment)
			}
		}
	}
	return n
}

// settle returns a value without its As, its VR, and whether it is verbatim.
func settle(t Tag, value Value) (Value, string, bool) {
	vr, verbatim := "", false
	for {
		as, ok := value.(As)
		if !ok {
			break
		}
		value, verbatim = as.Value, verbatim || as.Verbatim
		if vr == "" {
			vr = as.VR
		}
	}
	if vr == "" {
		vr = VROf(t)
	}
	switch value.(type) {
	case Items:
		vr = "SQ"
	case Fragments:
		vr = "OB"
	}
	return value, vr, verbatim
}

// appender appends elements.
type appender struct {
	b            []byte
	order        byteOrder
	explicit     bool
	encapsulated bool
	charset      characterSet
	depth        int
}

func (e *appender) dataset(ds Dataset, verbatim bool) error {
	if e.depth > keptDepth {
		return fmt.Errorf("sequences are nested deeper than %d", keptDepth)
	}
	outer := e.charset
	defer func() { e.charset = outer }()
	if value, ok := ds[SpecificCharacterSet]; ok {
		value, _, _ := settle(SpecificCharacterSet, value)
		switch v := value.(type) {
		case Text:
			e.charset = parseCharacterSet(strings.Join(v, string(valueSeparator)))
		case Bytes:
			e.charset = parseCharacterSet(string(v))
		}
	}
	for _, t := range ds.Tags() {
		if !standsInDataset(t) {
			return fmt.Errorf("%v does not stand in a data set", t)
		}
		if err := e.element(t, ds[t], verbatim); err != nil {
			return err
		}
	}
	return nil
}

func (e *appender) element(t Tag, value Value, verbatim bool) error {
	value, vr, taken := settle(t, value)
	info, ok := lookupVR(vr)
	if !ok {
		return fmt.Errorf("%v: %q is no VR", t, vr)
	}
	var err error
	switch v := value.(type) {
	case Items:
		return e.sequence(t, v, verbatim || taken)
	case Fragments:
		return e.fragments(t, v)
	case Bytes:
		err = e.bytes(t, info, v, verbatim || taken)
	default:
		err = e.encoded(t, info, value, verbatim || taken)
	}
	if err != nil {
		return fmt.Errorf("%v: %w", t, err)
	}
	return nil
}

// header appends tag, VR and length (PS3.5 7.1).
func (e *appender) header(t Tag, info vrInfo, length uint32) {
	e.tag(t)
	switch {
	case !e.explicit:
		e.b = e.order.AppendUint32(e.b, length)
	case info.long:
		e.b = append(append(e.b, info.name...), 0, 0)
		e.b = e.order.AppendUint32(e.b, length)
	default:
		e.b = e.order.AppendUint16(append(e.b, info.name...), uint16(length))
	}
}

func (e *appender) tag(t Tag) {
	e.b = e.order.AppendUint16(e.b, t.Group())
	e.b = e.order.AppendUint16(e.b, t.Element())
}

// item appends an item's or a delimiter's tag and length (PS3.5 7.5).
func (e *appender) item(t Tag, length uint32) {
	e.tag(t)
	e.b = e.order.AppendUint32(e.b, length)
}

func (e *appender) sequence(t Tag, items Items, verbatim bool) error {
	e.header(t, vrOf("SQ"), UndefinedLength)
	e.depth++
	for i, item := range items {
		e.item(Item, UndefinedLength)
		if err := e.dataset(item, verbatim); err != nil {
			return fmt.Errorf("%v item %d: %w", t, i+1, err)
		}
		e.item(ItemDelimitationItem, 0)
	}
	e.depth--
	e.item(SequenceDelimitationItem, 0)
	return nil
}

func (e *appender) fragments(t Tag, fragments Fragments) error {
	switch {
	case t != PixelData:
		return fmt.Errorf("%v: only Pixel Data has fragments", t)
	case !e.encapsulated:
		return fmt.Errorf("%v: fragments in a transfer syntax that does not encapsulate", t)
	case len(fragments) == 0:
		return fmt.Errorf("%v: fragments without a Basic Offset Table, which may be empty", t)
	}
	e.header(t, vrOf("OB"), UndefinedLength)
	for _, fragment := range fragments {
		length := uint64(len(fragment) + len(fragment)%2)
		if length > maxLength {
			return fmt.Errorf("%v: a fragment of %d bytes", t, length)
		}
		e.item(Item, uint32(length))
		e.b = append(e.b, fragment...)
		if len(fragment)%2 == 1 {
			e.b = append(e.b, 0)
		}
	}
	e.item(SequenceDelimitationItem, 0)
	return nil
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

var little = binary.LittleEndian
