package draft

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// compose writes the sections that no person has written: from the order, and from what is found and decided.
func (t *Templates) compose(d *Document) {
	i := slices.IndexFunc(t.templates, func(k template) bool { return k.Name == d.Template })
	if i < 0 { // the department has taken it away since: the sections stay as they are
		return
	}
	c := composing{t, t.language(d.Language), d}
	d.Heading, d.Warning, d.Todo = t.call(c.l, d.Title), c.l.Phrases["label-watermark"], c.l.Phrases["label-todo"]
	d.Disclosure.Text = c.disclosure()
	for i := range d.KeyImages { // a person may have changed what they show
		if k := &d.KeyImages[i]; k.By.System {
			at := slices.IndexFunc(d.Findings, func(f Finding) bool { return f.ID == k.Finding })
			k.Caption = t.caption(c.l, d.Findings[at], k.Frame)
		}
	}
	blanks := c.blanks()
	for k := range d.Sections {
		s := &d.Sections[k]
		if !s.By.System {
			continue
		}
		at := slices.IndexFunc(t.templates[i].Sections, func(p plan) bool { return p.Name == s.Name })
		if at < 0 {
			continue
		}
		s.Text = cmp.Or(filled(t.templates[i].Sections[at].Text[c.l.Name], blanks), ToBeCompleted)
	}
}

// filled is text with its blanks filled in, without the lines that nothing is left of. What is filled in stands as it
// is: a brace in it opens no blank.
func filled(text string, blanks []string) string {
	text = strings.NewReplacer(blanks...).Replace(text)
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	return clippedText(strings.Join(lines, "\n"))
}

// clippedText bounds a section: a study with hundreds of findings is read elsewhere.
func clippedText(text string) string {
	if len(text) <= maxText {
		return text
	}
	text = text[:maxText-len("\n…")]
	return strings.ToValidUTF8(text[:strings.LastIndexByte(text, '\n')+1], "") + "…"
}

func oneSpace(text string) string { return strings.Join(strings.Fields(text), " ") }

// composing is a document being written.
type composing struct {
	t *Templates
	l *language
	d *Document
}

// blanks are all that a section may have, with what is filled in.
func (c composing) blanks() []string {
	d, order := c.d, Order{}
	if c.d.Order != nil {
		order = *c.d.Order
	}
	given := func(text string) string { return cmp.Or(text, c.l.say("not-provided")) }
	values := map[string]string{
		"todo":         ToBeCompleted,
		"patient-name": given(personName(d.Patient.Name)), "patient-id": given(d.Patient.ID), "birth-date": given(date(d.Patient.BirthDate)),
		"sex": given(d.Patient.Sex), "accession": given(cmp.Or(order.Accession, d.Examination.Accession)), "placer": given(order.Placer), "filler": given(order.Filler),
		"procedure-id": given(order.RequestedProcedureID), "service": given(cmp.Or(order.Service.Meaning, order.Service.Value)),
		"requester": given(personName(order.Requester)), "referrer": given(personName(order.Referrer)), "reason": given(order.Reason),
		"date": given(moment(d.Examination.StartedAt, d.Location())), "description": given(d.Examination.Description),
		"performer": given(personName(d.Examination.Performer)), "station": given(d.Examination.Station),
		"images": strconv.Itoa(d.Examination.Images), "duration": given(d.Examination.duration()),
		"landmarks": c.landmarks(), "quality": c.quality(), "course": c.course(), "findings": c.findings(), "not-flagged": c.notFlagged(),
		"interventions": c.interventions(), "impression": c.impression(), "key-images": c.keyImages(), "disclosure": d.Disclosure.Text,
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, "{"+name+"}", values[name])
	}
	return pairs
}

// shown are the findings of a role that no person has rejected.
func (c composing) shown(role analysis.Role) []Finding {
	return slices.DeleteFunc(c.d.Shown(), func(f Finding) bool { return f.Role != role })
}

