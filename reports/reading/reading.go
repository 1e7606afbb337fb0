package reading

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Status is what a report says of a finding.
type Status string

// The statuses, from the one that counts most.
const (
	Positive     Status = "positive"
	Uncertain    Status = "uncertain"
	Negated      Status = "negated"
	Historical   Status = "historical"
	Hypothetical Status = "hypothetical"
	OfFamily     Status = "family"
)

// precedence of statuses: of the mentions of a finding the first counts.
var precedence = []Status{Positive, Uncertain, Negated, Historical, Hypothetical, OfFamily}

func rank(s Status) int { return slices.Index(precedence, s) }

// Span is a stretch of bytes of the text, from Start to before End.
type Span struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Mention is a place where a text speaks of a finding.
type Mention struct {
	Status   Status  `json:"status"`
	Sentence string  `json:"sentence"`
	Rule     string  `json:"rule"`                // that gave the status: language, kind, words of the ontology
	Term     string  `json:"term"`                // as the ontology has it
	Concept  string  `json:"concept,omitempty"`   // a narrower one that is a kind of the finding
	Site     string  `json:"site,omitempty"`      // that the text names with it
	Section  Section `json:"section"`             // it stands in
	Span     Span    `json:"span"`                // of the term
	Whole    Span    `json:"sentence_span"`       // of the sentence
	Because  *Span   `json:"rule_span,omitempty"` // of the words that gave the status; none where the term alone or its section did
}

// Finding is what a text says of one finding: that of its first mention of the highest status.
type Finding struct {
	Finding  string    `json:"finding"`
	Status   Status    `json:"status"`
	Sentence string    `json:"sentence"`
	Rule     string    `json:"rule"`
	Span     Span      `json:"span"`
	Mentions []Mention `json:"mentions"`
}

// Report is what was read of a text.
type Report struct {
	Language string    `json:"language"`
	Ontology string    `json:"ontology"` // its version
	Findings []Finding `json:"findings"` // in the order of the ontology
}

// MaxText is how much of a text is read, in bytes: more than a hundred reports.
const MaxText = 4 << 20

// Read reads a text in the language of the code, or in the one that its words are of where that is empty. Bytes after MaxText are not looked at.
func (o *Ontology) Read(text, language string) Report {
	if len(text) > MaxText {
		text = strings.ToValidUTF8(text[:MaxText], "")
	}
	l := o.language(text, language)
	report := Report{Language: l.code, Ontology: l.version, Findings: []Finding{}}
	of := map[string][]Mention{}
	for _, s := range l.split(text) {
		l.read(text, s, func(finding string, m Mention) { of[finding] = append(of[finding], m) })
	}
	for _, name := range l.findings {
		mentions := of[name]
		if len(mentions) == 0 {
			continue
		}
		first := slices.MinFunc(mentions, func(a, b Mention) int { return cmp.Compare(rank(a.Status), rank(b.Status)) })
		report.Findings = append(report.Findings, Finding{name, first.Status, first.Sentence, first.Rule, first.Span, mentions})
	}
	return report
}

// language is the one of the code, or the one that has the most of the text's first words.
func (o *Ontology) language(text, code string) *Language {
	best, most := o.languages[0], -1
	var tokens []token
	for _, l := range o.languages {
		if l.code == code {
			return l
		}
		if tokens == nil {
			end := min(len(text), 64<<10)
			for end < len(text) && !utf8.RuneStart(text[end]) {
				end++
			}
			tokens = tokenise(text[:end])
		}
		n := 0
		for _, t := range tokens {
			if t.kind == word && l.common[t.word] {
				n += 2
			} else if t.kind == word && l.known[t.word] { // a few words of medicine alone
				n++
			}
		}
		if n > most {
			best, most = l, n
		}
	}
	return best
}

// text is a sentence as it stands, lines of it put together.
func (s sentence) text(of string) string { return oneLine(of, s.span()) }

func oneLine(text string, of Span) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text[of.Start:of.End], lineBreak, " ")), " ")
}

// Marks are the bytes of the mention's Sentence that its term has, and the words that gave the status, of the text that it was read in.
func (m Mention) Marks(text string) []Span {
	spans := []Span{m.Span}
	if m.Because != nil && *m.Because != m.Span {
		spans = append(spans, *m.Because)
	}
	out := []Span{}
	for _, s := range spans {
		if s.Start < m.Whole.Start || s.End > m.Whole.End {
			continue // of a heading, or of the sentence before
		}
		end := len(oneLine(text, Span{m.Whole.Start, s.End}))
		out = append(out, Span{end - len(oneLine(text, s)), end})
	}
	slices.SortFunc(out, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	return out
}

func (s sentence) span() Span { return Span{s.tokens[0].start, s.tokens[len(s.tokens)-1].end} }

// Before says whether status a counts more than b.
func Before(a, b Status) bool { return rank(a) < rank(b) }
