package reports

import (
	"fmt"
	"slices"
	"strconv"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// stretches are the segments of a video that get measurement groups of their own: those of a class that has a code.
func (e Exam) stretches(i Instance) []analysis.Segment {
	if i.Moving == nil {
		return nil
	}
	all := slices.DeleteFunc(slices.Clone(i.Moving.Segments), func(s analysis.Segment) bool {
		what, _ := e.over(i, s).Coded()
		return s.Role == analysis.RoleNormal || what == (dicom.Code{})
	})
	return all[:min(len(all), maxListedSegments)]
}

// stretch is TID 1501 of a segment of a video. Its probability was inferred (TID 300, 321) from temporal coordinates, in seconds since the
// first frame, of the video, and from the whole of its peak frame. Frames are named in words besides: sample positions are of
// waveforms (PS3.3 C.18.7.1).
func (e Exam) stretch(i Instance, s analysis.Segment, image int, patient discreet) ContentItem {
	by := e.by(i)
	found := e.over(i, s)
	what, site := found.Coded()
	worded := patient.label(found.Worded(), what.Meaning)
	peak := i.peak(s)
	id := fmt.Sprintf("AI segment %s, image %d frames %d to %d (%s)", worded, image, s.FirstFrame, s.LastFrame, by.Name)
	items := []ContentItem{
		textItem(HasObsContext, trackingIdentifier, id),
		uidItem(HasObsContext, trackingUID, dicom.DerivedUID("tracking-segment", string(i.StudyInstanceUID), string(i.SOPInstanceUID),
			strconv.Itoa(s.FirstFrame), strconv.Itoa(s.LastFrame), by.Name, by.Version, s.Class)),
		codeItem(Contains, finding, what),
	}
	if site != (dicom.Code{}) {
		items = append(items, codeItem(HasConceptMod, findingSite, site))
	}
	items = append(items, saidBy(by, found.Threshold)...)
	items = append(items,
		numItem(Contains, probability, decimal(s.Probability, 4), noUnits,
			polylineItem(InferredFrom, sourceOfMeasurement, peak.outline(), peak.ref()), // first: OHIF breaks off at a group without one
			stretchItem(InferredFrom, sourceOfMeasurement, s.Start, s.End, ImageRef{Instance: i.SOPInstance})),
		imageItem(Contains, sourceOfMeasurement, peak.ref()))
	return container(Contains, measurementGroupTitle, items...)
}

// peak is the peak frame of a segment, as the source of what is said of the whole.
func (i Instance) peak(s analysis.Segment) seen {
	at := seen{instance: i, result: analysis.Result{Span: analysis.Still(s.PeakFrame)}}
	for _, r := range i.Results {
		if at.result.Rows == 0 || r.Span.First == s.PeakFrame { // all frames of a video are of one size
			at.result.Rows, at.result.Columns = r.Rows, r.Columns
		}
	}
	return at
}

// over is what was found over a segment, with the code and the threshold of that time; as its class has them by now, where no finding of it stands.
func (e Exam) over(i Instance, s analysis.Segment) analysis.Finding {
	for _, r := range i.Results {
		for _, f := range r.Findings {
			if f.Class == s.Class {
				f.Probability = s.Probability
				return f
			}
		}
	}
	return e.class(s.Class).Seen(s.Probability)
}

// class is that of a name; one that the algorithm has no more is known by what was found of it.
func (e Exam) class(name string) analysis.Class {
	for _, c := range e.classes() {
		if c.Name == name {
			return c
		}
	}
	return analysis.Class{Name: name}
}
