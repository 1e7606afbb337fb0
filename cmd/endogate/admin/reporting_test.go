package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"
	"endogate/reports/draft"
	"endogate/reports/pdf"
)

// reporting is a desk in memory with the drafts of one study: what persons do is done by package draft, as the gateway does it.
type reporting struct {
	*office   // what it counts
	templates *draft.Templates
	render    func(draft.Document) ([]byte, error)

	mu       sync.Mutex
	versions []draft.Document // the oldest first
	events   []ledger.Draft
}

// newReporting has the draft of a colonoscopy of the hospital with three findings, which nobody has decided.
func newReporting(t *testing.T, h *hospital) *reporting {
	t.Helper()
	templates, err := draft.Load("")
	require.NoError(t, err)
	fonts, err := pdf.OpenFonts("")
	require.NoError(t, err)
	r := &reporting{office: &h.office, templates: templates}
	r.render = func(d draft.Document) ([]byte, error) {
		return pdf.Render(d, pdf.Options{Fonts: fonts, Label: templates.Label, Called: templates.Called, Picture: func(k draft.KeyImage) (p pdf.Picture, err error) {
			if p.Frame, err = h.images[string(k.Frame.Instance.SOPInstanceUID)](); err == nil && k.Frame.Heatmap.SOPInstanceUID != "" {
				p.Heatmap, err = h.images[string(k.Frame.Heatmap.SOPInstanceUID)]()
			}
			return p, err
		}})
	}
	classes := []analysis.Class{
		{Name: "polyp", Role: analysis.RoleFinding, Threshold: 0.5, Finding: sampleCodes["polyp"], Site: sampleCodes["colon"]},
		{Name: "ulcer", Role: analysis.RoleFinding, Threshold: 0.5, Finding: dicom.Code{Value: "72510009", Scheme: "SCT", Meaning: "Ulcer of colon"}, Site: sampleCodes["colon"]},
		{Name: "normal-cecum", Role: analysis.RoleLandmark, Threshold: 0.5, Finding: sampleCodes["normal"], Site: sampleCodes["cecum"]},
	}
	study := h.studies[0]
	in := draft.Input{
		Study: study.StudyInstanceUID, At: sampleTime, Language: "en", KeyImages: 1,
		Patient:     draft.Patient{ID: study.PatientID, Name: study.PatientName, BirthDate: "19740512", Sex: "F"},
		Order:       &draft.Order{Accession: study.AccessionNumber, Service: dicom.Code{Value: "73761001", Scheme: "SCT", Meaning: "Colonoscopy"}, Reason: "Rectal bleeding"},
		Examination: draft.Examination{StartedAt: sampleTime, EndedAt: sampleTime.Add(9 * time.Minute), Description: "Colonoscopy", Station: "ENDO-3", Images: len(study.Instances)},
	}
	exam := draft.Exam{Model: analysis.Model{Name: sampleModel.Name, Version: sampleModel.Version, Digest: sampleModel.Digest}, Route: "endoscopy", IntendedUse: sampleModel.IntendedUse, Classes: classes}
	for i, instance := range study.Instances {
		rows, columns := 528, 622
		result := analysis.Result{Span: analysis.Still(1), Rows: rows, Columns: columns, Scores: map[string]float64{"polyp": .1, "ulcer": .1, "normal-cecum": .1}}
		seen := draft.Instance{SOPInstance: instance.SOPInstance, Number: i + 1, Frames: 1}
		if class, ok := map[int]int{0: 0, 1: 2, 2: 0, 4: 1, 6: 1}[i]; ok {
			f := classes[class].Seen(0.95 - 0.03*float64(i))
			heat := study.Instances[i].SOPInstance
			heat.SOPInstanceUID = dicom.UID(fmt.Sprintf("%s.%d", study.StudyInstanceUID, 51+i))
			f.Heatmap, f.Contours = heat.SOPInstanceUID, ring(300, 260, 90)
			seen.Heatmaps, result.Findings = []dicom.SOPInstance{heat}, []analysis.Finding{f}
			result.Scores[f.Class] = f.Probability
		}
		seen.Results = []analysis.Result{result}
		exam.Instances = append(exam.Instances, seen)
		in.Examination.Instances = append(in.Examination.Instances, draft.Image{Instance: instance.SOPInstance, Number: i + 1, Frames: 1, Rows: rows, Columns: columns})
	}
	in.Exams = []draft.Exam{exam}
	first, err := templates.New(in)
	require.NoError(t, err)
	require.Len(t, first.Findings, 3)
	r.keep(first, ledger.DraftDrafted, nil)
	return r
}

