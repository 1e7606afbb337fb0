package reports

import (
	"slices"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// Exam is what one algorithm saw in one study: what a report is made of.
type Exam struct {
	Algorithm Algorithm           // that the document is filed under: the same in every revision
	Route     string              // that the exam came by: one study may have a report for each
	Source    Source              // an instance of the study, to copy patient and study from
	Revision  int                 // of the report, from 1
	Previous  []dicom.SOPInstance // reports of the revision before, one of each SOP class: what this one takes the place of
	At        time.Time           // of the latest inference
	Instances []Instance
}

// Instance is a source instance and what came of it.
type Instance struct {
	dicom.SOPInstance
	Modality string
	Frames   int                 // number of frames of the instance
	MadeBy   analysis.Model      // version of the algorithm that analysed it; zero: the exam's
	Results  []analysis.Result   // in the order of their spans
	Moving   *analysis.Moving    // of a video; else nil
	Heatmaps []dicom.SOPInstance // those that its findings name
	Failed   string              // why nothing came of it, when its job failed
	Lacks    string              // which of its frames were not analysed, and why; empty: all were
	Skipped  string              // why it was never tried
	// Retracted is why a person took what came of it back; then it has no results.
	Retracted string
}

// by names the model that analysed an instance.
func (e Exam) by(i Instance) analysis.Model {
	if i.MadeBy == (analysis.Model{}) {
		return e.Algorithm.Model
	}
	return i.MadeBy
}

// models are the algorithm and its other versions that analysed an instance of the exam.
func (e Exam) models() []analysis.Model {
	models := []analysis.Model{e.Algorithm.Model}
	for _, i := range e.analysed() {
		if by := e.by(i); !slices.Contains(models, by) {
			models = append(models, by)
		}
	}
	return models
}

// contributors are its models, with how each explained what it found.
func (e Exam) contributors() (all []contributor) {
	for _, m := range e.models() {
		var results []analysis.Result
		for _, i := range e.analysed() {
			if e.by(i) == m {
				results = append(results, i.Results...)
			}
		}
		all = append(all, contributor{m, HowExplained(results)})
	}
	return all
}

func (e Exam) validate() error {
	for _, m := range e.models() {
		if err := validate(m); err != nil {
			return err
		}
	}
	return nil
}

// seen is a finding with the result it is in.
type seen struct {
	instance Instance
	result   analysis.Result
	finding  analysis.Finding
}

// heatmap returns the UIDs of the finding's heatmap, zero when it has none or nobody knows its series: a report must not
// point at the wrong place.
func (s seen) heatmap() dicom.SOPInstance {
	for _, i := range s.instance.Heatmaps {
		if i.SOPInstanceUID == s.finding.Heatmap {
			return i
		}
	}
	return dicom.SOPInstance{}
}

// key reports whether the finding is one to look at by itself: of a video, those of its key frames.
func (s seen) key() bool {
	m := s.instance.Moving
	return m == nil || m.Key(s.result.Span.First, s.finding.Class)
}

// outline runs along the border of the frame.
func (s seen) outline() [][2]float64 {
	columns, rows := float64(s.result.Columns), float64(s.result.Rows)
	return [][2]float64{{0, 0}, {columns, 0}, {columns, rows}, {0, rows}, {0, 0}}
}

// ref names the frame in its source, or the whole source where the finding is of a span of several.
func (s seen) ref() ImageRef {
	ref := ImageRef{Instance: s.instance.SOPInstance}
	if s.instance.Frames > 1 {
		ref.Frame = s.result.Span.Frame()
	}
	return ref
}

// findings lists what was found, in the order of instances and frames.
func (e Exam) findings() []seen {
	var out []seen
	for _, i := range e.Instances {
		for _, r := range i.Results {
			for _, finding := range r.Findings {
				out = append(out, seen{i, r, finding})
			}
		}
	}
	return out
}

// analysed lists the instances with results.
func (e Exam) analysed() []Instance {
	return slices.DeleteFunc(slices.Clone(e.Instances), func(i Instance) bool { return len(i.Results) == 0 })
}

func (e Exam) frames() int {
	return e.count(func(Instance, analysis.Result) bool { return true })
}

// asked counts the frames in which class was looked for: another version of the algorithm may not know it.
func (e Exam) asked(class string) int {
	return e.count(func(_ Instance, r analysis.Result) bool {
		_, known := r.Scores[class]
		return known || len(r.Scores) == 0
	})
}

// count counts the frames of the results that are of a kind.
func (e Exam) count(of func(Instance, analysis.Result) bool) int {
	n := 0
	for _, i := range e.Instances {
		for _, r := range i.Results {
			if of(i, r) {
				n += r.Span.Count
			}
		}
	}
	return n
}

// flagged counts the frames in which class was found.
func (e Exam) flagged(class string) int {
	return e.count(func(_ Instance, r analysis.Result) bool {
		return slices.ContainsFunc(r.Findings, func(f analysis.Finding) bool { return f.Class == class })
	})
}

// found counts the findings of class: a frame may have several boxes of it.
func (e Exam) found(class string) (n int) {
	for _, s := range e.findings() {
		if s.finding.Class == class {
			n++
		}
	}
	return n
}

// sizes gives the size of every frame that a finding, or the peak of a segment, is in.
func (e Exam) sizes() sizes {
	out := sizes{}
	for _, s := range e.findings() {
		ref := s.ref()
		out[frameKey{ref.Instance.SOPInstanceUID, ref.Frame}] = [2]int{s.result.Columns, s.result.Rows}
	}
	for _, i := range e.analysed() {
		for _, s := range e.stretches(i) {
			peak := i.peak(s)
			out[frameKey{i.SOPInstanceUID, peak.ref().Frame}] = [2]int{peak.result.Columns, peak.result.Rows}
		}
	}
	return out
}
