package reports

import (
	"slices"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference"
)

// Exam is what one algorithm saw in one study: what a report is made of.
type Exam struct {
	Algorithm Algorithm
	Route     string    // that the exam came by: one study may have a report for each
	Source    Source    // an instance of the study, to copy patient and study from
	Revision  int       // of the report, from 1; from 2 on it names its predecessor
	At        time.Time // of the latest inference
	Instances []Instance
}

// Instance is a source instance and what came of it.
type Instance struct {
	dicom.SOPInstance
	Modality string
	Frames   int     // number of frames of the instance
	Results  []Frame // analysed frames, in order
	Failed   string  // why nothing came of it, when its job failed
	Skipped  string  // why it was never tried
}

// Frame is an analysed frame.
type Frame struct {
	Number        int // from 1
	Rows, Columns int
	Findings      []Finding
}

// outline runs along the border of the frame.
func (f Frame) outline() [][2]float64 {
	columns, rows := float64(f.Columns), float64(f.Rows)
	return [][2]float64{{0, 0}, {columns, 0}, {columns, rows}, {0, rows}, {0, 0}}
}

// Finding is a class above its threshold.
type Finding struct {
	Class                  string
	Role                   inference.Role
	Probability, Threshold float64
	Finding, Site          dicom.Code
	Heatmap                dicom.SOPInstance // zero where there is none
	Regions                [][][2]float64    // closed polygons, (column, row) in pixels of the source frame
}

// seen is a finding with the frame it is in.
type seen struct {
	instance Instance
	frame    Frame
	finding  Finding
}

// ref names the frame in its source.
func (s seen) ref() ImageRef {
	ref := ImageRef{Instance: s.instance.SOPInstance}
	if s.instance.Frames > 1 {
		ref.Frame = s.frame.Number
	}
	return ref
}

// findings lists what was found, in the order of instances and frames.
func (e Exam) findings() []seen {
	var out []seen
	for _, i := range e.Instances {
		for _, f := range i.Results {
			for _, finding := range f.Findings {
				out = append(out, seen{i, f, finding})
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
	n := 0
	for _, i := range e.Instances {
		n += len(i.Results)
	}
	return n
}

// flagged counts the frames in which class was found.
func (e Exam) flagged(class string) int {
	n := 0
	for _, i := range e.Instances {
		for _, f := range i.Results {
			if slices.ContainsFunc(f.Findings, func(f Finding) bool { return f.Class == class }) {
				n++
			}
		}
	}
	return n
}

// sizes gives the size of every frame that a finding is in.
func (e Exam) sizes() sizes {
	out := sizes{}
	for _, s := range e.findings() {
		ref := s.ref()
		out[frameKey{ref.Instance.SOPInstanceUID, ref.Frame}] = [2]int{s.frame.Columns, s.frame.Rows}
	}
	return out
}
