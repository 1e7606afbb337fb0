package reading

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	word    kind = iota // letters, with digits in them or without
	number              // digits, with a decimal part or without
	mark                // punctuation, one sign
	box                 // a check box: word is x where it is ticked
	blank               // ____
	newline             // of a text: word is \n, or \n\n where lines are blank
)

// token is a word or sign of a text.
type token struct {
	kind       kind
	start, end int    // bytes of the text
	word       string // folded: lower case, without accents and possessive s; ae and oe are e, so that spellings agree
	upper      bool   // begins with an upper case letter
	glued      bool   // a hyphen or dot stands between this and the next one
	bullet     bool   // the newline is followed by an item of a list
}

const (
	maxWord   = 64      // bytes of a word that are looked at
	lineBreak = `\.br\` // of HL7 (2.5.1 2.7.6), where it was not decoded
)

// tokenise reads the words and signs of a text. Their spans are in order and do not overlap.
func tokenise(text string) []token {
	tokens := make([]token, 0, len(text)/5)
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		t := token{start: i, end: i + size}
		switch {
		case r == '\n' || r == '\r' || strings.HasPrefix(text[i:], lineBreak):
			t = newlines(text, i)
		case unicode.IsDigit(r):
			t = digits(text, i)
		case unicode.IsLetter(r):
			t = letters(text, i)
		case r == '[' || r == '(' && (strings.HasPrefix(text[i:], "( )") || isTick(text, i)):
			t = boxOrMark(text, i)
		case r == '☐' || r == '□':
			t.kind = box
		case strings.ContainsRune("☑☒✓✔", r):
			t.kind, t.word = box, "x"
		case strings.HasPrefix(text[i:], "__") || strings.HasPrefix(text[i:], "...") || r == '…':
			t.kind = blank
			for t.end < len(text) && (text[t.end] == '_' || text[t.end] == '.') {
				t.end++
			}
		case r == '-' || r == '–' || r == '—' || r == '‐':
			if len(tokens) > 0 && tokens[len(tokens)-1].end == i {
				tokens[len(tokens)-1].glued = true
				i = t.end
				continue
			}
			t.kind, t.word = mark, "-"
		case strings.ContainsRune(",;:.?!()/+=", r):
			t.kind, t.word = mark, string(r)
		default:
			i = t.end
			continue
		}
		tokens, i = append(tokens, t), t.end
	}
	return tokens
}

// newlines reads the ends of lines, and whether an item of a list begins after them.
func newlines(text string, i int) token {
	t := token{kind: newline, start: i, end: i}
	lines, lone := 0, false // CR LF is one
	for t.end < len(text) {
		rest := text[t.end:]
		switch {
		case strings.HasPrefix(rest, lineBreak):
			t.end, lines = t.end+len(lineBreak), lines+1
		case rest[0] == '\n':
			if !lone {
				lines++
			}
			t.end++
		case rest[0] == '\r':
			t.end, lines = t.end+1, lines+1
			lone = true
			continue
		case rest[0] == ' ' || rest[0] == '\t':
			t.end++
		default:
			t.bullet = isItem(rest)
			t.word = strings.Repeat("\n", min(lines, 2))
			return t
		}
		lone = false
	}
	t.word = "\n\n"
	return t
}

// isItem says whether a line begins with -, *, •, 1., 1) or a).
func isItem(line string) bool {
	r, size := utf8.DecodeRuneInString(line)
	if strings.ContainsRune("-*•·–▪", r) {
		return true
	}
	n := 0
	for n < min(3, len(line)) && line[n] >= '0' && line[n] <= '9' {
		n++
	}
	if n == 0 && unicode.IsLetter(r) {
		return strings.HasPrefix(line[size:], ") ")
	}
	return n > 0 && (strings.HasPrefix(line[n:], ". ") || strings.HasPrefix(line[n:], ") "))
}

func digits(text string, i int) token {
	t := token{kind: number, start: i, end: i}
	for t.end < len(text) {
		c := text[t.end]
		decimal := (c == '.' || c == ',') && t.end+1 < len(text) && text[t.end+1] >= '0' && text[t.end+1] <= '9'
		if !decimal && (c < '0' || c > '9') {
			break
		}
		t.end++
	}
	if t.end == i { // digits of another script
		_, size := utf8.DecodeRuneInString(text[i:])
		t.end += size
	}
	t.word = text[i:min(t.end, i+maxWord)]
	return t
}

// letters reads a word. One that is broken at the end of a line is put together again.
func letters(text string, i int) token {
	t := token{kind: word, start: i, end: i}
	first, _ := utf8.DecodeRuneInString(text[i:])
	t.upper = unicode.IsUpper(first)
	var b strings.Builder
	for t.end < len(text) {
		r, size := utf8.DecodeRuneInString(text[t.end:])
		apostrophe := r == '\'' || r == '’' || r == '`' || r == '´'
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r):
			if b.Len() < maxWord {
				b.WriteString(fold(r))
			}
		case apostrophe && nextIsLetter(text, t.end+size):
			if b.Len() < maxWord {
				b.WriteByte('\'')
			}
		default:
			if joint := brokenLine(text[t.end:]); joint > 0 {
				t.end += joint
				continue
			}
			t.word = folded(b.String())
			return t
		}
		t.end += size
	}
	t.word = folded(b.String())
	return t
}

