package explain

import (
	"encoding/binary"
	"math"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// Bounds of what a small file may become.
const (
	mostDense  = 1 << 28 // numbers of all sparse weights
	mostListed = 1 << 20 // parts of all sequences
)

// dense turns a graph's sparse weights into dense ones, of so many numbers together. What is malformed, or too large, stays, and is missed where it is read.
func dense(g *onnxpb.GraphProto, room int64) {
	var left []*onnxpb.SparseTensorProto
	for _, s := range g.GetSparseInitializer() {
		if t := denseOf(s, room); t != nil {
			room -= size(t.Dims)
			g.Initializer = append(g.Initializer, t)
		} else {
			left = append(left, s)
		}
	}
	if g != nil {
		g.SparseInitializer = left
	}
}

func denseOf(s *onnxpb.SparseTensorProto, room int64) *onnxpb.TensorProto {
	values, at := numbersOf(s.GetValues()), numbersOf(s.GetIndices())
	all := size(s.Dims)
	if values == nil || at == nil || all < 1 || all > room || s.Values.GetDataType() != single {
		return nil
	}
	linear := len(at.v) == len(values.v)
	if !linear && len(at.v) != len(values.v)*len(s.Dims) {
		return nil
	}
	raw := make([]byte, 4*all)
	for i, v := range values.v {
		place := int64(0)
		if linear {
			place = int64(at.v[i])
		} else {
			for axis, extent := range s.Dims {
				place = place*extent + int64(at.v[i*len(s.Dims)+axis])
			}
		}
		if place < 0 || place >= all {
			return nil
		}
		binary.LittleEndian.PutUint32(raw[4*place:], math.Float32bits(float32(v)))
	}
	return &onnxpb.TensorProto{Name: s.Values.Name, Dims: s.Dims, DataType: proto.Int32(single), RawData: raw}
}

// sequence is a list of tensors: its parts, or a tensor cut along an axis.
type sequence struct {
	parts []string
	cut   string
	axis  int64
	each  int64   // of the axis; 0 where sizes are listed
	sizes []int64 // of the parts
	drop  bool    // the axis, of one place each
}

// unpacking writes sequences and optional values out as the tensors in them.
type unpacking struct {
	b         *builder
	lists     map[string]*sequence
	constants map[string]*onnxpb.TensorProto
	listed    int // parts of sequences that were written out
}

// bounded reports whether that many parts more may be written out.
func (u *unpacking) bounded(parts int) bool {
	u.listed += parts
	return u.listed <= mostListed
}

// sequences replaces reading from sequences whose parts are known, as a split that a program reads part by part is exported, by reading
// the parts; what nothing reads any more goes. Other sequences stay as they are.
func sequences(g *onnxpb.GraphProto, imports []*onnxpb.OperatorSetIdProto) {
	found := false
	for _, p := range g.GetNode() {
		found = found || makesSequence[p.GetOpType()] || p.GetOpType() == "Optional"
	}
	if !found {
		return
	}
	names := &graph{fresh: map[string]bool{}, named: map[string]bool{}, model: &onnxpb.ModelProto{OpsetImport: imports}}
	u := unpacking{b: newBuilder(names), lists: map[string]*sequence{}, constants: map[string]*onnxpb.TensorProto{}}
	for _, t := range g.Initializer {
		names.fresh[t.GetName()], u.constants[t.GetName()] = true, t
	}
	for _, v := range g.Input {
		names.fresh[v.GetName()] = true
	}
	for _, p := range g.Node {
		names.named[p.GetName()] = true
		for _, out := range p.Output {
			names.fresh[out] = true
		}
		if t := constantValue(&node{NodeProto: p}); t != nil {
			u.constants[t.GetName()] = t
		}
	}
	for _, p := range g.Node {
		n := &node{NodeProto: p}
		if !n.standard() || !u.unpack(n) {
			u.b.nodes = append(u.b.nodes, p)
		}
	}
	g.Node = u.b.nodes
	g.Initializer = append(g.Initializer, u.b.inits...)
	dropUnread(g)
}

// dropUnread leaves out what makes sequences that nothing reads.
func dropUnread(g *onnxpb.GraphProto) {
	readers, makers := map[string]int{}, map[string]*onnxpb.NodeProto{}
	for _, v := range g.Output {
		readers[v.GetName()]++
	}
	for _, p := range g.Node {
		for _, in := range (&node{NodeProto: p}).uses() {
			readers[in]++
		}
	}
	unread := func(p *onnxpb.NodeProto) bool {
		return !slices.ContainsFunc(p.Output, func(out string) bool { return out != "" && readers[out] > 0 })
	}
	var open []*onnxpb.NodeProto
	for _, p := range g.Node {
		if !makesSequence[p.GetOpType()] && p.GetOpType() != "Optional" {
			continue
		}
		for _, out := range p.Output {
			makers[out] = p
		}
		if unread(p) {
			open = append(open, p)
		}
	}
	gone := map[*onnxpb.NodeProto]bool{}
	for len(open) > 0 {
		p := open[len(open)-1]
		open, gone[p] = open[:len(open)-1], true
		for _, in := range (&node{NodeProto: p}).uses() {
			readers[in]--
			if m := makers[in]; m != nil && !gone[m] && unread(m) {
				open = append(open, m)
			}
		}
	}
	g.Node = slices.DeleteFunc(g.Node, func(p *onnxpb.NodeProto) bool { return gone[p] })
}

var makesSequence = map[string]bool{
	"SequenceConstruct": true, "SplitToSequence": true, "SequenceInsert": true, "SequenceErase": true, "SequenceEmpty": true,
}

// unpack reports whether a node was written out; one that makes a sequence is noted, and stays until nothing reads it.
func (u *unpacking) unpack(n *node) bool {
	out := n.out(0)
	list := u.lists[n.in(0)]
	switch n.GetOpType() {
	case "Optional":
		if n.in(0) != "" && list == nil {
			u.lists[out] = &sequence{parts: []string{n.in(0)}}
		}
	case "OptionalGetElement":
		if list == nil || len(list.parts) != 1 {
			return false
		}
		u.b.add("Identity", list.parts, []string{out})
		return true
	case "SequenceEmpty":
		u.lists[out] = &sequence{}
	case "SequenceConstruct":
		u.lists[out] = &sequence{parts: n.Input}
	case "SplitToSequence":
		u.lists[out] = u.split(n)
	case "SequenceInsert":
		if at, ok := u.place(n.in(2), list, 1); ok && u.bounded(len(list.parts)+1) {
			parts := append([]string{}, list.parts[:at]...)
			u.lists[out] = &sequence{parts: append(append(parts, n.in(1)), list.parts[at:]...)}
		}
	case "SequenceErase":
		if at, ok := u.place(n.in(1), list, 0); ok && u.bounded(len(list.parts)) {
			u.lists[out] = &sequence{parts: append(append([]string{}, list.parts[:at]...), list.parts[at+1:]...)}
		}
	case "SequenceAt":
		return u.part(n, list)
	case "SequenceLength":
		if list == nil || list.cut != "" && list.sizes == nil {
			return false
		}
		u.b.add("Identity", []string{u.b.intScalar(int64(max(len(list.parts), len(list.sizes))))}, []string{out})
		return true
	case "ConcatFromSequence":
		return u.joined(n, list)
	}
	return false
}

// split notes a tensor that is cut along an axis.
func (u *unpacking) split(n *node) *sequence {
	s := &sequence{cut: n.in(0), axis: n.attrInt("axis", 0), each: 1}
	if n.in(1) == "" {
		s.drop = n.attrInt("keepdims", 1) == 0
		return s
	}
	t := u.constants[n.in(1)]
	c := numbersOf(t)
	if c == nil || len(c.v) == 0 {
		return nil
	}
	if len(t.Dims) == 0 {
		s.each = int64(c.v[0])
		return s
	}
	s.each = 0
	for _, v := range c.v {
		s.sizes = append(s.sizes, int64(v))
	}
	return s
}

// place is a constant position among known parts, the end where there is none.
func (u *unpacking) place(name string, list *sequence, beyond int) (int, bool) {
	if list == nil || list.cut != "" {
		return 0, false
	}
	at := len(list.parts) - 1 + beyond
	if name != "" {
		c := numbersOf(u.constants[name])
		if c == nil || len(c.v) != 1 {
			return 0, false
		}
		if at = int(c.v[0]); at < 0 {
			at += len(list.parts)
		}
	}
	return at, at >= 0 && at < len(list.parts)+beyond
}

// part reads one part.
func (u *unpacking) part(n *node, list *sequence) bool {
	if list != nil && list.cut == "" {
		at, ok := u.place(n.in(1), list, 0)
		if ok {
			u.b.add("Identity", []string{list.parts[at]}, []string{n.out(0)})
		}
		return ok
	}
	c := numbersOf(u.constants[n.in(1)])
	if list == nil || c == nil || len(c.v) != 1 {
		return false
	}
	at := int64(c.v[0])
	from, end := at*list.each, (at+1)*list.each
	if list.sizes != nil {
		if at < 0 {
			at += int64(len(list.sizes))
		}
		if at < 0 || at >= int64(len(list.sizes)) {
			return false
		}
		for _, s := range list.sizes[:at] {
			from += s
		}
		end = from + list.sizes[at]
	} else if at < 0 {
		if list.each != 1 { // the last part may be a smaller one
			return false
		}
		if end == 0 {
			end = math.MaxInt64
		}
	}
	if list.drop {
		u.b.add("Gather", []string{list.cut, u.b.intScalar(at)}, []string{n.out(0)}, intAttr("axis", list.axis))
		return true
	}
	u.b.add("Slice", []string{list.cut, u.b.ints(from), u.b.ints(end), u.b.ints(list.axis)}, []string{n.out(0)})
	return true
}

// joined puts parts together again.
func (u *unpacking) joined(n *node, list *sequence) bool {
	at, stacked := n.attrInt("axis", 0), n.attrInt("new_axis", 0) != 0
	switch {
	case list == nil:
		return false
	case list.cut != "":
		if at != list.axis || stacked != list.drop {
			return false
		}
		u.b.add("Identity", []string{list.cut}, []string{n.out(0)})
		return true
	case len(list.parts) == 0 || !u.bounded(len(list.parts)):
		return false
	}
	parts := list.parts
	if stacked {
		parts = nil
		for _, p := range list.parts {
			if u.b.g.opsets()[""] < 13 {
				parts = append(parts, u.b.op("Unsqueeze", []string{p}, intsAttr("axes", at)))
			} else {
				parts = append(parts, u.b.op("Unsqueeze", []string{p, u.b.ints(at)}))
			}
		}
	}
	u.b.add("Concat", parts, []string{n.out(0)}, intAttr("axis", at))
	return true
}
