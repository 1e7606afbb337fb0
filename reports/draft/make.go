package draft

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
)

// gateway is the author of what no person has made.
var gateway = Author{Name: "endogate", System: true}

// New makes the first version of the first draft on a study. The same input gives the same document.
func (t *Templates) New(in Input) (Document, error) {
	d, err := t.propose(in, t.choose(in))
	if err != nil {
		return Document{}, err
	}
	t.compose(&d)
	return d, d.Validate()
}

// propose is what the gateway says, without the texts of sections.
func (t *Templates) propose(in Input, template template) (Document, error) {
	if in.At.IsZero() || !in.Study.Fileable() {
		return Document{}, &InvalidError{Faults: []string{"a draft needs a study and a time"}}
	}
	language := t.language(in.Language)
	d := Document{
		Schema: Schema, Study: in.Study, Number: 1, Version: 1, Standing: Drafted, At: in.At.UTC(), Author: gateway,
		Language: language.Name, Template: template.Name, Title: template.Title,
		Disclosure: language.disclosure(in.Exams), Patient: in.Patient.printable(), Order: in.Order.printable(), Examination: in.Examination.printable(),
		Findings: []Finding{}, KeyImages: []KeyImage{}, Events: []string{}, Sections: template.sections(language),
	}
	if in.Zone != nil && in.Zone != time.UTC {
		d.TimeZone = in.Zone.String()
	}
	d.Notices = d.moment(language, in)
	d.Findings, d.Disclosure.Contradicting = t.findings(in.Exams, template.Region)
	d.Videos = videosOf(in.Exams)
	t.keyImages(language, &d, in)
	for _, m := range d.Disclosure.Models {
		if m.Retracted != "" {
			d.say(language.say("retracted", "model", m.called(), "reason", m.Retracted))
		}
	}
	return d, nil
}

// Refresh makes the version that follows old when the gateway looks again. Every decision, text and image that is a
// person's stays as it is, and what is new is added undecided. What is signed stays as it is too: then the version is
// the first of the next draft, and says so.
func (t *Templates) Refresh(old Document, in Input) (Document, error) {
	d, err := t.propose(in, t.keep(old.Template, in))
	switch {
	case err != nil:
		return Document{}, err
	case old.Study != d.Study:
		return Document{}, &InvalidError{Faults: []string{"the draft is on another study"}}
	}
	language := t.language(d.Language)
	fresh := d.added(old)
	events := d.Events
	d.Notices, d.Events = d.moment(language, in), []string{}
	d.takeFrom(old)
	switch {
	case old.Editable():
		d.Number, d.Version = old.Number, old.Version+1
		events = append(slices.Clone(old.Events), events...)
		d.Standing, d.Predecessor, d.Reason = old.Standing, old.Predecessor, old.Reason
		if fresh > 0 && old.touched() {
			events = append(events, language.say("new-findings", "number", strconv.Itoa(fresh)))
		}
	default:
		before := old.Reference()
		d.Number, d.Version, d.Predecessor = old.Number+1, 1, &before
		phrase := "after-signature"
		if old.Standing == Withdrawn {
			phrase = "withdrawn-before"
		}
		d.say(language.say(phrase, "version", fmt.Sprintf("%d.%d", old.Number, old.Version),
			"date", old.At.In(d.Location()).Format(time.DateOnly), "number", strconv.Itoa(fresh)))
	}
	before := old
	before.Events, before.Notices = []string{}, []string{}
	t.Renamed(&before, d.Patient)
	for _, e := range append(events, before.Events...) {
		d.say(e)
	}
	for _, f := range d.Shown() {
		if f.Retracted != "" {
			d.say(t.called(language, f) + ": " + language.say("finding-retracted", "reason", f.Retracted))
		}
	}
	t.compose(&d)
	return d, d.Validate()
}

// moment are the notices of the moment.
func (d Document) moment(l *language, in Input) []string {
	all := []string{}
	for _, phrase := range in.Notices {
		all = append(all, cmp.Or(l.say(phrase), phrase))
	}
	switch {
	case d.Withheld():
		all = append(all, l.say("not-sent"))
	case d.Order != nil && d.Order.Cancelled:
		all = append(all, l.say("order-cancelled"))
	}
	return all
}

// say adds a notice that stays.
func (d *Document) say(notice string) {
	if !slices.Contains(d.Events, notice) {
		d.Events, d.Notices = append(slices.Clone(d.Events), notice), append(slices.Clone(d.Notices), notice)
	}
}

// added counts the findings that old did not have.
func (d Document) added(old Document) int {
	n := 0
	for _, f := range d.Findings {
		if !slices.ContainsFunc(old.Findings, func(o Finding) bool { return o.ID == f.ID }) {
			n++
		}
	}
	return n
}

