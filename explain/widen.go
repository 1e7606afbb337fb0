package explain

import (
	"encoding/binary"
	"math"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

const (
	half   = int32(onnxpb.TensorProto_FLOAT16)
	single = int32(onnxpb.TensorProto_FLOAT)
	double = int32(onnxpb.TensorProto_DOUBLE)
)

// widen makes a model of float16 or float64 one of float32, which is what a processor computes in anyway: a gradient in half
// precision would vanish, and one in double has no part in what the rules add. Inputs and outputs become float32 as well.
func widen(m *onnxpb.ModelProto) { widenGraph(m.Graph) }

func widenGraph(gp *onnxpb.GraphProto) {
	for i, t := range gp.Initializer {
		gp.Initializer[i] = widened(t)
	}
	for _, v := range append(append([]*onnxpb.ValueInfoProto{}, gp.Input...), gp.Output...) {
		if t := v.GetType().GetTensorType(); narrow(t.GetElemType()) {
			t.ElemType = proto.Int32(single)
		}
	}
	for _, n := range gp.Node {
		for _, a := range n.Attribute {
			for _, sub := range append(a.Graphs[:len(a.Graphs):len(a.Graphs)], a.G) {
				if sub != nil {
					widenGraph(sub)
				}
			}
			switch {
			case a.T != nil:
				a.T = widened(a.T)
			case (a.GetName() == "to" || a.GetName() == "dtype") && narrow(int32(a.GetI())):
				a.I = proto.Int64(int64(single))
			}
		}
	}
}

// narrow reports whether what is of a type becomes float32.
func narrow(typ int32) bool { return typ == half || typ == double }

// widened is a tensor of float16 or float64 in float32; others are returned as they are.
func widened(t *onnxpb.TensorProto) *onnxpb.TensorProto {
	if !narrow(t.GetDataType()) {
		return t
	}
	var values []float32
	if t.GetDataType() == double {
		for i := 0; i+7 < len(t.RawData); i += 8 {
			values = append(values, fromDouble(math.Float64frombits(binary.LittleEndian.Uint64(t.RawData[i:]))))
		}
		for _, v := range t.DoubleData {
			values = append(values, fromDouble(v))
		}
	} else {
		for i := 0; i+1 < len(t.RawData); i += 2 {
			values = append(values, fromHalf(binary.LittleEndian.Uint16(t.RawData[i:])))
		}
		for _, v := range t.Int32Data {
			values = append(values, fromHalf(uint16(v)))
		}
	}
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return &onnxpb.TensorProto{Name: t.Name, Dims: t.Dims, DataType: proto.Int32(single), RawData: raw}
}

// fromDouble keeps what is finite finite, as the least number that masks what attention must not see.
func fromDouble(v float64) float32 {
	if f := float32(v); math.IsInf(v, 0) || !math.IsInf(float64(f), 0) {
		return f
	}
	return float32(math.Copysign(math.MaxFloat32, v))
}

// fromHalf is an IEEE 754 binary16 number.
func fromHalf(b uint16) float32 {
	sign, exponent, fraction := float64(1), int(b>>10&0x1f), float64(b&0x3ff)
	if b>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return float32(sign * math.Ldexp(fraction, -24))
	case 31:
		if fraction != 0 {
			return float32(math.NaN())
		}
		return float32(math.Inf(int(sign)))
	}
	return float32(sign * math.Ldexp(1+fraction/1024, exponent-15))
}

func float32s(raw []byte) []float32 {
	v := make([]float32, len(raw)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return v
}
