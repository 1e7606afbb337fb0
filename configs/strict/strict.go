// Package strict reads a YAML file that a person wrote: every key has to be known, and all faults are named at once, each
// with its line and key.
package strict

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Faults gathers everything wrong with a file, so that one reading names it all.
type Faults struct {
	Prefix string // of every error, such as the package and its colon
	File   string
	errs   []error
}

// Add notes a fault at a line; 0 is none.
func (f *Faults) Add(line int, key, format string, args ...any) {
	where := f.File
	if line > 0 {
		where += ":" + strconv.Itoa(line)
	}
	if key != "" {
		where += ": " + key
	}
	f.errs = append(f.errs, fmt.Errorf("%s%s: %s", f.Prefix, where, fmt.Sprintf(format, args...)))
}

// Err joins all faults; nil where there are none.
func (f *Faults) Err() error { return errors.Join(f.errs...) }

// Value is a node of the file with the path to it. A value without a node is absent: its absence is already a fault, or
// allowed, and reading it gives zero.
type Value struct {
	node   *yaml.Node
	path   string
	faults *Faults
}

// Parse reads exactly one YAML document of at most limit bytes.
func Parse(r io.Reader, limit int64, f *Faults) (Value, bool) {
	limited := &io.LimitedReader{R: r, N: limit + 1}
	root, ok := parse(limited, f)
	if limited.N == 0 {
		f.errs = nil
		f.Add(0, "", "larger than %d bytes", limit)
		return Value{}, false
	}
	return root, ok
}

func parse(r io.Reader, f *Faults) (Value, bool) {
	decoder := yaml.NewDecoder(r)
	var document, more yaml.Node
	if err := decoder.Decode(&document); err != nil {
		f.Add(0, "", "not readable as YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return Value{}, false
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		f.Add(more.Line, "", "more than one YAML document; keep one")
		return Value{}, false
	}
	return Value{node: document.Content[0], faults: f}, true
}

// Present reports whether v is there.
func (v Value) Present() bool { return v.node != nil }

// Fault notes what is wrong with v.
func (v Value) Fault(format string, args ...any) {
	line := 0
	if v.node != nil {
		line = v.node.Line
	}
	v.faults.Add(line, v.path, format, args...)
}

// Fields is a mapping of which each key is taken once; Done names the rest.
type Fields struct {
	Value
	entries map[string]Value
	order   []string
	taken   map[string]bool
}

// Fields reads v as a mapping.
func (v Value) Fields() *Fields {
	f := &Fields{Value: v, entries: map[string]Value{}, taken: map[string]bool{}}
	if !v.Present() {
		return f
	}
	if v.node.Kind != yaml.MappingNode {
		v.Fault("must be a mapping of keys to values")
		f.node = nil // its keys are not missing as well
		return f
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, content := v.node.Content[i], v.node.Content[i+1]
		entry := Value{node: content, path: join(v.path, key.Value), faults: v.faults}
		if _, twice := f.entries[key.Value]; twice {
			v.faults.Add(key.Line, entry.path, "given twice")
			continue
		}
		f.entries[key.Value] = entry
		f.order = append(f.order, key.Value)
	}
	return f
}

// Required takes a key that must be there.
func (f *Fields) Required(key string) Value {
	entry := f.Optional(key)
	if !entry.Present() && f.Present() {
		f.faults.Add(f.node.Line, join(f.path, key), "missing")
	}
	return entry
}

// Optional takes a key that may be there.
func (f *Fields) Optional(key string) Value {
	f.taken[key] = true
	if entry, ok := f.entries[key]; ok {
		return entry
	}
	return Value{path: join(f.path, key), faults: f.faults}
}

// Done names the keys that nobody took.
func (f *Fields) Done() {
	for _, key := range f.order {
		if !f.taken[key] {
			f.entries[key].Fault("unknown key; known here are %s", strings.Join(known(f.taken), ", "))
		}
	}
}

func known(taken map[string]bool) []string {
	keys := make([]string, 0, len(taken))
	for key := range taken {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// List reads v as a list.
func (v Value) List() []Value {
	if !v.Present() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.Fault("must be a list")
		return nil
	}
	items := make([]Value, len(v.node.Content))
	for i, content := range v.node.Content {
		items[i] = Value{node: content, path: fmt.Sprintf("%s[%d]", v.path, i), faults: v.faults}
	}
	return items
}

// Length reports whether v is a list of n; anything else is a fault.
func (v Value) Length(n int) bool {
	if !v.Present() {
		return false
	}
	before := len(v.faults.errs)
	items := v.List()
	if len(v.faults.errs) == before && len(items) != n {
		v.Fault("has %d values; must have %d", len(items), n)
	}
	return len(items) == n
}

// Paragraphs reads a text of several lines.
func (v Value) Paragraphs(maxLength int) string {
	if !v.Present() {
		return ""
	}
	switch s := v.node.Value; {
	case v.node.Kind != yaml.ScalarNode || v.node.Tag == "!!null":
		v.Fault("must be a text")
	case len(s) > maxLength:
		v.Fault("is %d bytes long; at most %d are allowed", len(s), maxLength)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }):
		v.Fault("must not hold control characters")
	default:
		return strings.TrimRight(s, "\n ")
	}
	return ""
}

