// Package results turns what models say into objects, spool entries and rows of the ledger, and decides what becomes of
// a job.
//
// A worker, here or elsewhere, gives findings and maps; where the instance is, they become heatmaps and contours. A job is
// acknowledged after its results are durable: heatmaps stand in the spool first, then one transaction of the ledger
// takes the findings, the objects and their deliveries. Whoever does a job twice makes the same bytes again.
package results

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/reports"
)

// Workshop has jobs done and takes over their results. Its fields are set before the first job; its methods may be called
// from any goroutine.
type Workshop struct {
	Worker      *inference.Worker // for jobs that are done here; nil: all are done elsewhere
	Ledger      *ledger.Ledger
	Keeper      *Keeper
	Builder     *reports.Builder
	Algorithms  map[string]reports.Algorithm // by model
	Colours     *explain.ColourMap
	Opacity     float64                      // of a map over its frame, 0..1
	Wishes      map[string]inference.Wishes  // by route
	Clips       map[string]Clips             // by route
	Prepare     map[string]*inference.Bundle // by model: with which inputs are prepared for workers elsewhere, and
	Pictures    *Pictures                    // what was decoded for it
	MaxAttempts int                          // of a job before it is parked, counted by the ledger
	Now         func() time.Time
	Finished    func(j ledger.Job, skipped bool) // called when a job has ended, with results or without a try
	Log         *slog.Logger

	words    sync.Mutex // held by atHome
	clipping sync.Mutex // held by take, of a video whose clips are made
	home     home
	canvases sync.Pool // of *canvas
}

// Do does a job; it returns nil once the results are durable, or there is nothing left to do. Every other job ends with
// an error that jobs.DispositionOf understands: Permanent where it is to be parked, Postponed where the try did not count.
func (w *Workshop) Do(ctx context.Context, id string) error {
	err := inference.Guard(w.Log, id, func() error { return w.do(ctx, id) })
	return named(id, err)
}

func (w *Workshop) do(ctx context.Context, id string) error {
	if err := w.home.said(id); err != nil {
		return err
	}
	job, ok, err := w.Begin(ctx, id)
	if err != nil || !ok {
		return err
	}
	err = inference.Guard(w.Log, id, func() error { return w.analyse(ctx, job) })
	return w.verdict(ctx, job, err)
}

// named says of which job an error is.
func named(id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("job %s: %w", id, err)
}

// Begin counts a try of a job before anything can go wrong, so that one that kills the process is parked too. ok is false
// where there is nothing left to do.
func (w *Workshop) Begin(ctx context.Context, id string) (job ledger.Job, ok bool, err error) {
	job, err = w.Ledger.StartJob(ctx, id, w.Now())
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		w.Log.Warn("job is not in the ledger and is dropped from the queue", "job", id)
		return job, false, nil // the ledger was begun anew: what it does not know, nobody waits for
	case err != nil:
		return job, false, inference.Postponed(err)
	case job.State != ledger.JobOpen:
		return job, false, nil
	case job.Attempts > w.MaxAttempts:
		return job, false, inference.Permanent(fmt.Errorf("given up after %d attempts that ended the process or its time", job.Attempts-1))
	}
	return job, true, nil
}

// analyse has a job done by the worker here.
func (w *Workshop) analyse(ctx context.Context, job ledger.Job) error {
	return w.produce(ctx, job, w.Algorithms[job.Model].Model, func(m *making, entry *Entry) (string, error) {
		if entry.Instance.Video() {
			return m.watch(ctx, entry)
		}
		task := inference.Task{Job: job.ID, Model: job.Model, Instance: entry.Instance, Wishes: w.Wishes[job.Route]}
		return w.Worker.Each(ctx, task, m.part)
	})
}

// errClipping is why a result is taken later.
var errClipping = errors.New("heatmap clips of another video are made")

// Take makes durable what a worker elsewhere says of a job that was begun. A job that is not open any more has results, or
// is wanted by nobody: these are dropped. Errors as Do.
func (w *Workshop) Take(ctx context.Context, id string, a analysis.Analysis) error {
	err := inference.Guard(w.Log, id, func() error { return w.take(ctx, id, a) })
	return named(id, err)
}

