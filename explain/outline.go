package explain

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"endogate/explain/onnxpb"
)

// Outline is what a model declares, read without running it: also of one that cannot be explained.
type Outline struct {
	Opset     int64  // of the standard's operators
	Inputs    []Port // without those that are weights
	Outputs   []Port
	Quantised bool     // some of it computes with integers of a few bits
	Half      bool     // some of it computes in half precision
	Domains   []string // of operators that are not the standard's
	Training  string   // the first operator that is in training mode, whose results depend on what was asked before or on chance
	Mixed     string   // a function of the file that is of another operator set than the network

	nodes  map[string]*onnxpb.NodeProto // by output
	consts map[string]*onnxpb.TensorProto
	ranges map[string]interval
}

// TypeName is the name of an ONNX element type, in small letters, but float32 for float and float64 for double.
func TypeName(element int32) string {
	switch element {
	case single:
		return "float32"
	case double:
		return "float64"
	}
	return strings.ToLower(onnxpb.TensorProto_DataType(element).String())
}

// ReadOutline reads a model's outline.
func ReadOutline(model []byte) (*Outline, error) {
	m, err := unmarshal(model)
	if err != nil {
		return nil, fmt.Errorf("explain: not an ONNX model: %w", err)
	}
	gp := m.GetGraph()
	if len(gp.GetNode()) == 0 {
		return nil, fmt.Errorf("explain: the model has no graph")
	}
	flatten(m)
	o := &Outline{nodes: map[string]*onnxpb.NodeProto{}, consts: map[string]*onnxpb.TensorProto{}, ranges: map[string]interval{}}
	for _, s := range m.OpsetImport {
		if s.GetDomain() == "" || s.GetDomain() == "ai.onnx" {
			o.Opset = s.GetVersion()
		}
	}
	for _, t := range gp.Initializer {
		o.consts[t.GetName()] = t
		o.Half = o.Half || isHalf(t.GetDataType())
	}
	for _, v := range gp.Input {
		if o.consts[v.GetName()] == nil { // before IR 4 an initialiser was an input as well
			o.Inputs = append(o.Inputs, portOf(v))
		}
	}
	for _, v := range gp.Output {
		o.Outputs = append(o.Outputs, portOf(v))
	}
	o.walk(gp.Node, true)
	own := functions{model: m}
	for _, f := range m.Functions { // those that could not be written out
		o.Domains = slices.DeleteFunc(o.Domains, func(domain string) bool { return domain == f.GetDomain() })
		if !own.sameOperators(f) {
			o.Mixed = fmt.Sprintf("%s of %s", f.GetName(), f.GetDomain())
		}
	}
	slices.Sort(o.Domains)
	return o, nil
}

// Declared is the outline without what it was read from, whose memory is the model's.
func (o *Outline) Declared() *Outline {
	short := *o
	short.nodes, short.consts, short.ranges = nil, nil, nil
	return &short
}

// walk notes nodes, those of subgraphs included; only those of the outermost graph are followed later.
func (o *Outline) walk(nodes []*onnxpb.NodeProto, outermost bool) {
	for _, p := range nodes {
		n := &node{NodeProto: p}
		if !n.standard() && !slices.Contains(o.Domains, p.GetDomain()) {
			o.Domains = append(o.Domains, p.GetDomain())
		}
		typ := p.GetOpType()
		if o.Training == "" && n.standard() && o.trains(n) {
			o.Training = fmt.Sprintf("operator %s (opset %d) of node %q", typ, o.Opset, n.label())
		}
		o.Quantised = o.Quantised || strings.Contains(typ, "QuantizeLinear") || strings.HasPrefix(typ, "QLinear") || strings.HasSuffix(typ, "Integer") || strings.HasSuffix(typ, "NBits")
		if t := constantValue(n); t != nil && outermost {
			o.consts[t.GetName()] = t
			o.Half = o.Half || isHalf(t.GetDataType())
		}
		for _, out := range p.Output {
			if outermost {
				o.nodes[out] = p
			}
		}
		for _, a := range p.Attribute {
			for _, sub := range append(a.Graphs, a.G) {
				o.walk(sub.GetNode(), false)
			}
		}
	}
}