// list puts lines under one another, or says that a person has to write.
func list(lines []string) string {
	if len(lines) == 0 {
		return "- " + ToBeCompleted
	}
	return "- " + strings.Join(lines, "\n- ")
}

func (c composing) landmarks() string {
	var lines []string
	for _, f := range c.shown(analysis.RoleLandmark) {
		lines = append(lines, c.l.say("landmark", "term", c.t.called(c.l, f), "image", f.first(), "why", f.Why))
	}
	return list(lines)
}

// first names the image that f is most probable in.
func (f Finding) first() string {
	if len(f.Frames) == 0 {
		return "-"
	}
	return f.Frames[0].image()
}

func (c composing) quality() string {
	var lines []string
	for _, f := range c.shown(analysis.RoleQuality) {
		lines = append(lines, c.l.say("quality", "why", f.Why))
	}
	return strings.Join(lines, "\n")
}

// findings go by the headings of the minimal standard terminology (MST 3.0, Endoscopy 41:727); a heading under which a
// network found nothing is a person's to fill.
func (c composing) findings() string {
	var lines []string
	by := map[string][]Finding{}
	for _, f := range c.shown(analysis.RoleFinding) {
		k, _ := c.t.term(f.Code)
		group := cmp.Or(k.Group, "other")
		by[group] = append(by[group], f)
	}
	if nothing := c.d.Disclosure.Nothing(); nothing != "" {
		lines = append(lines, c.l.say(nothing))
	}
	for _, group := range groups {
		if len(by[group]) == 0 && group == "other" {
			continue
		}
		head := c.l.say("group-" + group)
		if len(by[group]) == 0 {
			lines = append(lines, head+": "+ToBeCompleted)
			continue
		}
		lines = append(lines, head+":")
		for _, f := range by[group] {
			lines = append(lines, "- "+c.finding(f))
		}
	}
	return strings.Join(lines, "\n")
}

