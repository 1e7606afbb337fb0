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
)

// widen makes a model of float16 one of float32, which is what a processor computes in anyway: a gradient in half
// precision would vanish. Inputs and outputs become float32 as well.
func widen(m *onnxpb.ModelProto) {
	gp := m.Graph
	for i, t := range gp.Initializer {
		gp.Initializer[i] = widened(t)
	}
	for _, v := range append(append([]*onnxpb.ValueInfoProto{}, gp.Input...), gp.Output...) {
		if t := v.GetType().GetTensorType(); t.GetElemType() == half {
			t.ElemType = proto.Int32(single)
		}
	}
	for _, n := range gp.Node {
		for _, a := range n.Attribute {
			switch {
			case a.T != nil:
				a.T = widened(a.T)
			case n.GetOpType() == "Cast" && a.GetName() == "to" && a.GetI() == int64(half):
				a.I = proto.Int64(int64(single))
			}
		}
	}
}

// widened is a tensor of float16 in float32; others are returned as they are.
func widened(t *onnxpb.TensorProto) *onnxpb.TensorProto {
	if t.GetDataType() != half {
		return t
	}
	var bits []uint16
	for i := 0; i+1 < len(t.RawData); i += 2 {
		bits = append(bits, binary.LittleEndian.Uint16(t.RawData[i:]))
	}
	for _, v := range t.Int32Data {
		bits = append(bits, uint16(v))
	}
	raw := make([]byte, 0, 4*len(bits))
	for _, b := range bits {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(fromHalf(b)))
	}
	return &onnxpb.TensorProto{Name: t.Name, Dims: t.Dims, DataType: proto.Int32(single), RawData: raw}
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