// trains reports whether a node is in training mode.
func (o *Outline) trains(n *node) bool {
	switch n.GetOpType() {
	case "BatchNormalization":
		return n.attrInt("training_mode", 0) != 0 || o.Opset < 14 && slices.ContainsFunc(n.Output[min(1, len(n.Output)):], func(out string) bool { return out != "" })
	case "Dropout":
		on := o.consts[n.in(2)]
		return on != nil && (slices.Contains(on.RawData, 1) || slices.Contains(on.Int32Data, 1))
	}
	return false
}

func isHalf(dataType int32) bool {
	return dataType == half || dataType == int32(onnxpb.TensorProto_BFLOAT16)
}

// Ends says how an output is made, as far as it decides whether its values are probabilities.
type Ends int

// How an output is made.
const (
	Unknown          Ends = iota
	Linear                // a weighted sum: logits
	Probabilities         // from 0 to 1 whatever the input
	LogProbabilities      // logarithms of a softmax
	Mixed                 // probabilities of some classes beside logits of others
)

// Ends looks at how an output is made: values that a softmax, a sigmoid, a mean of several or a clamp keep from 0 to 1
// are followed through the operators after them by interval arithmetic.
func (o *Outline) Ends(output string) Ends {
	s := o.rangeOf(output, 0)
	const rounding = 1e-5
	last := o.renamed(output)
	typ := last.GetOpType()
	switch {
	case s.low >= -rounding && s.high <= 1+rounding:
		return Probabilities
	case typ == "LogSoftmax":
		return LogProbabilities
	case typ == "Concat":
		var likely, linear bool
		for _, part := range last.Input {
			of := o.renamed(part).GetOpType()
			likely, linear = likely || slices.Contains(squashing, of), linear || slices.Contains(weighted, of)
		}
		if likely && linear {
			return Mixed
		}
	case slices.Contains(weighted, typ):
		return Linear
	}
	return Unknown
}

// Operators by what they make, whatever they read: weighted sums, and values from 0 to 1.
var (
	weighted  = []string{"Gemm", "MatMul", "Conv", "Add", "LSTM", "GRU"}
	squashing = []string{"Softmax", "Sigmoid", "HardSigmoid"}
)

// renamed is the node that a tensor's values are from, behind operators that change none.
func (o *Outline) renamed(tensor string) *onnxpb.NodeProto {
	n := o.nodes[tensor]
	for n != nil && len(n.Input) > 0 && slices.Contains(renaming, n.GetOpType()) {
		n = o.nodes[n.Input[0]]
	}
	return n
}

// Sorted reports whether an output has the greatest values of all, one after the other, as TopK gives them: none of them is always the same class's.
func (o *Outline) Sorted(output string) bool {
	for n := o.nodes[output]; n != nil && len(n.Input) > 0; n = o.nodes[n.Input[0]] {
		switch n.GetOpType() {
		case "TopK":
			return true
		case "Softmax", "Sigmoid", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast":
		default:
			return false
		}
	}
	return false
}

// renaming operators change no value.
var renaming = []string{
	"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast", "Transpose", "Slice", "Gather", "Expand", "Split", "GatherElements",
	"ReduceMean", "ReduceMax", "ReduceMin", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "Tile", "TopK", "DepthToSpace", "SpaceToDepth",
}

// interval is where the values of a tensor lie.
type interval struct{ low, high float64 }

var anywhere = interval{math.Inf(-1), math.Inf(1)}

func (s interval) union(t interval) interval { return interval{min(s.low, t.low), max(s.high, t.high)} }

// maxDepth bounds how far a tensor is followed; what is behind may be anything.
const maxDepth = 64

func (o *Outline) rangeOf(tensor string, depth int) interval {
	if s, known := o.ranges[tensor]; known {
		return s
	}
	s := anywhere
	if t := o.consts[tensor]; t != nil {
		s = spanOf(t)
	} else if p := o.nodes[tensor]; p != nil && depth < maxDepth {
		if n := (&node{NodeProto: p}); n.standard() {
			s = o.made(n, depth+1)
		} else if last := n.attrString("activation", ""); last != "" { // fused, of whatever comes before it
			s = o.made(&node{NodeProto: &onnxpb.NodeProto{OpType: &last}}, depth+1)
		}
	}
	if s.low != s.low || s.high != s.high { // 0 times infinity
		s = anywhere
	}
	if o.ranges != nil {
		o.ranges[tensor] = s
	}
	return s
}

