package strict

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Misread is what stands on a line and YAML would read as something that nobody meant.
type Misread struct {
	Line int
	What string
}

// Texts reads one YAML document in which every value is text as it was written: whether 010 or yes is a number or a truth value says
// who asks for it. A key without a value has nil. The error is the parser's; what would be misread is left out, and named.
func Texts(text []byte) (any, []Misread, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil || len(document.Content) == 0 {
		return nil, nil, err
	}
	var r texts
	value := r.of(document.Content[0])
	return value, r, nil
}

type texts []Misread

func (r *texts) add(n *yaml.Node, format string, args ...any) {
	*r = append(*r, Misread{n.Line, fmt.Sprintf(format, args...)})
}

func (r *texts) of(n *yaml.Node) any {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.add(n, "anchors and aliases (& and *) are not read; write the value where it belongs, in quotes if it begins so")
		return nil
	case n.Style&yaml.TaggedStyle != 0:
		r.add(n, "%s: what begins with ! is not read; write the value alone, in quotes if it begins so", n.Tag)
		return nil
	}
	switch n.Kind {
	case yaml.SequenceNode:
		items := []any{}
		for _, item := range n.Content {
			if item.Kind == yaml.ScalarNode && item.Tag == "!!null" {
				r.add(item, "an entry of a list without a value; write one, or take the entry out")
			}
			items = append(items, r.of(item))
		}
		return items
	case yaml.MappingNode:
		return r.mapping(n)
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return nil
		}
		r.quotes(n)
		return n.Value
	}
	return nil
}

func (r *texts) mapping(n *yaml.Node) any {
	values, lines := map[string]any{}, map[string]int{}
	for pair := range slices.Chunk(n.Content, 2) {
		key, value := pair[0], pair[1]
		first, twice := lines[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "<<" || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0:
			r.add(key, "a key that is no plain word (<<, ?, &, * and ! are not read); write each key with its value where it belongs")
		case twice:
			r.add(key, "%q stands there twice, first on line %d; keep one", key.Value, first)
		default:
			r.quotes(key)
			lines[key.Value], values[key.Value] = key.Line, r.of(value)
		}
	}
	return values
}

// quotes names those that word processors write, where a value begins with one: to YAML they are letters of it.
func (r *texts) quotes(n *yaml.Node) {
	if n.Style == 0 && strings.TrimLeft(n.Value, "“”„‟«»‘’‚‹›") != n.Value {
		r.add(n, "%s: this quote is a letter to YAML; write \" or ', or put all of it in those where it is meant", n.Value)
	}
}
