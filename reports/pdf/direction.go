package pdf

import (
	"slices"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// visual is a line in the order in which its letters stand on paper, from left to right (UAX #9, of a line whose own direction is that,
// without embeddings, which clean takes out): what runs from right to left is turned round, numbers in it are not. The ordering of
// x/text's bidi has runs by direction alone, in the order in which they are read: it does not tell a number within such a run from what is beside it.
func visual(line []rune) []rune {
	levels := levelsOf(line)
	out := slices.Clone(line)
	for i, r := range out {
		if levels[i] == 1 {
			if at := slices.Index(brackets, r); at >= 0 {
				out[i] = brackets[at^1]
			}
		}
	}
	for level := 2; level >= 1; level-- { // L2
		for from := 0; from < len(out); from++ {
			to := from
			for to < len(out) && levels[to] >= level {
				to++
			}
			slices.Reverse(out[from:to])
			slices.Reverse(levels[from:to])
			from = max(from, to-1)
		}
	}
	for i := 0; i < len(out); i++ { // L3: marks follow the letter that they are on
		to := i
		for to < len(out)-1 && levels[to] == 1 && unicode.Is(unicode.Mn, out[to]) {
			to++
		}
		slices.Reverse(out[i : to+1])
		i = to
	}
	return out
}

// brackets that are mirrored from right to left, each beside its other.
var brackets = []rune("()[]{}<>«»")

// levelsOf is 0 for what runs from left to right, 1 for what runs from right to left, and 2 for numbers in that.
func levelsOf(line []rune) []int {
	class := make([]bidi.Class, len(line))
	strong, before := bidi.L, bidi.L
	for i, r := range line {
		p, _ := bidi.LookupRune(r)
		c := p.Class()
		if c == bidi.NSM {
			c = before // W1
		}
		before = c
		switch {
		case c == bidi.L || c == bidi.R || c == bidi.AL:
			strong = c
		case c == bidi.EN && strong == bidi.AL:
			c = bidi.AN // W2
		}
		class[i] = c
	}
	at := func(i int) bidi.Class {
		if i < 0 || i >= len(class) {
			return bidi.L
		}
		return class[i]
	}
	for i, c := range class { // W4, W5
		switch {
		case c == bidi.ES && at(i-1) == bidi.EN && at(i+1) == bidi.EN, c == bidi.CS && at(i-1) == at(i+1) && (at(i-1) == bidi.EN || at(i-1) == bidi.AN):
			class[i] = at(i - 1)
		case c == bidi.ET && at(i-1) == bidi.EN:
			class[i] = bidi.EN
		case c == bidi.EN:
			for k := i - 1; at(k) == bidi.ET; k-- {
				class[k] = bidi.EN
			}
		}
	}
	strong = bidi.L
	for i, c := range class { // W3, W6, W7
		switch c {
		case bidi.AL:
			class[i], strong = bidi.R, bidi.R
		case bidi.L, bidi.R:
			strong = c
		case bidi.EN:
			if strong == bidi.L {
				class[i] = bidi.L
			}
		case bidi.AN:
		default:
			class[i] = bidi.ON
		}
	}
	paired(line, class)
	return resolved(class)
}

// paired gives brackets the direction of what is in them (UAX #9 N0).
func paired(line []rune, class []bidi.Class) {
	var open []int
	for i, r := range line {
		at := slices.Index(brackets[:6], r)
		if at < 0 || class[i] != bidi.ON {
			continue
		}
		if at%2 == 0 {
			open = append(open, i)
			continue
		}
		for k := len(open) - 1; k >= 0; k-- {
			if line[open[k]] != brackets[at-1] {
				continue
			}
			from := open[k]
			open = open[:k]
			switch inside := class[from+1 : i]; {
			case !slices.Contains(inside, bidi.L) && !slices.ContainsFunc(inside, backwards):
			case !slices.Contains(inside, bidi.L) && backwards(lastStrong(class[:from])):
				class[from], class[i] = bidi.R, bidi.R
			default:
				class[from], class[i] = bidi.L, bidi.L
			}
			break
		}
	}
}

func backwards(c bidi.Class) bool { return c == bidi.R || c == bidi.EN || c == bidi.AN }

func lastStrong(class []bidi.Class) bidi.Class {
	for _, c := range slices.Backward(class) {
		if c != bidi.ON {
			return c
		}
	}
	return bidi.L
}

// resolved gives what has no direction that of what is on both sides, else that of the line, and says how deep each is (N1 to I2, L1).
func resolved(class []bidi.Class) []int {
	levels := make([]int, len(class))
	for i := 0; i < len(class); {
		switch class[i] {
		case bidi.ON:
			to := i
			for to < len(class) && class[to] == bidi.ON {
				to++
			}
			if i > 0 && to < len(class) && backwards(class[i-1]) && backwards(class[to]) {
				for k := i; k < to; k++ {
					levels[k] = 1
				}
			}
			i = to
			continue
		case bidi.R:
			levels[i] = 1
		case bidi.EN, bidi.AN:
			levels[i] = 2
		}
		i++
	}
	return levels
}

// shapes are those of an Arabic letter, as fonts have them as characters: alone, at the end of a word, at its beginning, within it.
// What has no beginning does not join the next one.
var shapes = sync.OnceValue(func() map[rune][]rune {
	all := map[rune][]rune{}
	for _, block := range [][2]rune{{0xFE80, 0xFEF4}, {0xFB50, 0xFBFF}} {
		for r := block[0]; r <= block[1]; r++ {
			if letter := []rune(norm.NFKC.String(string(r))); len(letter) == 1 && letter[0] != r {
				all[letter[0]] = append(all[letter[0]], r)
			}
		}
	}
	return all
})

// lamAlef is what lam and an alef are together, at the beginning of a word; the next character is that within one.
var lamAlef = map[rune]rune{0x0622: 0xFEF5, 0x0623: 0xFEF7, 0x0625: 0xFEF9, 0x0627: 0xFEFB}

// joined has Arabic letters in the shapes that they have beside each other, as far as has knows those.
func joined(line []rune, has func(rune) bool) []rune {
	forms := shapes()
	next := func(i, by int) rune { // the letter beside i
		for i += by; i >= 0 && i < len(line); i += by {
			if !unicode.Is(unicode.Mn, line[i]) {
				return line[i]
			}
		}
		return 0
	}
	const lam, tatweel = 0x0644, 0x0640
	var out []rune
	for i := 0; i < len(line); i++ {
		r := line[i]
		s := forms[r]
		before := next(i, -1)
		tied := len(forms[before]) == 4 || before == tatweel
		if r == lam && i+1 < len(line) && lamAlef[line[i+1]] != 0 {
			if both := lamAlef[line[i+1]]; tied && has(both+1) {
				out, i = append(out, both+1), i+1
				continue
			} else if has(both) {
				out, i = append(out, both), i+1
				continue
			}
		}
		shape := 0
		if tied {
			shape = 1
		}
		if after := next(i, 1); len(s) == 4 && (len(forms[after]) > 1 || after == tatweel) {
			shape += 2
		}
		if shape < len(s) && has(s[shape]) {
			r = s[shape]
		}
		out = append(out, r)
	}
	return out
}

// rightToLeft reports whether some of a line runs from right to left.
func rightToLeft(line string) bool {
	for _, r := range line {
		if r < 0x0590 {
			continue
		}
		if p, _ := bidi.LookupRune(r); p.Class() == bidi.R || p.Class() == bidi.AL || p.Class() == bidi.AN {
			return true
		}
	}
	return false
}

// composite are scripts whose letters change place or shape beside others, more than characters of a font can show.
var composite = []*unicode.RangeTable{
	unicode.Bengali, unicode.Devanagari, unicode.Gujarati, unicode.Gurmukhi, unicode.Kannada, unicode.Khmer, unicode.Malayalam, unicode.Mongolian,
	unicode.Myanmar, unicode.Oriya, unicode.Sinhala, unicode.Syriac, unicode.Tamil, unicode.Telugu, unicode.Tibetan,
}
