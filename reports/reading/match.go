package reading

import "unicode/utf8"

// meaning is what a phrase stands for.
type meaning struct {
	phrase string // as the ontology has it
	term   *term
	act    *trigger
	site   string
	head   *heading
	class  string // of the words of a scale of preparation, and of what joins and opens clauses
}

// hit is a phrase in a sentence: tokens from start to before end.
type hit struct {
	start, end int
	meanings   []meaning
}

// node is a place in the tree of phrases, a word deeper at each step.
type node struct {
	next     map[string]*node
	suffix   map[string]*node // of words that end so
	meanings []meaning
}

// add puts a phrase of words into the tree: # is any number, % a year, and *ing any word that ends so, but is longer.
func (n *node) add(words []string, m meaning) {
	for _, w := range words {
		into := &n.next
		if len(w) > 1 && w[0] == '*' {
			into, w = &n.suffix, w[1:]
		}
		if *into == nil {
			*into = map[string]*node{}
		}
		if (*into)[w] == nil {
			(*into)[w] = &node{}
		}
		n = (*into)[w]
	}
	n.meanings = append(n.meanings, m)
}

// maxPhrase bounds the words of a phrase, and with it what is tried at a token.
const maxPhrase = 10

// longest returns the longest phrase at the beginning of tokens; of two, the one that has the words as they are written.
func (l *Language) longest(tokens []token) (end int, found []meaning) {
	var walk func(n *node, at int)
	walk = func(n *node, at int) {
		if len(n.meanings) > 0 && at > end {
			end, found = at, n.meanings
		}
		if at == len(tokens) || at == maxPhrase {
			return
		}
		t := tokens[at]
		step := func(w string) {
			if next := n.next[w]; next != nil {
				walk(next, at+1)
			}
		}
		switch t.kind {
		case mark:
			step(t.word)
			return
		case number:
			step(t.word)
			step("#")
			if isYear(t.word) {
				step("%")
			}
			return
		case word:
			step(t.word)
		default:
			return
		}
		for i := 1; i < len(t.word) && n.suffix != nil; i++ {
			if next := n.suffix[t.word[i:]]; next != nil {
				walk(next, at+1)
			}
		}
		if w := l.meant(t.word); w != "" {
			step(w)
		}
	}
	walk(&l.phrases, 0)
	return end, found
}

func isYear(w string) bool {
	return len(w) == 4 && (w[:2] == "19" || w[:2] == "20")
}

// hits finds the phrases of a sentence, from left to right, none in another one.
func (l *Language) hits(tokens []token) []hit {
	var out []hit
	for i := 0; i < len(tokens); {
		end, found := l.longest(tokens[i:])
		if end == 0 {
			i++
			continue
		}
		out = append(out, hit{i, i + end, found})
		i += end
	}
	return out
}

// Bounds of what is taken for a slip of the keyboard (Damerau-Levenshtein): one edit in a word of 5 letters and more, two in one of 11.
const (
	shortestSlip = 5
	longSlip     = 11
	longestSlip  = 24 // a word that is longer is nobody's slip of ours
)

// slips are the words of terms by what is left of them when letters are left out.
type slips map[string][]string

func (s slips) add(w string) {
	if len(w) < shortestSlip || len(w) > longestSlip || !ascii(w) {
		return
	}
	for _, less := range without(w, edits(w)) {
		s[less] = append(s[less], w)
	}
}

func ascii(w string) bool {
	for i := range len(w) {
		if w[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func edits(w string) int {
	if len(w) >= longSlip {
		return 2
	}
	return 1
}

// without returns w and what is left when up to n letters are left out.
func without(w string, n int) []string {
	out := []string{w}
	for i := 0; n > 0 && i < len(w); i++ {
		less := w[:i] + w[i+1:]
		out = append(out, less)
		for j := i; n > 1 && j < len(less); j++ {
			out = append(out, less[:j]+less[j+1:])
		}
	}
	return out
}

// meant is the word of a term that w is a slip of, or empty. Words that the ontology knows are none.
func (l *Language) meant(w string) string {
	if len(w) < shortestSlip || len(w) > longestSlip || l.known[w] || !ascii(w) {
		return ""
	}
	for _, less := range without(w, edits(w)) {
		for _, of := range l.slips[less] {
			if of[0] == w[0] && slip(w, of) {
				return of
			}
		}
	}
	return ""
}

// slip says whether w is of with as many edits as its length allows. Among short words another letter makes another word.
func slip(w, of string) bool {
	d, replaced := distance(w, of)
	allowed := min(edits(w), edits(of))
	return d <= allowed && (len(of) > shortestSlip || !replaced)
}

// distance is the number of letters to add, leave out, replace or change places of two that are next to each other (optimal string alignment), and
// whether the words have the same length and other letters.
func distance(a, b string) (d int, replaced bool) {
	var rows [3][longestSlip + 1]int
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	var before, last, now *[longestSlip + 1]int = &rows[2], &rows[0], &rows[1]
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)], len(a) == len(b) && letterSum(a) != letterSum(b)
}

func letterSum(w string) (n int) {
	for i := range len(w) {
		n += int(w[i]) * int(w[i])
	}
	return n
}