// made is where the values of a node's first output lie.
func (o *Outline) made(n *node, depth int) interval {
	in := func(i int) interval {
		if n.in(i) == "" {
			return anywhere
		}
		return o.rangeOf(n.in(i), depth)
	}
	every := func(join func(a, b interval) interval) interval {
		s := in(0)
		for i := 1; i < len(n.Input); i++ {
			s = join(s, in(i))
		}
		return s
	}
	add := func(a, b interval) interval { return interval{a.low + b.low, a.high + b.high} }
	switch typ := n.GetOpType(); typ {
	case "Softmax", "Sigmoid", "HardSigmoid", "Hardmax", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Not", "And", "Or", "Xor":
		return interval{0, 1}
	case "OneHot":
		return in(2)
	case "Atan":
		return interval{-math.Pi / 2, math.Pi / 2}
	case "LogSoftmax":
		return interval{math.Inf(-1), 0}
	case "Tanh", "Softsign":
		return interval{-1, 1}
	case "Exp":
		return interval{math.Exp(in(0).low), math.Exp(in(0).high)}
	case "Relu", "ThresholdedRelu":
		return interval{max(0, in(0).low), max(0, in(0).high)}
	case "Softplus":
		return interval{math.Log1p(math.Exp(in(0).low)), math.Log1p(math.Exp(in(0).high))}
	case "Erf", "Sin", "Cos", "Sign", "LpNormalization":
		return interval{-1, 1}
	case "Abs", "Sqrt", "ReduceL1", "ReduceL2", "ReduceSumSquare":
		return interval{0, math.Inf(1)}
	case "ReduceSum":
		if in(0).low >= 0 {
			return interval{0, math.Inf(1)}
		}
	case "ReduceProd":
		if in(0).low >= 0 && in(0).high <= 1 {
			return interval{0, 1}
		}
	case "Pow":
		return raised(in(0), in(1))
	case "Clip":
		return o.clipped(n, in(0), depth)
	case "Concat", "Mean":
		return every(interval.union)
	case "Max":
		return every(func(a, b interval) interval { return interval{max(a.low, b.low), max(a.high, b.high)} })
	case "Min":
		return every(func(a, b interval) interval { return interval{min(a.low, b.low), min(a.high, b.high)} })
	case "Where":
		return in(1).union(in(2))
	case "Add", "Sum":
		return every(add)
	case "Sub":
		return add(in(0), interval{-in(1).high, -in(1).low})
	case "Neg":
		return interval{-in(0).high, -in(0).low}
	case "Mul":
		if n.in(0) == n.in(1) {
			return raised(in(0), interval{2, 2})
		}
		return multiplied(in(0), in(1))
	case "Reciprocal":
		if d := in(0); d.low > 0 {
			return interval{1 / d.high, 1 / d.low}
		}
	case "Div":
		if whole := o.nodes[n.in(1)]; slices.Contains([]string{"ReduceSum", "ReduceMax"}, whole.GetOpType()) && whole.Input[0] == n.in(0) && in(0).low >= 0 {
			return interval{0, 1}
		}
		if d := in(1); d.low > 0 {
			return multiplied(in(0), interval{1 / d.high, 1 / d.low})
		}
	case "DequantizeLinear":
		return o.dequantised(n)
	default:
		if slices.Contains(renaming, typ) {
			return in(0)
		}
	}
	return anywhere
}

// Entering is where values from low to high at the input lie behind the constants that a network multiplies them by, adds and so on
// before anything else; false where it does nothing of that.
func (o *Outline) Entering(low, high float64) (least, most float64, some bool) {
	if len(o.Inputs) != 1 {
		return low, high, false
	}
	readers := map[string][]*onnxpb.NodeProto{}
	for out, p := range o.nodes {
		for i, in := range p.Input {
			if out == p.Output[0] && !slices.Contains(p.Input[:i], in) {
				readers[in] = append(readers[in], p)
			}
		}
	}
	at, s := o.Inputs[0].Name, interval{low, high}
	seen := Outline{nodes: o.nodes, consts: o.consts, ranges: map[string]interval{at: s}}
	for range maxDepth {
		if len(readers[at]) != 1 {
			break
		}
		n := readers[at][0]
		scales := slices.Contains([]string{"Add", "Sub", "Mul", "Div"}, n.GetOpType())
		if !scales && !slices.Contains(renaming, n.GetOpType()) {
			break
		}
		next := seen.rangeOf(n.Output[0], 0)
		if math.IsInf(next.high-next.low, 0) {
			break
		}
		at, s, some = n.Output[0], next, some || scales
	}
	return s.low, s.high, some
}

