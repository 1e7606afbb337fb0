package hl7

import (
	"fmt"
	"strings"
)

// Escape returns text as it stands in a message, for SetEncoded.
func (m *Message) Escape(text string) (string, error) {
	b, err := m.escape(text)
	return string(b), err
}

// Encoded returns a field as it stands in the message: with its delimiters and escape sequences.
func (s *Segment) Encoded(field int) string {
	b, _ := s.field(field)
	return string(b)
}

// SetEncoded makes text the field as it stands: its delimiters part it, and escape sequences are no text.
func (s *Segment) SetEncoded(field int, text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7F }) || strings.IndexByte(text, s.m.Delimiters.Field) >= 0 {
		return fmt.Errorf("hl7: %s-%d: what is to be set has a control character or ends the field", s.Name, field)
	}
	b, err := s.m.charset.encode(text)
	if err != nil {
		return fmt.Errorf("%w (%s-%d)", err, s.Name, field)
	}
	return s.set(Path{field: field}, b)
}
