package gateway

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"strconv"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference/analysis"
	"endogate/reports/draft"
	"endogate/reports/outbox"
)

// views shows the ledger, the spool and the destinations to the admin page.
type views struct {
	ledger       *ledger.Ledger
	spool        *spool.Spool
	destinations func() []configs.Destination
	models       func() []string             // by which jobs are done; nil: nobody does any now
	expiries     func() map[string]time.Time // of our certificates
	callingAE    dicom.AETitle
	decode       func() pixeldata.Options
	now          func() time.Time
	clips        *clips
	byPhysician  func() bool // reading.by_physician
	timelines    func() timelines
	jobs         func()                                            // called when a person has put work back
	try          func(destination string)                          // has a destination tried at once, even one that was down
	condition    func(destination string) (outbox.Condition, bool) // how a destination fares
}

// Studies implements admin.Studies.
func (v *views) Studies(ctx context.Context, f admin.StudyFilter) ([]admin.StudySummary, int, error) {
	page, total, err := v.ledger.Studies(ctx, ledger.StudyFilter{
		PatientID: f.PatientID, Accession: f.AccessionNumber, StudyUID: f.StudyInstanceUID,
		Status: f.Status, Search: f.Search, Patients: f.Patients, Limit: f.Limit, Offset: f.Offset, After: f.After,
	})
	summaries := make([]admin.StudySummary, 0, len(page))
	for _, s := range page {
		summaries = append(summaries, summary(s))
	}
	return summaries, total, err
}

// Study implements admin.Studies.
func (v *views) Study(ctx context.Context, uid dicom.UID, p admin.Page) (admin.Study, error) {
	detail, err := v.ledger.StudyBare(ctx, uid, ledger.Page(p))
	if err != nil {
		return admin.Study{}, notFound(err)
	}
	return StudyView(detail), nil
}

// Instances implements admin.Studies.
func (v *views) Instances(ctx context.Context, uid dicom.UID, p admin.Page) ([]admin.Instance, error) {
	views, err := v.ledger.Instances(ctx, uid, ledger.Page(p))
	return StudyView(ledger.StudyDetail{InstanceViews: views}).Instances, err
}

func summary(s ledger.Study) admin.StudySummary {
	return admin.StudySummary{
		StudyInstanceUID: s.StudyInstanceUID, PatientID: s.PatientID, PatientName: s.PatientName,
		AccessionNumber: s.AccessionNumber, StudyDate: s.StudyDate, StudyTime: s.StudyTime,
		StudyDescription: s.StudyDescription, Modality: s.Modality, Status: s.Status,
		FirstAt: s.FirstAt, LastAt: s.LastAt, InstanceCount: s.Instances, ConflictCount: s.Conflicts, NotAnalysed: s.NotAnalysed, NotAnalysedWhy: append([]string{}, s.Why...),
		FrameCount: s.Frames, FindingCount: s.Findings, OpenCount: s.Open, ParkedCount: s.Parked,
		DeliveryCounts: s.Deliveries, Urgent: s.Urgent, StandsAt: s.StandsAt,
	}
}

// StudyView is what the ledger knows of a study as API and page show it.
func StudyView(d ledger.StudyDetail) admin.Study {
	study := admin.Study{StudySummary: summary(d.Study), Gate: admin.GateView(d.Gate), Totals: admin.StudyTotals{
		Instances: d.Totals.Instances, Objects: d.Totals.Objects, Deliveries: d.Totals.Deliveries, Timeline: d.Totals.Events,
	}}
	for _, i := range d.InstanceViews {
		study.Instances = append(study.Instances, instanceView(i))
	}
	for _, e := range d.Exams {
		study.Exams = append(study.Exams, admin.Exam{
			ID: strconv.FormatInt(e.ID, 10), Route: e.Route, Model: e.Model, State: e.State, Reason: e.Reason,
			Revision: e.Revision, OpenJobs: e.OpenJobs, LastAt: e.LastAt, ReportedAt: e.ReportedAt,
		})
	}
	study.Segments, study.Videos = videoViews(d.Videos)
	for _, o := range d.Objects {
		study.Objects = append(study.Objects, admin.Object{
			SOPInstance: o.Instance, Entry: o.Entry, Purpose: o.Purpose, Model: o.Model, Source: o.Source, Frame: o.Span.Frame(), Span: o.Span,
			Revision: o.Revision, TwinOf: o.TwinOf, MadeAt: o.MadeAt, Released: !o.ReleasedAt.IsZero(),
		})
	}
	for _, delivery := range d.Deliveries {
		study.Deliveries = append(study.Deliveries, deliveryView(delivery))
	}
	for _, e := range d.Events {
		study.Timeline = append(study.Timeline, eventView(e))
	}
	return study
}

