package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	ort "github.com/yalue/onnxruntime_go"
)

// ONNX element types that values are converted to and from.
const (
	typeFloat int32 = 1
	typeUint8 int32 = 2
	typeHalf  int32 = 10
)

// values wraps tensors: without copying those of float32.
func values(tensors []Tensor, types []int32) ([]ort.Value, error) {
	in := make([]ort.Value, 0, len(tensors))
	for i, t := range tensors {
		if shape := ort.Shape(t.Shape); shape.Validate() != nil || shape.FlattenedSize() != int64(len(t.Values)) {
			return in, &Error{"run", fmt.Errorf("input %d: shape %v does not hold %d values", i, t.Shape, len(t.Values))}
		}
		typ := typeFloat
		if i < len(types) && types[i] != 0 {
			typ = types[i]
		}
		v, err := valueOf(t, typ)
		if err != nil {
			return in, &Error{"run", fmt.Errorf("input %d: %w", i, err)}
		}
		in = append(in, v)
	}
	return in, nil
}

func valueOf(t Tensor, typ int32) (ort.Value, error) {
	switch typ {
	case typeFloat:
		return ort.NewTensor(ort.Shape(t.Shape), t.Values)
	case typeUint8:
		bytes := make([]uint8, len(t.Values))
		for i, v := range t.Values {
			bytes[i] = uint8(min(max(math.RoundToEven(float64(v)), 0), math.MaxUint8))
		}
		return ort.NewTensor(ort.Shape(t.Shape), bytes)
	case typeHalf:
		raw := make([]byte, 0, 2*len(t.Values))
		for _, v := range t.Values {
			raw = binary.LittleEndian.AppendUint16(raw, toHalf(v))
		}
		return ort.NewCustomDataTensor(ort.Shape(t.Shape), raw, ort.TensorElementDataType(typeHalf))
	}
	return nil, fmt.Errorf("no values of ONNX type %d can be given; float32 (1), uint8 (2) and float16 (10) can", typ)
}

// toHalf rounds to an IEEE 754 binary16 number, to even.
func toHalf(v float32) uint16 {
	bits := math.Float32bits(v)
	sign, x := uint16(bits>>16&0x8000), math.Abs(float64(v))
	switch {
	case v != v:
		return sign | 0x7e00
	case x >= 65520: // rounds beyond the greatest
		return sign | 0x7c00
	case x < 0x1p-14: // subnormal: a whole number of the least
		return sign | uint16(math.RoundToEven(x*0x1p24))
	}
	fraction, exponent := math.Frexp(x) // in [0.5, 1)
	return sign | uint16(int(math.RoundToEven((fraction*2-1)*1024))+(exponent-1+15)<<10)
}

// tensors takes what a run returned, which the library's binding has copied into memory of ours.
func tensors(out []ort.Value, names []string) ([]Tensor, error) {
	result := make([]Tensor, len(out))
	for i, v := range out {
		values, err := floats(v)
		if err != nil {
			return nil, &Error{"run", fmt.Errorf("output %q %w", names[i], err)}
		}
		result[i] = Tensor{Shape: v.GetShape(), Values: values}
	}
	return result, nil
}

// floats are the values of a tensor of any numbers.
func floats(v ort.Value) ([]float32, error) {
	switch t := v.(type) {
	case *ort.Tensor[float32]:
		return t.GetData(), nil
	case *ort.Tensor[float64]:
		return converted(t.GetData()), nil
	case *ort.Tensor[int64]:
		return converted(t.GetData()), nil
	case *ort.Tensor[uint64]:
		return converted(t.GetData()), nil
	case *ort.Tensor[int32]:
		return converted(t.GetData()), nil
	case *ort.Tensor[uint32]:
		return converted(t.GetData()), nil
	case *ort.Tensor[int16]:
		return converted(t.GetData()), nil
	case *ort.Tensor[uint16]:
		return converted(t.GetData()), nil
	case *ort.Tensor[int8]:
		return converted(t.GetData()), nil
	case *ort.Tensor[uint8]:
		return converted(t.GetData()), nil
	case *ort.Tensor[bool]:
		to := make([]float32, len(t.GetData()))
		for i, v := range t.GetData() {
			if v {
				to[i] = 1
			}
		}
		return to, nil
	case *ort.StringTensor:
		return nil, errors.New("is text: one of numbers is to be named")
	}
	return nil, fmt.Errorf("is no tensor of numbers (%T): one of numbers is to be named", v)
}

func converted[T float64 | int64 | uint64 | int32 | uint32 | int16 | uint16 | uint8 | int8](from []T) []float32 {
	to := make([]float32, len(from))
	for i, v := range from {
		to[i] = float32(v)
	}
	return to
}
