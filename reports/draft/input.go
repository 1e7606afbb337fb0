package draft

import (
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// Input is all that a draft is made of. Nothing in it is changed.
type Input struct {
	Study       dicom.UID
	At          time.Time      // of the version that is made
	Zone        *time.Location // of the times in texts; nil: UTC
	Language    string         // one of Templates.Languages; empty: en
	Patient     Patient        // as the order, or else the images say
	Order       *Order         // nil: there is none
	Examination Examination
	// BodyParts and Procedures of the images and the order (Body Part Examined; Code Value) choose the template, as do the
	// routes of the exams.
	BodyParts  []string
	Procedures []string
	Exams      []Exam
	Notices    []string // of the moment, such as what the gate warns of: phrases of the templates, by name
	KeyImages  int      // for each finding, at most; 0 is 3
	// Quality measures frames for the choice of key images; it is asked for the most probable candidates only. One that
	// cannot be measured is chosen by its probability. Nil: none can.
	Quality func(dicom.SOPInstance, analysis.Span) (Quality, error)
}

// Exam is what one model said about the study on one route.
type Exam struct {
	Model       analysis.Model
	Route       string
	IntendedUse string
	Explanation string                            // how its maps are made, and why not as was asked for
	Explained   func(analysis.Explanation) string // the same of one map, in words; nil: nothing is said
	Classes     []analysis.Class
	Masked      [][4]float64 // boxes left out of the analysis: left, top, right, bottom, in fractions of the frame
	Report      dicom.UID    // SOP Instance UID of its AI-result SR; empty: none
	Instances   []Instance
	Retracted   string // why a person took its result back; empty: it stands
}

// Instance is a source instance and what came of it.
type Instance struct {
	dicom.SOPInstance
	Number    int                 // Instance Number
	Frames    int                 // number of frames
	MadeBy    analysis.Model      // version of the model that analysed it; zero: the exam's
	Results   []analysis.Result   // in the order of their spans
	Heatmaps  []dicom.SOPInstance // those that its findings name
	Moving    *analysis.Moving    // of a video; else nil
	Failed    string              // why nothing came of it, when its job failed
	Lacks     string              // which of its frames were not analysed, and why; empty: all were
	Skipped   string              // why it was never tried
	Retracted string              // why a person took its result back; empty: it stands
}
