package dicom

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
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
	if e.depth > maxDepth {
		return fmt.Errorf("sequences are nested deeper than %d", maxDepth)
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

// bytes appends a value that is encoded already.
func (e *appender) bytes(t Tag, info vrInfo, v []byte, verbatim bool) error {
	size := info.word
	if info.name == "OW" || verbatim {
		size = 1 // one byte may be left over where samples have eight bits
	}
	switch {
	case info.name == "SQ" && len(v) > 0:
		return errors.New("a sequence has items")
	case t == PixelData && e.encapsulated && e.depth == 0:
		return errors.New("native Pixel Data in a transfer syntax that encapsulates them")
	case size > 1 && len(v)%size != 0:
		return fmt.Errorf("%d bytes for %s, whose values have %d", len(v), info.name, size)
	}
	length, err := e.length(info, uint64(len(v)))
	if err != nil {
		return err
	}
	e.header(t, info, length)
	start := len(e.b)
	e.b = append(e.b, v...)
	if len(v)%2 == 1 {
		e.b = append(e.b, info.pad())
	}
	if e.order != byteOrder(little) && info.word > 1 {
		swap(e.b[start:], info.word)
	}
	return nil
}

// swap turns the byte order of numbers around.
func swap(b []byte, word int) {
	for number := range slices.Chunk(b, word) {
		slices.Reverse(number)
	}
}

// length is the even length of a value of n bytes, where the VR has one for it.
func (e *appender) length(info vrInfo, n uint64) (uint32, error) {
	n += n % 2
	if n > maxLength || e.explicit && !info.long && n > math.MaxUint16 {
		return 0, fmt.Errorf("%d bytes do not fit into the length of %s", n, info.name)
	}
	return uint32(n), nil
}

// encoded appends a value behind its header, whose length is put right when it is known.
func (e *appender) encoded(t Tag, info vrInfo, value Value, verbatim bool) error {
	e.header(t, info, 0)
	start := len(e.b)
	if err := e.value(info, value, verbatim); err != nil {
		return err
	}
	length, err := e.length(info, uint64(len(e.b)-start))
	if err != nil {
		return err
	}
	if (len(e.b)-start)%2 == 1 {
		e.b = append(e.b, info.pad())
	}
	if e.explicit && !info.long {
		e.order.PutUint16(e.b[start-2:], uint16(length))
	} else {
		e.order.PutUint32(e.b[start-4:], length)
	}
	return nil
}

func (e *appender) value(info vrInfo, value Value, verbatim bool) error {
	switch v := value.(type) {
	case Text:
		return e.text(info, v, verbatim)
	case Ints:
		return e.ints(info, v)
	case Floats:
		return e.floats(info, v)
	case Tags:
		if info.name != "AT" {
			return fmt.Errorf("tags for %s", info.name)
		}
		for _, t := range v {
			e.tag(t)
		}
		return nil
	}
	return fmt.Errorf("no value for %s", info.name)
}

func (e *appender) text(info vrInfo, values Text, verbatim bool) error {
	if !info.text {
		return fmt.Errorf("text for %s", info.name)
	}
	if info.single && len(values) > 1 {
		return fmt.Errorf("%d values for %s, which has one", len(values), info.name)
	}
	for i, v := range values {
		if !verbatim {
			if err := CheckText(info.name, v); err != nil {
				return err
			}
		} else if !info.single && strings.ContainsRune(v, valueSeparator) {
			return errors.New("a backslash within a value")
		}
		if i > 0 {
			e.b = append(e.b, valueSeparator)
		}
		encoded, ok := v, isASCII(v)
		if info.charset {
			encoded, ok = e.charset.encode(v)
		}
		if !ok {
			return errors.New("a character that its Specific Character Set lacks, or that cannot be written in it")
		}
		e.b = append(e.b, encoded...)
	}
	return nil
}

func (e *appender) ints(info vrInfo, values Ints) error {
	for i, v := range values {
		low, high := 0, 0
		switch info.name {
		case "US":
			high = math.MaxUint16
			e.b = e.order.AppendUint16(e.b, uint16(v))
		case "SS":
			low, high = math.MinInt16, math.MaxInt16
			e.b = e.order.AppendUint16(e.b, uint16(v))
		case "UL":
			high = math.MaxUint32
			e.b = e.order.AppendUint32(e.b, uint32(v))
		case "SL":
			low, high = math.MinInt32, math.MaxInt32
			e.b = e.order.AppendUint32(e.b, uint32(v))
		case "UV":
			high = math.MaxInt
			e.b = e.order.AppendUint64(e.b, uint64(v))
		case "SV":
			low, high = math.MinInt, math.MaxInt
			e.b = e.order.AppendUint64(e.b, uint64(v))
		case "IS":
			low, high = math.MinInt32, math.MaxInt32
			if i > 0 {
				e.b = append(e.b, valueSeparator)
			}
			e.b = strconv.AppendInt(e.b, int64(v), 10)
		default:
			return fmt.Errorf("whole numbers for %s", info.name)
		}
		if v < low || v > high {
			return fmt.Errorf("a number outside %s", info.name)
		}
	}
	return nil
}

func (e *appender) floats(info vrInfo, values Floats) error {
	for _, v := range values {
		switch info.name {
		case "FL", "OF":
			if math.Abs(v) > math.MaxFloat32 && !math.IsInf(v, 0) {
				return fmt.Errorf("a number outside %s", info.name)
			}
			e.b = e.order.AppendUint32(e.b, math.Float32bits(float32(v)))
		case "FD", "OD":
			e.b = e.order.AppendUint64(e.b, math.Float64bits(v))
		default:
			return fmt.Errorf("floating point numbers for %s", info.name)
		}
	}
	return nil
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

var little = binary.LittleEndian
