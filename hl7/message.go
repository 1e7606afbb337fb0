package hl7

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Delimiters separate the parts of a message (HL7 2.5.1 2.5.4). Zero is one that the message does not have.
type Delimiters struct{ Field, Component, Repetition, Escape, Subcomponent, Truncation byte }

// Recommended are the delimiters that the standard suggests.
var Recommended = Delimiters{Field: '|', Component: '^', Repetition: '~', Escape: '\\', Subcomponent: '&'}

// Options are the limits of Parse and what is known of the sender. The zero value has the usual limits.
type Options struct {
	Charset     string // what the sender's text is where MSH-18 does not say it or is known to be wrong
	MaxBytes    int    // of a message: 20 MiB unless set
	MaxSegments int    // 10,000 unless set
	MaxParts    int    // fields, repetitions, components and subcomponents of a message: 1,000,000 unless set
}

// Message is an HL7 message. It is not safe for use by several goroutines while one of them sets values.
type Message struct {
	Delimiters Delimiters
	charset    charset
	prefix     []byte // in front of the header: byte order mark, blank lines
	segments   []*Segment
}

// Segment is a line of a message. It is valid as long as its message.
type Segment struct {
	Name string
	m    *Message
	raw  []byte
	end  []byte // as it was read; blank lines belong to the segment before them
}

// Segments returns the segments in order.
func (m *Message) Segments() []*Segment { return m.segments }

// Bytes returns the message as it is sent, without a frame. What was read and not set is as it was.
func (m *Message) Bytes() []byte {
	out := slices.Clone(m.prefix)
	for _, s := range m.segments {
		out = append(append(out, s.raw...), s.end...)
	}
	return out
}