// Keys are those of a mapping, in their order; Required or Optional still has to take each.
func (f *Fields) Keys() []string { return f.order }

// Text reads a scalar as it is written, so that a code of digits needs no quotes.
func (v Value) Text(maxLength int) string {
	if !v.Present() {
		return ""
	}
	switch s := v.node.Value; {
	case v.node.Kind != yaml.ScalarNode || v.node.Tag == "!!null":
		v.Fault("must be a text")
	case strings.TrimSpace(s) == "":
		v.Fault("must not be empty")
	case len(s) > maxLength:
		v.Fault("is %d bytes long; at most %d are allowed", len(s), maxLength)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }):
		v.Fault("must not hold control characters or backslashes") // both have a meaning of their own in DICOM, PS3.5 6.1.2.3
	default:
		return s
	}
	return ""
}

// OneOf reads one of the allowed values.
func OneOf[T ~string](v Value, allowed ...T) T {
	if !v.Present() {
		return ""
	}
	if v.node.Kind == yaml.ScalarNode && slices.Contains(allowed, T(v.node.Value)) {
		return T(v.node.Value)
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	v.Fault("is %s; must be one of %s", v.shown(), strings.Join(names, ", "))
	return ""
}

func (v Value) shown() string {
	if v.node.Kind != yaml.ScalarNode {
		return "not a single value"
	}
	return strconv.Quote(v.node.Value[:min(len(v.node.Value), 64)])
}

// Integer reads a whole number from low to high.
func (v Value) Integer(low, high int) int {
	if !v.Present() {
		return 0
	}
	n, err := strconv.Atoi(v.node.Value)
	if v.node.Kind != yaml.ScalarNode || err != nil || n < low || n > high {
		v.Fault("is %s; must be a whole number from %d to %d", v.shown(), low, high)
		return 0
	}
	return n
}

// Number reads a number from low to high.
func (v Value) Number(low, high float64) float64 {
	if !v.Present() {
		return 0
	}
	x, err := strconv.ParseFloat(v.node.Value, 64)
	if v.node.Kind != yaml.ScalarNode || err != nil || !(x >= low && x <= high) {
		v.Fault("is %s; must be a number from %g to %g", v.shown(), low, high)
		return 0
	}
	return x
}

// Above reads a number from the half-open interval (low, high].
func (v Value) Above(low, high float64) float64 {
	x := v.Number(math.Inf(-1), math.Inf(1))
	if v.Present() && !(x > low && x <= high) {
		v.Fault("is %s; must be more than %g and at most %g", v.shown(), low, high)
		return 0
	}
	return x
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
