package pdf

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxText bounds a text: what is longer is cut, and says so.
const maxText = 20000

// clean is text as it can be set: valid, composed, of the basic plane, of printable characters, spaces and line ends.
func clean(s string) string {
	if len(s) > 4*maxText {
		s = s[:4*maxText]
	}
	s = norm.NFC.String(strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r > 0xFFFF || r >= 0xFFFE:
			return '\uFFFD'
		case unicode.IsSpace(r) || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r): // directions, joiners: nothing to see
			return -1
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n"))
	return clip(s, maxText)
}

// clip cuts s to n characters.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return strings.TrimSpace(string(r[:n-1])) + "…"
	}
	return s
}

// wrap breaks s into lines no wider than width: at spaces, after hyphens and slashes, between ideographs, and inside a
// word where nothing else helps.
func wrap(s string, width float64, measure func(string) float64) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(s, "\n") {
		lines = append(lines, wrapLine([]rune(strings.TrimRight(paragraph, " ")), width, measure)...)
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func wrapLine(r []rune, width float64, measure func(string) float64) []string {
	var lines []string
	start, fit, w := 0, 0, 0.0 // fit: behind the last place to break at
	for i := 0; i < len(r); i++ {
		w += measure(string(r[i]))
		if w > width && i > start && r[i] != ' ' {
			if fit <= start {
				fit = i
			}
			lines = append(lines, strings.TrimRight(string(r[start:fit]), " "))
			for fit < i && r[fit] == ' ' {
				fit++
			}
			start, i, w = fit, fit-1, 0
			continue
		}
		if breakAfter(r, i) {
			fit = i + 1
		}
	}
	return append(lines, string(r[start:]))
}

func breakAfter(r []rune, i int) bool {
	if i+1 < len(r) && unicode.IsPunct(r[i+1]) {
		return false // no line begins with a stop
	}
	return r[i] == ' ' || r[i] == '-' || r[i] == '/' || ideograph(r[i]) || i+1 < len(r) && ideograph(r[i+1])
}

func ideograph(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// personName is a PN value for people (PS3.5 6.2.1): the family name first, the other writings of the name in parentheses.
func personName(pn string) string {
	var groups []string
	for group := range strings.SplitSeq(pn, "=") {
		c := strings.Split(group, "^")
		var given []string
		for _, part := range c[1:] {
			if part = strings.TrimSpace(part); part != "" {
				given = append(given, part)
			}
		}
		name := strings.TrimSpace(c[0])
		switch {
		case len(given) > 0 && name != "" && strings.ContainsFunc(name, ideograph):
			name += " " + strings.Join(given, " ")
		case len(given) > 0 && name != "":
			name += ", " + strings.Join(given, " ")
		case len(given) > 0:
			name = strings.Join(given, " ")
		}
		if name != "" {
			groups = append(groups, name)
		}
	}
	if len(groups) < 2 {
		return strings.Join(groups, "")
	}
	return groups[0] + " (" + strings.Join(groups[1:], ", ") + ")"
}

// date is a DA value for people, in the one form that everybody reads alike (ISO 8601).
func date(da string) string {
	if len(da) != 8 {
		return da
	}
	return da[:4] + "-" + da[4:6] + "-" + da[6:]
}
