package hl7

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// State tells apart what Get gives as the empty string.
type State int

// The states of a value (HL7 2.5.1 2.5.3): what is absent or empty is left as it is known, what is null is removed.
const (
	Absent State = iota // the message ends before it
	Empty               // nothing between two delimiters
	Null                // "": the value is removed
	Present
)

// maxIndex bounds the numbers of a path.
const maxIndex = 9999

// all is the index * of a path.
const all = -1

// Path is the place of a value: OBR-18.1, PID-3[2].4, OBX[3]-5, PID-3[*].4.1; in a segment 18.1, in a repetition 4.1.
// Numbers count from 1.
type Path struct {
	segment                                                string
	occurrence, field, repetition, component, subcomponent int // 0: not stated
}

// ParsePath reads a path with a segment's name.
func ParsePath(s string) (Path, error) {
	name, rest, ok := strings.Cut(s, "-")
	if !ok {
		return Path{}, badPath(s)
	}
	p, err := parseIn(rest)
	if err != nil {
		return Path{}, badPath(s)
	}
	p.segment, p.occurrence, err = indexed(name)
	if err != nil || len(p.segment) != 3 || !isLetter(name[0]) {
		return Path{}, badPath(s)
	}
	return p, nil
}

// parseIn reads a path within a segment.
func parseIn(s string) (Path, error) {
	parts := strings.Split(s, ".")
	if len(parts) > 3 {
		return Path{}, badPath(s)
	}
	number, repetition, err := indexed(parts[0])
	p := Path{repetition: repetition}
	for i, to := range []*int{&p.field, &p.component, &p.subcomponent}[:len(parts)] {
		text := parts[i]
		if i == 0 {
			text = number
		}
		if *to = index(text); *to < 1 {
			err = badPath(s)
		}
	}
	return p, err
}

// indexed splits name[3] and name[*].
func indexed(s string) (name string, n int, err error) {
	name, rest, ok := strings.Cut(s, "[")
	if !ok {
		return name, 0, nil
	}
	rest, closed := strings.CutSuffix(rest, "]")
	switch n = index(rest); {
	case rest == "*":
		n = all
	case n < 1:
		closed = false
	}
	if !closed {
		return "", 0, badPath(s)
	}
	return name, n, nil
}

func index(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n > maxIndex || strings.HasPrefix(s, "+") {
		return 0
	}
	return n
}

func badPath(s string) error {
	return fmt.Errorf("hl7: %q is no path: one is like OBR-18.1, PID-3[2].4 or OBX[3]-5", s)
}

func must(p Path, err error) Path {
	if err != nil {
		panic(err)
	}
	return p
}

// leaf is p with the first of what it leaves open below the repetition.
func (p Path) leaf() Path {
	p.component, p.subcomponent = max(p.component, 1), max(p.subcomponent, 1)
	return p
}

// Get returns the text at path, decoded: the first repetition, component and subcomponent where it does not say which,
// and nothing where there is none or it is null. It panics where path is none; ParsePath checks those that people write.
func (m *Message) Get(path string) string {
	v, _ := m.Lookup(path)
	return v
}

// Lookup is Get and what the empty string means.
func (m *Message) Lookup(path string) (string, State) {
	p := must(ParsePath(path))
	for s := range m.named(p) {
		return s.lookup(p)
	}
	return "", Absent
}

// All returns the texts at every place that a path with * means, empty ones too.
func (m *Message) All(path string) []string {
	p := must(ParsePath(path))
	var out []string
	for s := range m.named(p) {
		out = append(out, s.all(p)...)
	}
	return out
}

// Raw returns all that a path means as it stands in the message, delimiters and escapes included, in UTF-8.
func (m *Message) Raw(path string) string {
	p := must(ParsePath(path))
	for s := range m.named(p) {
		b, _ := s.find(p)
		text, _ := m.charset.decode(b)
		return text
	}
	return ""
}

