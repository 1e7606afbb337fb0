package dicom

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// NamesDiffer says that two names (PN, PS3.5 6.2) are wholly different: they are written in one script, and have no word in
// common. Names are typed in too many ways to ask for more: case, diacritics and their transliterations (Müller, Mueller),
// order, missing components, prefixes, further groups, one word for two (De la Cruz, Delacruz) decide nothing, and neither
// does a name with a placeholder (?^?), an initial, or a character that was lost on the way, nor one of which there is a
// [Reading] alone.
func NamesDiffer(a, b string) bool {
	if strings.HasSuffix(a, doubt) || strings.HasSuffix(b, doubt) {
		return false
	}
	left, right := words(a), words(b)
	differ := false
	for script, of := range left {
		other := right[script]
		for _, word := range of {
			for _, another := range other {
				if word == another || script != alphabetic && (strings.Contains(word, another) || strings.Contains(another, word)) {
					return false
				}
			}
		}
		differ = differ || len(of) > 0 && len(other) > 0
	}
	return differ
}

// script is what can be held against each other.
type script int

const (
	alphabetic script = iota // with spaces between words: Latin
	greek
	cyrillic
	ideographic
	phonetic // Kana
	hangul
	others
)

func scriptOf(r rune) script {
	for i, table := range []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han, unicode.Hiragana, unicode.Hangul} {
		if unicode.Is(table, r) {
			return script(i)
		}
	}
	return others
}

// words are those of family, given and middle names in all groups, each component in one word too, and each group; by script.
func words(pn string) map[script][]string {
	all := map[script][]string{}
	for group := range strings.SplitSeq(pn, "=") {
		if strings.ContainsAny(group, "?\uFFFD") {
			continue
		}
		components := strings.Split(group, "^")
		whole, initials := "", true
		for _, component := range components[:min(len(components), 3)] {
			split := strings.FieldsFunc(folded(component), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
			joined := strings.Join(split, "")
			whole += joined
			for _, word := range split {
				add(all, word)
			}
			if len([]rune(joined)) > len(split) { // else it is initials
				add(all, joined)
				initials = false
			}
		}
		if !initials {
			add(all, whole)
		}
	}
	return all
}

// add leaves out initials: they are of too many names.
func add(all map[script][]string, word string) {
	runes := []rune(word)
	if len(runes) == 0 {
		return
	}
	if of := scriptOf(runes[0]); len(runes) > 1 || of == ideographic || of == hangul {
		all[of] = append(all[of], word)
	}
}

// alikeLetters are those that no decomposition leads to, and transliterations of umlauts: each to what both are taken for.
var alikeLetters = strings.NewReplacer("ß", "ss", "æ", "a", "œ", "o", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ı", "i", "ς", "σ",
	"ae", "a", "oe", "o", "ue", "u", "aa", "a")

// folded is a text without case, diacritics, width and the difference of the two Kana.
func folded(s string) string {
	return alikeLetters.Replace(strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case r >= 'ァ' && r <= 'ヶ':
			return r - ('ァ' - 'ぁ')
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(s)))
}
