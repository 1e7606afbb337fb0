package reports

import (
	"context"
	"errors"
	"fmt"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/inference"
)

// maxHeatmapRevision bounds the search for the revision of a heatmap, which the ledger knows by its UID alone.
const maxHeatmapRevision = 16

// exam gathers what the ledger knows of an exam.
func (a *Assembler) exam(ctx context.Context, e ledger.Exam) (Exam, error) {
	algorithm, ok := a.Algorithm(e.Model)
	if !ok {
		return Exam{}, permanentError{fmt.Errorf("reports: exam: model %q is not configured any more; configure it and retry", e.Model)}
	}
	results, err := a.Exams.ExamResults(ctx, e)
	if err != nil {
		return Exam{}, err
	}
	exam := Exam{Algorithm: algorithm, Route: e.Route, Revision: e.Revision, At: e.LastAt}
	if exam.Source, err = a.source(ctx, results); err != nil {
		return Exam{}, err
	}
	var latest time.Time
	for _, r := range results {
		if r.InferredAt.After(latest) {
			latest = r.InferredAt
		}
		exam.Instances = append(exam.Instances, instanceFrom(r, algorithm))
	}
	if !latest.IsZero() { // else nothing was ever analysed
		exam.At = latest
	}
	return exam, nil
}

// source opens the first instance whose bytes can still be read.
func (a *Assembler) source(ctx context.Context, results []ledger.ExamResult) (Source, error) {
	var errs []error
	for _, r := range results {
		if r.Released {
			continue
		}
		source, err := a.Open(ctx, r.Entry)
		if err == nil {
			return source, nil
		}
		errs = append(errs, fmt.Errorf("reports: exam: open entry %s: %w", r.Entry, err))
	}
	if len(errs) > 0 {
		return Source{}, errors.Join(errs...)
	}
	return Source{}, permanentError{fmt.Errorf("reports: exam: none of its %d instances is in the spool any more; send one again", len(results))}
}

func instanceFrom(r ledger.ExamResult, a Algorithm) Instance {
	i := Instance{SOPInstance: r.Instance, Modality: r.Header.Modality, Frames: max(r.Header.NumberOfFrames, 1)}
	switch {
	case r.Failed != "" && r.InferredAt.IsZero():
		i.Skipped = r.Failed
	case r.Failed != "":
		i.Failed = r.Failed
	case len(r.Frames) == 0:
		i.Failed = "no frame in it"
	}
	for _, f := range r.Frames {
		frame := Frame{Number: f.Frame, Rows: f.Rows, Columns: f.Columns}
		for _, finding := range f.Findings {
			frame.Findings = append(frame.Findings, findingFrom(finding, r.Instance, f.Frame, a))
		}
		i.Results = append(i.Results, frame)
	}
	return i
}

func findingFrom(f ledger.Finding, source dicom.SOPInstance, frame int, a Algorithm) Finding {
	out := Finding{
		Class: f.Class, Role: inference.Role(f.Role), Probability: f.Probability, Threshold: f.Threshold,
		Finding: inference.Code(f.Finding), Site: inference.Code(f.Site), Regions: f.Contours,
		Heatmap: heatmapOf(f, source, frame, a),
	}
	if out.Finding == (inference.Code{}) { // stored without codes: those of the model
		if c, ok := a.class(f.Class); ok {
			out.Role, out.Finding, out.Site = c.Role, c.Finding, c.Site
		}
	}
	return out
}

// heatmapOf returns the UIDs of a finding's heatmap. One that another version of the model made lies in a series that
// is not known here, and is left out: a report must not point at the wrong place.
func heatmapOf(f ledger.Finding, source dicom.SOPInstance, frame int, a Algorithm) dicom.SOPInstance {
	if f.Heatmap == "" {
		return dicom.SOPInstance{}
	}
	for revision := range maxHeatmapRevision {
		if i := HeatmapInstance(source, frame, a, f.Class, revision); i.SOPInstanceUID == f.Heatmap {
			return i
		}
	}
	return dicom.SOPInstance{}
}
