package reading

import (
	"slices"
)

// effect is what a trigger does to the terms in its scope.
type effect string

const (
	negation   effect = "negation"   // they are denied
	doubt      effect = "doubt"      // they are uncertain
	past       effect = "past"       // they were there
	background effect = "background" // they were there, unless the sentence speaks of now
	question   effect = "question"   // they are looked for
	condition  effect = "condition"  // they would have to be there first, denied or not
	relative   effect = "relative"   // they are those of another person
	elsewhere  effect = "elsewhere"  // they are no mention of the finding
	pseudo     effect = "pseudo"     // none: words that only look like a trigger
	stop       effect = "stop"       // scopes end here
	opens      effect = "opens"      // scopes of what is denied, doubted and past end here, if they come from the left
	adds       effect = "adds"       // and here those of what is denied and doubted
	now        effect = "now"        // the sentence speaks of the day of the report; scopes of the past end
	predicate  effect = "predicate"  // a clause has its verb
)

// trigger is a phrase that changes what is said of the terms near it.
type trigger struct {
	effect        effect
	before, after bool // it stands before its terms, after them, or both
	window        int  // words that may stand between it and a term, or between two terms of its scope
}

// clause is a sentence with what was found in it.
type clause struct {
	l      *Language
	tokens []token // less its last stop
	hits   []hit
	at     []int            // the hit that each token is of, or -1
	set    []map[effect]int // of each hit that is a term: which hit brings the effect
}

func newClause(l *Language, s sentence) *clause {
	c := &clause{l: l, tokens: s.tokens}
	for n := len(c.tokens); n > 0 && c.tokens[n-1].kind == mark && (c.tokens[n-1].word == "." || c.tokens[n-1].word == "!"); n-- {
		c.tokens = c.tokens[:n-1]
	}
	c.hits = l.hits(c.tokens)
	c.grade()
	c.at = make([]int, len(c.tokens))
	c.set = make([]map[effect]int, len(c.hits))
	for i := range c.at {
		c.at[i] = -1
	}
	for k, h := range c.hits {
		for i := h.start; i < h.end; i++ {
			c.at[i] = k
		}
	}
	for k, h := range c.hits {
		for _, m := range h.meanings {
			if m.act != nil {
				c.apply(k, *m.act)
			}
		}
	}
	return c
}

// term is what the hit is a term of, or nil.
func (c *clause) term(k int) *term {
	for _, m := range c.hits[k].meanings {
		if m.term != nil {
			return m.term
		}
	}
	return nil
}

func (c *clause) has(k int, effects ...effect) bool {
	return slices.ContainsFunc(c.hits[k].meanings, func(m meaning) bool { return m.act != nil && slices.Contains(effects, m.act.effect) })
}

func (c *clause) apply(k int, t trigger) {
	h := c.hits[k]
	if slices.Contains([]effect{pseudo, stop, opens, adds, now, predicate}, t.effect) || c.glued(h) {
		return
	}
	some := t.before && c.forward(k, t)
	if t.before && !t.after && t.effect == doubt && !some {
		t.after, t.window = true, 1 // "bleeding probably from the colon"
	}
	if t.after || t.before && (t.effect == negation || t.effect == doubt) && c.answers(h) {
		if t.window == 0 || !t.after {
			t.window = 4
		}
		c.backward(k, t)
	}
}

// glued tells numbers of a notation, such as 0-IIa, from those that count.
func (c *clause) glued(h hit) bool {
	first, last := c.tokens[h.start], c.tokens[h.end-1]
	return last.kind == number && last.glued || first.kind == number && h.start > 0 && c.tokens[h.start-1].glued
}

