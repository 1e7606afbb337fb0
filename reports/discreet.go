package reports

import (
	"strings"
	"unicode"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// withheld stands in a text of ours for free input that names the patient.
const withheld = "(withheld: it names the patient)"

// discreet looks for the patient in free input: labels of a network's classes, names of layers, reasons. What we compose of
// it says something else where it names the patient. It stops no object: patients are called as findings are, and codes
// and our own words, which are the same in all studies, say nothing of anybody. What a person writes into a report is the
// person's.
type discreet struct {
	id    string
	names [][2]string // family and given name of each component group that has both
}

// minIdentifying is how many letters and digits tell a person from a word or a number that is everywhere.
const minIdentifying = 6

func (s Source) discreet() discreet {
	var d discreet
	if id := words(s.text(tag.PatientID)); letters(id) >= minIdentifying {
		d.id = id
	}
	for group := range strings.SplitSeq(s.text(tag.PatientName), "=") {
		family, rest, _ := strings.Cut(group, "^")
		given, _, _ := strings.Cut(rest, "^")
		if family, given := words(family), words(given); letters(family) > 0 && letters(given) > 0 {
			d.names = append(d.names, [2]string{family, given})
		}
	}
	return d
}

// text is s where it does not name the patient.
func (d discreet) text(s string) string {
	if d.named(s) {
		return withheld
	}
	return s
}

// label is that of a class, or the meaning of its code where the label names the patient.
func (d discreet) label(class, meaning string) string {
	switch {
	case !d.named(class):
		return class
	case meaning == "":
		return withheld
	}
	return meaning
}

// named says whether s has the Patient ID, or family and given name: side by side, or wherever both are, where they are long
// enough not to be anybody's. One of them alone may be a coincidence.
func (d discreet) named(s string) bool {
	text := words(s)
	if d.id != "" && strings.Contains(text, d.id) {
		return true
	}
	run := strings.ReplaceAll(text, " ", "")
	for _, n := range d.names {
		family, given := n[0], n[1]
		together := strings.ReplaceAll(family+given, " ", "")
		reversed := strings.ReplaceAll(given+family, " ", "")
		switch {
		case strings.Contains(text, family+given[1:]), strings.Contains(text, given+family[1:]),
			letters(family) > 2 && letters(given) > 2 && strings.Contains(text, family) && strings.Contains(text, given),
			(letters(together) >= minIdentifying || unspaced(together)) && (strings.Contains(run, together) || strings.Contains(run, reversed)):
			return true
		}
	}
	return false
}

// unspaced says whether s is of a script that sets no spaces between words.
func unspaced(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai)
	})
}

// words sets single spaces around and between the words of s, in lower case: whole words are then substrings.
func words(s string) string {
	return " " + strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	}), " ") + " "
}

// letters counts the letters and digits of words.
func letters(words string) int { return len([]rune(strings.ReplaceAll(words, " ", ""))) }
