package hl7

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// unescape decodes a value: escape sequences (HL7 2.5.1 2.7) and the character set. Highlighting (\H\, \N\) is left out;
// what is no escape sequence, or one of a site (\Z..\) or of another set (\C..\, \M..\), stays as it is written.
func (m *Message) unescape(b []byte) string {
	if m.Delimiters.Escape == 0 || m.charset.index(b, m.Delimiters.Escape) < 0 {
		text, _ := m.charset.decode(b)
		return text
	}
	if text, ok := m.charset.decode(m.expand(b, true)); ok {
		return text
	}
	text, _ := m.charset.decode(m.expand(b, false)) // \X..\ has other bytes than the set: they stay as written
	return text
}

// expand replaces the escape sequences of b by what they mean, those of bytes only where hexadecimal is true.
func (m *Message) expand(b []byte, hexadecimal bool) []byte {
	var out []byte
	for {
		start := m.charset.index(b, m.Delimiters.Escape)
		length := -1
		if start >= 0 {
			length = m.charset.index(b[start+1:], m.Delimiters.Escape)
		}
		if length < 0 {
			return append(out, b...)
		}
		sequence := string(b[start+1 : start+1+length])
		out = append(out, b[:start]...)
		switch text, ok := m.sequence(sequence, hexadecimal); {
		case ok:
			out, b = append(out, text...), b[start+length+2:]
		case sequence != "" && strings.Contains(".CMXZ", sequence[:1]):
			out, b = append(out, b[start:start+length+2]...), b[start+length+2:]
		default: // a sole escape character that its sender did not escape
			out, b = append(out, b[start]), b[start+1:]
		}
	}
}

// sequence returns what stands for the escape sequence s.
func (m *Message) sequence(s string, hexadecimal bool) (string, bool) {
	if len(s) == 1 {
		d := m.Delimiters
		for i, c := range []byte{d.Field, d.Component, d.Subcomponent, d.Repetition, d.Escape, d.Truncation} {
			if s[0] == "FSTREP"[i] && c != 0 {
				return string(rune(c)), true
			}
		}
	}
	switch {
	case s == "H", s == "N", s == ".fi", s == ".nf":
		return "", true
	case s == ".br", s == ".ce":
		return "\n", true
	case strings.HasPrefix(s, ".sp"):
		return repeated("\n", s[3:])
	case strings.HasPrefix(s, ".sk"):
		return repeated(" ", s[3:])
	case strings.HasPrefix(s, ".in"), strings.HasPrefix(s, ".ti"):
		_, err := strconv.Atoi(s[3:])
		return "", err == nil
	case hexadecimal && len(s) > 1 && s[0] == 'X':
		b, err := hex.DecodeString(s[1:])
		return string(b), err == nil
	}
	return "", false
}

// repeated is for \.sp3\ and \.sk3\.
func repeated(text, count string) (string, bool) {
	n := 1
	if count != "" {
		var err error
		if n, err = strconv.Atoi(count); err != nil || n < 0 || n > 99 {
			return "", false
		}
	}
	return strings.Repeat(text, n), true
}

// errNoEscape is what Set gives where the message has no escape character.
var errNoEscape = errors.New("hl7: the text has a delimiter, and the message no escape character")

// escape is the inverse of unescape.
func (m *Message) escape(text string) ([]byte, error) {
	d := m.Delimiters
	if text == `""` && d.Escape != 0 { // which would mean null
		e := string(rune(d.Escape))
		return []byte(e + "X22" + e + `"`), nil
	}
	var out strings.Builder
	for i := range len(text) {
		c, sequence := text[i], ""
		switch {
		case c == d.Field:
			sequence = "F"
		case c == d.Component:
			sequence = "S"
		case c == d.Subcomponent && c != 0:
			sequence = "T"
		case c == d.Repetition && c != 0:
			sequence = "R"
		case c == d.Escape && c != 0:
			sequence = "E"
		case c == d.Truncation && c != 0:
			sequence = "P"
		case c == '\n':
			sequence = ".br"
		case c < ' ' || c == 0x7F:
			sequence = fmt.Sprintf("X%02X", c)
		default:
			out.WriteByte(c)
			continue
		}
		if d.Escape == 0 {
			return nil, errNoEscape
		}
		out.WriteString(string(rune(d.Escape)) + sequence + string(rune(d.Escape)))
	}
	return m.charset.encode(out.String())
}
