package draft

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"endogate/dicomnode/dicom"
)

// Bounds of what a person may add to a document.
const (
	maxEdits    = 200      // at once
	maxText     = 16 << 10 // bytes of a section
	maxLine     = 1 << 10  // bytes of one line
	maxFindings = 1000     // of a document
	maxImages   = 100      // key images of a document
	maxSizeMM   = 1000
)

// parisForms are the morphologies of the Paris classification (GIE 58:S3, 2003).
var parisForms = []string{"0-Ip", "0-Isp", "0-Is", "0-IIa", "0-IIb", "0-IIc", "0-IIa+IIc", "0-IIc+IIa", "0-III"}

// Apply makes the next version of d: what author changed at a time. All edits can be made, or none is and the error is an
// *EditError, or a *StandingError of a document that is signed. D is not changed.
func (t *Templates) Apply(d Document, edits []Edit, author Author, at time.Time) (Document, error) {
	switch {
	case !d.Editable():
		return Document{}, &StandingError{"edit", d.Standing, d.reopen()}
	case len(edits) == 0 || len(edits) > maxEdits:
		return Document{}, &EditError{What: fmt.Sprintf("%d edits; 1 to %d can be made at once", len(edits), maxEdits)}
	case author.System || clean(author.Name, maxLine) != nil || author.Name == "":
		return Document{}, &EditError{What: "an edit needs the name of a person, one line without control characters"}
	}
	next := d.next(author, at)
	for i, e := range edits {
		a := applying{t: t, d: &next, was: d, author: author, index: i}
		if what := a.apply(e); what != "" {
			return Document{}, &EditError{Index: i, Op: e.Op, What: what}
		}
	}
	t.compose(&next)
	return next, next.Validate()
}

// next is the version after d, with everything in it that may be changed its own.
func (d Document) next(author Author, at time.Time) Document {
	n := d.clone()
	n.Version, n.Author, n.At = d.Version+1, author, at.UTC()
	return n
}

func (d Document) clone() Document {
	d.Sections = slices.Clone(d.Sections)
	d.Findings = slices.Clone(d.Findings)
	d.KeyImages = slices.Clone(d.KeyImages)
	d.Notices = slices.Clone(d.Notices)
	d.Events = slices.Clone(d.Events)
	return d
}

// applying is an edit being made.
type applying struct {
	t      *Templates
	d      *Document
	was    Document
	author Author
	index  int
}

// apply returns why e cannot be made.
func (a *applying) apply(e Edit) string {
	if what := e.superfluous(); what != "" {
		return what
	}
	if what := e.values(); what != "" {
		return what
	}
	switch e.Op {
	case OpAccept, OpReject, OpChange, OpRemove:
		return a.finding(e)
	case OpAdd:
		return a.add(e)
	case OpSection:
		return a.section(e)
	case OpChoose:
		return a.choose(e)
	case OpDrop:
		return a.drop(e)
	case OpOrder:
		return a.order(e)
	case OpUndo:
		return a.undo(e)
	}
	return fmt.Sprintf("there is no such op; known are %s", strings.Join(opNames(), ", "))
}

// takes lists the fields that each op takes; the bare one first are those it cannot do without.
var takes = map[Op]struct{ needs, may []string }{
	OpAccept:  {needs: []string{"finding"}},
	OpReject:  {needs: []string{"finding"}},
	OpChange:  {needs: []string{"finding"}, may: []string{"code", "site", "site_text", "size_mm", "paris", "text"}},
	OpAdd:     {needs: []string{"code"}, may: []string{"site", "site_text", "size_mm", "paris", "text"}},
	OpRemove:  {needs: []string{"finding"}},
	OpSection: {needs: []string{"section", "text"}},
	OpChoose:  {needs: []string{"instance"}, may: []string{"frame", "finding", "caption"}},
	OpDrop:    {needs: []string{"instance"}, may: []string{"frame", "finding"}},
	OpOrder:   {needs: []string{"images"}},
	OpUndo:    {may: []string{"version"}},
}

func opNames() []string {
	var names []string
	for op := range takes {
		names = append(names, string(op))
	}
	slices.Sort(names)
	return names
}

