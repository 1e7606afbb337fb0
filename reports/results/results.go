// Package results turns what workers find into objects, spool entries and rows of the ledger.
//
// A job is acknowledged after its results are durable: heatmaps stand in the spool first, then one transaction of the ledger
// takes the findings, the objects and their deliveries. Whoever does a job twice makes the same bytes again.
package results

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"time"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/reports"
)

// Workshop is what a worker hands its results to. Its fields are set before the first job.
type Workshop struct {
	Ledger      *ledger.Ledger
	Keeper      *Keeper
	Builder     *reports.Builder
	Algorithms  map[string]reports.Algorithm // by model
	Colours     *explain.ColourMap
	Opacity     float64  // of a map over its frame, 0..1
	Heatmaps    Heatmaps // nil: no route names any
	MaxAttempts int      // of a job before it is parked, counted by the ledger
	Now         func() time.Time
	Finished    func() // called when there are results
	Log         *slog.Logger
}

// Heatmaps makes the maps that a route names, in place of those that a model makes by itself.
type Heatmaps interface {
	// Wanted says whether a route names any.
	Wanted(route string) bool
	// Make explains a class in a frame by every method that the route names. Notes say of which there is nothing to show.
	Make(ctx context.Context, route, model, class string, frame *image.RGBA) (maps []Map, notes []string, err error)
}

// Map is a map as large as its frame, from 0 to 1, and what made it.
type Map struct {
	Explain analysis.Explanation
	Map     explain.Map
}

// Start implements inference.Worker's Start: the attempt is counted before anything can go wrong,
// so that a job that kills the process is parked too.
func (w *Workshop) Start(ctx context.Context, j inference.Job) (inference.Delivery, error) {
	job, err := w.Ledger.StartJob(ctx, j.ID, w.Now())
	if errors.Is(err, ledger.ErrNotFound) {
		w.Log.Warn("job is not in the ledger and is dropped from the queue", "job", j.ID, "model", j.Model)
		return nil, nil // the ledger was begun anew: what it does not know, nobody waits for
	}
	if err != nil {
		return nil, inference.Postponed(err)
	}
	if job.State != ledger.StateOpen {
		return nil, nil
	}
	if job.Attempts > w.MaxAttempts {
		return nil, inference.Permanent(fmt.Errorf("given up after %d attempts that ended the process or its time", job.Attempts-1))
	}
	source, err := w.Keeper.Source(ctx, job.Entry)
	if err != nil {
		return nil, w.verdict(ctx, job, err)
	}
	return &delivery{Workshop: w, job: job, source: source}, nil
}

// unstartTimeout bounds how long the end of the process waits for the ledger.
const unstartTimeout = 5 * time.Second

// verdict decides about a job whose attempt has failed. The ledger's count is the only one: an attempt that was no
// fault of the job is taken back, and one that was is the last when there are as many as are allowed.
func (w *Workshop) verdict(ctx context.Context, job ledger.Job, err error) error {
	if ctx.Err() != nil {
		err = inference.Postponed(err) // the process is asked to stop
	}
	if !inference.IsPostponed(err) {
		if errors.Is(err, spool.ErrNotFound) || errors.Is(err, spool.ErrCorrupt) {
			return inference.Permanent(fmt.Errorf("%s: %w", ledger.LostBytes, err))
		}
		if job.Attempts >= w.MaxAttempts {
			return inference.Permanent(err)
		}
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unstartTimeout)
	defer cancel()
	if unstart := w.Ledger.UnstartJob(ctx, job.ID); unstart != nil {
		w.Log.Warn("attempt not taken back", "job", job.ID, "err", unstart)
	}
	return err
}

// delivery takes over the results of one job.
type delivery struct {
	*Workshop
	job     ledger.Job
	source  reports.Source
	objects []ledger.Object
	results []analysis.Result

	offered bool // the ledger was given the objects: an error may hide that it has them
}

