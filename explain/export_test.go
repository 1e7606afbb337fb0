package explain

import "endogate/explain/onnxpb"

// DifferentiableOperators lists the operators that have a rule.
func DifferentiableOperators() []string {
	var names []string
	for name, op := range table {
		if op.vjp != nil {
			names = append(names, name)
		}
	}
	return names
}

// Upgraded is a model after the parser and the upgrade.
func Upgraded(model []byte) ([]byte, error) {
	g, err := parse(model)
	if err != nil {
		return nil, err
	}
	gp := &onnxpb.GraphProto{Name: g.model.Graph.Name, Input: g.inputs, Output: g.model.Graph.Output}
	for _, n := range g.nodes {
		gp.Node = append(gp.Node, n.NodeProto)
	}
	for _, name := range sortedKeys(g.weights) {
		gp.Initializer = append(gp.Initializer, g.weights[name])
	}
	return g.marshal(gp)
}