func nextIsLetter(text string, i int) bool {
	r, _ := utf8.DecodeRuneInString(text[i:])
	return unicode.IsLetter(r)
}

// brokenLine is the length of a hyphen at the end of a line before a lower case letter, or 0.
func brokenLine(rest string) int {
	if !strings.HasPrefix(rest, "-\n") && !strings.HasPrefix(rest, "-\r") && !strings.HasPrefix(rest, "-"+lineBreak) {
		return 0
	}
	line := newlines(rest, 1)
	if r, _ := utf8.DecodeRuneInString(rest[line.end:]); line.word == "\n" && !line.bullet && unicode.IsLower(r) {
		return line.end
	}
	return 0
}

// fold writes a letter without case and accents, as German is written without umlauts.
func fold(r rune) string {
	switch r = unicode.ToLower(r); {
	case r < 0x80:
		return string(r)
	case r == 'ä' || r == 'æ':
		return "ae"
	case r == 'ö' || r == 'ø' || r == 'œ':
		return "oe"
	case r == 'ü':
		return "ue"
	case r == 'ß':
		return "ss"
	case unicode.Is(unicode.Mn, r): // an umlaut or accent that is written apart
		if r == '\u0308' {
			return "e"
		}
		return ""
	}
	if i := strings.IndexRune("àáâãåçèéêëìíîïñòóôõùúûýÿ", r); i >= 0 {
		return string("aaaaaceeeeiiiinoooouuuyy"[utf8.RuneCountInString("àáâãåçèéêëìíîïñòóôõùúûýÿ"[:i])])
	}
	return string(r)
}

var spellings = strings.NewReplacer("ae", "e", "oe", "e")

func folded(w string) string {
	w = strings.TrimSuffix(w, "'s")
	return spellings.Replace(strings.ReplaceAll(w, "'", ""))
}

func isTick(text string, i int) bool {
	return i+2 < len(text) && text[i+2] == ')' && (text[i+1] == 'x' || text[i+1] == 'X')
}

// boxOrMark reads [ ], [], [x], ( ) and (x); another bracket is a sign.
func boxOrMark(text string, i int) token {
	closing := map[byte]string{'[': "]", '(': ")"}[text[i]]
	content, _, closed := strings.Cut(text[i+1:min(len(text), i+8)], closing)
	switch strings.ToLower(strings.TrimSpace(content)) {
	case "":
		if closed {
			return token{kind: box, start: i, end: i + 2 + len(content)}
		}
	case "x", "✓", "✔", "+":
		if closed {
			return token{kind: box, start: i, end: i + 2 + len(content), word: "x"}
		}
	}
	return token{kind: mark, start: i, end: i + 1, word: "("}
}