// given lists the fields that e has.
func (e Edit) given() []string {
	var given []string
	for _, field := range []struct {
		name string
		has  bool
	}{
		{"finding", e.Finding != ""},
		{"code", e.Code != nil},
		{"site", e.Site != nil},
		{"site_text", e.SiteText != nil},
		{"size_mm", e.SizeMM != nil},
		{"paris", e.Paris != nil},
		{"text", e.Text != nil},
		{"section", e.Section != ""},
		{"instance", e.Instance != ""},
		{"frame", e.Frame != 0},
		{"caption", e.Caption != nil},
		{"images", e.Images != nil},
		{"version", e.Version != 0},
	} {
		if field.has {
			given = append(given, field.name)
		}
	}
	return given
}

// superfluous says which field is missing from e, or has no meaning in it.
func (e Edit) superfluous() string {
	known, ok := takes[e.Op]
	if !ok {
		return ""
	}
	given := e.given()
	for _, name := range known.needs {
		if !slices.Contains(given, name) {
			return name + " is missing"
		}
	}
	for _, name := range given {
		if !slices.Contains(known.needs, name) && !slices.Contains(known.may, name) {
			return name + " has no meaning here"
		}
	}
	if e.Op == OpChange && len(given) == 1 {
		return "nothing to change; one of " + strings.Join(known.may, ", ") + " is needed"
	}
	return ""
}

// values says what is wrong with a value of e.
func (e Edit) values() string {
	for name, text := range map[string]*string{"site_text": e.SiteText, "paris": e.Paris, "caption": e.Caption} {
		if text != nil {
			if err := clean(*text, maxLine); err != nil {
				return name + ": " + err.Error()
			}
		}
	}
	if e.Text != nil {
		if err := cleanText(*e.Text); err != nil {
			return "text: " + err.Error()
		}
	}
	if e.Code != nil {
		if err := validCode(*e.Code); err != nil {
			return "code: " + err.Error()
		}
	}
	if e.Site != nil && *e.Site != (dicom.Code{}) {
		if err := validCode(*e.Site); err != nil {
			return "site: " + err.Error()
		}
	}
	switch {
	case e.SizeMM != nil && !(*e.SizeMM >= 0 && *e.SizeMM <= maxSizeMM):
		return fmt.Sprintf("size_mm: must be from 0 (unknown) to %d", maxSizeMM)
	case e.Paris != nil && *e.Paris != "" && !slices.Contains(parisForms, *e.Paris):
		return "paris: must be empty or one of " + strings.Join(parisForms, ", ")
	case e.Frame < 0:
		return "frame: counts from 1"
	case e.Version < 0:
		return "version: counts from 1"
	}
	return ""
}

// clean says what keeps text from standing in one line.
func clean(text string, longest int) error {
	switch {
	case len(text) > longest:
		return fmt.Errorf("longer than %d bytes", longest)
	case !utf8.ValidString(text):
		return fmt.Errorf("not UTF-8")
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("a control character")
	}
	return nil
}

// cleanText says what keeps text from standing in paragraphs.
func cleanText(text string) error {
	return clean(strings.NewReplacer("\n", "", "\t", "").Replace(text), maxText)
}

