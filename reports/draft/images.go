package draft

import (
	"fmt"
	"slices"

	"endogate/inference/analysis"
)

// ref names k among the key images.
func (k KeyImage) ref() ImageRef {
	return ImageRef{Finding: k.Finding, Instance: k.Frame.Instance.SOPInstanceUID, Frame: k.Frame.Span.First}
}

func (e Edit) image() ImageRef {
	return ImageRef{Finding: e.Finding, Instance: e.Instance, Frame: max(e.Frame, 1)}
}

func (a *applying) imageAt(r ImageRef) int {
	return slices.IndexFunc(a.d.KeyImages, func(k KeyImage) bool { return k.ref() == r })
}

// Stands reports whether f is a finding of the report: no person has rejected it, and its result was not taken back
// before a person took it over. Whatever is made of a document shows these findings as findings, and no other.
func (f Finding) Stands() bool { return f.Decision != Rejected && !f.TakenBack() }

// TakenBack reports whether f is nobody's any more: its result was retracted, and no person has decided about it. What
// a person accepted or changed is the person's, and stays; that the result was retracted is said of it.
func (f Finding) TakenBack() bool { return f.Retracted != "" && !f.Decided() }

// Decided reports whether a person vouches for f, or has rejected it. What nobody decided is sent of a signed document
// too: as what a model proposes, never as confirmed.
func (f Finding) Decided() bool { return f.Decision != Proposed }

// Shown are the findings that stand.
func (d Document) Shown() []Finding {
	return slices.DeleteFunc(slices.Clone(d.Findings), func(f Finding) bool { return !f.Stands() })
}

// ShownImages are the key images without those of findings that do not stand.
func (d Document) ShownImages() []KeyImage {
	return slices.DeleteFunc(slices.Clone(d.KeyImages), func(k KeyImage) bool {
		return slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.ID == k.Finding && !f.Stands() })
	})
}

// choose takes an image as a key image. For a finding, it stands in the place of those that the gateway chose: what a
// person chose as well stays.
func (a *applying) choose(e Edit) string {
	ref := e.image()
	frame, ok := a.d.frame(ref)
	switch {
	case !ok:
		return "the study has no such frame"
	case e.Finding != "" && a.at(e.Finding) < 0:
		return "there is no finding with this ID in the report"
	}
	l := a.t.language(a.d.Language)
	chosen := KeyImage{Finding: e.Finding, Frame: frame, By: a.author, Why: l.say("chosen-by", "by", a.author.Name), Caption: l.say("caption-own", "image", frame.image())}
	at := a.at(e.Finding)
	if e.Finding == "" { // its map is of what was flagged there
		at = slices.IndexFunc(a.d.Findings, func(f Finding) bool { return f.has(frame) })
	}
	if at >= 0 && !a.d.Findings[at].Own() {
		chosen.Why = a.t.keyWhy(l, a.d.Findings[at], candidate{frame: frame, by: a.author.Name})
		if frame.Probability > 0 {
			chosen.Caption = a.t.caption(l, a.d.Findings[at], frame)
		}
	}
	if i := a.imageAt(ref); i >= 0 {
		chosen = a.d.KeyImages[i]
		chosen.By = a.author
	}
	if e.Caption != nil {
		chosen.Caption = *e.Caption
	}
	if e.Finding != "" {
		a.d.Findings[a.at(e.Finding)].ImagesBy = &a.author
		a.d.KeyImages = slices.DeleteFunc(a.d.KeyImages, func(k KeyImage) bool {
			return k.Finding == e.Finding && k.By.System && k.ref() != ref
		})
	}
	if i := a.imageAt(ref); i >= 0 {
		a.d.KeyImages[i] = chosen
		return ""
	}
	if len(a.d.KeyImages) >= maxImages {
		return fmt.Sprintf("the report has %d key images already", maxImages)
	}
	a.d.KeyImages = append(a.d.KeyImages, chosen)
	return ""
}

// frame finds a frame of the study: as a finding has it, or else as the images do.
func (d Document) frame(r ImageRef) (Frame, bool) {
	for _, f := range d.Findings {
		for _, frame := range f.Frames {
			if f.ID == r.Finding && frame.Instance.SOPInstanceUID == r.Instance && frame.Span.First == r.Frame {
				return frame, true
			}
		}
	}
	for _, f := range d.Findings {
		for _, frame := range f.Frames {
			if r.Finding == "" && f.Stands() && frame.Heatmap.SOPInstanceUID != "" && frame.Instance.SOPInstanceUID == r.Instance && frame.Span.First == r.Frame {
				return frame, true
			}
		}
	}
	for _, i := range d.Examination.Instances {
		if i.Instance.SOPInstanceUID == r.Instance && r.Frame <= max(i.Frames, 1) {
			return Frame{Instance: i.Instance, Number: i.Number, Span: analysis.Still(r.Frame), Rows: i.Rows, Columns: i.Columns}, true
		}
	}
	return Frame{}, false
}

// has reports whether f stands and was flagged in frame, with this map.
func (f Finding) has(frame Frame) bool {
	return f.Stands() && frame.Heatmap.SOPInstanceUID != "" && slices.ContainsFunc(f.Frames, func(g Frame) bool { return g.Heatmap == frame.Heatmap })
}

func (a *applying) drop(e Edit) string {
	i := a.imageAt(e.image())
	if i < 0 {
		return "this frame is no key image of the report; its finding has to be named where it stands for one"
	}
	a.d.KeyImages = slices.Delete(a.d.KeyImages, i, i+1)
	if at := a.at(e.Finding); at >= 0 {
		a.d.Findings[at].ImagesBy = &a.author
	}
	return ""
}

func (a *applying) order(e Edit) string {
	var ordered []KeyImage
	for _, r := range e.Images {
		r.Frame = max(r.Frame, 1)
		i := a.imageAt(r)
		if i < 0 || slices.ContainsFunc(ordered, func(k KeyImage) bool { return k.ref() == r }) {
			return "images: one is no key image of the report, or is named twice"
		}
		ordered = append(ordered, a.d.KeyImages[i])
	}
	if len(ordered) != len(a.d.KeyImages) {
		return fmt.Sprintf("images: names %d of %d key images; all are needed", len(ordered), len(a.d.KeyImages))
	}
	a.d.KeyImages = ordered
	for i := range a.d.Findings {
		if slices.ContainsFunc(ordered, func(k KeyImage) bool { return k.Finding == a.d.Findings[i].ID }) {
			a.d.Findings[i].ImagesBy = &a.author
		}
	}
	return ""
}
