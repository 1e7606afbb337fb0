package reading

import (
	"slices"
	"unicode/utf8"
)

// Section is what a part of a report is about.
type Section string

// The sections that differ in what a statement in them means. What is under no heading is the body.
const (
	Body       Section = "findings"
	Indication Section = "indication"
	History    Section = "history"
	Plan       Section = "plan"
	Family     Section = "family"
)

var sections = []Section{Body, Indication, History, Plan, Family}

type heading struct {
	section Section
	kept    bool // its words say what the text after it is of: a site, or preparation
}

// sentence is a stretch of tokens of one section.
type sentence struct {
	tokens  []token
	section Section
}

const (
	maxSentence = 200 // tokens; a longer one is cut, so that the work on a text grows with its length alone
	wrapWidth   = 50  // characters of a line that may have been broken for its length
)

// splitter goes through the tokens of a text once.
type splitter struct {
	l       *Language
	text    string
	tokens  []token
	width   int // of the longest line
	section Section
	last    int // token at which the last heading of the body stands, or -1
	inline  bool
	out     []sentence
	now     []token
}

func (l *Language) split(text string) []sentence {
	s := &splitter{l: l, text: text, tokens: tokenise(text), section: Body, last: -1}
	begin := 0
	for _, t := range s.tokens {
		if t.kind == newline {
			s.width, begin = max(s.width, utf8.RuneCountInString(text[begin:t.start])), t.end
		}
	}
	s.width = max(s.width, utf8.RuneCountInString(text[begin:]))
	for i := range s.tokens {
		if h, _, ok := s.heading(i); ok && h.section == Body && s.startsLine(i) {
			s.last = i
		}
	}
	for i := 0; i < len(s.tokens); {
		i = s.step(i)
	}
	s.end()
	return s.out
}

// step takes the token at i, or a heading that begins there, and returns where to go on.
func (s *splitter) step(i int) int {
	if len(s.now) == 0 {
		if h, next, ok := s.heading(i); ok {
			s.section, s.inline = h.section, next < len(s.tokens) && s.tokens[next].kind != newline
			if h.kept {
				s.now = append(s.now, s.tokens[i:next]...)
			}
			return next
		}
	}
	switch t := s.tokens[i]; {
	case t.kind == newline:
		if t.word == "\n\n" && s.inline && s.section != Body && (!s.headingAhead(i) || s.labelled(i+1)) {
			s.section = Body // its paragraph is over, and no heading follows that would say so, or something of another name does
		}
		if s.breaks(i) {
			s.end()
		}
		return i + 1
	case t.kind == mark && s.closes(i):
		if len(s.now) > 0 {
			s.now = append(s.now, t)
		}
		s.end()
		return i + 1
	case t.kind == mark && t.word == "-" && len(s.now) == 0: // a bullet
		return i + 1
	case t.kind == word && len(s.now) > 0 && s.startsLine(i) && s.labels(i):
		s.end()
		return i
	}
	s.now = append(s.now, s.tokens[i])
	if len(s.now) == maxSentence {
		s.end()
	}
	return i + 1
}

func (s *splitter) end() {
	if len(s.now) > 0 {
		s.out = append(s.out, sentence{s.now, s.section})
		s.now = nil
	}
}

func (s *splitter) startsLine(i int) bool { return i == 0 || s.tokens[i-1].kind == newline }

// heading is one that begins at i: its words, and after them a colon or, where it begins a line, the end of the line or a dash.
func (s *splitter) heading(i int) (heading, int, bool) {
	if s.tokens[i].kind != word {
		return heading{}, 0, false
	}
	end, found := s.l.longest(s.tokens[i:min(len(s.tokens), i+maxPhrase)])
	k := slices.IndexFunc(found, func(m meaning) bool { return m.head != nil })
	if k < 0 {
		return heading{}, 0, false
	}
	next := i + end
	if next == len(s.tokens) {
		return heading{}, 0, false
	}
	h := *found[k].head
	h.kept = slices.ContainsFunc(found, func(m meaning) bool { return m.class != "" || m.site != "" })
	switch t := s.tokens[next]; {
	case t.kind == mark && (t.word == ":" || t.word == "-" && s.startsLine(i)):
		return h, next + 1, true
	case t.kind == newline && s.startsLine(i):
		return h, next, true
	}
	return heading{}, 0, false
}