// validCode keeps the limits of the VRs that a code is written in (PS3.3 table 8.8-1).
func validCode(c dicom.Code) error {
	for _, field := range []struct {
		name, value string
		longest     int
	}{{"value", c.Value, 16}, {"scheme", c.Scheme, 16}, {"meaning", c.Meaning, 64}} {
		switch {
		case strings.TrimSpace(field.value) == "" || utf8.RuneCountInString(field.value) > field.longest:
			return fmt.Errorf("%s: 1 to %d characters are needed", field.name, field.longest)
		case strings.Contains(field.value, `\`) || clean(field.value, maxLine) != nil:
			return fmt.Errorf("%s: a backslash or control character", field.name)
		}
	}
	return nil
}

func (a *applying) at(id string) int {
	return slices.IndexFunc(a.d.Findings, func(f Finding) bool { return f.ID == id })
}

// finding decides about one.
func (a *applying) finding(e Edit) string {
	i := a.at(e.Finding)
	if i < 0 {
		return "there is no finding with this ID in the report"
	}
	f := &a.d.Findings[i]
	switch e.Op {
	case OpRemove:
		if !f.Own() {
			return "only a finding that a person added can be removed; reject this one"
		}
		a.d.Findings = slices.Delete(a.d.Findings, i, i+1)
		a.d.KeyImages = slices.DeleteFunc(a.d.KeyImages, func(k KeyImage) bool { return k.Finding == e.Finding })
		return ""
	case OpReject:
		f.Decision, f.By = Rejected, a.author
		return ""
	case OpAccept:
		f.restore()
	}
	f.set(e)
	f.Decision, f.By = Accepted, a.author
	if f.Proposal != nil || f.SiteProposal != nil {
		f.Decision = Changed
	}
	return ""
}

// Own reports whether a person added f.
func (f Finding) Own() bool { return f.Model.Name == "" }

// restore gives f the model's code and site again: they are what is accepted.
func (f *Finding) restore() {
	if f.Proposal != nil {
		f.Code, f.Proposal = *f.Proposal, nil
	}
	if f.SiteProposal != nil {
		f.Site, f.SiteProposal = *f.SiteProposal, nil
	}
}

// set takes what e says over.
func (f *Finding) set(e Edit) {
	if e.Code != nil {
		f.Proposal = proposal(f.Proposal, f.Code, *e.Code, f.Own())
		f.Code = *e.Code
	}
	if e.Site != nil {
		f.SiteProposal = proposal(f.SiteProposal, f.Site, *e.Site, f.Own())
		f.Site = *e.Site
	}
	if e.SiteText != nil {
		f.SiteText = *e.SiteText
	}
	if e.SizeMM != nil {
		f.SizeMM = *e.SizeMM
	}
	if e.Paris != nil {
		f.Paris = *e.Paris
	}
	if e.Text != nil {
		f.Text = *e.Text
	}
}

// proposal is what a model said where a person now says something else; nil where they agree.
func proposal(before *dicom.Code, now, next dicom.Code, own bool) *dicom.Code {
	if before == nil {
		before = &now
	}
	if own || *before == next {
		return nil
	}
	said := *before
	return &said
}

func (a *applying) add(e Edit) string {
	if len(a.d.Findings) >= maxFindings {
		return fmt.Sprintf("the report has %d findings already", maxFindings)
	}
	id := dicom.DerivedUID("draft-own", string(a.d.Study), strconv.Itoa(a.d.Number), strconv.Itoa(a.d.Version), strconv.Itoa(a.index))
	f := Finding{ID: string(id), Role: "finding", Decision: Accepted, By: a.author, Frames: []Frame{}}
	f.set(e)
	a.d.Findings = append(a.d.Findings, f)
	return ""
}

func (a *applying) section(e Edit) string {
	i := slices.IndexFunc(a.d.Sections, func(s Section) bool { return s.Name == e.Section })
	if i < 0 {
		var names []string
		for _, s := range a.d.Sections {
			names = append(names, s.Name)
		}
		return "the report has no such section; it has " + strings.Join(names, ", ")
	}
	s := &a.d.Sections[i]
	if s.gatewayOnly() {
		return "the gateway alone writes this section: whom the report is on comes from order and images, what the machine did from its analyses; write what you have to add into another section"
	}
	s.Text, s.By = strings.TrimRight(*e.Text, " \t\n"), a.author
	if s.Text == "" { // an empty one says nothing, which is not the same as "nothing"
		s.Text = ToBeCompleted
	}
	return ""
}

// undo makes what a person can change as it was in an earlier version. What the gateway found since stays, undecided.
func (a *applying) undo(e Edit) string {
	version, _ := e.Undoes(a.was)
	switch before := e.Earlier; {
	case version < 1 || version >= a.d.Version:
		return "there is no such version before this one"
	case before == nil || before.Study != a.d.Study || before.Number != a.d.Number || before.Version != version:
		return fmt.Sprintf("version %d of this draft is not at hand", version)
	case !before.Editable():
		return fmt.Sprintf("version %d is signed; an amendment can be undone as far as its beginning", version)
	default:
		a.d.takeFrom(*before)
	}
	return ""
}