// Segment returns the first segment of a name, nil where there is none. A nil Segment has no values.
func (m *Message) Segment(name string) *Segment {
	for _, s := range m.segments {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// named goes through the segments that a path means.
func (m *Message) named(p Path) iter.Seq[*Segment] {
	return func(yield func(*Segment) bool) {
		n := 0
		for _, s := range m.segments {
			if s.Name != p.segment {
				continue
			}
			n++
			if (p.occurrence == all || n == max(p.occurrence, 1)) && !yield(s) {
				return
			}
		}
	}
}

// Get is Message's, by a path in the segment: 18.1, 3[2].4.
func (s *Segment) Get(path string) string {
	v, _ := s.Lookup(path)
	return v
}

// Lookup is Message's, by a path in the segment.
func (s *Segment) Lookup(path string) (string, State) { return s.lookup(must(parseIn(path))) }

// All is Message's, by a path in the segment.
func (s *Segment) All(path string) []string { return s.all(must(parseIn(path))) }

// Repetitions returns those of a field; an absent or empty field has none.
func (s *Segment) Repetitions(field int) []Repetition {
	b, _ := s.field(field)
	return s.split(field, b)
}

// split returns the repetitions in b, the field n.
func (s *Segment) split(n int, b []byte) []Repetition {
	if len(b) == 0 {
		return nil
	}
	sep := s.m.Delimiters.Repetition
	if s.header() && n <= 2 {
		sep = 0
	}
	var out []Repetition
	for part := range s.m.parts(b, sep) {
		out = append(out, Repetition{m: s.m, raw: part})
	}
	return out
}

// Repetition is one repetition of a field. It is valid as long as nothing is set in its segment.
type Repetition struct {
	m   *Message
	raw []byte
}

// Get is Message's, by a path in the repetition: 4, 4.1.
func (r Repetition) Get(path string) string {
	v, _ := r.Lookup(path)
	return v
}

// Lookup is Message's, by a path in the repetition.
func (r Repetition) Lookup(path string) (string, State) {
	return r.lookup(must(parseIn("1." + path)))
}

func (r Repetition) lookup(p Path) (string, State) {
	return r.m.value(r.m.inRepetition(r.raw, p.leaf()))
}

func (s *Segment) all(p Path) []string {
	if p.repetition != all {
		v, state := s.lookup(p)
		if state == Absent {
			return nil
		}
		return []string{v}
	}
	var out []string
	for _, r := range s.Repetitions(p.field) {
		v, _ := r.lookup(p)
		out = append(out, v)
	}
	return out
}

func (s *Segment) lookup(p Path) (string, State) {
	if s == nil {
		return "", Absent
	}
	if s.header() && p.field <= 2 {
		b, ok := s.field(p.field)
		if !ok {
			return "", Absent
		}
		return string(b), Present
	}
	return s.m.value(s.find(p.leaf()))
}

// value decodes one part.
func (m *Message) value(b []byte, ok bool) (string, State) {
	switch {
	case !ok:
		return "", Absent
	case len(b) == 0:
		return "", Empty
	case string(b) == `""`:
		return "", Null
	}
	return m.unescape(b), Present
}

// find returns all that p means of the segment, of the first repetition where it asks for a component.
func (s *Segment) find(p Path) ([]byte, bool) {
	b, ok := s.field(p.field)
	if !ok || s.header() && p.field <= 2 {
		return b, ok
	}
	if p.repetition == 0 && p.component == 0 {
		return b, true
	}
	if b, ok = s.m.part(b, s.m.Delimiters.Repetition, max(p.repetition, 1)); !ok {
		return nil, false
	}
	return s.m.inRepetition(b, p)
}

// inRepetition goes down to the component and subcomponent of p. What is null is so in all its parts.
func (m *Message) inRepetition(b []byte, p Path) ([]byte, bool) {
	for _, level := range []struct {
		sep byte
		n   int
	}{{m.Delimiters.Component, p.component}, {m.Delimiters.Subcomponent, p.subcomponent}} {
		if level.n == 0 || string(b) == `""` {
			return b, true
		}
		var ok bool
		if b, ok = m.part(b, level.sep, level.n); !ok {
			return nil, false
		}
	}
	return b, true
}

// header reports whether the segment's first field is the field separator.
func (s *Segment) header() bool { return isHeader(s.Name) }

// field returns field n as it stands; of a header 1 is the separator and 2 the other delimiters.
func (s *Segment) field(n int) ([]byte, bool) {
	switch {
	case s == nil:
		return nil, false
	case s.header() && n == 1:
		return s.raw[3:min(4, len(s.raw))], len(s.raw) > 3
	case s.header():
		n--
	}
	return s.m.part(s.raw, s.m.Delimiters.Field, n+1)
}

// fields goes through the fields with their numbers; of a header the separator is the first.
func (s *Segment) fields() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		n := 0
		if s.header() {
			n = 1
		}
		for b := range s.m.parts(s.raw, s.m.Delimiters.Field) {
			if n == 1 && s.header() {
				b = []byte{s.m.Delimiters.Field}
			}
			if n > 0 && !yield(n, b) {
				return
			}
			n++
		}
	}
}

// parts goes through what sep separates; sep 0 separates nothing.
func (m *Message) parts(b []byte, sep byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			i := -1
			if sep != 0 {
				i = m.charset.index(b, sep)
			}
			if i < 0 {
				yield(b)
				return
			}
			if !yield(b[:i:i]) {
				return
			}
			b = b[i+1:]
		}
	}
}

// leaves goes through what the separators, the outermost first, separate.
func (m *Message) leaves(b []byte, seps ...byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for p := range m.parts(b, seps[0]) {
			if len(seps) == 1 {
				if !yield(p) {
					return
				}
				continue
			}
			for leaf := range m.leaves(p, seps[1:]...) {
				if !yield(leaf) {
					return
				}
			}
		}
	}
}

// part returns the n-th part, from 1.
func (m *Message) part(b []byte, sep byte, n int) ([]byte, bool) {
	for p := range m.parts(b, sep) {
		if n--; n == 0 {
			return p, true
		}
	}
	return nil, false
}
