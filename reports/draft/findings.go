package draft

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// maxFrames bounds the frames of a finding that a document lists: those with the highest probability. Nobody reads more,
// and a document on a video would have thousands.
const maxFrames = 50

// seen is a class that a model found in a span.
type seen struct {
	exam     Exam
	model    analysis.Model
	instance Instance
	result   analysis.Result
	finding  analysis.Finding
}

func (i Instance) by(e Exam) analysis.Model {
	if i.MadeBy == (analysis.Model{}) {
		return e.Model
	}
	return i.MadeBy
}

// retracted says why a person took the result of i back.
func (i Instance) retracted(e Exam) string { return printable(cmp.Or(e.Retracted, i.Retracted)) }

// all calls f for everything that was found and stands.
func all(exams []Exam, f func(seen)) {
	each(exams, func(s seen) {
		if s.instance.retracted(s.exam) == "" {
			f(s)
		}
	})
}

// each calls f for everything that was found.
func each(exams []Exam, f func(seen)) {
	for _, e := range exams {
		for _, i := range e.Instances {
			for _, r := range i.Results {
				for _, found := range r.Findings {
					f(seen{e, i.by(e), i, r, found})
				}
			}
		}
	}
}

// findingID is the same in every version: of route, model and class.
func (s seen) findingID() string {
	return string(dicom.DerivedUID("draft-finding", string(s.instance.StudyInstanceUID), s.exam.Route,
		s.model.Name, s.model.Version, s.model.Digest, s.finding.Class))
}

// frame is where s was seen.
func (s seen) frame() Frame {
	f := Frame{
		Instance: s.instance.SOPInstance, Number: s.instance.Number, Span: s.result.Span, Rows: s.result.Rows, Columns: s.result.Columns,
		Probability: s.finding.Probability, Contours: s.finding.Contours, Outline: s.finding.Outline,
	}
	if f.Outline == analysis.NetworkBox {
		f.Boxes = []float64{s.finding.Probability}
	}
	for _, h := range s.instance.Heatmaps {
		if h.SOPInstanceUID == s.finding.Heatmap && s.finding.Heatmap != "" {
			f.Heatmap = h
		}
		if h.SOPInstanceUID == s.finding.Sheet && s.finding.Sheet != "" {
			f.Sheet = h
		}
	}
	if drawn := s.finding.Drawn; drawn != nil && f.Heatmap.SOPInstanceUID != "" {
		f.Hatched = len(drawn.Masked) > 0
		if s.exam.Explained != nil {
			f.Explained = printable(s.exam.Explained(drawn.Explanation))
		}
	}
	return f
}

// code is what a class is in a report. Of a landmark that is its site: a manifest's "Normal" would say more than was seen.
func (s seen) code() dicom.Code {
	switch {
	case s.finding.Role == analysis.RoleLandmark && !zero(s.finding.Site):
		return s.finding.Site
	case s.finding.Role == analysis.RoleLandmark, zero(s.finding.Finding):
		value := []rune(strings.ToUpper(s.finding.Class))
		return dicom.Code{Value: string(value[:min(len(value), 16)]), Scheme: "99ENDOGATE", Meaning: clipped(s.finding.Class, 64)}
	}
	return s.finding.Finding
}

// findings are those of all models, one for each model, route and class, in the order in which they are shown. Classes
// that are taken for normal are none. Landmarks that contradict each other are left out, and named.
func (t *Templates) findings(exams []Exam, region string) (findings []Finding, contradicting []dicom.Code) {
	standing, ever := t.contradictions(all, exams, region), t.contradictions(each, exams, region)
	at := map[string]int{}
	each(exams, func(s seen) {
		if s.finding.Role == analysis.RoleNormal {
			return
		}
		taken := s.instance.retracted(s.exam) != ""
		if s.finding.Role == analysis.RoleLandmark && (!taken && standing[s.key()] || taken && ever[s.key()]) {
			if code := s.code(); !taken && !slices.Contains(contradicting, code) {
				contradicting = append(contradicting, code)
			}
			return
		}
		id := s.findingID()
		i, known := at[id]
		if !known {
			i = len(findings)
			at[id] = i
			findings = append(findings, Finding{
				ID: id, Model: s.model, Route: s.exam.Route, Class: s.finding.Class, Role: s.finding.Role, Code: s.code(), Site: s.finding.Site,
				Decision: Proposed, By: gateway, Threshold: s.finding.Threshold, Analysed: s.exam.asked(s.finding.Class, s.model),
				Frames: []Frame{}, Retracted: s.instance.retracted(s.exam),
			})
		}
		f := &findings[i]
		switch reason := s.instance.retracted(s.exam); {
		case reason == "" && f.Retracted != "": // what stands says more than what was taken back
			f.Retracted, f.Frames, f.Flagged, f.Probability = "", []Frame{}, 0, 0
		case reason != "" && f.Retracted == "":
			return
		}
		if s.finding.Number > 1 && f.addBox(s) {
			return
		}
		f.Frames = append(f.Frames, s.frame())
		f.Flagged += s.result.Span.Count
		f.Probability = max(f.Probability, s.finding.Probability)
	})
	for i := range findings {
		frames := findings[i].Frames
		slices.SortStableFunc(frames, func(a, b Frame) int {
			return cmp.Or(cmp.Compare(b.Probability, a.Probability), cmp.Compare(a.unseen(), b.unseen()))
		})
		findings[i].Frames = frames[:min(len(frames), maxFrames)]
		findings[i].Analysed = max(findings[i].Analysed, findings[i].Flagged)
	}
	slices.SortFunc(findings, order)
	slices.SortFunc(contradicting, func(a, b dicom.Code) int { return strings.Compare(a.Value, b.Value) })
	return nonNil(findings), nonNil(contradicting)
}

