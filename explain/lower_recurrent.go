package explain

import (
	"fmt"
	"slices"
)

// recurrent is an LSTM, a GRU or an RNN being written out.
type recurrent struct {
	*builder
	n           *node
	hidden      int64
	activations []string
	direction   int64
	w, r, bias  string // of one direction; W and R turned
}

// gateCounts of the operators: parts of W and R.
var gateCounts = map[string]int64{"LSTM": 4, "GRU": 3, "RNN": 1}

// lowerRecurrent writes the steps of a recurrent operator one after the other.
func lowerRecurrent(b *builder, n *node) string {
	x := b.g.shape(n.in(0))
	batchFirst := n.attrInt("layout", 0) == 1
	steps := x[0]
	if batchFirst {
		steps = x[1]
	}
	switch {
	case n.in(4) != "":
		return "its lengths of sequences are an input"
	case attribute(n.NodeProto, "clip") != nil:
		return "it clips its cells"
	case steps < 1 || steps > mostSteps:
		return fmt.Sprintf("it has %d steps: from 1 to %d can be differentiated", steps, mostSteps)
	}
	directions := []bool{n.attrString("direction", "forward") == "reverse"}
	if n.attrString("direction", "forward") == "bidirectional" {
		directions = []bool{false, true}
	}
	defaults := map[string][]string{"LSTM": {"Sigmoid", "Tanh", "Tanh"}, "GRU": {"Sigmoid", "Tanh"}, "RNN": {"Tanh"}}[n.GetOpType()]
	activations := slices.Repeat(defaults, len(directions))
	if a := attribute(n.NodeProto, "activations"); a != nil && len(a.Strings) == len(activations) {
		for i, s := range a.Strings {
			activations[i] = string(s)
		}
	}
	for _, a := range activations {
		if !slices.Contains([]string{"Sigmoid", "Tanh", "Relu", "Softsign", "Softplus"}, a) {
			return "its activation " + a + " has no rule"
		}
	}
	input := n.in(0)
	if batchFirst {
		input = b.op("Transpose", []string{input}, intsAttr("perm", 1, 0, 2))
	}
	var all, last, cells []string // of each direction: steps×1×N×hidden, 1×N×hidden twice
	for d, backwards := range directions {
		r := &recurrent{
			builder: b, n: n, hidden: b.g.shape(n.in(2))[2], direction: int64(d),
			activations: activations[d*len(defaults) : (d+1)*len(defaults)],
		}
		outputs, h, c := r.run(input, steps, backwards)
		all = append(all, b.op("Concat", outputs, intAttr("axis", 0)))
		last, cells = append(last, b.op("Unsqueeze", []string{h, b.ints(0)})), append(cells, c)
	}
	join := func(parts []string, axis int64, output string, perm ...int64) {
		if output == "" {
			return
		}
		x := b.op("Concat", parts, intAttr("axis", axis))
		if batchFirst {
			x = b.op("Transpose", []string{x}, intsAttr("perm", perm...))
		}
		b.named(x, output)
	}
	join(all, 1, n.out(0), 2, 0, 1, 3)
	join(last, 0, n.out(1), 1, 0, 2)
	if n.GetOpType() == "LSTM" && n.out(2) != "" {
		for i, c := range cells {
			cells[i] = b.op("Unsqueeze", []string{c, b.ints(0)})
		}
		join(cells, 0, n.out(2), 1, 0, 2)
	}
	return ""
}

// of takes what belongs to the direction of an input.
func (r *recurrent) of(i int) string {
	return r.op("Gather", []string{r.n.in(i), r.intScalar(r.direction)}, intAttr("axis", 0))
}

// state is the initial state of the direction, "" for zeros.
func (r *recurrent) state(i int) string {
	if r.n.in(i) == "" {
		return ""
	}
	axis := int64(0)
	if r.n.attrInt("layout", 0) == 1 {
		axis = 1
	}
	return r.op("Gather", []string{r.n.in(i), r.intScalar(r.direction)}, intAttr("axis", axis))
}

// part is a gate's part of a vector or of the last axis.
func (r *recurrent) part(x string, from, count int64) string {
	return r.op("Slice", []string{x, r.ints(from * r.hidden), r.ints((from + count) * r.hidden), r.ints(-1)})
}

