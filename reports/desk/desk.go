package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"endogate/dicomnode/clock"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"
	"endogate/reports"
	"endogate/reports/draft"
)

const (
	defaultPoll  = 5 * time.Second // when nobody calls Wake
	batch        = 64              // studies read from the ledger at once
	firstBackoff = 10 * time.Second
	lastBackoff  = 10 * time.Minute
)

// Ledger is what the desk needs of the ledger.
type Ledger interface {
	DueDrafts(ctx context.Context, limit int) ([]ledger.DueDraft, error)
	Desk(ctx context.Context, study dicom.UID) (ledger.DeskState, error)
	ExamsOf(ctx context.Context, study dicom.UID) ([]ledger.Exam, error)
	ExamResults(ctx context.Context, e ledger.Exam) ([]ledger.ExamResult, error)
	ReportOf(ctx context.Context, exam int64) (ledger.Object, bool, error)
	Received(ctx context.Context, study dicom.UID) ([]ledger.InstanceView, error)
	PatientOf(ctx context.Context, study dicom.UID) (ledger.Whose, error)
	GateOf(ctx context.Context, study dicom.UID) (ledger.GateState, error)
	OrderOf(ctx context.Context, study dicom.UID) (ledger.Order, bool, error)
	Draft(ctx context.Context, study dicom.UID, number, version int) (ledger.Draft, error)
	Current(ctx context.Context, name dicom.UID) (ledger.Object, error)
	PutDraft(ctx context.Context, d ledger.Draft, decisions []ledger.Agreement, outgoing []ledger.Outgoing) error
	Stale(ctx context.Context, limit int) ([]ledger.Delivery, error)
	Readdress(ctx context.Context, id int64, message ledger.Outgoing, patient ledger.Person, at time.Time) error
	Park(ctx context.Context, id int64, answer ledger.Answer, reason string, at time.Time) error
	LostReports(ctx context.Context, limit int) ([]ledger.LostReport, error)
	RemakeDraft(ctx context.Context, of ledger.LostReport, made []ledger.Outgoing, reason string, at time.Time) error
	SettleDraft(ctx context.Context, study dicom.UID, version int64, reason string, at time.Time) error
}

// Model is what a report says of a model beside its results.
type Model struct {
	analysis.Model
	IntendedUse string
	Explanation string // how its maps are made by now
	Classes     []analysis.Class
	Masked      [][4]float64 // boxes left out: left, top, right, bottom, in fractions of the frame
}

// Desk makes and keeps report drafts. Its fields are set before use and not changed after; its methods may be called from
// any goroutine.
type Desk struct {
	Ledger    Ledger
	Templates *draft.Templates
	Language  string // of new drafts; empty: English
	KeyImages int    // for each finding, at most
	Location  *time.Location

	Publisher Publisher // nil: nothing is sent
	// Model returns the model of that name, false where it is configured no more.
	Model func(name string) (Model, bool)
	// Source reads the attributes of a spool entry. What cannot be read for good is a reports.ErrGone.
	Source func(ctx context.Context, entry string) (reports.Source, error)
	// Quality measures a frame of a spool entry; an error: nobody can.
	Quality func(ctx context.Context, entry string, frame int) (draft.Quality, error)

	UnauthenticatedSign bool // a person whom nobody knows may sign; the report is not verified then
	ReportingSystem     bool // a person who has signed in verifies

	Poll time.Duration // between looks at the ledger when nobody calls Wake; 5 s by default
	Log  *slog.Logger
	Now  func() time.Time // nil is time.Now
	// Entered is called when the ledger has a version, with what it sends; it may be nil.
	Entered func(study dicom.UID, sends bool)

	retries map[dicom.UID]clock.Wait // of Run's goroutine: studies whose draft could not be made for a reason that may pass
	once    sync.Once
	wake    chan struct{}
	seed    maphash.Seed
	studies [64]chan struct{} // one that is full is of the study whose draft is being changed
	memory  qualities
}

func (d *Desk) prepare() {
	d.once.Do(func() {
		d.wake, d.seed = make(chan struct{}, 1), maphash.MakeSeed()
		d.memory.of = map[frameKey]draft.Quality{}
		for i := range d.studies {
			d.studies[i] = make(chan struct{}, 1)
		}
	})
}

// Wake makes Run look at the ledger now. It never waits.
func (d *Desk) Wake() {
	d.prepare()
	select {
	case d.wake <- struct{}{}:
	default: // Run has not got round to the last one
	}
}