// unseen is 1 of a frame without a heatmap, else 0: of a clip of a video only key frames have one.
func (f Frame) unseen() int {
	if f.Heatmap.SOPInstanceUID == "" {
		return 1
	}
	return 0
}

// addBox adds another box of the class to the frame that it is in, which its first one has brought.
func (f *Finding) addBox(s seen) bool {
	if len(f.Frames) == 0 {
		return false
	}
	frame := &f.Frames[len(f.Frames)-1]
	if frame.Instance != s.instance.SOPInstance || frame.Span != s.result.Span {
		return false
	}
	frame.Contours = append(slices.Clone(frame.Contours), s.finding.Contours...)
	frame.Boxes = append(frame.Boxes, s.finding.Probability)
	return true
}

// retracted says why nothing that a version of e's model said stands any more; empty where something does.
func (e Exam) retracted(by analysis.Model) string {
	reason := ""
	for _, i := range e.Instances {
		switch r := i.retracted(e); {
		case len(i.Results) == 0 || i.by(e) != by:
		case r == "":
			return ""
		default:
			reason = r
		}
	}
	return cmp.Or(reason, printable(e.Retracted))
}

// asked counts the frames in which a version of a model looked for class.
func (e Exam) asked(class string, by analysis.Model) int {
	n := 0
	for _, i := range e.Instances {
		for _, r := range i.Results {
			if _, known := r.Scores[class]; i.retracted(e) == "" && i.by(e) == by && (known || len(r.Scores) == 0) {
				n += r.Span.Count
			}
		}
	}
	return n
}

// place names a span of an instance, and a landmark seen there.
type place struct {
	instance dicom.UID
	first    int
	site     dicom.Code
}

func (s seen) key() place {
	return place{s.instance.SOPInstanceUID, s.result.Span.First, s.code()}
}

// contradictions are the landmarks that cannot be so: two places in one picture, or one that the organ of this
// examination has not. Of says of which results.
func (t *Templates) contradictions(of func([]Exam, func(seen)), exams []Exam, region string) map[place]bool {
	sites := map[place][]place{}
	out := map[place]bool{}
	of(exams, func(s seen) {
		if s.finding.Role != analysis.RoleLandmark {
			return
		}
		key := s.key()
		picture := place{instance: key.instance, first: key.first}
		if !slices.Contains(sites[picture], key) {
			sites[picture] = append(sites[picture], key)
		}
		if r := t.region(key.site); r != "" && region != "" && r != region {
			out[key] = true
		}
	})
	for _, here := range sites {
		for _, key := range here {
			if len(here) > 1 {
				out[key] = true
			}
		}
	}
	return out
}