func (r *reporting) keep(d draft.Document, event ledger.DraftEvent, edits []draft.Edit) {
	row := ledger.Draft{Study: d.Study, Number: d.Number, Version: d.Version, Event: event, Standing: string(d.Standing), Author: d.Author.Name, Unauthenticated: d.Author.Unauthenticated, System: d.Author.System, At: d.At}
	if edits != nil {
		row.Edit, _ = json.Marshal(edits)
	}
	r.versions, r.events = append(r.versions, d), append(r.events, row)
}

func (r *reporting) find(number, version int) (draft.Document, error) {
	for _, d := range slices.Backward(r.versions) {
		if (number == 0 || d.Number == number) && (version == 0 || d.Version == version) {
			return d, nil
		}
	}
	return draft.Document{}, fmt.Errorf("%w: no such version", ErrNotFound)
}

func (r *reporting) newest() draft.Document {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.versions[len(r.versions)-1]
}

func (r *reporting) Draft(_ context.Context, study dicom.UID, number, version int) (draft.Document, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if study != r.versions[0].Study {
		return draft.Document{}, fmt.Errorf("%w: no model looks at this study, or it is not known", ErrNotFound)
	}
	return r.find(number, version)
}

func (r *reporting) History(_ context.Context, _ dicom.UID, p Page) ([]ledger.Draft, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.events)
	return slices.Clone(r.events[min(p.Offset, n):min(p.Offset+p.Limit, n)]), nil
}

func (r *reporting) PDF(ctx context.Context, study dicom.UID, number, version int) ([]byte, error) {
	d, err := r.Draft(ctx, study, number, version)
	if err != nil {
		return nil, err
	}
	return r.render(d)
}

func (r *reporting) change(at draft.Reference, edits []draft.Edit, event ledger.DraftEvent, do func(draft.Document, time.Time) (draft.Document, error)) (draft.Document, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, err := r.find(at.Number, 0)
	if err != nil {
		return d, err
	}
	if newest, _ := r.find(0, 0); d.Version != at.Version {
		return d, &ledger.DraftConflictError{Number: at.Number, Expected: at.Version, Latest: d.Version, LatestNumber: newest.Number, LatestAuthor: d.Author.Name, LatestAt: d.At}
	}
	next, err := do(d, d.At.Add(time.Minute))
	if err == nil {
		r.keep(next, event, edits)
	}
	return next, err
}

func (r *reporting) Edit(_ context.Context, _ dicom.UID, at draft.Reference, edits []draft.Edit, author draft.Author) (draft.Document, error) {
	return r.change(at, edits, ledger.DraftEdited, func(d draft.Document, now time.Time) (draft.Document, error) {
		for i, e := range edits {
			if version, undo := e.Undoes(d); undo {
				if earlier, err := r.find(d.Number, version); err == nil {
					edits[i].Earlier = &earlier
				}
			}
		}
		return r.templates.Apply(d, edits, author, now)
	})
}

func (r *reporting) Sign(_ context.Context, _ dicom.UID, at draft.Reference, author draft.Author) (draft.Document, error) {
	return r.change(at, nil, ledger.DraftSigned, func(d draft.Document, now time.Time) (draft.Document, error) {
		return r.templates.Sign(d, author, now, !author.Unauthenticated)
	})
}

func (r *reporting) Amend(_ context.Context, _ dicom.UID, at draft.Reference, author draft.Author, reason string) (draft.Document, error) {
	return r.change(at, nil, ledger.DraftAmending, func(d draft.Document, now time.Time) (draft.Document, error) {
		return r.templates.Amend(d, author, now, reason)
	})
}

func (r *reporting) Withdraw(_ context.Context, _ dicom.UID, at draft.Reference, author draft.Author, reason string) (draft.Document, error) {
	return r.change(at, nil, ledger.DraftWithdrawn, func(d draft.Document, now time.Time) (draft.Document, error) {
		return r.templates.Withdraw(d, author, now, reason)
	})
}

// edit is what somebody else does meanwhile.
func (r *reporting) edit(t *testing.T, name string, edits ...draft.Edit) draft.Document {
	t.Helper()
	d, err := r.Edit(t.Context(), "", r.newest().Reference(), edits, draft.Author{Name: name})
	require.NoError(t, err)
	return d
}

// desk is the page of a reporting, with a gateway that can be made not to answer.
type deskPage struct {
	*browser
	*reporting
	h    *hospital
	down atomic.Bool
}

func openDraft(t *testing.T, change ...func(*Server)) *deskPage {
	t.Helper()
	p := &deskPage{h: newHospital(t)}
	p.reporting = newReporting(t, p.h)
	s := newServer(t, p.h)
	s.Drafts = p.reporting
	s.Settings = func() Settings { is := sampleSettings; is.UnauthenticatedSign = true; return is }
	for _, c := range change {
		c(s)
	}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			panic(http.ErrAbortHandler)
		}
		s.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(gateway.Close)
	p.browser = openAt(t, gateway.URL)
	p.size(1280, 800)
	return p
}
