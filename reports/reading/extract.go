package reading

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// read finds the mentions of a sentence.
func (l *Language) read(text string, s sentence, emit func(finding string, m Mention)) {
	c := newClause(l, s)
	whole, scaled := "", false
	mention := func(finding string, m Mention) {
		if whole == "" {
			whole = s.text(text)
		}
		m.Sentence, m.Section, m.Whole = whole, s.section, s.span()
		emit(finding, m)
	}
	for k, h := range c.hits {
		t := c.term(k)
		if t == nil {
			if scaled || !l.isScale(h) {
				continue
			}
			scaled = true
			if m, span, ok := l.scale(text, c, k); ok {
				mention(l.preparation, Mention{Status: c.scaled(k, m, s.section), Rule: l.code + "/scale/under 6, or a segment under 2", Term: "bbps", Span: span})
			}
			continue
		}
		site, fits := c.site(k, t)
		status, by, ok := c.verdict(k, s.section)
		if !fits || !ok {
			continue
		}
		m := Mention{Status: status, Term: t.phrase, Concept: t.concept, Site: site, Span: Span{c.tokens[h.start].start, c.tokens[h.end-1].end}}
		m.Rule, m.Because = c.rule(t, status, by, s.section)
		mention(t.finding, m)
	}
}

// rule names what gave a status, and where it stands.
func (c *clause) rule(t *term, s Status, by int, section Section) (string, *Span) {
	switch {
	case by >= 0:
		h := c.hits[by]
		i := slices.IndexFunc(h.meanings, func(m meaning) bool { return m.act != nil })
		return fmt.Sprintf("%s/%s/%s", c.l.code, h.meanings[i].act.effect, h.meanings[i].phrase), &Span{c.tokens[h.start].start, c.tokens[h.end-1].end}
	case s == Positive, t.status == s:
		return fmt.Sprintf("%s/term/%s", c.l.code, t.phrase), nil
	}
	return fmt.Sprintf("%s/section/%s", c.l.code, section), nil
}

// site is the part of the body that a term is said to be in, and whether the finding is one of it.
func (c *clause) site(k int, t *term) (string, bool) {
	site := ""
	near := func(h, from, to, most int) {
		if h < 0 || h >= len(c.hits) || to-from > most || slices.ContainsFunc(c.tokens[from:to], func(t token) bool { return t.kind != word }) {
			return
		}
		for _, m := range c.hits[h].meanings {
			if m.site != "" {
				site = m.site
			}
		}
	}
	if end := c.hits[k].end; k+1 < len(c.hits) && c.hits[k+1].start > end && c.l.within[c.tokens[end].word] {
		near(k+1, c.hits[k].end, c.hits[k+1].start, 2)
	}
	if k > 0 {
		near(k-1, c.hits[k-1].end, c.hits[k].start, 1)
	}
	if site == "" {
		return "", true
	}
	allowed := c.l.sites[t.finding]
	return site, site != foreign && (len(allowed) == 0 || slices.Contains(allowed, site))
}

// The words of a scale of preparation and of what it may be called.
const (
	prepared = "nouns"
	graded   = "scales"
)

// farthest is how many words may stand between preparation and what it is called.
const farthest = 10

// grade makes terms of what preparation is called.
func (c *clause) grade() {
	for k, h := range c.hits {
		for _, m := range h.meanings {
			t := c.l.grading[m.class]
			if t == nil {
				continue
			}
			near := func(o hit) bool {
				return slices.ContainsFunc(o.meanings, func(m meaning) bool { return m.class == prepared || m.class == graded }) &&
					o.start-h.end <= farthest && h.start-o.end <= farthest && !slices.ContainsFunc(c.tokens[min(o.start, h.start):max(o.end, h.end)], func(t token) bool { return t.word == ";" })
			}
			if slices.ContainsFunc(c.hits, near) {
				of := *t
				of.phrase = m.phrase
				c.hits[k].meanings = append(slices.Clone(h.meanings), meaning{phrase: m.phrase, term: &of})
			}
			break
		}
	}
}