// lock has the draft of a study for the caller alone, until unlock; or returns why ctx is done before that.
func (d *Desk) lock(ctx context.Context, study dicom.UID) (unlock func(), err error) {
	d.prepare()
	held := d.studies[maphash.String(d.seed, string(study))%uint64(len(d.studies))]
	select {
	case held <- struct{}{}:
		return func() { <-held }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (d *Desk) now() time.Time {
	now := time.Now
	if d.Now != nil {
		now = d.Now
	}
	return now().UTC().Truncate(time.Microsecond) // as the ledger keeps it
}

// Run makes drafts until ctx is done, and then returns why it is. A study that fails holds up no other: for a reason that
// passes (a full disk) it is tried again later, otherwise it is settled with the reason.
func (d *Desk) Run(ctx context.Context) error {
	d.prepare()
	d.retries = map[dicom.UID]clock.Wait{}
	poll := d.Poll
	if poll <= 0 {
		poll = defaultPoll
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		if err := d.round(ctx); err != nil && ctx.Err() == nil {
			d.Log.ErrorContext(ctx, "drafts due", "err", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		case <-d.wake:
		}
	}
}

// round makes every draft that is due now.
func (d *Desk) round(ctx context.Context) error {
	if err := errors.Join(d.readdress(ctx), d.remake(ctx)); err != nil {
		return err
	}
	limit := batch + len(d.retries) // those that are held back keep no other from its turn
	due, err := d.Ledger.DueDrafts(ctx, limit)
	if err != nil {
		return err
	}
	tried := false
	for _, study := range due {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if held, ok := d.retries[study.Study]; ok && !held.Over(d.now()) {
			continue
		}
		d.make(ctx, study)
		tried = true
	}
	if tried && len(due) == limit { // what was tried is due no more, or held back
		d.Wake()
	}
	return nil
}

// make makes one draft, and settles what became of the attempt.
func (d *Desk) make(ctx context.Context, due ledger.DueDraft) {
	log := d.Log.With("study", due.Study)
	err := d.draft(ctx, due)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		delete(d.retries, due.Study)
	case temporary(err):
		d.hold(due.Study)
		log.WarnContext(ctx, "draft not made, will be tried again", "err", err)
	default:
		delete(d.retries, due.Study)
		log.ErrorContext(ctx, "no draft can be made: mend what it says, then retry", "err", err)
		if err := d.Ledger.SettleDraft(ctx, due.Study, due.Version, err.Error(), d.now()); err != nil {
			d.hold(due.Study)
			log.ErrorContext(ctx, "draft not settled", "err", err)
		}
	}
}

// hold waits longer each time.
func (d *Desk) hold(study dicom.UID) {
	delay := min(max(firstBackoff, 2*d.retries[study].For), lastBackoff)
	d.retries[study] = clock.Wait{Began: d.now(), For: delay}
}

// temporary says whether trying again can help: yes, unless an error says no.
func temporary(err error) bool {
	var invalid *draft.InvalidError
	var object *reports.InvalidError
	var permanent interface{ Permanent() bool }
	return !errors.As(err, &invalid) && !errors.As(err, &object) && (!errors.As(err, &permanent) || !permanent.Permanent()) &&
		!errors.Is(err, ledger.ErrOtherContent)
}

// panicked is a permanent error.
type panicked struct{}

func (panicked) Error() string   { return "desk: panic while making a draft; its stack is in the log" }
func (panicked) Permanent() bool { return true }

// recovered is deferred: it makes a panic an error.
func (d *Desk) recovered(ctx context.Context, study dicom.UID, err *error) {
	if p := recover(); p != nil {
		d.Log.ErrorContext(ctx, "draft panicked", "study", study, "reason", failure.Reason(p), "stack", string(debug.Stack()))
		*err = panicked{}
	}
}

// draft makes the version of a study's draft that is due, unless it would say nothing new.
func (d *Desk) draft(ctx context.Context, due ledger.DueDraft) (err error) {
	defer d.recovered(ctx, due.Study, &err)
	unlock, err := d.lock(ctx, due.Study)
	if err != nil {
		return err
	}
	defer unlock()
	newest, err := d.version(ctx, due.Study, 0, 0)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	first := err != nil
	newest, resumed, err := d.amendedOn(ctx, newest)
	if err != nil {
		return err
	}
	in, basis, err := d.input(ctx, due, newest)
	if err != nil {
		return err
	}
	var next draft.Document
	if first {
		next, err = d.first(ctx, in)
	} else {
		next, err = d.Templates.Refresh(newest, in)
	}
	if err != nil {
		return err
	}
	if signed, basis, ok, err := d.signedBefore(ctx, newest, next); err != nil {
		return err
	} else if ok {
		if err := d.enter(ctx, signed, ledger.DraftRetracted, basis, nil, nil); err != nil {
			return err
		}
		d.Log.InfoContext(ctx, "signed report says what was taken back", "study", due.Study, "number", signed.Number, "version", signed.Version)
		if signed.Number == newest.Number {
			if newest.Standing == draft.Amending {
				newest = behind(newest, signed)
			} else {
				newest = signed
			}
			if next, err = d.Templates.Refresh(newest, in); err != nil {
				return err
			}
		}
	}
	same := !first && !resumed && saysTheSame(newest, next)
	if !first && !same && !newest.Editable() && in.Patient != newest.Patient { // another name of the patient is in the text, too, and no news
		in.Patient = newest.Patient
		as, err := d.Templates.Refresh(newest, in)
		if err != nil {
			return err
		}
		same = saysTheSame(newest, as)
	}
	if same && (!due.Unsent || !newest.Editable()) {
		return d.Ledger.SettleDraft(ctx, due.Study, due.Version, "", d.now())
	}
	event := ledger.DraftDrafted
	if takesBack(newest, next) {
		event = ledger.DraftRetracted
	}
	if err := d.enter(ctx, next, event, basis, nil, nil); err != nil {
		return err
	}
	d.Log.InfoContext(ctx, "draft made", "study", due.Study, "number", next.Number, "version", next.Version)
	return nil
}

// behind is a correction that a person is at as it goes on behind another version of what it corrects.
func behind(amending, signed draft.Document) draft.Document {
	ref := signed.Reference()
	amending.Version, amending.Predecessor = signed.Version, &ref
	return amending
}

// amendedOn returns the correction that a person was at when what it corrects was taken back, where newest is the version that
// says so and an end came before the correction went on behind it.
func (d *Desk) amendedOn(ctx context.Context, newest draft.Document) (doc draft.Document, resumed bool, err error) {
	if newest.Standing != draft.Amended || !newest.Author.System || newest.Version < 2 {
		return newest, false, nil
	}
	before, err := d.version(ctx, newest.Study, newest.Number, newest.Version-1)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && before.Standing != draft.Amending {
		return newest, false, nil
	}
	return behind(before, newest), true, err
}

// signedBefore makes the version of the report that was signed last, newest, what it corrects or the draft before it, that says
// what of it was taken back, as next does; false where there is nothing to say.
func (d *Desk) signedBefore(ctx context.Context, newest, next draft.Document) (doc draft.Document, basis ledger.Basis, ok bool, err error) {
	number := newest.Number
	if newest.Standing == draft.Drafted {
		number--
	}
	if number < 1 {
		return doc, basis, false, nil
	}
	version := 0
	if newest.Standing == draft.Amending { // what was signed stands until its correction is
		number, version = newest.Predecessor.Number, newest.Predecessor.Version
	}
	v, err := d.Version(ctx, newest.Study, number, version)
	if errors.Is(err, ledger.ErrNotFound) {
		return doc, basis, false, nil
	}
	signed := v.Content.Standing == draft.Signed || v.Content.Standing == draft.Amended
	if err != nil || !signed || !takesBack(v.Content, next) {
		return doc, basis, false, err
	}
	next.At = later(next.At, v.Content.At, newest.At)
	doc, err = d.Templates.TakeBack(v.Content, next)
	if newest.Number == doc.Number {
		doc.Version = newest.Version + 1
	}
	return doc, v.Basis, err == nil, err
}

// first makes the first draft that is there, which may not be the first that there was.
func (d *Desk) first(ctx context.Context, in draft.Input) (draft.Document, error) {
	state, err := d.Ledger.Desk(ctx, in.Study)
	if err != nil {
		return draft.Document{}, err
	}
	doc, err := d.Templates.New(in)
	doc.Number = state.Number + 1
	return doc, err
}

// takesBack reports whether b says of a finding or a model of a that its result was taken back, and a does not.
func takesBack(a, b draft.Document) bool {
	stood := map[string]bool{}
	for _, f := range a.Findings {
		stood[f.ID] = f.Retracted == ""
	}
	name := func(m draft.ModelUse) string { return m.Route + "\x00" + m.Name + "\x00" + m.Version }
	for _, m := range a.Disclosure.Models {
		stood[name(m)] = m.Retracted == ""
	}
	return slices.ContainsFunc(b.Findings, func(f draft.Finding) bool { return stood[f.ID] && f.Retracted != "" }) ||
		slices.ContainsFunc(b.Disclosure.Models, func(m draft.ModelUse) bool { return stood[name(m)] && m.Retracted != "" })
}

// saysTheSame reports whether b, made of a by the gateway, has nothing in it that a reader of a does not have.
func saysTheSame(a, b draft.Document) bool {
	signed := !a.Editable()
	ground := func(d draft.Document) string {
		d.Number, d.Version, d.Standing, d.At, d.Author = 0, 0, "", time.Time{}, draft.Author{}
		d.Predecessor, d.Signature, d.Reason = nil, nil, ""
		if signed { // the moment's notices, the number of a report that says the same and another name of the patient are no news
			d.Notices, d.Events, d.Patient = nil, nil, draft.Patient{}
			d.Disclosure.Models = append([]draft.ModelUse{}, d.Disclosure.Models...)
			for i := range d.Disclosure.Models {
				d.Disclosure.Models[i].Report = ""
			}
		}
		text, _ := json.Marshal(d) // documents always can
		return string(text)
	}
	return ground(a) == ground(b)
}

// version reads a version of a draft: of number 0 of the newest draft, of version 0 the newest.
func (d *Desk) version(ctx context.Context, study dicom.UID, number, version int) (draft.Document, error) {
	row, err := d.Ledger.Draft(ctx, study, number, version)
	if err != nil {
		return draft.Document{}, err
	}
	var doc draft.Document
	if err := json.Unmarshal(row.Document, &doc); err != nil {
		return draft.Document{}, fmt.Errorf("desk: draft %d.%d of study %s: %w", row.Number, row.Version, study, err)
	}
	return doc, nil
}

// published are the events that something is sent of: what a person has not signed yet stays here.
var published = map[ledger.DraftEvent]bool{
	ledger.DraftDrafted: true, ledger.DraftSigned: true, ledger.DraftAmended: true, ledger.DraftWithdrawn: true, ledger.DraftRetracted: true,
}

// enter publishes a version and enters it with what that sends. Nothing is sent of the correction that a person is at,
// before it is signed.
func (d *Desk) enter(ctx context.Context, doc draft.Document, event ledger.DraftEvent, basis ledger.Basis, edits json.RawMessage, decisions []ledger.Agreement) error {
	if err := d.predecessor(ctx, doc); err != nil {
		return err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	var outgoing []ledger.Outgoing
	if d.Publisher != nil && published[event] && doc.Standing != draft.Amending {
		if outgoing, err = d.Publisher.Publish(ctx, doc, event); err != nil {
			return err
		}
	}
	note := ""
	if doc.Withheld() {
		note = draft.NotSent
	}
	err = d.Ledger.PutDraft(ctx, ledger.Draft{
		Study: doc.Study, Number: doc.Number, Version: doc.Version, Event: event, Standing: string(doc.Standing),
		Author: doc.Author.Name, Unauthenticated: doc.Author.Unauthenticated, System: doc.Author.System, At: doc.At,
		Document: text, Edit: edits, Basis: basis, Note: note,
	}, decisions, outgoing)
	if d.drop(ctx, err, outgoing); err == nil && d.Entered != nil {
		d.Entered(doc.Study, len(outgoing) > 0)
	}
	return err
}

// drop releases what was made in vain: the ledger has refused it with err, as another patient or version came in between.
// What another error leaves, of which nobody knows how far it came, the next start finds.
func (d *Desk) drop(ctx context.Context, err error, made []ledger.Outgoing) {
	var conflict *ledger.DraftConflictError
	if len(made) > 0 && (errors.Is(err, ledger.ErrPatient) || errors.As(err, &conflict)) {
		d.Publisher.Drop(ctx, made)
	}
}

// predecessor gives the reports that a version's predecessor was signed as their UIDs of today; none where no archive got any.
func (d *Desk) predecessor(ctx context.Context, doc draft.Document) error {
	before := doc.Predecessor
	if before == nil {
		return nil
	}
	for class, uid := range map[dicom.UID]*dicom.UID{dicom.Comprehensive3DSRStorage: &before.Report, dicom.ComprehensiveSRStorage: &before.Alternate} {
		report, err := d.Ledger.Current(ctx, draft.ReportName(doc.Study, before.Number, before.Version, class))
		switch {
		case err == nil:
			*uid = report.Instance.SOPInstanceUID
		case !errors.Is(err, ledger.ErrNotFound):
			return err
		}
	}
	return nil
}
