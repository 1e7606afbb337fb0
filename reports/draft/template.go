package draft

import (
	"iter"
	"slices"
	"strings"

	"endogate/dicomnode/dicom"
)

// Templates are the words of drafts: what sections a report has, and every phrase in every language. They are read once
// and not changed, and may be used from any goroutine.
type Templates struct {
	templates []template
	languages []language
	terms     []term
}

// template is the plan of a kind of report.
type template struct {
	Name     string
	Title    dicom.Code
	Region   string // upper or lower: of the gastrointestinal tract; empty: any
	Match    match
	Sections []plan
}

// match says which studies get a template: one of these is enough.
type match struct{ Routes, Procedures, BodyParts []string }

// plan is a section of a template, with its heading and text by language.
type plan struct {
	Name string
	Code dicom.Code
	Fill Fill
	Head map[string]string
	Text map[string]string
}

// language is how things are said.
type language struct {
	Name    string
	Phrases map[string]string
}

// term is a coded concept and what it is called.
type term struct {
	Code   dicom.Code
	Region string
	Group  string // heading of the minimal standard terminology
	// Intervention: where this is seen, something was done.
	Intervention bool
	Text         map[string]string
}

// choose is the first template that matches the study, or else the first that asks for nothing.
func (t *Templates) choose(in Input) template {
	var routes []string
	for _, e := range in.Exams {
		routes = append(routes, e.Route)
	}
	any := func(wanted, have []string) bool {
		return slices.ContainsFunc(wanted, func(w string) bool {
			return slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(w, h) })
		})
	}
	for _, c := range t.templates {
		if any(c.Match.Routes, routes) || any(c.Match.Procedures, in.Procedures) || any(c.Match.BodyParts, in.BodyParts) {
			return c
		}
	}
	return t.templates[slices.IndexFunc(t.templates, template.general)]
}

// keep is the template of that name: what decided about it may not be there any more. One that is gone is chosen anew, and so
// is one that nothing had decided about yet.
func (t *Templates) keep(name string, in Input) template {
	i := slices.IndexFunc(t.templates, func(c template) bool { return c.Name == name && !c.general() })
	if i < 0 {
		return t.choose(in)
	}
	return t.templates[i]
}

// general reports whether t is for studies that no other template matches.
func (t template) general() bool {
	return len(t.Match.Routes)+len(t.Match.Procedures)+len(t.Match.BodyParts) == 0
}

// language is the one of that name, or else English.
func (t *Templates) language(name string) *language {
	i := slices.IndexFunc(t.languages, func(l language) bool { return l.Name == name })
	if i < 0 {
		i = slices.IndexFunc(t.languages, func(l language) bool { return l.Name == "en" })
	}
	return &t.languages[i]
}

// say is the phrase of that name with its blanks filled in. Values stand as they are: a brace in one opens no blank.
func (l *language) say(name string, blanks ...string) string {
	pairs := []string{"{todo}", ToBeCompleted}
	for i := 0; i+1 < len(blanks); i += 2 {
		pairs = append(pairs, "{"+blanks[i]+"}", blanks[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(l.Phrases[name])
}

func (t *Templates) term(c dicom.Code) (term, bool) {
	i := slices.IndexFunc(t.terms, func(k term) bool { return k.Code.Value == c.Value && k.Code.Scheme == c.Scheme })
	if i < 0 {
		return term{}, false
	}
	return t.terms[i], true
}

// region is the part of the tract that a site belongs to, empty where nobody knows.
func (t *Templates) region(c dicom.Code) string {
	k, _ := t.term(c)
	return k.Region
}

// call is what c is called in a language; what has no term there is called by its meaning.
func (t *Templates) call(l *language, c dicom.Code) string {
	if k, ok := t.term(c); ok && k.Text[l.Name] != "" {
		return k.Text[l.Name]
	}
	return c.Meaning
}

// Terms yields what coded concepts are called in a language, such as de.
func (t *Templates) Terms(language string) iter.Seq2[dicom.Code, string] {
	return func(yield func(dicom.Code, string) bool) {
		for _, k := range t.terms {
			if text := k.Text[language]; text != "" && !yield(k.Code, text) {
				return
			}
		}
	}
}

// sections are the headings of a report, to be filled.
func (t template) sections(l *language) []Section {
	out := []Section{}
	for _, p := range t.Sections {
		out = append(out, Section{Name: p.Name, Code: p.Code, Head: p.Head[l.Name], Text: ToBeCompleted, By: gateway, Fill: p.Fill})
	}
	return out
}