// Ways in which the Boston Bowel Preparation Scale is written (Lai et al., Gastrointest Endosc 2009;69:620): three segments of 0 to 3.
var (
	triple   = regexp.MustCompile(`(?:^|[^\d.])([0-3])(?:\s?[-–+/,]\s?|\s)([0-3])(?:\s?[-–+/,]\s?|\s)([0-3])(?:[^\d.]|\.\D|\.?$)`)
	labelled = regexp.MustCompile(`(?i)\b(?:(?:right|transverse|left|rechts|rechte[rs]?|quer|transversum|links|linke[rs]?|ascending|descending)\b[^\d,;\n]{0,24}?|[rtl]c?\s?[:=]?\s?)([0-3])\b`)
	lines    = regexp.MustCompile(`(?im)^[ \t]*(?:right|transverse|left|rechts|rechte[rs]?|quer|transversum|links|linke[rs]?|ascending|descending)\b[^\d,;\n]{0,24}?([0-3])[ \t]*[.,;]?[ \t]*$`)
	total    = regexp.MustCompile(`(?i)(?:total|gesamt|sum(?:me)?|score|=)[^\d;\n]{0,16}?([0-9])(?:\D|$)`)
	outOf    = regexp.MustCompile(`(?i)([0-9])\s?(?:/|of|out of|von)\s?9\b`)
	lone     = regexp.MustCompile(`^\D{0,24}?([0-9])(?:[^\d/+,-]|[-,]\D|$)`)
)

// scaleReach is how far behind its name a scale's figures are looked for, in bytes.
const scaleReach = 160

func (l *Language) isScale(h hit) bool {
	return l.preparation != "" && slices.ContainsFunc(h.meanings, func(m meaning) bool { return m.class == graded })
}

// scale reads the figures of a scale that is named: whether the preparation was inadequate.
func (l *Language) scale(text string, c *clause, k int) (inadequate bool, at Span, ok bool) {
	start, end := c.tokens[c.hits[k].start].start, c.tokens[c.hits[k].end-1].end
	to := c.tokens[len(c.tokens)-1].end
	if rest := c.tokens[c.hits[k].end:]; len(rest) == 0 || len(rest) == 1 && rest[0].kind == mark {
		if next := strings.TrimLeft(text[end:], " \t:.=-"); next != "" && strings.ContainsRune("\r\n\\", rune(next[0])) {
			to = len(text) // the figures stand on the lines after it
		}
	}
	figures := text[end:min(to, end+scaleReach)]
	digit := func(s string) int { n, _ := strconv.Atoi(s); return n }
	sum, parts := -1, []int{}
	if m := triple.FindStringSubmatch(figures); m != nil {
		for _, s := range m[1:] {
			parts = append(parts, digit(s))
		}
	} else {
		found := labelled.FindAllStringSubmatch(figures, 3)
		if n := len(found); n > 0 && n < 3 { // a line for each segment
			if of := lines.FindAllStringSubmatch(text[end:min(len(text), end+scaleReach)], 3); len(of) > n {
				found = of
			}
		}
		for _, m := range found {
			parts = append(parts, digit(m[1]))
		}
	}
	if len(parts) == 3 {
		sum = parts[0] + parts[1] + parts[2]
	}
	for _, way := range []*regexp.Regexp{outOf, total, lone} {
		if m := way.FindStringSubmatch(figures); m != nil && sum < 0 {
			if way == lone && len(parts) > 0 {
				break
			}
			sum = digit(m[1])
		}
	}
	if sum < 0 && len(parts) == 0 {
		return false, Span{}, false
	}
	low := slices.ContainsFunc(parts, func(n int) bool { return n < 2 })
	return low || sum >= 0 && sum < 6, Span{start, end}, true
}

// scaled is the status of a scale's figures where they stand.
func (c *clause) scaled(k int, inadequate bool, section Section) Status {
	_, old := c.find(past)
	switch {
	case section == Family:
		return OfFamily
	case section == Plan:
		return Hypothetical
	case section != Body || old:
		return Historical
	case inadequate:
		return Positive
	}
	return Negated
}
