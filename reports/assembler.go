package reports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"endogate/dicomnode/clock"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/ledger"
)

const (
	defaultPoll  = 2 * time.Second
	firstBackoff = 10 * time.Second
	lastBackoff  = 10 * time.Minute
)

// Exams is what the assembler needs of the ledger.
type Exams interface {
	DueExams(ctx context.Context, now time.Time, quiet, maxWait time.Duration) ([]ledger.Exam, error)
	ExamResults(ctx context.Context, e ledger.Exam) ([]ledger.ExamResult, error)
	OrderOf(ctx context.Context, study dicom.UID) (ledger.Order, bool, error)
	GateOf(ctx context.Context, study dicom.UID) (ledger.GateState, error)
	FinishReport(ctx context.Context, e ledger.Exam, objects []ledger.Object, at time.Time) error
	Current(ctx context.Context, name dicom.UID) (ledger.Object, error)
	DeliveredTo(ctx context.Context, e ledger.Exam, destination string) ([]ledger.Object, error)
	RemakeReport(ctx context.Context, e ledger.Exam, objects []ledger.Object, at time.Time) error
	ParkExam(ctx context.Context, e ledger.Exam, reason string, at time.Time) error
}

// Assembler makes report and key frames of every exam that is due. What it makes is in the store before the ledger
// knows of it, and on its way once the ledger does: a crash between the two makes the same objects again.
type Assembler struct {
	Builder *Builder
	Exams   Exams

	// Open reads the attributes of a spool entry. What cannot be read for good is an [ErrGone].
	Open func(ctx context.Context, entry string) (Source, error)
	// Keep stores an object and returns its spool entry and the digest of its data set; the object is durable when it
	// returns.
	Keep func(ctx context.Context, o Object) (entry, digest string, err error)
	// Algorithm returns the model of that name, false when it is configured no more.
	Algorithm func(model string) (Algorithm, bool)

	// Rejects says whether a destination wants to be told by a rejection note what a person took back. Nil: none does.
	Rejects func(destination string) bool

	Quiet   time.Duration // without arrivals, after which an exam is taken to be complete
	MaxWait time.Duration // after which it is reported on even so
	Poll    time.Duration // between looks at the ledger; 0 is 2 s
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
	// Finished is called for every report that is made or parked; err is nil for one made. It may be nil.
	Finished func(e ledger.Exam, err error)

	retries map[int64]clock.Wait // of Run's goroutine: exams that could not be reported on for a reason that may pass
	once    sync.Once
	wake    chan struct{}
}

// Wake makes Run look at the ledger now. It may be called from any goroutine, and never waits.
func (a *Assembler) Wake() {
	select {
	case a.woken() <- struct{}{}:
	default: // Run has not got round to the last one
	}
}

func (a *Assembler) woken() chan struct{} {
	a.once.Do(func() { a.wake = make(chan struct{}, 1) })
	return a.wake
}