// touched reports whether a person has decided about, written or chosen anything.
func (d Document) touched() bool {
	return slices.ContainsFunc(d.Findings, Finding.decided) ||
		slices.ContainsFunc(d.Sections, func(s Section) bool { return !s.By.System }) ||
		slices.ContainsFunc(d.KeyImages, func(k KeyImage) bool { return !k.By.System })
}

// decided reports whether something about f is a person's.
func (f Finding) decided() bool { return !f.By.System || f.ImagesBy != nil }

// takeFrom takes over what is a person's in other, and nothing else from it; what is a person's in d goes. So d says of
// the findings what the gateway says of them now, and of the decisions what other says.
func (d *Document) takeFrom(other Document) {
	before := map[string]Finding{}
	for _, f := range other.Findings {
		before[f.ID] = f
	}
	var findings []Finding
	proposals := map[string][]KeyImage{}
	for _, f := range d.Findings {
		if f.Own() {
			continue
		}
		from := other.KeyImages
		if f.ImagesBy == nil || before[f.ID].ID == "" {
			from = d.KeyImages
		}
		proposals[f.ID] = imagesOf(from, f.ID)
		f.forget()
		f.decide(before[f.ID])
		findings = append(findings, f)
		delete(before, f.ID)
	}
	for _, own := range []bool{false, true} { // what is analysed no more but was decided about; then a person's own
		for _, f := range other.Findings {
			if _, left := before[f.ID]; left && f.Own() == own && f.decided() {
				findings = append(findings, f)
			}
		}
	}
	d.Findings = nonNil(findings)
	for i := range d.Sections {
		s := &d.Sections[i]
		s.Text, s.By = ToBeCompleted, gateway
		if k := slices.IndexFunc(other.Sections, func(o Section) bool { return o.Name == s.Name && !o.By.System && !s.gatewayOnly() }); k >= 0 {
			s.Text, s.By = other.Sections[k].Text, other.Sections[k].By
		}
	}
	for _, s := range other.Sections { // of a template that has changed since
		if !s.By.System && !slices.ContainsFunc(d.Sections, func(n Section) bool { return n.Name == s.Name }) {
			d.Sections = append(d.Sections, s)
		}
	}
	d.takeImages(other, proposals)
}

// forget makes f what the model said.
func (f *Finding) forget() {
	f.restore()
	f.Decision, f.By, f.ImagesBy = Proposed, gateway, nil
	f.SiteText, f.SizeMM, f.Paris, f.Text = "", 0, "", ""
}

// decide takes a person's decision about f from before.
func (f *Finding) decide(before Finding) {
	f.ImagesBy = before.ImagesBy
	if before.By.System || before.ID == "" {
		return
	}
	f.Decision, f.By = before.Decision, before.By
	f.SiteText, f.SizeMM, f.Paris, f.Text = before.SiteText, before.SizeMM, before.Paris, before.Text
	if before.Proposal != nil {
		f.Proposal, f.Code = new(f.Code), before.Code
	}
	if before.SiteProposal != nil {
		f.SiteProposal, f.Site = new(f.Site), before.Site
	}
}

// takeImages keeps the key images that a person has had to do with as other has them, in their places, and takes those
// that are proposed for the other findings.
func (d *Document) takeImages(other Document, proposals map[string][]KeyImage) {
	theirs := map[string]bool{"": true} // a person's, by finding
	for _, f := range d.Findings {
		if f.ImagesBy != nil || f.Own() {
			theirs[f.ID] = true
			delete(proposals, f.ID)
		}
	}
	images := []KeyImage{}
	propose := func(finding string) {
		images = append(images, proposals[finding]...)
		delete(proposals, finding)
	}
	for _, k := range other.KeyImages {
		if theirs[k.Finding] {
			images = append(images, k)
		} else {
			propose(k.Finding)
		}
	}
	for _, f := range d.Findings {
		propose(f.ID)
	}
	d.KeyImages = images
}

func imagesOf(images []KeyImage, finding string) []KeyImage {
	return slices.DeleteFunc(slices.Clone(images), func(k KeyImage) bool { return k.Finding != finding })
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// order puts findings to look at first, then what a landmark or the quality is, the most probable first.
func order(a, b Finding) int {
	rank := func(f Finding) int { return slices.Index([]string{"finding", "landmark", "quality"}, string(f.Role)) }
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Probability, a.Probability), strings.Compare(a.ID, b.ID))
}

func zero(c dicom.Code) bool { return c == dicom.Code{} }