func multiplied(a, b interval) interval {
	p := []float64{a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high}
	if slices.ContainsFunc(p, math.IsNaN) {
		return anywhere
	}
	return interval{slices.Min(p), slices.Max(p)}
}

// raised is where powers lie: even ones are never negative.
func raised(s, by interval) interval {
	switch p := by.low; {
	case p != by.high:
		return anywhere
	case s.low >= 0 && p >= 0:
		return interval{math.Pow(s.low, p), math.Pow(s.high, p)}
	case p > 0 && math.Mod(p, 2) == 0:
		return interval{0, math.Pow(max(math.Abs(s.low), math.Abs(s.high)), p)}
	}
	return anywhere
}

// clipped is a Clip's range, of whose forms the older has its bounds as attributes.
func (o *Outline) clipped(n *node, s interval, depth int) interval {
	bound := func(i int, name string) (float64, bool) {
		if a := attribute(n.NodeProto, name); a != nil {
			return float64(a.GetF()), true
		}
		if o.consts[n.in(i)] == nil {
			return 0, false
		}
		return o.rangeOf(n.in(i), depth).low, true
	}
	if low, ok := bound(1, "min"); ok {
		s = interval{max(s.low, low), max(s.high, low)}
	}
	if high, ok := bound(2, "max"); ok {
		s = interval{min(s.low, high), min(s.high, high)}
	}
	return s
}

// dequantised is what integers of eight bits stand for.
func (o *Outline) dequantised(n *node) interval {
	scale, ok := o.consts[n.in(1)]
	if !ok || size(scale.Dims) != 1 {
		return anywhere
	}
	low, high, zero := 0.0, 255.0, 0.0 // uint8, the default where there is no zero point
	if z := o.consts[n.in(2)]; z != nil {
		switch onnxpb.TensorProto_DataType(z.GetDataType()) {
		case onnxpb.TensorProto_UINT8:
		case onnxpb.TensorProto_INT8:
			low, high = -128, 127
		default:
			return anywhere
		}
		zero = spanOf(z).low
	}
	by := spanOf(scale).low
	return interval{(low - zero) * by, (high - zero) * by}
}

// spanOf is that of a small constant's values.
func spanOf(t *onnxpb.TensorProto) interval {
	var v []float64
	raw := t.RawData
	if size(t.Dims) > largeWeight {
		return anywhere
	}
	switch onnxpb.TensorProto_DataType(t.GetDataType()) {
	case onnxpb.TensorProto_FLOAT:
		for _, f := range append(float32s(raw), t.FloatData...) {
			v = append(v, float64(f))
		}
	case onnxpb.TensorProto_FLOAT16:
		for i := 0; i+1 < len(raw); i += 2 {
			v = append(v, float64(fromHalf(binary.LittleEndian.Uint16(raw[i:]))))
		}
		for _, b := range t.Int32Data {
			v = append(v, float64(fromHalf(uint16(b))))
		}
	case onnxpb.TensorProto_DOUBLE:
		for i := 0; i+7 < len(raw); i += 8 {
			v = append(v, math.Float64frombits(binary.LittleEndian.Uint64(raw[i:])))
		}
		v = append(v, t.DoubleData...)
	case onnxpb.TensorProto_UINT8:
		for _, b := range raw {
			v = append(v, float64(b))
		}
		for _, b := range t.Int32Data {
			v = append(v, float64(b))
		}
	case onnxpb.TensorProto_INT8:
		for _, b := range raw {
			v = append(v, float64(int8(b)))
		}
		for _, b := range t.Int32Data {
			v = append(v, float64(b))
		}
	case onnxpb.TensorProto_INT64:
		for i := 0; i+7 < len(raw); i += 8 {
			v = append(v, float64(int64(binary.LittleEndian.Uint64(raw[i:]))))
		}
		for _, i := range t.Int64Data {
			v = append(v, float64(i))
		}
	}
	if len(v) == 0 {
		return anywhere
	}
	return interval{slices.Min(v), slices.Max(v)}
}