// headingAhead says whether a heading comes after i, within the distance that a report's history has.
func (s *splitter) headingAhead(i int) bool { return s.last > i }

// labelled says whether a line begins with a name that is no heading, as the next part of a message has.
func (s *splitter) labelled(i int) bool {
	if i >= len(s.tokens) || !s.labels(i) {
		return false
	}
	_, _, known := s.heading(i)
	return !known
}

// labels says whether a line begins with a name of a few words and a colon.
func (s *splitter) labels(i int) bool {
	for n := 0; n < 4 && i+n < len(s.tokens); n++ {
		switch t := s.tokens[i+n]; {
		case t.kind == mark && t.word == ":":
			return n > 0
		case t.kind != word && t.kind != number:
			return false
		}
	}
	return false
}

// breaks says whether the end of a line is the end of a sentence, or the line was broken for its length.
func (s *splitter) breaks(i int) bool {
	t := s.tokens[i]
	if len(s.now) == 0 || t.word == "\n\n" || t.bullet || i+1 == len(s.tokens) || s.tokens[i+1].kind == newline { // after it a line of signs alone, or none
		return true
	}
	last, next := s.now[len(s.now)-1], s.tokens[i+1]
	switch {
	case s.labels(i + 1):
		return true
	case last.kind == mark && (last.word == "," || last.word == "(" || last.word == "/" || last.word == "+") || last.glued && last.kind == word:
		return false
	case last.kind == mark && last.word == ":":
		return false
	case last.kind == word && s.l.joins[last.word]:
		return false
	case next.kind == word && !next.upper, next.kind == mark:
		return false
	}
	begin := i
	for begin > 0 && s.tokens[begin-1].kind != newline {
		begin--
	}
	line := utf8.RuneCountInString(s.text[s.tokens[begin].start:last.end])
	return line < wrapWidth || line+1+utf8.RuneCountInString(s.text[next.start:next.end]) <= s.width
}

// closes says whether a mark ends a sentence.
func (s *splitter) closes(i int) bool {
	t := s.tokens[i]
	next := token{kind: newline}
	if i+1 < len(s.tokens) {
		next = s.tokens[i+1]
	}
	attached := next.kind != newline && next.start == t.end
	switch t.word {
	case "!":
		return true
	case "?":
		apart := i > 0 && s.tokens[i-1].end < t.start // "? polyp" asks for what follows
		return len(s.now) > 0 && !attached && !apart && (next.kind == newline || next.upper && !s.l.answers[next.word])
	case ".":
	default:
		return false
	}
	if len(s.now) == 0 {
		return true
	}
	last := s.now[len(s.now)-1]
	switch {
	case last.end != t.start || next.kind == newline && i+1 == len(s.tokens):
		return true
	case attached && next.kind == word && !next.upper:
		return false
	case last.kind == number:
		return !(attached && next.kind == number) && (next.kind == newline || next.upper || next.kind != word)
	case last.kind != word:
		return true
	case s.l.abbreviations[last.word]:
		return false
	case utf8.RuneCountInString(last.word) == 1: // a letter that stands for a word, and not for a grade
		return len(s.now) > 1 && s.l.grades[s.now[len(s.now)-2].word] || !last.upper && next.kind == newline
	case isRoman(last.word) && s.l.grades[next.word]:
		return false
	}
	return true
}

func isRoman(w string) bool {
	for i := range len(w) {
		if w[i] != 'i' && w[i] != 'v' && w[i] != 'x' {
			return false
		}
	}
	return true
}
