package dicom

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// bytes appends a value that is encoded already.
func (e *appender) bytes(t Tag, info vrInfo, v []byte, verbatim bool) error {
	size := info.word
	if info.name == "OW" || verbatim {
		size = 1 // one byte may be left over where samples have eight bits
	}
	switch {
	case info.name == "SQ" && len(v) > 0:
		return errors.New("a sequence has items")
	case !e.explicit && VROf(t) == "SQ" && len(v) > 0:
		return untellable(info.name)
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
		e.b = append(e.b, e.pad(t, info))
	}
	if e.order != byteOrder(little) && info.word > 1 {
		swap(e.b[start:], info.word)
	}
	return nil
}

// pad is what makes an odd value even. Where the VR is not written, a reader takes an unknown one for that of the dictionary.
func (e *appender) pad(t Tag, info vrInfo) byte {
	if !e.explicit && info.name == "UN" {
		info = vrOf(VROf(t))
	}
	return info.pad()
}

// untellable is the error of a value of vr where the VR is not written and every reader takes its tag for a sequence's.
func untellable(vr string) error {
	return fmt.Errorf("a value of %s in the place of a sequence, which Implicit VR cannot tell", vr)
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
	if !e.explicit && VROf(t) == "SQ" && len(e.b) > start {
		return untellable(info.name)
	}
	length, err := e.length(info, uint64(len(e.b)-start))
	if err != nil {
		return err
	}
	if (len(e.b)-start)%2 == 1 {
		e.b = append(e.b, e.pad(t, info))
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
