package explain

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoLayer says that a model has no layer of the name asked for, or none that can be explained.
var ErrNoLayer = errors.New("no such layer")

// UnsupportedError says that an operator between the chosen layer and the logits cannot be
// differentiated. The model itself may still be run.
type UnsupportedError struct {
	Node     string // node name, or its first output's where it has none
	Operator string
	Opset    int64
	Why      string
	Layers   []string // layers that can be explained all the same
}

func (e *UnsupportedError) Error() string {
	can := "no layer can be explained"
	if len(e.Layers) > 0 {
		can = "can still be explained: " + strings.Join(e.Layers, ", ")
	}
	return fmt.Sprintf("explain: node %q: operator %s (opset %d): %s; %s", e.Node, e.Operator, e.Opset, e.Why, can)
}

// unsupported is the error of one rule for one node.
func unsupported(n *node, why string) error {
	return &UnsupportedError{Node: n.label(), Operator: n.GetOpType(), Opset: n.opset, Why: why}
}
