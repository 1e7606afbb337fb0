package reports

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
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
	if bad := (dicom.Header{SOPInstance: dicom.SOPInstance{StudyInstanceUID: e.StudyInstanceUID}}).BadUIDs(); len(bad) > 0 {
		return Exam{}, permanentError{fmt.Errorf("reports: exam: no report can be filed under its study: %s; its findings stand on the study's page", strings.Join(bad, ", "))}
	}
	exam := Exam{Algorithm: algorithm, Route: e.Route, Revision: e.Revision, At: e.LastAt}
	if exam.Source, err = a.source(ctx, results); err != nil {
		return Exam{}, err
	}
	if exam.Source.Order, err = a.order(ctx, e.StudyInstanceUID); err != nil {
		return Exam{}, err
	}
	var latest time.Time
	first := int64(math.MaxInt64)
	for _, r := range results {
		if r.MadeBy.Name != "" && r.Order < first {
			exam.Algorithm.Model, first = r.MadeBy, r.Order // what comes later changes nothing about it
		}
		if r.InferredAt.After(latest) {
			latest = r.InferredAt
		}
		if r.RetractedAt.After(latest) {
			latest = r.RetractedAt
		}
		exam.Instances = append(exam.Instances, instanceFrom(r))
	}
	if !latest.IsZero() { // else nothing was ever analysed
		exam.At = latest
	}
	exam.Previous, err = a.previous(ctx, exam)
	return exam, err
}

// previous are the reports of the revision before that of e, as they were made last; one that is forgotten is named no more.
func (a *Assembler) previous(ctx context.Context, e Exam) (all []dicom.SOPInstance, err error) {
	for _, class := range []dicom.UID{dicom.Comprehensive3DSRStorage, dicom.ComprehensiveSRStorage} {
		before, err := a.Exams.Current(ctx, e.documentInstance(class, "sr", e.Revision-1).SOPInstanceUID)
		switch {
		case err == nil:
			all = append(all, before.Instance)
		case !errors.Is(err, ledger.ErrNotFound):
			return nil, err
		}
	}
	return all, nil
}

// order returns the order of a study as it is now; nil where there is none, or it may be another patient's.
func (a *Assembler) order(ctx context.Context, study dicom.UID) (*ledger.Order, error) {
	order, ok, err := a.Exams.OrderOf(ctx, study)
	if err != nil || !ok {
		return nil, err
	}
	gate, err := a.Exams.GateOf(ctx, study)
	switch {
	case errors.Is(err, ledger.ErrNotFound): // nothing stands against it
	case err != nil:
		return nil, err
	case gate.InDoubt(order):
		return nil, nil
	}
	return &order, nil
}

// source opens the instance that says the most of patient and study, of several the first, whose bytes can still be read, and
// completes it by the others.
func (a *Assembler) source(ctx context.Context, results []ledger.ExamResult) (Source, error) {
	headers := make([]dicom.Header, len(results))
	for i, r := range results {
		headers[i] = r.Header
	}
	results = slices.Clone(results)
	slices.SortStableFunc(results, func(a, b ledger.ExamResult) int { return cmp.Compare(b.Header.Said(), a.Header.Said()) })
	var errs []error
	for _, r := range results {
		if r.Released {
			continue
		}
		source, err := a.Open(ctx, r.Entry)
		if err == nil {
			source.Study = r.Header.Completed(headers)
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
	for _, r := range results {
		if r.Retracted != "" { // what is taken back is said, however long ago the images have gone
			return remembered(r)
		}
	}
	return Source{}, permanentError{fmt.Errorf("reports: exam: %s: none of its %d instances can be read from the spool any more", ledger.LostBytes, len(results))}
}

// remembered is as much of a source as the ledger has.
func remembered(r ledger.ExamResult) (Source, error) {
	h, ds := r.Header, dataset{}
	for t, text := range map[tag.Tag]string{
		tag.SpecificCharacterSet: utf8Set, tag.SOPClassUID: string(r.Instance.SOPClassUID), tag.SOPInstanceUID: string(r.Instance.SOPInstanceUID),
		tag.SeriesInstanceUID: string(r.Instance.SeriesInstanceUID), tag.StudyInstanceUID: string(r.Instance.StudyInstanceUID),
		tag.PatientID: h.PatientID, tag.PatientName: h.PatientName, tag.AccessionNumber: h.AccessionNumber, tag.Modality: h.Modality,
		tag.IssuerOfPatientID: h.IssuerOfPatientID, tag.PatientBirthDate: h.PatientBirthDate, tag.PatientSex: h.PatientSex,
		tag.StationName: h.StationName, tag.StudyDate: h.StudyDate, tag.StudyTime: h.StudyTime, tag.StudyDescription: h.StudyDescription,
	} {
		text, _ = dicom.Reading(text)
		ds.optional(t, text)
	}
	ts, _ := dicom.LookupTransferSyntax(dicom.ExplicitVRLittleEndian)
	text, err := ds.written().Append(nil, ts)
	if err != nil {
		return Source{}, permanentError{fmt.Errorf("reports: exam: entry %s: %w", r.Entry, err)}
	}
	attributes, err := dicom.ReadAttributes(bytes.NewReader(text), ts)
	return Source{Attributes: attributes, TransferSyntaxUID: ts.UID, Size: int64(len(text))}, err
}

func instanceFrom(r ledger.ExamResult) Instance {
	i := Instance{
		SOPInstance: r.Instance, Modality: r.Header.Modality, Frames: r.Frames(),
		MadeBy: r.MadeBy, Results: r.Results, Moving: r.Moving, Heatmaps: r.Heatmaps, Lacks: r.Lacks,
	}
	bad := r.Header.BadUIDs()
	switch {
	case len(r.Results) > 0 && len(bad) > 0:
		i.Skipped, i.Results, i.Heatmaps = "analysed, but no report may refer to it: "+strings.Join(bad, ", "), nil, nil
	case r.Retracted != "":
		i.Retracted, i.Results, i.Heatmaps = r.Retracted, nil, nil
	case r.Failed != "" && (r.Skipped || r.InferredAt.IsZero()):
		i.Skipped = r.Failed
	case r.Failed != "":
		i.Failed = r.Failed
	case len(r.Results) == 0:
		i.Failed = "no frame in it"
	}
	return i
}
