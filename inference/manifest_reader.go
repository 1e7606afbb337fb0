package inference

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

// faults gathers everything wrong with a manifest, so that one reading names it all.
type faults struct {
	file string
	errs []error
}

func (f *faults) add(line int, key, format string, args ...any) {
	where := f.file
	if line > 0 {
		where += ":" + strconv.Itoa(line)
	}
	if key != "" {
		where += ": " + key
	}
	f.errs = append(f.errs, fmt.Errorf("inference: %s: %s", where, fmt.Sprintf(format, args...)))
}

func (f *faults) err() error { return errors.Join(f.errs...) }

// value is a node of the manifest with the path to it. A value without a node
// is absent: its absence is already a fault, or allowed, and reading it gives zero.
type value struct {
	node   *yaml.Node
	path   string
	faults *faults
}

// parseManifest reads exactly one YAML document.
func parseManifest(r io.Reader, f *faults) (value, bool) {
	decoder := yaml.NewDecoder(r)
	var document, more yaml.Node
	if err := decoder.Decode(&document); err != nil {
		f.add(0, "", "not readable as YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return value{}, false
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		f.add(more.Line, "", "more than one YAML document; keep one")
		return value{}, false
	}
	return value{node: document.Content[0], faults: f}, true
}

func (v value) present() bool { return v.node != nil }

func (v value) fault(format string, args ...any) {
	line := 0
	if v.node != nil {
		line = v.node.Line
	}
	v.faults.add(line, v.path, format, args...)
}

// fields is a mapping of which each key is taken once; done names the rest.
type fields struct {
	value
	entries map[string]value
	order   []string
	taken   map[string]bool
}

func (v value) fields() *fields {
	f := &fields{value: v, entries: map[string]value{}, taken: map[string]bool{}}
	if !v.present() {
		return f
	}
	if v.node.Kind != yaml.MappingNode {
		v.fault("must be a mapping of keys to values")
		f.node = nil // its keys are not missing as well
		return f
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, content := v.node.Content[i], v.node.Content[i+1]
		entry := value{node: content, path: join(v.path, key.Value), faults: v.faults}
		if _, twice := f.entries[key.Value]; twice {
			v.faults.add(key.Line, entry.path, "given twice")
			continue
		}
		f.entries[key.Value] = entry
		f.order = append(f.order, key.Value)
	}
	return f
}

// required takes a key that must be there.
func (f *fields) required(key string) value {
	entry := f.optional(key)
	if !entry.present() && f.present() {
		f.faults.add(f.node.Line, join(f.path, key), "missing")
	}
	return entry
}

func (f *fields) optional(key string) value {
	f.taken[key] = true
	if entry, ok := f.entries[key]; ok {
		return entry
	}
	return value{path: join(f.path, key), faults: f.faults}
}

// done names the keys that nobody took.
func (f *fields) done() {
	for _, key := range f.order {
		if !f.taken[key] {
			f.entries[key].fault("unknown key; known here are %s", strings.Join(known(f.taken), ", "))
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

func (v value) list() []value {
	if !v.present() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.fault("must be a list")
		return nil
	}
	items := make([]value, len(v.node.Content))
	for i, content := range v.node.Content {
		items[i] = value{node: content, path: fmt.Sprintf("%s[%d]", v.path, i), faults: v.faults}
	}
	return items
}

// text reads a scalar as it is written, so that a code of digits needs no quotes.
func (v value) text(maxLength int) string {
	if !v.present() {
		return ""
	}
	switch s := v.node.Value; {
	case v.node.Kind != yaml.ScalarNode || v.node.Tag == "!!null":
		v.fault("must be a text")
	case strings.TrimSpace(s) == "":
		v.fault("must not be empty")
	case len(s) > maxLength:
		v.fault("is %d bytes long; at most %d are allowed", len(s), maxLength)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }):
		v.fault("must not hold control characters or backslashes") // both have a meaning of their own in DICOM, PS3.5 6.1.2.3
	default:
		return s
	}
	return ""
}

func oneOf[T ~string](v value, allowed ...T) T {
	if !v.present() {
		return ""
	}
	if v.node.Kind == yaml.ScalarNode && slices.Contains(allowed, T(v.node.Value)) {
		return T(v.node.Value)
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	v.fault("is %s; must be one of %s", v.shown(), strings.Join(names, ", "))
	return ""
}

func (v value) shown() string {
	if v.node.Kind != yaml.ScalarNode {
		return "not a single value"
	}
	return strconv.Quote(v.node.Value[:min(len(v.node.Value), 64)])
}

func (v value) integer(low, high int) int {
	if !v.present() {
		return 0
	}
	n, err := strconv.Atoi(v.node.Value)
	if v.node.Kind != yaml.ScalarNode || err != nil || n < low || n > high {
		v.fault("is %s; must be a whole number from %d to %d", v.shown(), low, high)
		return 0
	}
	return n
}

func (v value) number(low, high float64) float64 {
	if !v.present() {
		return 0
	}
	x, err := strconv.ParseFloat(v.node.Value, 64)
	if v.node.Kind != yaml.ScalarNode || err != nil || !(x >= low && x <= high) {
		v.fault("is %s; must be a number from %g to %g", v.shown(), low, high)
		return 0
	}
	return x
}

// above reads a number from the half-open interval (low, high].
func (v value) above(low, high float64) float64 {
	x := v.number(math.Inf(-1), math.Inf(1))
	if v.present() && !(x > low && x <= high) {
		v.fault("is %s; must be more than %g and at most %g", v.shown(), low, high)
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
