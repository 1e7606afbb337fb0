package desk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"
	"endogate/reports"
	"endogate/reports/draft"
)

// input gathers what a draft is made of. Its time is that of the newest thing in it, so that a draft that is made again
// after a crash is the same.
func (d *Desk) input(ctx context.Context, due ledger.DueDraft, newest draft.Document) (draft.Input, ledger.Basis, error) {
	fail := func(err error) (draft.Input, ledger.Basis, error) {
		return draft.Input{}, ledger.Basis{}, fmt.Errorf("desk: study %s: %w", due.Study, err)
	}
	// What is due is known before what it is made of is read: what comes meanwhile makes it due again.
	basis := ledger.Basis{Desk: due.Version}
	in := draft.Input{Study: due.Study, At: newest.At, Language: d.Language, KeyImages: d.KeyImages, Zone: d.Location}
	if newest.Language != "" {
		in.Language = newest.Language
	}
	exams, err := d.Ledger.ExamsOf(ctx, due.Study)
	if err != nil {
		return fail(err)
	}
	for _, e := range exams {
		exam, retracted, err := d.exam(ctx, e)
		if err != nil {
			return fail(err)
		}
		in.Exams = append(in.Exams, exam)
		in.At = later(in.At, e.ReportedAt, e.LastAt, retracted)
		basis.Exams = append(basis.Exams, ledger.ExamBasis{Route: e.Route, Model: e.Model, State: e.State, Revision: e.Revision, Version: e.Version})
	}
	received, err := d.Ledger.Received(ctx, due.Study)
	if err != nil {
		return fail(err)
	}
	if len(received) == 0 {
		return fail(errors.New("it has no instances"))
	}
	if err := d.images(ctx, &in, received, newest.Examination); err != nil {
		return fail(err)
	}
	order, ok, err := d.Ledger.OrderOf(ctx, due.Study)
	if err != nil {
		return fail(err)
	}
	gate, err := d.whose(ctx, &in)
	if err != nil {
		return fail(err)
	}
	if ok {
		basis.Order = order.Message
		in.At = later(in.At, order.ChangedAt)
		if !gate.InDoubt(order) {
			ordered(&in, order)
		}
	}
	in.Quality = d.quality(ctx, received)
	return in, basis, nil
}