// Frame implements inference.Delivery: the heatmap of every explained finding goes into the spool.
func (d *delivery) Frame(ctx context.Context, a inference.FrameAnalysis, picture *image.RGBA) error {
	for i := range a.Findings {
		f := &a.Findings[i]
		maps, notes, err := d.maps(ctx, *f, a.Maps[i], picture)
		if err != nil {
			return err
		}
		for _, note := range notes {
			a.Notes = append(a.Notes, f.Class+": "+note)
		}
		for k, m := range maps {
			object, err := d.heatmap(ctx, a.Span, *f, m, picture)
			if err != nil {
				return err
			}
			d.objects = append(d.objects, object)
			if k == 0 { // the one that reports show
				f.Heatmap = object.Instance.SOPInstanceUID
			}
		}
	}
	d.results = append(d.results, a.Result)
	return nil
}

// maps are what there is to show of a finding: what its route names, or the model's own.
func (d *delivery) maps(ctx context.Context, f analysis.Finding, own explain.Map, picture *image.RGBA) (maps []Map, notes []string, err error) {
	switch {
	case f.Role == analysis.RoleFinding && d.Heatmaps != nil && d.Heatmaps.Wanted(d.job.Route):
		return d.Heatmaps.Make(ctx, d.job.Route, d.job.Model, f.Class, picture)
	case own.Width > 0:
		return []Map{{d.Algorithms[d.job.Model].Explain, own}}, nil, nil
	}
	return nil, nil, nil
}

func (d *delivery) heatmap(ctx context.Context, span analysis.Span, f analysis.Finding, m Map, picture *image.RGBA) (ledger.Object, error) {
	algorithm := d.Algorithms[d.job.Model]
	algorithm.Explain = m.Explain
	o, err := d.Builder.Heatmap(reports.Heatmap{
		Source: d.source, Frame: span.First, Pixels: picture,
		Overlay: explain.Overlay(picture, m.Map, d.Colours, d.Opacity), Opacity: d.Opacity,
		Algorithm: algorithm, Class: f.Class, Probability: f.Probability,
		At: d.job.InferredAt, Revision: d.job.Retries + 1,
	})
	if err != nil {
		return ledger.Object{}, inference.Permanent(err)
	}
	entry, err := d.Keeper.Keep(ctx, o)
	if err != nil {
		return ledger.Object{}, err
	}
	return ledger.Object{
		Entry: entry, Instance: o.Header.SOPInstance, TransferSyntaxUID: o.TransferSyntaxUID, Purpose: "heatmap",
		Model: d.job.Model, Source: d.job.Instance.SOPInstanceUID, Span: span,
		Rank: ledger.RankHeatmap, Destinations: d.job.Destinations,
	}, nil
}

// Finish implements inference.Delivery: results, objects and deliveries enter the ledger together.
func (d *delivery) Finish(ctx context.Context, r inference.Result) error {
	// An error of the ledger counts here, unlike in Start: results that it refuses, it would refuse for ever. While it is
	// out of order for everything, Start does not get so far.
	if r.NotAnalysed != "" && len(d.results) == 0 {
		if err := d.Ledger.SkipJob(ctx, d.job.ID, r.NotAnalysed, d.Now()); err != nil {
			return err
		}
		d.Log.Warn("instance not analysed", "sop_instance_uid", d.job.Instance.SOPInstanceUID, "model", d.job.Model, "why", r.NotAnalysed)
		d.Finished()
		return nil
	}
	if last := len(d.results) - 1; r.NotAnalysed != "" {
		d.results[last].Notes = append(d.results[last].Notes, r.NotAnalysed)
	}
	d.offered = true
	if err := d.Ledger.FinishJob(ctx, d.job.ID, d.Algorithms[d.job.Model].Model, d.results, d.objects, d.Now()); err != nil {
		return err
	}
	d.Log.Info("instance analysed", "sop_instance_uid", d.job.Instance.SOPInstanceUID, "model", d.job.Model,
		"frames", len(d.results), "heatmaps", len(d.objects))
	d.Finished()
	return nil
}

// Abort implements inference.Delivery: what is in the spool already has no row in the ledger, and is released.
// Where the ledger may have it after all, it stays: what nothing needs, the next start releases.
func (d *delivery) Abort(ctx context.Context, err error) error {
	if d.offered {
		return d.verdict(ctx, d.job, err)
	}
	for _, o := range d.objects {
		if err := d.Keeper.Spool.Release(o.Entry); err != nil {
			d.Log.Warn("entry not released", "entry", o.Entry, "err", err)
		}
	}
	return d.verdict(ctx, d.job, err)
}
