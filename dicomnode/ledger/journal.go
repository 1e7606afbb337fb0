package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// Journal is where an action is durable before the ledger has its rows.
type Journal interface {
	// Append makes actions durable, in their order and behind all others, and returns where they stand.
	Append(actions []byte) (seq uint64, err error)
	// After yields what was appended with a seq above after, in order.
	After(after uint64) iter.Seq2[Appended, error]
}

// Appended is what one Append was given.
type Appended struct {
	Seq     uint64
	Actions []byte
}

// action is one call of a method that writes, as the journal has it. Rows are named by what they are about, as the IDs
// of rows are those of one database.
type action struct {
	how durability // without a journal

	Name string    `json:"action"`
	By   Actor     `json:"by"`
	At   time.Time `json:"at,omitzero"`

	Receipts []Receipt         `json:"receipts,omitempty"`
	Position uint64            `json:"position,omitempty"`
	Job      string            `json:"job,omitempty"`
	Model    *analysis.Model   `json:"model,omitempty"`
	Results  []analysis.Result `json:"results,omitempty"`
	Moving   *analysis.Moving  `json:"moving,omitempty"`
	Objects  []Object          `json:"objects,omitempty"`
	Exam     *examName         `json:"exam,omitempty"`
	Delivery *deliveryName     `json:"delivery,omitempty"`
	Used     string            `json:"used,omitempty"` // entry
	Answer   *Answer           `json:"answer,omitempty"`
	Deferral *Deferral         `json:"deferral,omitempty"`
	Until    time.Time         `json:"until,omitzero"`
	Longest  time.Duration     `json:"longest_ns,omitempty"`
	Limit    int               `json:"limit,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Entries  []string          `json:"entries,omitempty"`
	Names    []string          `json:"names,omitempty"` // of destinations, or a study's UID
	Inbound  *Inbound          `json:"inbound,omitempty"`

	Draft      *Draft      `json:"draft,omitempty"`
	Decisions  []Agreement `json:"decisions,omitempty"`
	Outgoing   []Outgoing  `json:"outgoing,omitempty"`
	Desk       int64       `json:"desk,omitempty"` // version
	Study      dicom.UID   `json:"study,omitempty"`
	Correction *Correction `json:"correction,omitempty"`
	Patient    *Identifier `json:"patient,omitempty"`
	Retraction *Retraction `json:"retraction,omitempty"`
	Person     *Person     `json:"person,omitempty"`
	Exams      []examName  `json:"exams,omitempty"` // of the retraction; none: all
	Reviews    []Review    `json:"reviews,omitempty"`

	Waits []Uncompared `json:"waits,omitempty"`

	Decision  *ReviewDecision `json:"decision,omitempty"`
	Notify    *Notify         `json:"notify,omitempty"`
	Screening *Screening      `json:"screening,omitempty"`
	Step      *ScreeningStep  `json:"step,omitempty"`
	Versions  []BundleVersion `json:"versions,omitempty"` // that are in force
}

// deliveryName is the name of a delivery in all databases.
type deliveryName struct {
	id          int64
	Entry       string `json:"entry"`
	Destination string `json:"destination"`
}

// examName is the name of an exam, and of a revision of its report, in all databases.
type examName struct {
	id       int64
	Study    dicom.UID `json:"study"`
	Route    string    `json:"route"`
	Model    string    `json:"model"`
	Revision int       `json:"revision,omitempty"`
	Version  int64     `json:"version,omitempty"`
	Again    bool      `json:"again,omitempty"`
}

func nameOf(e Exam) *examName {
	return &examName{e.ID, e.StudyInstanceUID, e.Route, e.Model, e.Revision, e.Version, e.Again}
}

// resolve gives names to the rows that an action speaks of, and settles what it depends on beside the database.
func (a *action) resolve(t *tx) error {
	switch {
	case a.Delivery != nil:
		d, err := t.delivery(a.Delivery.id)
		a.Delivery.Entry, a.Delivery.Destination = d.entry, d.destination
		return err
	case a.Exam != nil && a.Exam.Study == "":
		return notFound(t.row("SELECT s.study_instance_uid, e.route, e.model FROM exam e JOIN study s ON s.id = e.study WHERE e.id = ?",
			[]any{a.Exam.id}, &a.Exam.Study, &a.Exam.Route, &a.Exam.Model))
	}
	return t.findLost(a.Receipts)
}

// apply does an action again, in a database that is as it was when it was done first.
func (a *action) apply(ctx context.Context, l *Ledger) error {
	if err := a.find(l.replaying.tx); err != nil {
		return err
	}
	return a.do(By(ctx, a.By), l)
}

// find sets the IDs of the rows that an action names.
func (a *action) find(t *tx) error {
	switch {
	case a.Delivery != nil:
		return notFound(t.row("SELECT id FROM delivery WHERE entry = ? AND destination = ?",
			[]any{a.Delivery.Entry, a.Delivery.Destination}, &a.Delivery.id))
	case a.Exam != nil:
		return notFound(t.row("SELECT e.id FROM exam e JOIN study s ON s.id = e.study WHERE s.study_instance_uid = ? AND e.route = ? AND e.model = ?",
			[]any{a.Exam.Study, a.Exam.Route, a.Exam.Model}, &a.Exam.id))
	}
	return nil
}

func (a *action) exam() Exam {
	return Exam{
		ID: a.Exam.id, StudyInstanceUID: a.Exam.Study, Route: a.Exam.Route, Model: a.Exam.Model,
		Revision: a.Exam.Revision, Version: a.Exam.Version, Again: a.Exam.Again,
	}
}

// do calls the method that a is a call of.
func (a *action) do(ctx context.Context, l *Ledger) (err error) {
	switch a.Name {
	case "receive":
		_, err = l.Receive(ctx, a.Receipts, a.Position)
	case "refuse":
		err = l.Refuse(ctx, a.Entries, a.Reason, a.Position, a.At)
	case "need":
		err = l.Need(ctx, a.Entries[0], a.Reason, a.At)
	case "unneed":
		err = l.Unneed(ctx, a.Entries[0], a.Reason, a.At)
	case "start-job":
		_, err = l.StartJob(ctx, a.Job, a.At)
	case "unstart-job":
		err = l.UnstartJob(ctx, a.Job)
	case "finish-job":
		err = l.FinishVideo(ctx, a.Job, *a.Model, a.Moving, a.Results, a.Reason, a.Objects, a.At)
	case "park-job":
		err = l.ParkJob(ctx, a.Job, a.Reason, a.At)
	case "skip-job":
		err = l.SkipJob(ctx, a.Job, a.Reason, a.At)
	case "retry-job":
		err = l.RetryJob(ctx, a.Job, a.At)
	case "take-up":
		err = l.TakeUp(ctx, a.Receipts[0])
	case "discard-job":
		err = l.DiscardJob(ctx, a.Job, a.At)
	case "put-map":
		_, _, err = l.PutMap(ctx, a.Objects[0], a.At)
	case "finish-report":
		err = l.FinishReport(ctx, a.exam(), a.Objects, a.At)
	case "remake-draft":
		err = l.RemakeDraft(ctx, LostReport{a.Draft.Study, a.Draft.Number, a.Draft.Version}, a.Outgoing, a.Reason, a.At)
	case "remake-report":
		err = l.RemakeReport(ctx, a.exam(), a.Objects, a.At)
	case "park-exam":
		err = l.ParkExam(ctx, a.exam(), a.Reason, a.At)
	case "retry-exam":
		err = l.RetryExam(ctx, a.Exam.id, a.At)
	case "delivered":
		err = l.Delivered(ctx, a.Delivery.id, a.Used, *a.Answer, a.At)
	case "sent":
		err = l.Sent(ctx, a.Delivery.id, a.Used, a.Until, *a.Answer, a.At)
	case "uncommitted":
		_, err = l.Uncommitted(ctx, a.Names[0], a.At, a.Longest)
	case "defer":
		err = l.Defer(ctx, a.Delivery.id, *a.Deferral, a.At)
	case "park":
		err = l.Park(ctx, a.Delivery.id, *a.Answer, a.Reason, a.At)
	case "unpark":
		_, err = l.Unpark(ctx, a.Delivery.id, a.At)
	case "discard":
		err = l.Discard(ctx, a.Delivery.id, a.At)
	case "reconcile-destinations":
		_, _, err = l.ReconcileDestinations(ctx, a.Names, a.At)
	case "retry-deliveries":
		_, err = l.RetryDeliveries(ctx, a.Names[0], a.At)
	case "park-lost":
		err = l.ParkLost(ctx, a.Entries, a.At)
	case "discard-instance":
		err = l.DiscardInstance(ctx, a.Entries[0], a.At)
	case "put-draft":
		err = l.PutDraft(ctx, *a.Draft, a.Decisions, a.Outgoing)
	case "readdress":
		err = l.Readdress(ctx, a.Delivery.id, a.Outgoing[0], *a.Person, a.At)
	case "settle-draft":
		err = l.SettleDraft(ctx, dicom.UID(a.Names[0]), a.Desk, a.Reason, a.At)
	case "retry-draft":
		err = l.RetryDraft(ctx, dicom.UID(a.Names[0]), a.At)
	case "bring-back":
		_, err = l.BringBack(ctx, a.At)
	case "bring-back-ages":
		_, err = l.BringBackAges(ctx, a.At)
	case "release":
		_, err = l.Release(ctx, a.Until, a.Limit, a.At)
	case "forget":
		_, err = l.Forget(ctx, a.Until, a.Limit, a.At)
	case "take-message":
		_, err = l.TakeMessage(ctx, *a.Inbound)
	case "release-messages":
		_, err = l.ReleaseMessages(ctx, a.Until, a.Limit, a.At)
	case "forget-messages":
		_, err = l.ForgetMessages(ctx, a.Until, a.Limit, a.At)
	case "erase-patient":
		_, err = l.ErasePatient(ctx, *a.Patient, a.Entries, a.At)
	case "release-gate":
		err = l.ReleaseGate(ctx, a.Study, a.Reason, a.At)
	case "retract":
		_, err = l.retractOf(ctx, *a.Retraction, a.Exams, a.At)
	case "put-reviews":
		err = l.PutReviews(ctx, Look{a.Study, a.Desk, a.Waits}, a.Reviews, a.At)
	case "decide-review":
		err = l.DecideReview(ctx, a.Names[0], ReviewState(a.Names[1]), *a.Decision, a.At)
	case "forget-reporters":
		err = l.forgetReporters(ctx, a.Limit, a.At)
	case "set-notify":
		err = l.setNotify(ctx, *a.Notify, a.At)
	case "put-in-force":
		err = l.putInForce(ctx, a.Versions, a.At)
	case "screen":
		_, err = l.StartScreening(ctx, *a.Screening)
	case "step-screening":
		err = l.StepScreening(ctx, *a.Step, a.At)
	case "cancel-screening":
		err = l.CancelScreening(ctx, a.Names[0], a.At)
	case "correct-gate":
		err = l.CorrectGate(ctx, a.Study, *a.Correction, a.At)
	default:
		err = errNewer
	}
	return err
}

// Keep has the ledger append every action to j before it changes a row, and first does what j has and the ledger has
// not: all of it, where the ledger is new. It returns how many actions these were. From then on a commit need not be on
// the disk at once: what a power cut takes from the ledger is done again from the journal. Call it once, before anything
// else is written.
func (l *Ledger) Keep(ctx context.Context, j Journal) (done int, err error) {
	if l.writeDB == nil {
		return 0, ErrReadOnly
	}
	var acted uint64
	if err = l.readDB.QueryRowContext(ctx, "SELECT acted FROM meta").Scan(&acted); err == nil {
		l.writes.journal, l.writes.acted, l.writes.appended = j, acted, acted
		done, err = l.writes.catchUp(ctx)
	}
	if err != nil {
		return done, fmt.Errorf("ledger: journal: %w", l.orTrouble(err))
	}
	return done, nil
}

// catchUp does what the journal has and the ledger has not.
func (w *writer) catchUp(ctx context.Context) (done int, err error) {
	const commitEvery = 1000
	l := &Ledger{replaying: w}
	pending := false
	commit := func() error {
		if !pending {
			return nil
		}
		pending = false
		if _, err := w.tx.exec("UPDATE meta SET acted = ?", int64(w.acted)); err != nil {
			return err
		}
		_, err := w.tx.exec("COMMIT")
		return err
	}
	before := w.acted
	defer func() {
		if err != nil && pending {
			_, _ = w.tx.exec("ROLLBACK")
			w.acted = before
		}
	}()
	for appended, err := range w.journal.After(w.acted) {
		if err != nil {
			return done, err
		}
		if !pending {
			if _, err := w.tx.exec("BEGIN IMMEDIATE"); err != nil {
				return done, err
			}
			pending, before = true, w.acted
		}
		n, err := l.replay(ctx, appended.Actions)
		if err != nil {
			return done, fmt.Errorf("actions at %d: %w", appended.Seq, err)
		}
		w.acted, w.appended = appended.Seq, max(w.appended, appended.Seq)
		if done += n; done%commitEvery < n {
			if err := commit(); err != nil {
				return done, err
			}
		}
	}
	return done, commit()
}

// replay does actions again. One that was refused when it was done first is refused again.
func (l *Ledger) replay(ctx context.Context, all []byte) (done int, err error) {
	for in := json.NewDecoder(bytes.NewReader(all)); in.More(); done++ {
		a := &action{}
		if err := in.Decode(a); err != nil {
			return done, err
		}
		if err := a.apply(ctx, l); disorder(err) {
			return done, fmt.Errorf("%s: %w", a.Name, err)
		}
	}
	return done, nil
}

// disorder says that the database did not work, rather than that an action was not possible.
func disorder(err error) bool { return errors.Is(err, errNewer) || kindOf(err) > suspicious }

var errNewer = errors.New("it is of a newer release: start the newer release")

// act is write for an action, which is in the journal before do is run. part is the part of the gateway that acts where
// ctx names nobody.
func (l *Ledger) act(ctx context.Context, part string, a *action, do func(*tx) error) error {
	a.By = actorOf(ctx, part)
	p := &pending{action: a, how: a.how, do: func(t *tx) error {
		t.by = a.By
		return do(t)
	}}
	if l.replaying == nil {
		return l.submit(ctx, p)
	}
	if err := l.replaying.isolate(p, true); err != nil {
		return err
	}
	return p.err
}

// record begins to append the actions of group to the journal, if there is one, and returns the part of group that can be done
// meanwhile: it may be committed once appended has returned without an error, and not before.
func (w *writer) record(group []*pending) (recorded []*pending, appended func() error) {
	var all bytes.Buffer
	out := json.NewEncoder(&all)
	for _, p := range group {
		if p.action != nil {
			if p.err = p.action.resolve(w.tx); p.err == nil && w.journal != nil {
				p.err = out.Encode(p.action)
			}
		}
		if p.err == nil {
			recorded = append(recorded, p)
		}
	}
	if all.Len() == 0 {
		return recorded, func() error { return nil }
	}
	var seq uint64
	done := make(chan error, 1)
	go func() {
		var err error
		seq, err = w.journal.Append(all.Bytes())
		done <- err
	}()
	return recorded, sync.OnceValue(func() error {
		if err := <-done; err != nil {
			return fmt.Errorf("ledger: journal: %w", err)
		}
		w.appended = seq
		return nil
	})
}