func videoViews(all []ledger.Video) (segments []admin.Segment, videos []admin.Video) {
	segments, videos = []admin.Segment{}, []admin.Video{}
	for _, v := range all {
		out := admin.Video{SOPInstanceUID: v.SOPInstanceUID, Model: v.Model, State: "working", Analysed: v.Done, ToAnalyse: v.Of, DiscountedWhy: map[string]int{}, Scores: map[string]float64{}, KeyFrames: []analysis.KeyFrame{}, Poor: []analysis.Stretch{}, Weights: []analysis.Weight{}}
		if m := v.Moving; m != nil {
			out.State, out.Frames, out.Analysed, out.ToAnalyse, out.Skipped = "done", m.Frames, m.Analysed, m.Analysed, m.Frames-m.Analysed
			out.Discounted, out.DiscountedWhy, out.Selected, out.Rule, out.Scores = m.Discounted, m.Why, m.Selected, m.Rule, m.Scores
			out.KeyFrames, out.Poor, out.Weights = append(out.KeyFrames, m.KeyFrames...), append(out.Poor, m.Poor...), append(out.Weights, m.Weights...)
			out.Length, out.Course = m.Length, m.Course
			out.Timeline = &admin.TimelineEdges{Left: float64(picture.TimelineLeft) / picture.TimelineWidth, Right: 1 - float64(picture.TimelineRight)/picture.TimelineWidth}
			for _, s := range m.Segments {
				segments = append(segments, admin.Segment{SOPInstanceUID: v.SOPInstanceUID, Model: v.Model, Segment: s})
			}
		}
		videos = append(videos, out)
	}
	return segments, videos
}

func instanceView(i ledger.InstanceView) admin.Instance {
	out := admin.Instance{
		SOPInstance: i.Instance, Entry: i.Entry, State: i.State, Reason: i.Reason, Remarks: i.Header.Remarks, Route: i.Route,
		Modality: i.Header.Modality, StationName: i.Header.StationName,
		InstanceNumber: i.Header.InstanceNumber, NumberOfFrames: i.Header.NumberOfFrames,
		TransferSyntaxUID: i.TransferSyntaxUID, CallingAE: i.CallingAE, CalledAE: i.CalledAE, ReceivedAt: i.ReceivedAt,
		Size: i.Size, Digest: i.Digest, Released: !i.ReleasedAt.IsZero(),
	}
	for _, job := range i.Jobs {
		view := admin.Analysis{
			Job: job.ID, Model: job.Model, MadeBy: job.MadeBy, State: job.State, Attempts: job.Attempts,
			InferredAt: job.InferredAt, Reason: job.Reason, Retracted: job.Retracted,
		}
		view.Add(job.Results)
		out.Analyses = append(out.Analyses, view)
	}
	return out
}

func deliveryView(d ledger.Delivery) admin.Delivery {
	return admin.Delivery{
		SOPInstance: d.Instance, ID: strconv.FormatInt(d.ID, 10), Destination: d.Destination, Purpose: d.Purpose,
		State: d.State, Held: d.Held, Attempts: d.Attempts, NextAt: d.NextAt, EndedAt: d.EndedAt,
		Alternate: d.Used != "" && d.Used == d.Alternate, Status: d.Answer.Code, Reason: d.Why(), Nameless: d.Reason,
	}
}

func eventView(e ledger.Event) admin.Event {
	return admin.Event{
		At: e.At, LastAt: e.LastAt, Count: e.Count, SOPInstanceUID: e.SOPInstanceUID, Step: string(e.What),
		Destination: e.Destination, Status: e.Answer.Code, Detail: e.Why(), Nameless: e.Detail,
		Message: messageOf(e), By: e.By.String(), ByKind: string(e.By.Kind),
	}
}

// messageOf names the message that a step is about: what has an entry and is of no SOP Instance.
func messageOf(e ledger.Event) string {
	if e.SOPInstanceUID != "" {
		return ""
	}
	return e.Entry
}

