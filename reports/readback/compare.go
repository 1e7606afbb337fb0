package readback

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	godicom "github.com/grailbio/go-dicom"
	"github.com/grailbio/go-dicom/dicomtag"

	"endogate/dicomnode/dicom"
)

// comparison holds what was read against what was meant.
type comparison struct {
	explicit  bool
	undecoded bool // texts were read as bytes: of another character set than UTF-8 their ASCII is compared
}

func (c comparison) dataset(ds dicom.Dataset, elements []*godicom.Element) error {
	tags := ds.Tags()
	if len(tags) != len(elements) {
		return fmt.Errorf("%w: %d elements, %d are meant", ErrDiffers, len(elements), len(tags))
	}
	for i, t := range tags {
		if got := tagOf(elements[i].Tag); got != t {
			return fmt.Errorf("%w: element %d is %v, %v is meant", ErrDiffers, i+1, got, t)
		}
		if err := c.element(t, ds, elements[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c comparison) element(t dicom.Tag, ds dicom.Dataset, e *godicom.Element) error {
	value, vr := ds.Value(t)
	if e.VR != vr && c.explicit {
		return fmt.Errorf("%w: %v has VR %s, %s is meant", ErrDiffers, t, e.VR, vr)
	}
	var same bool
	switch v := value.(type) {
	case dicom.Items:
		return c.items(t, v, e)
	case dicom.Fragments:
		same = sameFragments(v, e)
	case dicom.Bytes:
		same = sameBytes(v, e)
	default:
		want, got := meant(vr, value), read(e)
		same = want == got || c.undecoded && ascii(want) == ascii(got)
	}
	if !same && e.VR == vr { // in Implicit VR another dictionary may have another VR
		return fmt.Errorf("%w: %v has other values than are meant", ErrDiffers, t)
	}
	return nil
}

func (c comparison) items(t dicom.Tag, items dicom.Items, e *godicom.Element) error {
	if len(items) != len(e.Value) {
		return fmt.Errorf("%w: %v has %d items, %d are meant", ErrDiffers, t, len(e.Value), len(items))
	}
	for i, item := range items {
		var elements []*godicom.Element
		for _, v := range e.Value[i].(*godicom.Element).Value {
			elements = append(elements, v.(*godicom.Element))
		}
		if err := c.dataset(item, elements); err != nil {
			return fmt.Errorf("%v item %d: %w", t, i+1, err)
		}
	}
	return nil
}

// sameFragments compares encapsulated Pixel Data; an empty offset table is read as one of a single frame.
func sameFragments(want dicom.Fragments, e *godicom.Element) bool {
	got := e.Value[0].(godicom.PixelDataInfo)
	if len(got.Frames) != len(want)-1 {
		return false
	}
	for i, fragment := range got.Frames {
		if !padded(fragment, want[i+1]) {
			return false
		}
	}
	var table []byte
	for _, offset := range got.Offsets {
		table = binary.LittleEndian.AppendUint32(table, offset)
	}
	return len(want[0]) == 0 || bytes.Equal(table, want[0])
}

// sameBytes compares a value that was meant by its encoding with what became of it.
func sameBytes(want dicom.Bytes, e *godicom.Element) bool {
	if len(e.Value) == 0 {
		return strings.Trim(string(want), " \x00") == ""
	}
	switch v := e.Value[0].(type) {
	case []byte:
		return padded(v, want)
	case godicom.PixelDataInfo:
		return len(v.Frames) == 1 && padded(v.Frames[0], want)
	case string: // decoded from whatever character set: the rest has to do
		return ascii(read(e)) == ascii(canonical(string(want)))
	}
	return numbers(e.VR, want) == read(e)
}

func padded(got, want []byte) bool {
	return bytes.HasPrefix(got, want) && len(got) == len(want)+len(want)%2
}

// numbers is encoded numbers as read gives them.
func numbers(vr string, b []byte) string {
	var out []string
	for {
		switch {
		case vr == "US" && len(b) >= 2:
			out, b = append(out, fmt.Sprint(binary.LittleEndian.Uint16(b))), b[2:]
		case vr == "SS" && len(b) >= 2:
			out, b = append(out, fmt.Sprint(int16(binary.LittleEndian.Uint16(b)))), b[2:]
		case vr == "UL" && len(b) >= 4:
			out, b = append(out, fmt.Sprint(binary.LittleEndian.Uint32(b))), b[4:]
		case vr == "SL" && len(b) >= 4:
			out, b = append(out, fmt.Sprint(int32(binary.LittleEndian.Uint32(b)))), b[4:]
		case (vr == "FL" || vr == "OF") && len(b) >= 4:
			out, b = append(out, fmt.Sprint(math.Float32frombits(binary.LittleEndian.Uint32(b)))), b[4:]
		case (vr == "FD" || vr == "OD") && len(b) >= 8:
			out, b = append(out, fmt.Sprint(math.Float64frombits(binary.LittleEndian.Uint64(b)))), b[8:]
		case vr == "AT" && len(b) >= 4:
			t := dicom.Tag(binary.LittleEndian.Uint16(b))<<16 | dicom.Tag(binary.LittleEndian.Uint16(b[2:]))
			out, b = append(out, t.String()), b[4:]
		default:
			return strings.Join(out, `\`)
		}
	}
}

// meant is the values of an element as read gives them.
func meant(vr string, value dicom.Value) string {
	var out []string
	switch v := value.(type) {
	case dicom.Text:
		return canonical(strings.Join(v, `\`))
	case dicom.Ints:
		for _, n := range v {
			out = append(out, fmt.Sprint(n))
		}
	case dicom.Floats:
		for _, f := range v {
			if vr == "FL" || vr == "OF" {
				out = append(out, fmt.Sprint(float32(f)))
			} else {
				out = append(out, fmt.Sprint(f))
			}
		}
	case dicom.Tags:
		for _, t := range v {
			out = append(out, t.String())
		}
	}
	return strings.Join(out, `\`)
}

// read is the values of an element, with backslashes between them: their number is part of it.
func read(e *godicom.Element) string {
	var out []string
	for _, v := range e.Value {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case dicomtag.Tag:
			out = append(out, tagOf(v).String())
		default:
			out = append(out, fmt.Sprint(v))
		}
	}
	return canonical(strings.Join(out, `\`))
}

// canonical takes the padding off every value.
func canonical(text string) string {
	values := strings.Split(text, `\`)
	for i, v := range values {
		values[i] = strings.Trim(v, " \x00")
	}
	return strings.Join(values, `\`)
}

func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x80 {
			return -1
		}
		return r
	}, s)
}

func tagOf(t dicomtag.Tag) dicom.Tag { return dicom.Tag(t.Group)<<16 | dicom.Tag(t.Element) }
