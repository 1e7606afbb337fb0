package reading

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"endogate/configs/strict"
	"endogate/dicomnode/dicom"
)

//go:embed ontology/*.yaml
var embedded embed.FS

// Ontology is what reports are read with: the words of each language. It is safe for use by several goroutines.
type Ontology struct{ languages []*Language }

// Language is the ontology of one language.
type Language struct {
	code, version string
	findings      []string // names, in the order of the file
	codes         map[dicom.Code]string
	sites         map[string][]string // in which a finding can be; none: in any
	phrases       node
	known         map[string]bool // words of any phrase, and others that are no slip of one
	slips         slips
	preparation   string           // the finding that a scale of preparation decides
	grading       map[string]*term // by the class of the words
	common        map[string]bool  // words that tell the language
	abbreviations map[string]bool  // after which a dot ends nothing
	grades        map[string]bool  // before which a letter or number is a grade
	conjunctions  map[string]bool
	openers       map[string]bool // words that begin a clause after a comma
	describers    map[string]bool // and those that do so outside a list
	joins         map[string]bool // words that a line cannot end with, unless it was broken
	within        map[string]bool // words between a finding and its site
	answers       map[string]bool // of a field, such as yes
}

// term is a way to say a finding.
type term struct {
	finding, concept string
	phrase           string
	status           Status // that the words have in themselves: Uncertain, Negated, Historical (what is a complaint and not seen), or empty
	implied          bool   // they tell of the finding only where they are stated, today or before
}

// foreign is the site of what belongs to other parts of the body: it is no mention.
const foreign = "elsewhere"

// Bounds of a folder of ontologies.
const (
	maxFile    = 1 << 20
	maxPhrases = 50_000
)

// Default is the ontology that comes with the gateway.
var Default = sync.OnceValue(func() *Ontology {
	o, err := Load("")
	if err != nil {
		panic(err) // a test loads it
	}
	return o
})