func later(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// exam is what one model said, and when any of it was last taken back.
func (d *Desk) exam(ctx context.Context, e ledger.Exam) (exam draft.Exam, retracted time.Time, err error) {
	results, err := d.Ledger.ExamResults(ctx, e)
	if err != nil {
		return draft.Exam{}, time.Time{}, err
	}
	report, _, err := d.Ledger.ReportOf(ctx, e.ID)
	if err != nil {
		return draft.Exam{}, time.Time{}, err
	}
	m, ok := d.Model(e.Model)
	if !ok { // its results stay; what the configuration would say of it is not known any more
		m.Model = analysis.Model{Name: e.Model}
	}
	exam = draft.Exam{
		Model: m.Model, Route: e.Route, IntendedUse: m.IntendedUse, Explanation: m.Explanation, Explained: reports.Explained, Classes: m.Classes, Masked: m.Masked,
		Report: report.Instance.SOPInstanceUID,
	}
	var first *ledger.ExamResult
	var said []analysis.Result
	for i, r := range results {
		said = append(said, r.Results...)
		if r.MadeBy.Name != "" && (first == nil || r.Order < first.Order) {
			first = &results[i]
		}
		in := draft.Instance{
			SOPInstance: r.Instance, Number: r.Header.InstanceNumber, Frames: r.Frames(),
			MadeBy: r.MadeBy, Results: r.Results, Moving: r.Moving, Heatmaps: r.Heatmaps, Lacks: r.Lacks, Retracted: r.Retracted,
		}
		switch { // as the exam's report has it
		case r.Failed != "" && (r.Skipped || r.InferredAt.IsZero()):
			in.Skipped = r.Failed
		case r.Failed != "":
			in.Failed = r.Failed
		case len(r.Results) == 0:
			in.Failed = "no frame in it"
		}
		retracted = later(retracted, r.RetractedAt)
		exam.Instances = append(exam.Instances, in)
	}
	if first != nil { // as the exam's report has it: what comes later changes nothing about it
		exam.Model = first.MadeBy
	}
	exam.Explanation = cmp.Or(reports.HowExplained(said), exam.Explanation) // as it was then, else as it is by now
	return exam, retracted, nil
}

// The attributes of a source that say when and by whom an examination was made (PS3.3 C.7.3.1, C.12.1, C.7.6.1).
const (
	bodyPartExamined    dicom.Tag = 0x00180015
	performingPhysician dicom.Tag = 0x00081050
	acquisitionDate     dicom.Tag = 0x00080022
	acquisitionTime     dicom.Tag = 0x00080032
	contentTime         dicom.Tag = 0x00080033
	timezoneOffset      dicom.Tag = 0x00080201
)

// images says what the instances say about themselves. Before is what an earlier draft had when their bytes were there.
func (d *Desk) images(ctx context.Context, in *draft.Input, received []ledger.InstanceView, before draft.Examination) error {
	headers := make([]dicom.Header, len(received))
	for i, r := range received {
		headers[i] = r.Header
	}
	head := headers[0].Completed(headers)
	in.Patient = draft.Patient{
		ID: head.PatientID, Issuer: head.IssuerOfPatientID, Name: head.PatientName, BirthDate: head.PatientBirthDate, Sex: head.PatientSex,
	}
	e := draft.Examination{Accession: head.AccessionNumber, Description: head.StudyDescription, Station: head.StationName, Images: len(received), Instances: []draft.Image{}}
	disagree := false
	sizes, frames := map[dicom.UID]analysis.Result{}, map[dicom.UID]int{}
	for _, exam := range in.Exams {
		for _, i := range exam.Instances {
			frames[i.SOPInstanceUID] = i.Frames // of videos as their streams have it
			if len(i.Results) > 0 {
				sizes[i.SOPInstanceUID] = i.Results[0]
			}
		}
	}
	for _, r := range received {
		switch accession := r.Header.AccessionNumber; {
		case e.Accession == "":
			e.Accession = accession
		case accession != "" && accession != e.Accession:
			disagree = true
		}
		size := sizes[r.Instance.SOPInstanceUID]
		e.Instances = append(e.Instances, draft.Image{
			Instance: r.Instance, Number: r.Header.InstanceNumber, Frames: max(r.Header.NumberOfFrames, frames[r.Instance.SOPInstanceUID], 1), Rows: size.Rows, Columns: size.Columns,
		})
		if code := r.Header.ProcedureCode; code != "" && !slices.Contains(in.Procedures, code) {
			in.Procedures = append(in.Procedures, code)
		}
	}
	for _, r := range slices.Compact([]*ledger.InstanceView{&received[0], &received[len(received)-1]}) {
		source, err := d.Source(ctx, r.Entry)
		if errors.Is(err, reports.ErrGone) {
			continue
		}
		if err != nil {
			return err
		}
		a := source.Attributes
		if part := a.Text(bodyPartExamined); part != "" {
			in.BodyParts = append(in.BodyParts, part)
		}
		e.Performer = cmp.Or(e.Performer, a.Text(performingPhysician))
		if at := d.taken(a); !at.IsZero() {
			if e.StartedAt.IsZero() || at.Before(e.StartedAt) {
				e.StartedAt = at
			}
			e.EndedAt = later(e.EndedAt, at)
		}
	}
	if e.StartedAt.IsZero() {
		e.StartedAt, e.EndedAt = before.StartedAt, before.EndedAt
	}
	e.Performer = cmp.Or(e.Performer, before.Performer)
	if disagree {
		e.Accession = ""
	}
	for _, text := range []*string{&e.Accession, &e.Description, &e.Station} {
		*text, _ = dicom.Reading(*text)
	}
	in.Examination = e
	return nil
}

// taken is when an image was taken, as far as it says.
func (d *Desk) taken(a *dicom.Attributes) time.Time {
	zone := cmp.Or(d.Location, time.UTC)
	if at, err := time.Parse("-0700", a.Text(timezoneOffset)); err == nil {
		zone = at.Location()
	}
	for _, text := range []string{
		a.Text(dicom.AcquisitionDateTime), a.Text(acquisitionDate) + a.Text(acquisitionTime), a.Text(dicom.ContentDate) + a.Text(contentTime),
		a.Text(dicom.StudyDate) + a.Text(dicom.StudyTime),
	} {
		if len(text) >= 14 {
			if at, err := time.ParseInLocation("20060102150405", text[:14], zone); err == nil {
				return at.UTC()
			}
		}
	}
	return time.Time{}
}

// ordered takes over what the order says.
func ordered(in *draft.Input, o ledger.Order) {
	in.Order = &draft.Order{
		Accession: o.Accession, Placer: o.Placer.ID, PlacerAuthority: o.Placer.Authority, Filler: o.Filler.ID, FillerAuthority: o.Filler.Authority,
		RequestedProcedureID: o.RequestedProcedureID,
		Service:              o.Service, Reason: o.Reason, Requester: o.Requester, Referrer: o.Referrer,
		RequesterID: o.RequesterID.ID, RequesterAuthority: o.RequesterID.Authority, ReferrerID: o.ReferrerID.ID, ReferrerAuthority: o.ReferrerID.Authority,
		PatientClass: o.PatientClass, VisitNumber: o.AdmissionID, VisitAuthority: o.AdmissionAuthority,
		Cancelled: o.State == ledger.OrderCancelled,
	}
	if len(o.Steps) > 0 {
		in.Order.StepID = o.Steps[0].ID
	}
	if o.Service.Value != "" {
		in.Procedures = append(in.Procedures, o.Service.Value)
	}
	if in.Examination.Performer == "" {
		for _, s := range o.Steps {
			in.Examination.Performer = cmp.Or(in.Examination.Performer, s.Performer)
		}
	}
}

// whose says whom the study is on by now, and what images, order and patient disagree in.
func (d *Desk) whose(ctx context.Context, in *draft.Input) (ledger.GateState, error) {
	in.Notices = nil
	doubtful, err := d.identify(ctx, in.Study, &in.Patient)
	if err != nil {
		return ledger.GateState{}, err
	}
	if doubtful {
		in.Notices = append(in.Notices, "doubtful-name")
	}
	gate, err := d.Ledger.GateOf(ctx, in.Study)
	if errors.Is(err, ledger.ErrNotFound) {
		return gate, nil // of a release that had none
	}
	in.Notices = append(in.Notices, notices(gate)...)
	return gate, err
}

// notices are the phrases for what the gate warns of.
func notices(g ledger.GateState) (all []string) {
	for _, m := range g.Mismatches {
		all = append(all, "mismatch-"+string(m))
	}
	switch {
	case g.Held:
		all = append(all, "gate-held")
	case g.Corrected && len(all) > 0:
		all = append(all, "gate-corrected")
	case g.Released:
		all = append(all, "gate-released")
	}
	return all
}

// identify says whom a study is on by now: what is sent of any version names that patient. It is doubtful where there is no more
// than a reading of the name or the identifier.
func (d *Desk) identify(ctx context.Context, study dicom.UID, p *draft.Patient) (doubtful bool, err error) {
	patient, err := d.Ledger.PatientOf(ctx, study)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		err = nil // of a release that had no patients
	case err == nil && patient.ID != "":
		*p = draft.Patient{ID: patient.ID, Issuer: patient.Authority, Name: patient.Name, BirthDate: patient.BirthDate, Sex: patient.Sex}
	}
	for _, text := range []*string{&p.ID, &p.Issuer, &p.Name} {
		reading, marked := dicom.Reading(*text)
		*text, doubtful = reading, doubtful || marked
	}
	return doubtful, err
}