// Parse reads a message. It keeps b, which must not be changed afterwards. Segment ends may be CR, LF or both, lines may
// be blank and the last end may be missing. With an error the message is nil where no header could be read, else what
// could be, for the answer, and text of it that cannot be decoded has ? for it; the error is ErrNoMessage or an *Error.
func Parse(b []byte, o Options) (*Message, error) {
	if limit := or(o.MaxBytes, 20<<20); len(b) > limit {
		return nil, &Error{Code: ApplicationInternal, Text: fmt.Sprintf("the message has more than %d bytes", limit)}
	}
	m := &Message{}
	start := len(b) - len(bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")), "\r\n\t "))
	m.prefix = b[:start]
	var err error
	if m.Delimiters, err = readDelimiters(b[start:]); err != nil {
		return nil, err
	}
	if err := m.split(b[start:], or(o.MaxSegments, 10_000)); err != nil {
		return m, err
	}
	if m.segments[0].Name != "MSH" {
		return m, ErrBatch
	}
	if err := m.count(or(o.MaxParts, 1_000_000)); err != nil {
		return m, err
	}
	return m, m.findCharset(o.Charset)
}

func or(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// readDelimiters reads the beginning of a header (HL7 2.5.1 2.5.4): MSH-1 and MSH-2.
func readDelimiters(b []byte) (Delimiters, error) {
	if len(b) < 5 || !isHeader(string(b[:3])) || !isDelimiter(b[3]) {
		return Delimiters{}, ErrNoMessage
	}
	d := Delimiters{Field: b[3]}
	line, _, _ := bytes.Cut(b[4:], []byte{'\r'})
	line, _, _ = bytes.Cut(line, []byte{'\n'})
	encoding, _, _ := bytes.Cut(line, []byte{d.Field})
	places := []*byte{&d.Component, &d.Repetition, &d.Escape, &d.Subcomponent, &d.Truncation}
	if string(encoding) == "^~&" { // the usual ones less the escape character
		places = []*byte{&d.Component, &d.Repetition, &d.Subcomponent}
	}
	seen := []byte{d.Field}
	for i, c := range encoding {
		if i >= len(places) || !isDelimiter(c) || slices.Contains(seen, c) {
			return Delimiters{}, ErrNoMessage
		}
		*places[i], seen = c, append(seen, c)
	}
	if d.Component == 0 {
		return Delimiters{}, ErrNoMessage
	}
	return d, nil
}

// isDelimiter reports whether c can be one: printable, and nothing that names, numbers and dates are made of.
func isDelimiter(c byte) bool {
	return c > ' ' && c < 0x7F && !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z')
}

func isHeader(name string) bool { return name == "MSH" || name == "BHS" || name == "FHS" }

// split finds the segments.
func (m *Message) split(b []byte, limit int) error {
	for len(b) > 0 {
		if !m.beginsSegment(b) {
			return &Error{Code: SegmentSequence, Text: fmt.Sprintf("line %d is no segment: it has no name of three letters and digits", len(m.segments)+1)}
		}
		if len(m.segments) == limit {
			return &Error{Code: ApplicationInternal, Text: fmt.Sprintf("the message has more than %d segments", limit)}
		}
		n := m.lineLength(b)
		s := &Segment{Name: string(b[:3]), m: m, raw: b[:n:n]}
		if s.Name == "MSH" && len(m.segments) > 0 && m.segments[0].Name == "MSH" {
			return &Error{Code: SegmentSequence, Path: "MSH[2]", Text: "a second message in one frame: send each in a frame of its own"}
		}
		end := len(b) - len(bytes.TrimLeft(b[n:], "\r\n"))
		s.end, b = b[n:end:end], b[end:]
		m.segments = append(m.segments, s)
	}
	return nil
}

// lineLength returns where the segment at the beginning of b ends: before a CR, or before an LF that is followed by
// another segment's name and separator or by nothing, or ends a header. Other LFs belong to the text of senders that do not escape them.
func (m *Message) lineLength(b []byte) int {
	for i := 0; ; {
		k := bytes.IndexAny(b[i:], "\r\n")
		if k < 0 {
			return len(b)
		}
		i += k
		rest := bytes.TrimLeft(b[i:], "\r\n")
		ends := b[i : len(b)-len(rest)]
		if len(rest) == 0 || isHeader(string(b[:3])) || bytes.IndexByte(ends, '\r') >= 0 || m.beginsSegment(rest) && len(rest) > 3 && rest[3] == m.Delimiters.Field {
			return i
		}
		i += len(ends)
	}
}

// beginsSegment reports whether b begins with a segment's name and a field separator or a line's end.
func (m *Message) beginsSegment(b []byte) bool {
	if len(b) < 3 || !isLetter(b[0]) || !isLetter(b[1]) && !isDigit(b[1]) || !isLetter(b[2]) && !isDigit(b[2]) {
		return false
	}
	return len(b) == 3 || b[3] == m.Delimiters.Field || b[3] == '\r' || b[3] == '\n'
}

func isLetter(c byte) bool { return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// count bounds the parts, which cost far more memory as parts than as bytes.
func (m *Message) count(limit int) error {
	d, n := m.Delimiters, 0
	for _, s := range m.segments {
		for _, sep := range []byte{d.Field, d.Repetition, d.Component, d.Subcomponent} {
			if sep != 0 {
				n += bytes.Count(s.raw, []byte{sep})
			}
		}
		if bytes.IndexByte(s.raw, 0) >= 0 {
			return &Error{Code: DataType, Path: s.Name, Text: "a byte 00: no text of a character set that this gateway reads (UTF-16 is none of them)"}
		}
	}
	if n > limit {
		return &Error{Code: ApplicationInternal, Text: fmt.Sprintf("the message has more than %d fields and components", limit)}
	}
	return nil
}

// findCharset decides what the bytes mean: the first set that all of them are of.
func (m *Message) findCharset(configured string) error {
	stated := func() (names []string) {
		for _, r := range m.segments[0].Repetitions(18) {
			names = append(names, r.Get("1"))
		}
		return names
	}
	names := stated()
	declared, known := charsetOf(names)
	own, ok := charsetOf([]string{configured})
	if !ok {
		return &Error{Code: ApplicationInternal, Text: "the character set configured for the sender is none that this gateway knows"}
	}
	var fault error
	for _, c := range m.candidates(declared, known, own, strings.TrimSpace(configured) != "") {
		m.charset = c
		if fault = m.decodable(); fault == nil && !slices.Equal(stated(), names) {
			fault = &Error{Code: DataType, Path: "MSH", Text: "a separator is part of a character of the set that MSH-18 states, so that it is not the one behind it: send whole characters"}
		}
		if fault == nil {
			return nil
		}
	}
	m.charset = charset{}
	if !known {
		return &Error{Code: TableValueNotFound, Path: "MSH-18", Text: "a character set that this gateway does not know: send UNICODE UTF-8, or configure the sender's"}
	}
	return fault
}

// candidates are the sets that a message may be of, the surest first: what the text shows by itself, as nothing but UTF-8 is
// valid as such by chance, and escape sequences say their set; then what a person has configured, and what the sender states.
func (m *Message) candidates(declared charset, known bool, own charset, configured bool) (all []charset) {
	beyond, escapes := false, false
	for _, s := range m.segments {
		beyond = beyond || !isASCII(s.raw)
		escapes = escapes || bytes.IndexByte(s.raw, asciiEscape) >= 0
	}
	unsaid := known && declared.isASCII()
	if beyond && (unsaid || declared.utf8) {
		all = append(all, utf8Charset)
	}
	switch {
	case escapes && unsaid:
		all = append(all, charset{extended: "ISO 2022 IR 6"})
	case escapes && declared.extended != "":
		all = append(all, declared)
	}
	switch {
	case configured:
		all = append(all, own)
	case known && !unsaid:
		all = append(all, declared)
	}
	if !beyond && (unsaid || !known) {
		all = append(all, charset{})
	}
	return all
}

const asciiEscape = 0x1B

// decodable finds the first text that is not of the message's character set.
func (m *Message) decodable() error {
	d := m.Delimiters
	for _, s := range m.segments {
		if isASCII(s.raw) && bytes.IndexByte(s.raw, asciiEscape) < 0 {
			continue
		}
		for n, field := range s.fields() {
			for text := range m.leaves(field, d.Repetition, d.Component, d.Subcomponent) {
				if _, ok := m.charset.decode(text); !ok {
					return &Error{Code: DataType, Path: fmt.Sprintf("%s-%d", s.Name, n), Text: "text of another character set than MSH-18 states (nothing there is ASCII): " +
						"state UNICODE UTF-8 and send it, or configure the sender's character set"}
				}
			}
		}
	}
	return nil
}