// Orders implements admin.Orders.
func (v *views) Orders(ctx context.Context, f admin.OrderFilter) ([]ledger.OrderView, int, error) {
	return v.ledger.Orders(ctx, ledger.OrderFilter{
		Accession: f.AccessionNumber, PatientID: f.PatientID, StudyUID: f.StudyInstanceUID, Placer: f.Placer, Filler: f.Filler,
		State: f.State, Mismatch: f.Mismatch, Limit: f.Limit, Offset: f.Offset, After: f.After,
	})
}

// Messages implements admin.Orders.
func (v *views) Messages(ctx context.Context, f admin.MessageFilter) (all []admin.Message, total int, err error) {
	page, total, err := v.ledger.Messages(ctx, f)
	for _, m := range page {
		all = append(all, admin.Message{
			ID: m.Entry, Type: m.Type, Application: m.Application, Facility: m.Facility, ControlID: m.ControlID, At: m.At, LastAt: m.LastAt, Count: m.Count,
			Answer: m.Answer.Code, Error: m.Answer.Text, Note: m.Note, About: m.Subjects, Size: m.Size, Kept: !m.Released,
		})
	}
	return all, total, err
}

// Message implements admin.Orders.
func (v *views) Message(ctx context.Context, id string) (io.ReadCloser, string, error) {
	entry, bytes, err := v.spool.Open(id)
	switch {
	case errors.Is(err, spool.ErrNotFound):
		if _, err := v.ledger.Message(ctx, id); err != nil {
			return nil, "", notFound(err)
		}
		return nil, "", admin.ErrGone
	case err != nil:
		return nil, "", err
	case entry.Kind != spool.Message:
		bytes.Close()
		return nil, "", admin.ErrNotFound
	}
	return bytes, entry.MediaType, nil
}

// Outbox implements admin.Queue.
func (v *views) Outbox(ctx context.Context, f admin.DeliveryFilter) ([]admin.Delivery, int, error) {
	page, total, err := v.ledger.Outbox(ctx, ledger.OutboxFilter{
		Destination: f.Destination, State: f.State, Limit: f.Limit, Offset: f.Offset, After: f.After,
	})
	deliveries := make([]admin.Delivery, 0, len(page))
	for _, d := range page {
		deliveries = append(deliveries, deliveryView(d))
	}
	return deliveries, total, err
}

// Parked implements admin.Queue.
func (v *views) Parked(ctx context.Context, f admin.ParkedFilter) ([]admin.Parked, int, error) {
	work, total, err := v.ledger.Parked(ctx, ledger.ParkedFilter{Kind: ledger.ParkedKind(f.Kind), Page: ledger.Page(f.Page)})
	if err != nil {
		return nil, 0, err
	}
	var all []admin.Parked
	for _, j := range work.Jobs {
		all = append(all, admin.Parked{
			Kind: admin.ParkedJob, ID: j.ID, StudyInstanceUID: j.Instance.StudyInstanceUID, SOPInstanceUID: j.Instance.SOPInstanceUID,
			Model: j.Model, Attempts: j.Attempts, Reason: j.Reason, At: j.EndedAt, Bulk: true,
		})
	}
	for _, e := range work.Exams {
		all = append(all, admin.Parked{
			Kind: admin.ParkedExam, ID: strconv.FormatInt(e.ID, 10), StudyInstanceUID: e.StudyInstanceUID,
			Model: e.Model, Reason: e.Reason, At: e.LastAt, Bulk: true,
		})
	}
	for _, d := range work.Deliveries {
		all = append(all, admin.Parked{
			Kind: admin.ParkedDelivery, ID: strconv.FormatInt(d.ID, 10), StudyInstanceUID: d.Instance.StudyInstanceUID,
			SOPInstanceUID: d.Instance.SOPInstanceUID, Purpose: d.Purpose, Destination: d.Destination,
			Attempts: d.Attempts, Status: d.Answer.Code, Reason: d.Why(), Nameless: d.Reason, At: d.EndedAt,
			Conflict: d.Conflict, Bulk: d.Bulk(),
		})
	}
	for _, i := range work.Instances {
		all = append(all, admin.Parked{
			Kind: admin.ParkedInstance, ID: i.Entry, StudyInstanceUID: i.Instance.StudyInstanceUID, SOPInstanceUID: i.Instance.SOPInstanceUID,
			Reason: i.Reason, At: i.ReceivedAt, Conflict: i.State == ledger.InstanceConflict,
		})
	}
	for _, d := range work.Drafts {
		all = append(all, admin.Parked{
			Kind: admin.ParkedDraft, ID: string(d.StudyInstanceUID), StudyInstanceUID: d.StudyInstanceUID, Reason: d.Reason, At: d.At, Bulk: true,
		})
	}
	for _, g := range work.Gates {
		all = append(all, admin.Parked{
			Kind: admin.ParkedGate, ID: string(g.StudyInstanceUID), StudyInstanceUID: g.StudyInstanceUID, Reason: g.Words(), At: g.Since, Mismatches: g.Mismatches,
		})
	}
	return all, total, v.name(ctx, all)
}