type frameKey struct {
	instance dicom.UID
	frame    int
}

// maxQualities bounds how many frames are remembered: a draft asks for a few dozen.
const maxQualities = 4096

// qualities remembers what was measured: a draft that is made anew asks for the same frames.
type qualities struct {
	sync.Mutex
	of map[frameKey]draft.Quality
}

func (q *qualities) get(k frameKey) (draft.Quality, bool) {
	q.Lock()
	defer q.Unlock()
	v, ok := q.of[k]
	return v, ok
}

func (q *qualities) put(k frameKey, v draft.Quality) {
	q.Lock()
	defer q.Unlock()
	if len(q.of) >= maxQualities {
		clear(q.of)
	}
	q.of[k] = v
}

// ErrUnmeasured is that a frame is not looked at: its bytes are not kept any more, or it would cost too much.
var ErrUnmeasured = errors.New("desk: its pixels are not looked at")

// quality measures frames of the instances received, each once. Of a span it is the middle frame that counts.
func (d *Desk) quality(ctx context.Context, received []ledger.InstanceView) func(dicom.SOPInstance, analysis.Span) (draft.Quality, error) {
	if d.Quality == nil {
		return nil
	}
	entries := map[dicom.UID]string{}
	for _, r := range received {
		if r.ReleasedAt.IsZero() {
			entries[r.Instance.SOPInstanceUID] = r.Entry
		}
	}
	return func(instance dicom.SOPInstance, span analysis.Span) (draft.Quality, error) {
		key := frameKey{instance.SOPInstanceUID, span.First + max(span.Count-1, 0)/2}
		if known, ok := d.memory.get(key); ok {
			return known, nil
		}
		entry, ok := entries[key.instance]
		if !ok {
			return draft.Quality{}, ErrUnmeasured
		}
		q, err := d.Quality(ctx, entry, key.frame)
		switch {
		case err == nil:
			d.memory.put(key, q)
		case ctx.Err() == nil && !errors.Is(err, ErrUnmeasured):
			d.Log.WarnContext(ctx, "a frame is chosen without its sharpness and exposure", "instance", key.instance, "frame", key.frame, "err", err)
		}
		return q, err
	}
}