// answers says whether a trigger is the answer to what stands before it, as in "Polyps: no" and "Polyp?": no word follows.
func (c *clause) answers(h hit) bool {
	if h.end == len(c.tokens) && h.end == h.start+1 {
		return true
	}
	asked := c.tokens[h.start]
	if h.start > 0 && asked.kind != mark {
		asked = c.tokens[h.start-1]
	}
	if asked.kind != box && (asked.kind != mark || asked.word == ",") {
		return false
	}
	for _, t := range c.tokens[h.end:] {
		switch {
		case t.kind == box, t.kind == mark && (t.word == "," || t.word == ";"):
			return true
		case t.kind != mark:
			return false
		}
	}
	return true
}

func (c *clause) mark(term, by int, e effect) {
	if c.set[term] == nil {
		c.set[term] = map[effect]int{}
	}
	if _, is := c.set[term][e]; !is {
		c.set[term][e] = by
	}
}

// ends says whether the scope of an effect ends at a hit.
func (c *clause) ends(k int, e effect) bool {
	return c.has(k, stop) || (e == past || e == background) && c.has(k, now)
}

// forward gives the effect to the terms after a trigger, as far as its scope goes, and says whether there are some.
func (c *clause) forward(k int, t trigger) (some bool) {
	gap, said := 0, false
	for i := c.hits[k].end; i < len(c.tokens); {
		if h := c.at[i]; h >= 0 {
			switch {
			case c.ends(h, t.effect), c.has(h, opens) && slices.Contains([]effect{negation, doubt, past, background}, t.effect), c.has(h, adds) && slices.Contains([]effect{negation, doubt}, t.effect):
				return some
			case c.has(h, predicate):
				said = true
			case c.term(h) != nil:
				c.mark(h, k, t.effect)
				gap, some = 0, true
				i = c.hits[h].end
				continue
			}
			gap += c.hits[h].end - i
			i = c.hits[h].end
		} else {
			switch tok := c.tokens[i]; {
			case tok.kind == box, tok.kind == mark && (tok.word == ";" || tok.word == ":" && (some || gap > 0)):
				return some
			case tok.kind == mark && tok.word == "," || c.l.conjunctions[tok.word]:
				if t.effect != relative && (said || c.opensClause(i, t.effect)) {
					return some
				}
			case tok.kind == word || tok.kind == number:
				gap++
			}
			i++
		}
		if gap > t.window {
			return some
		}
	}
	return some
}

// opensClause says whether what follows a comma or conjunction states something of its own: it counts ("a", "two", "several"), doubts, or, where no
// conjunction makes it the item of a list, describes.
func (c *clause) opensClause(i int, e effect) bool {
	for i++; i < len(c.tokens) && (c.l.conjunctions[c.tokens[i].word] || c.tokens[i].word == ","); i++ {
	}
	if i >= len(c.tokens) {
		return false
	}
	t := c.tokens[i]
	if c.l.openers[t.word] || t.kind == number && t.word != "0" {
		return true
	}
	if h := c.at[i]; h >= 0 && e == negation && c.has(h, doubt, question, past) {
		return true
	}
	return c.l.describers[t.word] && !slices.ContainsFunc(c.tokens[i:], func(t token) bool { return c.l.conjunctions[t.word] })
}

// backward gives the effect to the terms before a trigger.
func (c *clause) backward(k int, t trigger) {
	gap, window, some, list := 0, t.window, false, false
	for i := c.hits[k].start - 1; i >= 0; {
		if h := c.at[i]; h >= 0 {
			switch {
			case c.ends(h, t.effect), c.has(h, predicate) && t.effect != relative, some && c.has(h, negation, doubt):
				return
			case c.term(h) != nil:
				c.mark(h, k, t.effect)
				gap, some, window = 0, true, min(window, 2)
			default:
				gap += i - c.hits[h].start + 1
			}
			i = c.hits[h].start - 1
		} else {
			switch tok := c.tokens[i]; {
			case tok.kind == mark && tok.word == ":" && i == c.hits[k].start-1: // "polyps, ulcers: none" is a list
				list = true
			case tok.kind == mark && tok.word == ";", tok.kind == mark && tok.word == ":" && some, tok.kind == box && some:
				return
			case c.l.conjunctions[tok.word]:
				list = true
			case tok.kind == mark && tok.word == "," && (some && !list || !some && gap >= 2):
				return
			case tok.kind == word || tok.kind == number:
				gap++
			}
			i--
		}
		if gap > window {
			return
		}
	}
}