// name adds to parked work whose it is.
func (v *views) name(ctx context.Context, all []admin.Parked) error {
	known := map[dicom.UID]admin.StudySummary{}
	for i := range all {
		uid := all[i].StudyInstanceUID
		if _, ok := known[uid]; !ok {
			page, _, err := v.Studies(ctx, admin.StudyFilter{StudyInstanceUID: uid, Limit: 1})
			if err != nil {
				return err
			}
			known[uid] = append(page, admin.StudySummary{})[0]
		}
		s := known[uid]
		all[i].PatientName, all[i].PatientID, all[i].AccessionNumber = s.PatientName, s.PatientID, s.AccessionNumber
	}
	return nil
}

// unknownPerson is who asks by the page or the API where nobody has to sign in.
var unknownPerson = ledger.Actor{Kind: ledger.ActorPerson}

// person is who decides: where nobody had to sign in, whom the client names, and the ledger says so.
func person(by draft.Author) ledger.Actor {
	who := ledger.Actor{Kind: ledger.ActorPerson, Name: by.Name}
	if by.Unauthenticated && by.Name != "" {
		who.Name += " (unauthenticated)"
	}
	return who
}

// Retry implements admin.Queue.
func (v *views) Retry(ctx context.Context, kind admin.ParkedKind, id string) error {
	err := v.retry(ledger.Acting(ctx, unknownPerson), kind, id)
	if kind != admin.ParkedDelivery {
		v.jobs()
	}
	return notFound(err)
}

func (v *views) retry(ctx context.Context, kind admin.ParkedKind, id string) error {
	switch kind {
	case admin.ParkedJob:
		if err := v.doable(ctx, id); err != nil {
			return err
		}
		return v.ledger.RetryJob(ctx, id, v.now())
	case admin.ParkedInstance:
		return admin.ErrConflict
	case admin.ParkedDraft:
		return v.ledger.RetryDraft(ctx, dicom.UID(id), v.now())
	}
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return admin.ErrNotFound
	}
	if kind == admin.ParkedExam {
		return v.ledger.RetryExam(ctx, number, v.now())
	}
	destination, err := v.ledger.Unpark(ctx, number, v.now())
	if err == nil {
		v.try(destination)
	}
	return err
}

// doable is an error where nobody would do the job: it would wait, and say nothing.
func (v *views) doable(ctx context.Context, id string) error {
	j, err := v.ledger.Job(ctx, id)
	if err == nil && v.models != nil && !slices.Contains(v.models(), j.Model) {
		return fmt.Errorf("%w: model %s is not configured: its jobs are offered again by themselves once it is; or discard it", admin.ErrConflict, j.Model)
	}
	return err
}

// Discard implements admin.Queue. A report is not discarded: its exam goes on with the next frame.
func (v *views) Discard(ctx context.Context, kind admin.ParkedKind, id string) error {
	ctx = ledger.Acting(ctx, unknownPerson)
	switch kind {
	case admin.ParkedJob:
		return notFound(v.ledger.DiscardJob(ctx, id, v.now()))
	case admin.ParkedInstance:
		return notFound(v.ledger.DiscardInstance(ctx, id, v.now()))
	}
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil || kind != admin.ParkedDelivery {
		return admin.ErrNotFound
	}
	return notFound(v.ledger.Discard(ctx, number, v.now()))
}

// notFound gives the ledger's answers the names that the API has for them.
func notFound(err error) error {
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return admin.ErrNotFound
	case errors.Is(err, ledger.ErrState):
		return fmt.Errorf("%w: %w", admin.ErrConflict, err)
	}
	return err
}