func (w *Workshop) take(ctx context.Context, id string, a analysis.Analysis) error {
	picture := w.Pictures.take(id)
	job, ok, err := w.waiting(ctx, id)
	if err != nil || !ok {
		return err
	}
	err = inference.Guard(w.Log, id, func() error {
		return w.produce(ctx, job, a.Model, func(m *making, entry *Entry) (string, error) {
			if entry.Instance.Video() {
				if m.clipped() { // by the model here, which takes a while: results of others go on beside it
					if !w.clipping.TryLock() {
						return "", inference.Postponed(errClipping)
					}
					defer w.clipping.Unlock()
				}
				return a.NotAnalysed, m.moving(ctx, a)
			}
			return a.NotAnalysed, m.parts(ctx, a.Parts, picture, entry.Instance)
		})
	})
	switch {
	case err == nil || inference.IsPostponed(err):
		return err
	case ctx.Err() != nil:
		return inference.Postponed(err)
	}
	// The worker's try was counted where it began; that its results cannot be taken is one more.
	job, begin := w.Ledger.StartJob(ctx, id, w.Now())
	if begin != nil {
		return inference.Postponed(errors.Join(err, begin))
	}
	return w.verdict(ctx, job, err)
}

// waiting returns a job that somebody waits for; ok is false where it has ended, here or elsewhere.
func (w *Workshop) waiting(ctx context.Context, id string) (job ledger.Job, ok bool, err error) {
	job, err = w.Ledger.Job(ctx, id)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return job, false, nil
	case err != nil:
		return job, false, inference.Postponed(err)
	}
	return job, job.State == ledger.JobOpen, nil
}

// Failed decides about a job that a worker elsewhere has begun and not done, and why. Its error is as Do's.
func (w *Workshop) Failed(ctx context.Context, id string, why error) error {
	w.Pictures.take(id)
	job, ok, err := w.waiting(ctx, id)
	if err != nil || !ok {
		return err
	}
	if errors.Is(why, pixeldata.ErrWords) {
		why = w.atHome(ctx, job, why)
	}
	if errors.Is(why, errBegun) { // the try goes on
		return named(id, inference.Postponed(why))
	}
	return named(id, w.verdict(ctx, job, why))
}

// unstartTimeout bounds how long the end of the process waits for the ledger.
const unstartTimeout = 5 * time.Second

// verdict decides about a job whose try has ended. The ledger's count is the only one: a try that was no fault of the job
// is taken back, and one that was is the last when there are as many as are allowed.
func (w *Workshop) verdict(ctx context.Context, job ledger.Job, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // the process is asked to stop
		err = inference.Postponed(err)
	case errors.Is(err, spool.ErrNotFound), errors.Is(err, spool.ErrCorrupt):
		return inference.Permanent(fmt.Errorf("%s: %w", ledger.LostBytes, err))
	case !inference.IsPostponed(err) && job.Attempts >= w.MaxAttempts:
		return inference.Permanent(err)
	}
	if inference.IsPostponed(err) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unstartTimeout)
		defer cancel()
		if unstart := w.Ledger.UnstartJob(ctx, job.ID); unstart != nil {
			w.Log.Warn("attempt not taken back", "job", job.ID, "err", unstart)
		}
	}
	return err
}

// produce turns what is said of an instance into results. What does not come to an end is taken out of the spool again.
func (w *Workshop) produce(ctx context.Context, job ledger.Job, made analysis.Model, parts func(*making, *Entry) (notAnalysed string, err error)) error {
	if job.Again && made != job.MadeBy {
		return inference.Permanent(fmt.Errorf("version %s of %s made it, which is here no more: bring it back and retry, or discard", job.MadeBy.Version, job.Model))
	}
	entry, err := w.Keeper.Open(ctx, job.Entry)
	if err != nil {
		return err
	}
	defer entry.Close()
	m := &making{Workshop: w, job: job, source: entry.Source, algorithm: w.Algorithms[job.Model]}
	m.algorithm.Model = made // as it was there and then
	defer m.undo()
	notAnalysed, err := parts(m, entry)
	if err != nil {
		return err
	}
	return m.finish(ctx, notAnalysed)
}