// Load reads the ontology that comes with the gateway, and over it the files of dir: a file of dir stands in the place of the gateway's of the same
// name, or beside them. Everything wrong with them is named at once, with file and line. An empty dir is none.
func Load(dir string) (*Ontology, error) {
	ours, err := fs.Sub(embedded, "ontology")
	if err != nil {
		return nil, err
	}
	files, err := strict.Folder(ours, dir)
	if err != nil {
		return nil, fmt.Errorf("reading: ontology: %w; endogate ontology DIR writes a folder to begin with", err)
	}
	o := &Ontology{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := &strict.Faults{Prefix: "reading: ", File: path.Join(dir, name)}
		if root, ok := strict.Parse(bytes.NewReader(files[name]), maxFile, f); ok {
			l := readLanguage(root)
			if slices.ContainsFunc(o.languages, func(other *Language) bool { return other.code == l.code }) {
				root.Fault("another file has the language %q; keep one", l.code)
			}
			o.languages = append(o.languages, l)
		}
		errs = append(errs, f.Err())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	// English first: what texts are read in that tell nothing.
	slices.SortStableFunc(o.languages, func(a, b *Language) int {
		return strings.Compare(strings.Replace(a.code, "en", "", 1), strings.Replace(b.code, "en", "", 1))
	})
	return o, nil
}

// Languages are the codes of the languages that can be read, the first of them where a text does not tell.
func (o *Ontology) Languages() []string {
	var out []string
	for _, l := range o.languages {
		out = append(out, l.code)
	}
	return out
}

// Findings are the names of the findings, in order, of all languages.
func (o *Ontology) Findings() []string {
	var out []string
	for _, l := range o.languages {
		for _, name := range l.findings {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// Finding is the finding that a code stands for, or that has the name; empty where there is none.
func (o *Ontology) Finding(code dicom.Code, name string) string {
	for _, l := range o.languages {
		for c, finding := range l.codes {
			if c.Value == code.Value && c.Scheme == code.Scheme {
				return finding
			}
		}
	}
	if slices.Contains(o.Findings(), name) {
		return name
	}
	return ""
}

// Versions name the ontology of each language.
func (o *Ontology) Versions() []string {
	var out []string
	for _, l := range o.languages {
		out = append(out, l.code+" "+l.version)
	}
	return out
}

var (
	validCode = regexp.MustCompile(`^[a-z]{2,3}$`)
	validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
)

// reader reads the file of one language.
type reader struct {
	l       *Language
	phrases int
}

func readLanguage(root strict.Value) *Language {
	f := root.Fields()
	defer f.Done()
	code := f.Required("language")
	l := &Language{
		code: code.Text(3), version: f.Required("version").Text(32), codes: map[dicom.Code]string{}, sites: map[string][]string{}, known: map[string]bool{}, slips: slips{}, grading: map[string]*term{},
	}
	if l.code != "" && !validCode.MatchString(l.code) {
		code.Fault("is %q; must be a code of ISO 639, such as en", l.code)
	}
	r := &reader{l: l}
	for _, list := range []struct {
		key  string
		into *map[string]bool
	}{
		{"common", &l.common},
		{"abbreviations", &l.abbreviations},
		{"grades", &l.grades},
		{"conjunctions", &l.conjunctions},
		{"openers", &l.openers},
		{"describers", &l.describers},
		{"joins", &l.joins},
		{"within", &l.within},
		{"answers", &l.answers},
		{"words", nil},
	} {
		words := r.words(f.Optional(list.key))
		if list.into != nil {
			*list.into = words
		}
	}
	for _, section := range sections { // what messages are written out with
		name := map[Section]string{Family: "family history"}[section]
		l.phrases.add(wordsOf(cmp.Or(name, string(section))), meaning{head: &heading{section: section}})
	}
	for _, section := range f.Required("sections").List() {
		r.section(section)
	}
	r.sites(f.Required("sites"))
	for _, v := range f.Required("findings").List() {
		r.finding(v)
	}
	for _, v := range f.Required("context").List() {
		r.trigger(v)
	}
	r.scale(f.Optional("preparation"))
	for _, v := range f.Optional("not").List() {
		r.phrase(v, false, func(string) meaning { return meaning{} })
	}
	for name, allowed := range l.sites {
		if len(allowed) > 0 && !slices.Contains(l.findings, name) {
			delete(l.sites, name)
		}
	}
	return l
}

func (r *reader) words(v strict.Value) map[string]bool {
	out := map[string]bool{}
	for _, item := range v.List() {
		for _, t := range tokenise(item.Text(64)) {
			out[t.word], r.l.known[t.word] = true, true
		}
	}
	return out
}

func (r *reader) section(v strict.Value) {
	f := v.Fields()
	defer f.Done()
	h := &heading{section: strict.OneOf(f.Required("section"), sections...)}
	for _, item := range f.Required("headings").List() {
		r.phrase(item, false, func(string) meaning { return meaning{head: h} })
	}
}

func (r *reader) sites(v strict.Value) {
	f := v.Fields()
	for _, name := range f.Keys() {
		for _, item := range f.Required(name).List() {
			r.phrase(item, false, func(string) meaning { return meaning{site: name} })
		}
		r.l.sites[name] = nil
	}
}

func (r *reader) finding(v strict.Value) {
	f := v.Fields()
	defer f.Done()
	of := f.Required("finding")
	name := of.Text(32)
	switch {
	case name != "" && !validName.MatchString(name):
		of.Fault("must be lower case letters, digits and '-'")
	case slices.Contains(r.l.findings, name):
		of.Fault("%q is there twice", name)
	default:
		r.l.findings = append(r.l.findings, name)
	}
	for _, code := range f.Optional("codes").List() {
		r.l.codes[code.Code()] = name
	}
	var allowed []string
	for _, item := range f.Optional("sites").List() {
		site := item.Text(32)
		if _, known := r.l.sites[site]; !known && site != "" {
			item.Fault("is %q, which is none of sites", site)
		}
		allowed = append(allowed, site)
	}
	r.terms(f, term{finding: name})
	for _, item := range f.Optional("kinds").List() { // is-a: a mention of a kind is one of the finding
		k := item.Fields()
		r.terms(k, term{finding: name, concept: k.Required("concept").Text(32)})
		k.Done()
	}
	r.l.sites[name] = allowed
}

// terms reads the ways to say something, by what they say.
func (r *reader) terms(f *strict.Fields, of term) {
	for _, list := range []struct {
		key     string
		status  Status
		implied bool
		value   strict.Value
	}{
		{"terms", "", false, f.Required("terms")},
		{"uncertain", Uncertain, false, f.Optional("uncertain")},
		{"negated", Negated, false, f.Optional("negated")},
		{"reported", Historical, false, f.Optional("reported")},
		{"implied", "", true, f.Optional("implied")},
	} {
		for _, item := range list.value.List() {
			r.phrase(item, true, func(phrase string) meaning {
				t := of
				t.phrase, t.status, t.implied = phrase, list.status, list.implied
				return meaning{term: &t}
			})
		}
	}
	for _, item := range f.Optional("not").List() {
		r.phrase(item, true, func(string) meaning { return meaning{} })
	}
}

var effects = []effect{negation, doubt, past, background, question, condition, relative, elsewhere, pseudo, stop, opens, adds, now, predicate}

func (r *reader) trigger(v strict.Value) {
	f := v.Fields()
	defer f.Done()
	t := trigger{effect: strict.OneOf(f.Required("effect"), effects...), window: 8}
	place := strict.OneOf(f.Optional("stands"), "before", "after", "around")
	t.before, t.after = place != "after", place == "after" || place == "around"
	if window := f.Optional("window"); window.Present() {
		t.window = window.Integer(1, maxSentence)
	}
	for _, item := range f.Required("phrases").List() {
		r.phrase(item, false, func(string) meaning { return meaning{act: &t} })
	}
}

// scale reads what preparation is called. The finding that it decides is among the findings.
func (r *reader) scale(v strict.Value) {
	if !v.Present() {
		return
	}
	f := v.Fields()
	defer f.Done()
	finding := f.Required("finding")
	if r.l.preparation = finding.Text(32); r.l.preparation != "" && !slices.Contains(r.l.findings, r.l.preparation) {
		finding.Fault("is %q, which is none of findings", r.l.preparation)
	}
	for class, status := range map[string]Status{prepared: "-", graded: "-", "inadequate": "", "adequate": Negated, "fair": Uncertain} {
		if status != "-" {
			r.l.grading[class] = &term{finding: r.l.preparation, status: status}
		}
		for _, item := range f.Required(class).List() {
			r.phrase(item, status != "-", func(string) meaning { return meaning{class: class} })
		}
	}
}

// phrase reads a phrase with the choices in it, (a|b|), into the tree. Those of terms are also found with a slip of the keyboard and in the plural.
func (r *reader) phrase(v strict.Value, isTerm bool, m func(phrase string) meaning) {
	text := v.Text(400)
	if text == "" {
		return
	}
	all, err := expand(text)
	if err != nil {
		v.Fault("%v", err)
		return
	}
	for _, phrase := range all {
		words := wordsOf(phrase)
		switch r.phrases++; {
		case len(words) == 0:
			v.Fault("%q has no word", phrase)
			return
		case len(words) > maxPhrase:
			v.Fault("%q has more than %d words", phrase, maxPhrase)
			return
		case r.phrases == maxPhrases:
			v.Fault("the file has more than %d phrases", maxPhrases)
			return
		case r.phrases > maxPhrases:
			return
		}
		meant := m(phrase)
		meant.phrase = phrase
		last := words[len(words)-1]
		for i, form := range plurals(last) {
			if i > 0 && (!isTerm || r.l.code != "en") {
				break
			}
			words[len(words)-1] = form
			r.l.phrases.add(words, meant)
			for _, w := range words {
				r.l.known[w] = true
				if isTerm && w[0] != '*' {
					r.l.slips.add(w)
				}
			}
		}
	}
}

// plurals are a word and how it may end in English.
func plurals(w string) []string {
	switch {
	case len(w) < 2 || w[len(w)-1] == 's' || w[len(w)-1] < 'a':
		return []string{w}
	case strings.HasSuffix(w, "y"):
		return []string{w, w[:len(w)-1] + "ies"}
	}
	return []string{w, w + "s"}
}

// wordsOf are the words of a phrase as tokenise reads them, with its signs for others.
func wordsOf(phrase string) []string {
	var out []string
	for _, part := range strings.Fields(phrase) {
		if part == "#" || part == "%" {
			out = append(out, part)
			continue
		}
		rest, suffix := strings.CutPrefix(part, "*")
		for _, t := range tokenise(rest) {
			if suffix {
				t.word, suffix = "*"+t.word, false
			}
			if t.word != "" && t.word != "*" {
				out = append(out, t.word)
			}
		}
	}
	return out
}

// expand writes out the choices of a phrase.
func expand(text string) ([]string, error) {
	start := strings.IndexByte(text, '(')
	if start < 0 {
		if strings.ContainsAny(text, "|)") {
			return nil, fmt.Errorf("%q: choices stand in brackets: (a|b)", text)
		}
		return []string{strings.Join(strings.Fields(text), " ")}, nil
	}
	choices, rest, closed := strings.Cut(text[start+1:], ")")
	if !closed || strings.ContainsRune(choices, '(') {
		return nil, fmt.Errorf("%q: a bracket is not closed, or stands in another one", text)
	}
	tails, err := expand(rest)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, choice := range strings.Split(choices, "|") {
		for _, tail := range tails {
			out = append(out, strings.Join(strings.Fields(text[:start]+choice+" "+tail), " "))
		}
		if len(out) > 2000 {
			return nil, fmt.Errorf("%q: more than 2000 phrases", text[:min(len(text), 60)])
		}
	}
	return out, nil
}

// Speaks says whether texts of a language can be read; the empty one is whichever they are of.
func (o *Ontology) Speaks(language string) error {
	if language != "" && !slices.Contains(o.Languages(), language) {
		return fmt.Errorf("reading: language %q: there are %s; a file %s.yaml in the folder of reading.ontology would add it", language, strings.Join(o.Languages(), ", "), language)
	}
	return nil
}

// Export writes the ontology that comes with the gateway into dir, to be edited. It overwrites nothing.
func Export(dir string) (written []string, err error) {
	ours, err := fs.Sub(embedded, "ontology")
	if err != nil {
		return nil, err
	}
	return strict.Export(ours, dir)
}
