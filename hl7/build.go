package hl7

import (
	"bytes"
	"fmt"
)

// New returns a message that has a header and nothing else in it, for text of a character set of table 0211; Set and Add
// fill it.
func New(d Delimiters, charset string) (*Message, error) {
	c, ok := charsetOf([]string{charset})
	if !ok {
		return nil, fmt.Errorf("hl7: %q is no character set of table 0211", charset)
	}
	raw := []byte{'M', 'S', 'H', d.Field}
	for _, b := range []byte{d.Component, d.Repetition, d.Escape, d.Subcomponent, d.Truncation} {
		if b != 0 {
			raw = append(raw, b)
		}
	}
	if got, err := readDelimiters(raw); err != nil || got != d {
		return nil, fmt.Errorf("hl7: delimiters that cannot be told apart")
	}
	m := &Message{Delimiters: d, charset: c}
	m.segments = []*Segment{{Name: "MSH", m: m, raw: raw, end: []byte{'\r'}}}
	if charset == "" {
		return m, nil
	}
	return m, m.Set("MSH-18", charset)
}

// Add appends an empty segment. The name is three upper-case letters and digits.
func (m *Message) Add(name string) *Segment {
	if n := len(m.segments); n > 0 && len(m.segments[n-1].end) == 0 {
		m.segments[n-1].end = []byte{'\r'}
	}
	s := &Segment{Name: name, m: m, raw: []byte(name), end: []byte{'\r'}}
	m.segments = append(m.segments, s)
	return s
}

// Set makes text the value at path, escaped: of all that the path means, so that PID-5 has one repetition and one
// component afterwards. Of a segment that is not there yet the next one is added. MSH-1 and MSH-2 cannot be set. What the
// character set cannot say is an error, and nothing is set.
func (m *Message) Set(path, text string) error {
	b, err := m.escape(text)
	if err != nil {
		return fmt.Errorf("%w (%s)", err, path)
	}
	return m.set(path, b)
}

func (m *Message) set(path string, b []byte) error {
	p, err := ParsePath(path)
	if err != nil {
		return err
	}
	for s := range m.named(p) {
		return s.set(p, b)
	}
	n := 0
	for _, s := range m.segments {
		if s.Name == p.segment {
			n++
		}
	}
	if isHeader(p.segment) || p.occurrence > n+1 {
		return fmt.Errorf("hl7: %s: the message has only %d of these segments", path, n)
	}
	s := &Segment{Name: p.segment, m: m, raw: []byte(p.segment)}
	if err := s.set(p, b); err != nil {
		return err
	}
	m.Add(p.segment).raw = s.raw
	return nil
}

// Set is Message's, by a path in the segment.
func (s *Segment) Set(path, text string) error {
	b, err := s.m.escape(text)
	if err != nil {
		return fmt.Errorf("%w (%s-%s)", err, s.Name, path)
	}
	p, err := parseIn(path)
	if err != nil {
		return err
	}
	return s.set(p, b)
}

func (s *Segment) set(p Path, b []byte) error {
	d, n := s.m.Delimiters, p.field
	if p.occurrence == all || p.repetition == all {
		return fmt.Errorf("hl7: %s: a value is set at one place, not at *", s.Name)
	}
	if s.header() {
		if n <= 2 {
			return fmt.Errorf("hl7: %s-%d: the delimiters of a message cannot be set", s.Name, n)
		}
		n--
	}
	field, _ := s.m.part(s.raw, d.Field, n+1)
	if p.component > 0 || p.repetition > 0 {
		repetition, _ := s.m.part(field, d.Repetition, max(p.repetition, 1))
		if p.component > 0 {
			component, _ := s.m.part(repetition, d.Component, p.component)
			if p.subcomponent > 0 {
				b = s.m.with(component, d.Subcomponent, p.subcomponent, b)
			}
			b = s.m.with(repetition, d.Component, p.component, b)
		}
		b = s.m.with(field, d.Repetition, max(p.repetition, 1), b)
	}
	if b == nil {
		return fmt.Errorf("hl7: %s-%d: the message has no delimiter for this part", s.Name, p.field)
	}
	s.raw = s.m.with(s.raw, d.Field, n+1, b)
	return nil
}

// with returns whole with its n-th part replaced; nil where sep, or a delimiter further down, is missing.
func (m *Message) with(whole []byte, sep byte, n int, part []byte) []byte {
	if part == nil || sep == 0 && n > 1 {
		return nil
	}
	if string(whole) == `""` { // null has no parts
		whole = nil
	}
	var parts [][]byte
	for p := range m.parts(whole, sep) {
		parts = append(parts, p)
	}
	for len(parts) < n {
		parts = append(parts, nil)
	}
	parts[n-1] = part
	return append([]byte{}, bytes.Join(parts, []byte{sep})...)
}