// Run makes reports until ctx is done, and then returns why it is. An exam that fails holds up no other: for a reason
// that passes (a full disk) it is tried again later, otherwise it is parked.
func (a *Assembler) Run(ctx context.Context) error {
	a.retries = map[int64]clock.Wait{}
	poll := a.Poll
	if poll <= 0 {
		poll = defaultPoll
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		if err := a.round(ctx); err != nil && ctx.Err() == nil {
			a.Log.ErrorContext(ctx, "exams due", "err", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		case <-a.woken():
		}
	}
}

// round takes up every exam that is due now.
func (a *Assembler) round(ctx context.Context) error {
	exams, err := a.Exams.DueExams(ctx, a.now(), a.Quiet, a.MaxWait)
	if err != nil {
		return err
	}
	for _, e := range exams {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if held, ok := a.retries[e.ID]; ok && !held.Over(a.now()) {
			continue
		}
		a.assemble(ctx, e)
	}
	return nil
}

func (a *Assembler) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// assemble reports on one exam, and settles what became of the attempt.
func (a *Assembler) assemble(ctx context.Context, e ledger.Exam) {
	log := a.Log.With("study", e.StudyInstanceUID, "model", e.Model, "route", e.Route, "revision", e.Revision)
	err := a.report(ctx, e)
	switch {
	case ctx.Err() != nil:
		return
	case err == nil:
		delete(a.retries, e.ID)
		log.InfoContext(ctx, "report made", "again", e.Again)
	case temporary(err):
		a.hold(e.ID)
		log.WarnContext(ctx, "report not made, will be tried again", "err", err)
		return
	default:
		delete(a.retries, e.ID)
		log.ErrorContext(ctx, "report parked", "err", err)
		if parkErr := a.Exams.ParkExam(ctx, e, err.Error(), a.now()); parkErr != nil {
			a.hold(e.ID)
			log.ErrorContext(ctx, "exam not parked", "err", parkErr)
		}
	}
	if a.Finished != nil {
		a.Finished(e, err)
	}
}

// hold waits longer each time.
func (a *Assembler) hold(exam int64) {
	delay := min(max(firstBackoff, 2*a.retries[exam].For), lastBackoff)
	a.retries[exam] = clock.Wait{Began: a.now(), For: delay}
}

// permanentError is a failure that trying again does not change.
type permanentError struct{ error }

// temporary says whether trying again can help: yes, unless an error of ours says no. (Not the Temporary method in
// general: that of syscall.Errno says no to a full disk.)
func temporary(err error) bool {
	var invalid *InvalidError
	var permanent permanentError
	return !errors.As(err, &invalid) && !errors.As(err, &permanent)
}

// report makes the objects of one exam, stores them and puts them on their way.
func (a *Assembler) report(ctx context.Context, e ledger.Exam) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.Log.ErrorContext(ctx, "report panicked", "study", e.StudyInstanceUID, "reason", failure.Reason(p), "stack", string(debug.Stack()))
			err = permanentError{errors.New("reports: exam: panic while building; its stack is in the log")}
		}
	}()
	exam, err := a.exam(ctx, e)
	if err != nil {
		return err
	}
	objects, err := a.objects(ctx, exam, e)
	if err != nil {
		return err
	}
	if e.Again {
		return a.Exams.RemakeReport(ctx, e, objects, a.now())
	}
	return a.Exams.FinishReport(ctx, e, objects, a.now())
}

// objects builds and keeps report, twin and key frames.
func (a *Assembler) objects(ctx context.Context, exam Exam, e ledger.Exam) ([]ledger.Object, error) {
	comprehensive3D, comprehensive, err := a.Builder.Report(exam)
	if err != nil {
		return nil, err
	}
	keys, ok, err := a.Builder.KeyObjects(exam)
	if err != nil {
		return nil, err
	}
	report, err := a.keep(ctx, comprehensive3D, e, "sr", ledger.RankSR)
	if err != nil {
		return nil, err
	}
	twin, err := a.keep(ctx, comprehensive, e, "sr", ledger.RankSR)
	if err != nil {
		return nil, err
	}
	report.Alternate = &twin
	objects := []ledger.Object{report}
	if ok {
		selection, err := a.keep(ctx, keys, e, "kos", ledger.RankKOS)
		if err != nil {
			return nil, err
		}
		objects = append(objects, selection)
	}
	notes, err := a.rejections(ctx, exam, e)
	return append(objects, notes...), err
}

// rejections are the notes of what was taken back, for each destination that wants one and has something of it.
func (a *Assembler) rejections(ctx context.Context, exam Exam, e ledger.Exam) ([]ledger.Object, error) {
	if a.Rejects == nil || !exam.retracted() {
		return nil, nil
	}
	var notes []ledger.Object
	for _, destination := range e.Destinations {
		if !a.Rejects(destination) {
			continue
		}
		made, err := a.Exams.DeliveredTo(ctx, e, destination)
		if err != nil {
			return nil, err
		}
		note, ok, err := a.Builder.RejectionNote(exam, destination, made)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		object, err := a.keep(ctx, note, e, "rejection", ledger.RankKOS)
		if err != nil {
			return nil, err
		}
		object.Destinations = []string{destination}
		notes = append(notes, object)
	}
	return notes, nil
}

func (a *Assembler) keep(ctx context.Context, o Object, e ledger.Exam, purpose string, rank int) (ledger.Object, error) {
	entry, digest, err := a.Keep(ctx, o)
	if err != nil {
		return ledger.Object{}, fmt.Errorf("reports: keep %s: %w", purpose, err)
	}
	return ledger.Object{
		Entry: entry, Digest: digest, Name: o.Name, Instance: o.Header.SOPInstance, TransferSyntaxUID: o.TransferSyntaxUID, Purpose: purpose, Model: e.Model,
		Revision: e.Revision, Rank: rank, Destinations: e.Destinations,
	}, nil
}