// run returns what each step puts out as 1×1×N×hidden, and the states after the last.
func (r *recurrent) run(input string, steps int64, backwards bool) (outputs []string, h, c string) {
	count := gateCounts[r.n.GetOpType()]
	r.w = r.op("Transpose", []string{r.of(1)}, intsAttr("perm", 1, 0))
	r.r = r.op("Transpose", []string{r.of(2)}, intsAttr("perm", 1, 0))
	x := r.op("MatMul", []string{input, r.w})
	if r.n.in(3) != "" {
		bias := r.of(3)
		x = r.plus(x, r.part(bias, 0, count))
		r.bias = r.part(bias, count, count)
	}
	h = r.state(5)
	if r.n.GetOpType() == "LSTM" {
		c = r.state(6)
	}
	outputs = make([]string, steps)
	for i := range steps {
		at := i
		if backwards {
			at = steps - 1 - i
		}
		now := r.op("Gather", []string{x, r.intScalar(at)}, intAttr("axis", 0))
		switch r.n.GetOpType() {
		case "LSTM":
			h, c = r.lstm(now, h, c)
		case "GRU":
			h = r.gru(now, h)
		default:
			h = r.op(r.activations[0], []string{r.recalled(now, h)})
		}
		outputs[at] = r.op("Unsqueeze", []string{h, r.ints(0, 1)})
	}
	return outputs, h, c
}

// recalled adds what the state before says.
func (r *recurrent) recalled(x, h string) string {
	if r.bias != "" {
		x = r.plus(x, r.bias)
	}
	if h != "" {
		x = r.plus(x, r.op("MatMul", []string{h, r.r}))
	}
	return x
}

// lstm is a step; the gates are input, output, forget and cell.
func (r *recurrent) lstm(x, h, c string) (string, string) {
	x = r.recalled(x, h)
	var gate [4]string
	for i := range gate {
		gate[i] = r.part(x, int64(i), 1)
	}
	peep := func(gate string, i int64, c string) string {
		if r.n.in(7) == "" || c == "" {
			return gate
		}
		return r.plus(gate, r.mul(c, r.part(r.of(7), i, 1)))
	}
	f, g, out := r.activations[0], r.activations[1], r.activations[2]
	in := r.op(f, []string{peep(gate[0], 0, c)})
	fresh := r.mul(in, r.op(g, []string{gate[3]}))
	if c != "" {
		forget := r.sub(r.scalar(1), in)
		if r.n.attrInt("input_forget", 0) == 0 {
			forget = r.op(f, []string{peep(gate[2], 2, c)})
		}
		fresh = r.plus(r.mul(forget, c), fresh)
	}
	return r.mul(r.op(f, []string{peep(gate[1], 1, fresh)}), r.op(out, []string{fresh})), fresh
}

// gru is a step; the gates are update, reset and hidden.
func (r *recurrent) gru(x, h string) string {
	part := func(v string, from, count int64) string {
		if v == "" {
			return ""
		}
		return r.part(v, from, count)
	}
	sum := func(parts ...string) string {
		total := ""
		for _, p := range parts {
			switch {
			case p == "":
			case total == "":
				total = p
			default:
				total = r.plus(total, p)
			}
		}
		return total
	}
	product := func(h string, from, count int64) string {
		if h == "" {
			return ""
		}
		return r.op("MatMul", []string{h, r.part(r.r, from, count)})
	}
	both := r.op(r.activations[0], []string{sum(r.part(x, 0, 2), part(r.bias, 0, 2), product(h, 0, 2))})
	update, reset := r.part(both, 0, 1), r.part(both, 1, 1)
	var recalled string
	if r.n.attrInt("linear_before_reset", 0) != 0 {
		if recalled = sum(product(h, 2, 1), part(r.bias, 2, 1)); recalled != "" {
			recalled = r.mul(reset, recalled)
		}
	} else {
		before := ""
		if h != "" {
			before = product(r.mul(reset, h), 2, 1)
		}
		recalled = sum(before, part(r.bias, 2, 1))
	}
	fresh := r.mul(r.sub(r.scalar(1), update), r.op(r.activations[1], []string{sum(r.part(x, 2, 1), recalled)}))
	if h != "" {
		fresh = r.plus(fresh, r.mul(update, h))
	}
	return fresh
}
