package dicom

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Text returns the first value of t as UTF-8, without padding; "" where it is absent or empty.
// Bytes that its character set does not have become U+FFFD.
func (a *Attributes) Text(t Tag) string {
	if values := a.Texts(t); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Texts returns the values of t as UTF-8, without padding; binary numbers in decimal.
// It is empty where t is absent, a sequence, or holds opaque bytes.
func (a *Attributes) Texts(t Tag) []string {
	e, ok := a.Get(t)
	if !ok || len(e.Value) == 0 {
		return nil
	}
	info := vrOf(e.VR)
	if !info.text {
		return a.numbers(e, info)
	}
	values := a.decode(e, info)
	if len(values) == 1 && values[0] == "" { // escape sequences alone, or zeros
		return nil
	}
	for i := range values {
		values[i] = modern(trim(values[i], info), info)
	}
	return values
}

// Exact reports whether the values of t are text of the character set that is stated, or no text at all: then Texts has
// all that their bytes say.
func (a *Attributes) Exact(t Tag) bool {
	e, ok := a.Get(t)
	if !ok {
		return true
	}
	info := vrOf(e.VR)
	return !info.charset || !slices.ContainsFunc(a.decode(e, info), func(s string) bool { return !exact(s) })
}

// Reading returns the first value of t as Text does where its bytes are of the character set that is stated, and else what
// they most likely say, with a mark that [Reading] takes off.
func (a *Attributes) Reading(t Tag) string { return a.reading(t, 1) }

// Whole is Reading of an attribute that has one value: several are one with backslashes, which somebody has typed, and all of it counts.
// The patients A\1 and A\2 are two.
func (a *Attributes) Whole(t Tag) string { return a.reading(t, math.MaxInt) }

func (a *Attributes) reading(t Tag, most int) string {
	some := func(values []string) string { return strings.Join(values[:min(len(values), most)], `\`) }
	if a.Exact(t) {
		return some(a.Texts(t))
	}
	e, _ := a.Get(t)
	info := vrOf(e.VR)
	likely := a.values(e, info, a.charset.reading)
	return trim(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, some(likely)), info) + doubt
}

// decode splits and decodes a text value; padding stays.
func (a *Attributes) decode(e Element, info vrInfo) []string {
	charset := a.charset
	if !info.charset {
		charset = characterSet{}
	}
	return a.values(e, info, charset.decode)
}

func (a *Attributes) values(e Element, info vrInfo, decode func(value []byte, delimiters string) string) []string {
	value := e.Value
	for len(value) > 0 && value[len(value)-1] == 0 {
		value = value[:len(value)-1] // PS3.5 6.2 pads UI so, some writers everything
	}
	text := decode(value, delimitersOf(e.VR))
	if info.single {
		return []string{text}
	}
	return strings.Split(text, string(valueSeparator))
}

// delimitersOf are those that bring the first character set back in a value of the VR.
func delimitersOf(vr string) string {
	switch {
	case vr == "PN":
		return nameDelimiters
	case vrOf(vr).single:
		return textDelimiters
	}
	return valueDelimiters
}

// trim takes off what PS3.5 table 6.2-1 calls insignificant.
func trim(s string, info vrInfo) string {
	if info.single {
		return strings.TrimRight(s, " \x00")
	}
	return strings.Trim(s, " \x00")
}

// Int returns the first value of t where it is a whole number: a binary integer or an Integer String.
func (a *Attributes) Int(t Tag) (int, bool) {
	text := a.Text(t)
	if n, err := strconv.Atoi(text); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64) // "1.0", as some devices write
	if err != nil || f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
		return 0, false
	}
	return int(f), true
}

// Float returns the first value of t where it is a finite number of any VR.
func (a *Attributes) Float(t Tag) (float64, bool) {
	f, err := strconv.ParseFloat(a.Text(t), 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

// numbers returns the binary numbers of e in decimal; AT as gggg,eeee.
func (a *Attributes) numbers(e Element, info vrInfo) []string {
	if info.word == 0 || info.long && info.name != "SV" && info.name != "UV" {
		return nil
	}
	size := info.word
	if info.name == "AT" {
		size = 4
	}
	values := make([]string, 0, len(e.Value)/size)
	for b := e.Value; len(b) >= size; b = b[size:] {
		values = append(values, number(info.name, b, a.ByteOrder()))
	}
	return values
}

func number(vr string, b []byte, order binary.ByteOrder) string {
	switch vr {
	case "US":
		return strconv.FormatUint(uint64(order.Uint16(b)), 10)
	case "SS":
		return strconv.FormatInt(int64(int16(order.Uint16(b))), 10)
	case "UL":
		return strconv.FormatUint(uint64(order.Uint32(b)), 10)
	case "SL":
		return strconv.FormatInt(int64(int32(order.Uint32(b))), 10)
	case "UV":
		return strconv.FormatUint(order.Uint64(b), 10)
	case "SV":
		return strconv.FormatInt(int64(order.Uint64(b)), 10)
	case "FL":
		return strconv.FormatFloat(float64(math.Float32frombits(order.Uint32(b))), 'g', -1, 32)
	case "FD":
		return strconv.FormatFloat(math.Float64frombits(order.Uint64(b)), 'g', -1, 64)
	default: // AT
		return Tag(uint32(order.Uint16(b))<<16 | uint32(order.Uint16(b[2:]))).String()
	}
}
