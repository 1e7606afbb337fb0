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

// ErrGone is what Assembler.Open wraps when the bytes of an entry cannot be read any more, however often it is tried.
var ErrGone = errors.New("its bytes are gone")

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
	maps := heatmaps{assembler: a, study: e.StudyInstanceUID, algorithm: algorithm}
	var latest time.Time
	for _, r := range results {
		if r.InferredAt.After(latest) {
			latest = r.InferredAt
		}
		i, err := instanceFrom(ctx, r, &maps)
		if err != nil {
			return Exam{}, err
		}
		exam.Instances = append(exam.Instances, i)
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
		if errors.Is(err, ErrGone) {
			a.Log.WarnContext(ctx, "source cannot be read", "entry", r.Entry, "sop_instance_uid", r.Instance.SOPInstanceUID, "err", err)
			continue
		}
		errs = append(errs, fmt.Errorf("reports: exam: open entry %s: %w", r.Entry, err))
	}
	if len(errs) > 0 {
		return Source{}, errors.Join(errs...)
	}
	return Source{}, permanentError{fmt.Errorf("reports: exam: none of its %d instances can be read from the spool any more; send one again", len(results))}
}

func instanceFrom(ctx context.Context, r ledger.ExamResult, maps *heatmaps) (Instance, error) {
	i := Instance{SOPInstance: r.Instance, Modality: r.Header.Modality, Frames: max(r.Header.NumberOfFrames, 1)}
	switch {
	case r.Failed != "" && (r.Skipped || r.InferredAt.IsZero()):
		i.Skipped = r.Failed
	case r.Failed != "":
		i.Failed = r.Failed
	case len(r.Frames) == 0:
		i.Failed = "no frame in it"
	}
	for _, f := range r.Frames {
		frame := Frame{Number: f.Frame, Rows: f.Rows, Columns: f.Columns}
		for _, finding := range f.Findings {
			heatmap, err := maps.of(ctx, finding, r.Instance, f.Frame)
			if err != nil {
				return Instance{}, err
			}
			frame.Findings = append(frame.Findings, findingFrom(finding, heatmap, maps.algorithm))
		}
		i.Results = append(i.Results, frame)
	}
	return i, nil
}

func findingFrom(f ledger.Finding, heatmap dicom.SOPInstance, a Algorithm) Finding {
	out := Finding{
		Class: f.Class, Role: inference.Role(f.Role), Probability: f.Probability, Threshold: f.Threshold,
		Finding: f.Finding, Site: f.Site, Regions: f.Contours, Heatmap: heatmap,
	}
	if out.Finding == (dicom.Code{}) { // stored without codes: those of the model
		if c, ok := a.class(f.Class); ok {
			out.Role, out.Finding, out.Site = c.Role, c.Finding, c.Site
		}
	}
	return out
}

// heatmaps finds the UIDs of heatmaps, of which a finding has the SOP Instance UID alone.
type heatmaps struct {
	assembler *Assembler
	study     dicom.UID
	algorithm Algorithm
	kept      map[dicom.UID]dicom.SOPInstance // of the study, by SOP Instance UID; nil: not asked for yet
}

// of returns the UIDs of the heatmap of f, zero when it has none or nobody knows its series: a report must not point at
// the wrong place. They follow from frame and algorithm for one that was made at the first attempt; the ledger knows
// one that was made anew, or by another version of the model, which lies in another series.
func (h *heatmaps) of(ctx context.Context, f ledger.Finding, source dicom.SOPInstance, frame int) (dicom.SOPInstance, error) {
	if f.Heatmap == "" {
		return dicom.SOPInstance{}, nil
	}
	if i := HeatmapInstance(source, frame, h.algorithm, f.Class, 1); i.SOPInstanceUID == f.Heatmap {
		return i, nil
	}
	if h.kept == nil {
		study, err := h.assembler.Exams.Study(ctx, h.study)
		if err != nil {
			return dicom.SOPInstance{}, err
		}
		h.kept = map[dicom.UID]dicom.SOPInstance{}
		for _, o := range study.Objects {
			h.kept[o.Instance.SOPInstanceUID] = o.Instance
		}
	}
	return h.kept[f.Heatmap], nil
}