// Destinations implements admin.Destinations.
func (v *views) Destinations(ctx context.Context) ([]admin.Destination, error) {
	counts, err := v.ledger.Counts(ctx)
	if err != nil {
		return nil, err
	}
	expiring := v.expiries()
	var all []admin.Destination
	for _, d := range v.destinations() {
		condition, _ := v.condition(d.Name)
		last, err := v.ledger.LastDelivered(ctx, d.Name)
		if err != nil {
			return nil, err
		}
		retriable, err := v.ledger.BulkRetriable(ctx, d.Name)
		if err != nil {
			return nil, err
		}
		states := counts.Deliveries[d.Name]
		all = append(all, admin.Destination{
			Name: d.Name, Kind: string(d.Kind), AETitle: string(d.AETitle), Address: d.Where(),
			Counts: ledger.DeliveryCounts{
				Pending: int(states[ledger.DeliveryPending]), Sent: int(states[ledger.DeliverySent]), Done: int(states[ledger.DeliveryDone]),
				Parked: int(states[ledger.DeliveryParked]), Discarded: int(states[ledger.DeliveryDiscarded]),
			},
			LastAt: last, LastError: condition.Reason, Retriable: retriable, Up: condition.Up || condition.Since.IsZero(), Since: condition.Since, NextAt: condition.NextAt,
			Expires: expiring["destination "+d.Name],
		})
	}
	return all, nil
}

// Echo implements admin.Destinations.
func (v *views) Echo(ctx context.Context, name string) (admin.EchoResult, error) {
	for _, d := range v.destinations() {
		if d.Name != name {
			continue
		}
		reached, err := Reach(ctx, v.callingAE, d)
		if err != nil {
			return admin.EchoResult{Reason: err.Error(), Took: reached.Took}, nil
		}
		if reached.OK {
			v.try(name) // it answers: what waits for it need not wait on
		}
		return admin.EchoResult{OK: reached.OK, Status: reached.Said, Took: reached.Took}, nil
	}
	return admin.EchoResult{}, admin.ErrNotFound
}

// RetryParked implements admin.Destinations.
func (v *views) RetryParked(ctx context.Context, name string) (int, error) {
	if !slices.ContainsFunc(v.destinations(), func(d configs.Destination) bool { return d.Name == name }) {
		return 0, admin.ErrNotFound
	}
	n, err := v.ledger.RetryDeliveries(ledger.Acting(ctx, unknownPerson), name, v.now())
	v.try(name)
	return n, err
}

// Rendered implements admin.Frames.
func (v *views) Rendered(ctx context.Context, instance string, frame int) (image.Image, error) {
	_, f, err := v.frame(ctx, instance, frame)
	if err != nil {
		return nil, err
	}
	return square(f), nil
}

// square is a frame as it is shown: of pixels as high as they are wide, in which screens and pages have them.
func square(f pixeldata.Frame) *image.RGBA {
	return picture.Fitted(nil, f.Image, f.Aspect.Shown(f.Image.Rect.Size()))
}

// frame decodes a frame of an instance, with the errors of admin.Frames.
func (v *views) frame(ctx context.Context, instance string, frame int) (spool.Entry, pixeldata.Frame, error) {
	id, err := v.ledger.EntryOf(ctx, instance)
	if err != nil {
		return spool.Entry{}, pixeldata.Frame{}, notFound(err)
	}
	entry, dataset, err := v.spool.Open(id)
	if errors.Is(err, spool.ErrNotFound) {
		err = admin.ErrGone
	}
	if err != nil {
		return spool.Entry{}, pixeldata.Frame{}, err
	}
	defer dataset.Close()
	ts, _ := dicom.LookupTransferSyntax(entry.TransferSyntaxUID)
	opened, err := pixeldata.OpenSeekable(dataset, ts, v.decode())
	if err != nil {
		return entry, pixeldata.Frame{}, fmt.Errorf("%w: %w", admin.ErrUnsupported, err)
	}
	f, err := v.clips.frame(ctx, id, opened, frame)
	switch {
	case errors.Is(err, pixeldata.ErrNoFrame):
		err = admin.ErrNotFound
	case err != nil:
		err = fmt.Errorf("%w: %w", admin.ErrUnsupported, err)
	}
	return entry, f, err
}

// palette is how maps are drawn.
func palette(colours *explain.ColourMap, opacity float64) admin.Palette {
	p := admin.Palette{Colours: written(colours), Opacity: opacity, Named: map[string][]string{}}
	for _, name := range explain.ColourMapNames {
		if named, err := explain.NamedColourMap(name); err == nil {
			p.Named[name] = written(named)
		}
	}
	return p
}

// written is a colour map as style sheets write colours.
func written(colours *explain.ColourMap) (all []string) {
	for _, c := range colours {
		all = append(all, fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B))
	}
	return all
}