// finding is all that is said of one, in one paragraph.
func (c composing) finding(f Finding) string {
	parts := []string{c.decision(f, false)}
	if !f.Own() {
		var images []string
		shown := slices.Clone(f.Frames[:min(len(f.Frames), 10)])
		slices.SortStableFunc(shown, func(a, b Frame) int { return cmp.Or(a.Number-b.Number, a.Span.First-b.Span.First) })
		for _, frame := range shown {
			images = append(images, frame.image())
		}
		if len(images) < f.Flagged {
			images = append(images, "…")
		}
		parts = append(parts, f.Why, c.l.say("images", "images", strings.Join(images, ", ")))
	}
	if f.Retracted != "" {
		parts = append(parts, c.l.say("finding-retracted", "reason", f.Retracted))
	}
	parts = append(parts, c.l.say("details", "site", cmp.Or(c.site(f), ToBeCompleted), "size", cmp.Or(f.size(), ToBeCompleted),
		"paris", cmp.Or(f.Paris, ToBeCompleted)))
	if text := oneSpace(f.Text); text != "" {
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

// decision says what f is, and who says so. Named is with the model, for where nothing else tells the findings of several
// models apart.
func (c composing) decision(f Finding, named bool) string {
	term := c.t.called(c.l, f)
	if named && !f.Own() {
		term += " (" + f.Model.Name + " " + f.Model.Version + ")"
	}
	blanks := []string{"term", term, "by", f.By.Name}
	switch {
	case f.Own():
		return c.l.say("finding-own", blanks...)
	case f.Decision == Changed && f.Proposal != nil:
		return c.l.say("finding-changed", append(blanks, "proposal", c.t.call(c.l, *f.Proposal))...)
	case f.Decision == Accepted, f.Decision == Changed:
		return c.l.say("finding-accepted", blanks...)
	}
	return c.l.say("finding-proposed", blanks...)
}

// site is where f is as a person says: what a manifest has is where the network was trained to look.
func (c composing) site(f Finding) string {
	var parts []string
	if (f.SiteProposal != nil || f.Own()) && !zero(f.Site) {
		parts = append(parts, c.t.call(c.l, f.Site))
	}
	if f.SiteText != "" {
		parts = append(parts, f.SiteText)
	}
	return strings.Join(parts, ", ")
}

func (f Finding) size() string {
	if f.SizeMM == 0 {
		return ""
	}
	return strconv.FormatFloat(f.SizeMM, 'g', 4, 64) + " mm"
}

// notFlagged says for each model which classes it looked for and did not flag, in how many frames.
func (c composing) notFlagged() string {
	var lines []string
	for _, m := range c.d.Disclosure.Models {
		if m.Analysed == 0 || len(m.NotFlagged) == 0 || m.Retracted != "" {
			continue
		}
		var terms []string
		for _, code := range m.NotFlagged {
			terms = append(terms, c.t.call(c.l, code))
		}
		lines = append(lines, c.l.say("not-flagged", "model", m.called(), "terms", strings.Join(terms, ", "), "analysed", strconv.Itoa(m.Analysed)))
	}
	return strings.Join(lines, "\n")
}

// interventions are proposed of what is seen where something was done.
func (c composing) interventions() string {
	var lines []string
	for _, f := range c.shown(analysis.RoleFinding) {
		if k, _ := c.t.term(f.Code); k.Intervention && !f.Own() {
			lines = append(lines, "- "+c.l.say("possible-intervention", "term", c.t.called(c.l, f), "image", f.first()))
		}
	}
	return strings.Join(lines, "\n")
}

func (c composing) impression() string {
	var lines []string
	for _, f := range c.shown(analysis.RoleFinding) {
		line := c.decision(f, true)
		for _, part := range []string{c.site(f), f.size(), f.Paris} {
			if part != "" {
				line = strings.TrimSuffix(line, ".") + ", " + part + "."
			}
		}
		lines = append(lines, line)
	}
	if nothing := c.d.Disclosure.Nothing(); nothing != "" {
		return c.l.say(nothing) + "\n" + cmp.Or(strings.Join(lines, "\n"), ToBeCompleted)
	}
	return list(lines)
}

// keyImages lists them with their place in the picture; what is said of each stands with it.
func (c composing) keyImages() string {
	var lines []string
	maps := false
	for i, k := range c.d.ShownImages() {
		line := strconv.Itoa(i+1) + ". " + cmp.Or(k.Caption, c.l.say("caption-own", "image", k.Frame.image()))
		if k.Frame.Position != "" {
			line, maps = line+" ("+k.Frame.Position+")", true
		}
		lines = append(lines, line)
	}
	if maps {
		lines = append(lines, c.l.say("map"))
	}
	return cmp.Or(strings.Join(lines, "\n"), ToBeCompleted)
}

// disclosure is mandatory, whatever was found.
func (c composing) disclosure() string {
	d := c.d.Disclosure
	var lines []string
	if nothing := c.d.Disclosure.Nothing(); nothing != "" {
		lines = append(lines, c.l.say(nothing))
	}
	for _, m := range d.Models {
		var thresholds []string
		for _, class := range slices.Sorted(maps.Keys(m.Thresholds)) {
			thresholds = append(thresholds, c.l.say("quoted", "text", printable(class))+" "+c.l.probability(m.Thresholds[class]))
		}
		use := m.IntendedUse
		if use != "" && !strings.HasSuffix(use, ".") {
			use += "."
		}
		lines = append(lines, oneSpace(c.l.say("use", "model", m.called(), "manufacturer", m.Manufacturer, "digest", m.Digest[:min(len(m.Digest), 16)],
			"route", m.Route, "analysed", strconv.Itoa(m.Analysed), "use", c.l.say("quoted", "text", cmp.Or(use, "-")), "thresholds", cmp.Or(strings.Join(thresholds, ", "), "-"))))
		if m.Explanation != "" {
			lines = append(lines, c.l.say("explained", "explanation", strings.TrimSuffix(m.Explanation, ".")))
		}
		if m.Retracted != "" {
			lines = append(lines, c.l.say("retracted", "model", m.called(), "reason", m.Retracted))
		}
	}
	if flagged := c.notFlagged(); flagged != "" {
		lines = append(lines, flagged)
	}
	lines = append(lines, c.l.say("extent", "instances", strconv.Itoa(d.Frames.Instances), "analysed", strconv.Itoa(d.Frames.Analysed),
		"frames", strconv.Itoa(d.Frames.Frames), "skipped", strconv.Itoa(d.Frames.Skipped), "failed", strconv.Itoa(d.Frames.Failed),
		"retracted", strconv.Itoa(d.Frames.TakenBack)))
	for _, r := range d.Skipped {
		lines = append(lines, c.l.say("skipped", "reason", strings.TrimSuffix(r, ".")))
	}
	for _, r := range d.Failed {
		lines = append(lines, c.l.say("failures", "reason", strings.TrimSuffix(r, ".")))
	}
	for _, r := range d.TakenBack {
		lines = append(lines, c.l.say("taken-back", "reason", strings.TrimSuffix(r, ".")))
	}
	for _, r := range d.Masked {
		lines = append(lines, c.l.say("masked-out", "region", r))
	}
	if len(d.Contradicting) > 0 {
		var terms []string
		for _, code := range d.Contradicting {
			terms = append(terms, c.t.call(c.l, code))
		}
		lines = append(lines, c.l.say("contradicting", "terms", strings.Join(terms, ", ")))
	}
	return strings.Join(append(lines, c.l.say("proposals")), "\n")
}

// personName writes a PN (PS3.5 6.2.1) as the pages of reports/pdf do: family name, then the others. Of several
// representations the first.
func personName(pn string) string {
	first, _, _ := strings.Cut(pn, "=")
	parts := append(strings.Split(first, "^"), "", "", "", "", "")
	if first == "" {
		_, pn, _ = strings.Cut(pn, "=")
		parts = append(strings.Split(pn, "^"), "", "", "", "", "")
	}
	family, others := oneSpace(parts[0]), oneSpace(strings.Join(parts[1:5], " "))
	if family == "" || others == "" {
		return family + others
	}
	return family + ", " + others
}

// date writes a DA as ISO 8601 does; what is none stands as it is.
func date(da string) string {
	t, err := time.Parse("20060102", da)
	if err != nil {
		return da
	}
	return t.Format(time.DateOnly)
}

// moment writes a time with its zone.
func moment(t time.Time, zone *time.Location) string {
	switch {
	case t.IsZero():
		return ""
	case zone == time.UTC:
		return t.UTC().Format("2006-01-02 15:04 UTC")
	}
	return t.In(zone).Format("2006-01-02 15:04 -07:00")
}

// duration is the time from the first to the last image: how long the examination took at least.
func (e Examination) duration() string {
	if e.StartedAt.IsZero() || e.EndedAt.Before(e.StartedAt) {
		return ""
	}
	return strconv.FormatFloat(math.Ceil(e.EndedAt.Sub(e.StartedAt).Minutes()), 'f', 0, 64) + " min"
}

// notFlagged lists the findings that e looked for and that none of its frames had, each once: classes may share a code, and of one that any of
// them found it is not said that it was not flagged.
func (e Exam) notFlagged() []dicom.Code {
	flagged, codes := map[string]bool{}, map[dicom.Code]bool{}
	bare := func(c dicom.Code) dicom.Code { return dicom.Code{Value: c.Value, Scheme: c.Scheme} }
	all([]Exam{e}, func(s seen) { flagged[s.finding.Class], codes[bare(s.finding.Finding)] = true, true })
	for _, c := range e.Classes {
		if flagged[c.Name] {
			codes[bare(c.Finding)] = true
		}
	}
	out := []dicom.Code{}
	for _, c := range e.Classes {
		if c.Role == analysis.RoleFinding && !flagged[c.Name] && !codes[bare(c.Finding)] {
			codes[bare(c.Finding)] = true
			out = append(out, c.Finding)
		}
	}
	return out
}