// disclosure says what has to be said about the machine's part (sheet: mandatory whatever was found).
func (l *language) disclosure(exams []Exam) Disclosure {
	d := Disclosure{Models: []ModelUse{}, Masked: []string{}, Skipped: []string{}, Failed: []string{}}
	state := map[dicom.UID]int{} // 0 unseen, 1 failed, 2 skipped, 3 retracted, 4 analysed: the best that a model made of it
	frames := map[dicom.UID][]analysis.Span{}
	skipped, failed, taken := map[string]int{}, map[string]int{}, map[string]int{}
	for _, e := range exams {
		models := []analysis.Model{e.Model}
		analysed := map[analysis.Model]int{}
		for _, i := range e.Instances {
			uid, by := i.SOPInstanceUID, i.by(e)
			if !slices.Contains(models, by) {
				models = append(models, by)
			}
			switch retracted := i.retracted(e); {
			case retracted != "":
				state[uid] = max(state[uid], 3)
				taken[e.Model.Name+": "+retracted]++
			case len(i.Results) > 0:
				state[uid] = 4
				for _, r := range i.Results {
					analysed[by] += r.Span.Count
					frames[i.SOPInstanceUID] = append(frames[i.SOPInstanceUID], r.Span)
				}
				if i.Lacks != "" {
					failed[e.Model.Name+": "+printable(i.Lacks)]++
				}
			case i.Skipped != "":
				state[uid] = max(state[uid], 2)
				skipped[e.Model.Name+": "+printable(i.Skipped)]++
			default:
				state[uid] = max(state[uid], 1)
				failed[e.Model.Name+": "+printable(cmp.Or(i.Failed, l.say("no-result")))]++
			}
		}
		for _, m := range models {
			use := ModelUse{
				Model: m, Route: e.Route, IntendedUse: printable(e.IntendedUse), Explanation: printable(e.Explanation), Thresholds: map[string]float64{}, Analysed: analysed[m],
				Report: e.Report, Retracted: e.retracted(m), NotFlagged: e.notFlagged(),
			}
			for _, c := range e.Classes {
				use.Thresholds[c.Name] = c.Threshold
			}
			d.Models = append(d.Models, use)
		}
		for _, box := range e.Masked {
			if what := l.masked(e.Model, box); !slices.Contains(d.Masked, what) {
				d.Masked = append(d.Masked, what)
			}
		}
	}
	for _, s := range state {
		d.Frames.Instances++
		switch s {
		case 4:
			d.Frames.Analysed++
		case 3:
			d.Frames.TakenBack++
		case 2:
			d.Frames.Skipped++
		default:
			d.Frames.Failed++
		}
	}
	for _, spans := range frames {
		d.Frames.Frames += distinct(spans)
	}
	d.Skipped, d.Failed, d.TakenBack = l.counted(skipped), l.counted(failed), l.counted(taken)
	return d
}

// distinct counts the frames that spans of an instance cover, each once: several models see the same.
func distinct(spans []analysis.Span) (n int) {
	slices.SortFunc(spans, func(a, b analysis.Span) int { return cmp.Compare(a.First, b.First) })
	next := 1
	for _, s := range spans {
		if end := s.First + s.Count; end > next {
			n += end - max(s.First, next)
			next = end
		}
	}
	return n
}

// counted lists reasons with their numbers.
func (l *language) counted(reasons map[string]int) []string {
	out := []string{}
	for _, r := range slices.Sorted(maps.Keys(reasons)) {
		out = append(out, l.say("reason", "number", strconv.Itoa(reasons[r]), "reason", r))
	}
	return out
}

func percent(fraction float64) string { return fmt.Sprintf("%.0f %%", 100*fraction) }

func (l *language) masked(m analysis.Model, box [4]float64) string {
	return l.say("masked", "model", m.Name, "left", percent(box[0]), "top", percent(box[1]), "right", percent(box[2]), "bottom", percent(box[3]))
}

// printable is text in one line without control characters, as far as a document has room for it.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return clipped(strings.TrimSpace(text), maxLine/4)
}

func clipped(text string, longest int) string {
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}

// Same reports whether a reader of p and other sees the same patient.
func (p Patient) Same(other Patient) bool { return p.printable() == other.printable() }

func (p Patient) printable() Patient {
	return Patient{printable(p.ID), printable(p.Issuer), printable(p.Name), printable(p.BirthDate), printable(p.Sex)}
}

func (o *Order) printable() *Order {
	if o == nil {
		return nil
	}
	return &Order{
		Accession: printable(o.Accession), Placer: printable(o.Placer), Filler: printable(o.Filler),
		PlacerAuthority: printable(o.PlacerAuthority), FillerAuthority: printable(o.FillerAuthority),
		RequestedProcedureID: printable(o.RequestedProcedureID), StepID: printable(o.StepID),
		Service: dicom.Code{Value: printable(o.Service.Value), Scheme: printable(o.Service.Scheme), Meaning: printable(o.Service.Meaning)},
		Reason:  printable(o.Reason), Requester: printable(o.Requester), Referrer: printable(o.Referrer),
		RequesterID: printable(o.RequesterID), RequesterAuthority: printable(o.RequesterAuthority),
		ReferrerID: printable(o.ReferrerID), ReferrerAuthority: printable(o.ReferrerAuthority),
		PatientClass: printable(o.PatientClass), VisitNumber: printable(o.VisitNumber), VisitAuthority: printable(o.VisitAuthority),
		Cancelled: o.Cancelled,
	}
}

func (e Examination) printable() Examination {
	e.StartedAt, e.EndedAt = e.StartedAt.UTC(), e.EndedAt.UTC()
	e.Description, e.Station, e.Performer = printable(e.Description), printable(e.Station), printable(e.Performer)
	e.Accession = printable(e.Accession)
	e.Instances = nonNil(slices.Clone(e.Instances))
	return e
}