// verdict is the status of a term, and the hit that gave it, or -1 where it is the term itself or the section; false where it is no mention.
func (c *clause) verdict(k int, section Section) (s Status, by int, ok bool) {
	empty := c.emptyField(k) // which reads what boxes answer
	t, set := c.term(k), c.set[k]
	because := func(e effect) bool {
		at, is := set[e]
		by = at
		return is
	}
	_, current := c.find(now)
	negated := because(negation)
	switch {
	case because(elsewhere), empty:
		return "", -1, false
	case because(relative):
		s = OfFamily
	case section == Family:
		s, by = OfFamily, -1
	case because(condition):
		s = Hypothetical
	case negated && t.status == Negated: // "not adequate"
		because(negation)
		s = Positive
	case negated:
		because(negation)
		s = Negated
	case t.status == Negated:
		s, by = Negated, -1
	case section == Plan:
		s, by = Hypothetical, -1
	case because(question):
		s = Hypothetical
	case t.status == Historical:
		s, by = Historical, -1
	case because(past), !current && because(background):
		s = Historical
	case section == Indication || section == History:
		if s = Historical; because(doubt) || t.status == Uncertain {
			s = Hypothetical
		}
		by = -1
	case because(doubt):
		s = Uncertain
	case t.status == Uncertain:
		s, by = Uncertain, -1
	default:
		s, by = Positive, -1
	}
	return s, by, !t.implied || s == Positive || s == Historical
}

func (c *clause) find(e effect) (int, bool) {
	k := slices.IndexFunc(c.hits, func(h hit) bool {
		return slices.ContainsFunc(h.meanings, func(m meaning) bool { return m.act != nil && m.act.effect == e })
	})
	return k, k >= 0
}

// emptyField says whether a term is the name of a field that was not filled in: a box that is not ticked, a colon or a line with nothing after it.
func (c *clause) emptyField(k int) bool {
	h := c.hits[k]
	for i := h.start - 1; i >= 0 && i >= h.start-6; i-- { // its box stands before it
		if t := c.tokens[i]; t.kind == box {
			return t.word == ""
		} else if t.kind == mark && t.word != "," && t.word != "/" || c.at[i] >= 0 && c.term(c.at[i]) != nil {
			break
		}
	}
	for i := h.end; i < len(c.tokens) && i < h.end+6; i++ { // or the boxes of its answers after it
		switch t := c.tokens[i]; {
		case t.kind == blank:
			return true
		case t.kind == mark && t.word == ":":
			if i+1 == len(c.tokens) {
				return true
			}
		case t.kind == box:
			return i > h.end && c.boxes(k, i)
		case t.kind == word || t.kind == number:
			if c.at[i] >= 0 && c.term(c.at[i]) == nil && c.tokens[h.end].word != ":" {
				continue
			}
			return false
		}
	}
	return false
}

// boxes reads the answers of a field, such as [ ] yes [x] no, and says whether none is ticked.
func (c *clause) boxes(k, i int) bool {
	empty := true
	for ; i+1 < len(c.tokens) && c.tokens[i].kind == box && c.tokens[i+1].kind == word; i += 2 {
		answer := c.tokens[i+1].word
		if !c.l.answers[answer] {
			return false // the box of another field
		}
		if c.at[i+1] >= 0 {
			delete(c.set[k], negation)
		}
		if c.tokens[i].word == "x" {
			empty = false
			if h := c.at[i+1]; h >= 0 && c.has(h, negation) {
				c.mark(k, h, negation)
				return false
			}
			delete(c.set[k], negation)
			return false
		}
	}
	return empty
}
