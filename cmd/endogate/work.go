package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"syscall"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/inference"
	"endogate/reports"
)

// keeper puts what the gateway makes into the spool, and reads what it is made from.
type keeper struct {
	spool *spool.Spool
	now   func() time.Time
}

// Keep makes an object durable and returns its spool entry. A disk without room is a Postponed error.
func (k *keeper) Keep(_ context.Context, o reports.Object) (string, error) {
	id, err := k.keep(o)
	return id, hindered(err)
}

func (k *keeper) keep(o reports.Object) (string, error) {
	w, err := k.spool.Create()
	if err != nil {
		return "", err
	}
	defer w.Abort() // nothing happens after Commit
	if _, err := io.Copy(w, bytes.NewReader(o.Dataset)); err != nil {
		return "", err
	}
	entry, err := w.Commit(spool.Entry{Kind: spool.Derived, Header: o.Header, TransferSyntaxUID: o.TransferSyntaxUID, At: k.now()})
	return entry.ID, err
}

// hindered marks errors of the system, such as a full disk or too many open files, for which no job is at fault.
// Bytes that cannot be read are of their entry: they count, or the job would never come to an end.
func hindered(err error) error {
	var system syscall.Errno
	if errors.As(err, &system) && system != syscall.EIO {
		return inference.Postponed(err)
	}
	return err
}

// Source reads the attributes that derived objects copy from a spool entry.
func (k *keeper) Source(_ context.Context, id string) (reports.Source, error) {
	entry, dataset, err := k.spool.Open(id)
	if errors.Is(err, spool.ErrNotFound) || errors.Is(err, spool.ErrCorrupt) {
		return reports.Source{}, inference.Permanent(fmt.Errorf("%w: %w", err, reports.ErrGone))
	}
	if err != nil {
		return reports.Source{}, hindered(err)
	}
	defer dataset.Close()
	ts, _ := dicom.LookupTransferSyntax(entry.TransferSyntaxUID)
	attributes, err := dicom.ReadAttributes(dataset, ts)
	var system syscall.Errno
	switch {
	case errors.As(err, &system): // the disk, not the bytes
		return reports.Source{}, hindered(err)
	case err != nil:
		return reports.Source{}, fmt.Errorf("spool entry %s: %w: %w", id, err, reports.ErrGone)
	}
	return reports.Source{Attributes: attributes, TransferSyntaxUID: entry.TransferSyntaxUID, Size: entry.Size}, nil
}

// Dataset opens the data set of a spool entry for a worker.
func (k *keeper) Dataset(_ context.Context, id string) (io.ReadCloser, dicom.TransferSyntax, error) {
	entry, dataset, err := k.spool.Open(id)
	if errors.Is(err, spool.ErrNotFound) || errors.Is(err, spool.ErrCorrupt) {
		return nil, dicom.TransferSyntax{}, inference.Permanent(err)
	}
	if err != nil {
		return nil, dicom.TransferSyntax{}, hindered(err)
	}
	ts, _ := dicom.LookupTransferSyntax(entry.TransferSyntaxUID)
	return dataset, ts, nil
}

// workshop starts deliveries: it is what a worker hands its results to.
type workshop struct {
	ledger      *ledger.Ledger
	keeper      *keeper
	builder     *reports.Builder
	algorithms  map[string]reports.Algorithm // by model
	colours     *explain.ColourMap
	opacity     float64
	heatmaps    *routeHeatmaps // nil: no route names any
	maxAttempts int            // of a job before it is parked, counted by the ledger
	now         func() time.Time
	finished    func() // called when there are results
	log         *slog.Logger
}

// Start implements inference.Worker's Start: the attempt is counted before anything can go wrong,
// so that a job that kills the process is parked too.
func (w *workshop) Start(ctx context.Context, j inference.Job) (inference.Delivery, error) {
	job, err := w.ledger.StartJob(ctx, j.ID, w.now())
	if errors.Is(err, ledger.ErrNotFound) {
		w.log.Warn("job is not in the ledger and is dropped from the queue", "job", j.ID, "model", j.Model)
		return nil, nil // the ledger was begun anew: what it does not know, nobody waits for
	}
	if err != nil {
		return nil, inference.Postponed(err)
	}
	if job.State != ledger.StateOpen {
		return nil, nil
	}
	if job.Attempts > w.maxAttempts {
		return nil, inference.Permanent(fmt.Errorf("given up after %d attempts that ended the process or its time", job.Attempts-1))
	}
	source, err := w.keeper.Source(ctx, job.Entry)
	if err != nil {
		return nil, w.verdict(ctx, job, err)
	}
	return &delivery{workshop: w, job: job, source: source}, nil
}

// unstartTimeout bounds how long the end of the process waits for the ledger.
const unstartTimeout = 5 * time.Second

// verdict decides about a job whose attempt has failed. The ledger's count is the only one: an attempt that was no
// fault of the job is taken back, and one that was is the last when there are as many as are allowed.
func (w *workshop) verdict(ctx context.Context, job ledger.Job, err error) error {
	if ctx.Err() != nil {
		err = inference.Postponed(err) // the process is asked to stop
	}
	if !inference.IsPostponed(err) {
		if errors.Is(err, spool.ErrNotFound) || errors.Is(err, spool.ErrCorrupt) {
			return inference.Permanent(fmt.Errorf("%s: %w", ledger.LostBytes, err))
		}
		if job.Attempts >= w.maxAttempts {
			return inference.Permanent(err)
		}
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unstartTimeout)
	defer cancel()
	if unstart := w.ledger.UnstartJob(ctx, job.ID); unstart != nil {
		w.log.Warn("attempt not taken back", "job", job.ID, "err", unstart)
	}
	return err
}

// delivery takes over the results of one job.
type delivery struct {
	*workshop
	job     ledger.Job
	source  reports.Source
	objects []ledger.Object
	frames  []ledger.FrameResult

	offered bool // the ledger was given the objects: an error may hide that it has them
}

// Frame implements inference.Delivery: the heatmap of every explained finding goes into the spool.
func (d *delivery) Frame(ctx context.Context, a inference.FrameAnalysis, picture *image.RGBA) error {
	result := ledger.FrameResult{Frame: a.Frame, Rows: a.Rows, Columns: a.Columns, Scores: map[string]float64{}}
	for _, p := range a.Probabilities {
		result.Scores[p.Class] = p.Value
	}
	for _, f := range a.Findings {
		finding := ledger.Finding{
			Frame: a.Frame, Class: f.Class.Name, Probability: f.Probability, Threshold: f.Class.Threshold,
			Role: string(f.Class.Role), Contours: f.Contours,
			Finding: f.Class.Finding, Site: f.Class.Site,
		}
		if f.Note != "" {
			result.Note = f.Class.Name + ": " + f.Note
		}
		maps, notes, err := d.maps(ctx, f, picture)
		if err != nil {
			return err
		}
		for _, note := range notes {
			result.Note = f.Class.Name + ": " + note
		}
		for i, m := range maps {
			object, err := d.heatmap(ctx, a.Frame, f, m, picture)
			if err != nil {
				return err
			}
			d.objects = append(d.objects, object)
			if i == 0 { // the one that reports show
				finding.Heatmap = object.Instance.SOPInstanceUID
			}
		}
		result.Findings = append(result.Findings, finding)
	}
	d.frames = append(d.frames, result)
	return nil
}

// maps are what there is to show of a finding: what its route names, or the model's own.
func (d *delivery) maps(ctx context.Context, f inference.Finding, picture *image.RGBA) (maps []classMap, notes []string, err error) {
	switch {
	case f.Class.Role == inference.RoleFinding && len(d.heatmaps.of(d.job.Route)) > 0:
		return d.heatmaps.make(ctx, d.job.Route, d.job.Model, f.Class.Name, picture)
	case f.Map.Width > 0:
		return []classMap{{d.algorithms[d.job.Model].Explain, f.Map}}, nil, nil
	}
	return nil, nil, nil
}

func (d *delivery) heatmap(ctx context.Context, frame int, f inference.Finding, m classMap, picture *image.RGBA) (ledger.Object, error) {
	algorithm := d.algorithms[d.job.Model]
	algorithm.Explain = m.Explain
	o, err := d.builder.Heatmap(reports.Heatmap{
		Source: d.source, Frame: frame, Pixels: picture,
		Overlay: explain.Overlay(picture, m.Map, d.colours, d.opacity), Opacity: d.opacity,
		Algorithm: algorithm, Class: f.Class.Name, Probability: f.Probability,
		At: d.job.InferredAt, Revision: d.job.Retries + 1,
	})
	if err != nil {
		return ledger.Object{}, inference.Permanent(err)
	}
	entry, err := d.keeper.Keep(ctx, o)
	if err != nil {
		return ledger.Object{}, err
	}
	return ledger.Object{
		Entry: entry, Instance: o.Header.SOPInstance, TransferSyntaxUID: o.TransferSyntaxUID, Purpose: "heatmap",
		Model: d.job.Model, Source: d.job.Instance.SOPInstanceUID, Frame: frame,
		Rank: ledger.RankHeatmap, Destinations: d.job.Destinations,
	}, nil
}

// Finish implements inference.Delivery: results, objects and deliveries enter the ledger together.
func (d *delivery) Finish(ctx context.Context, r inference.Result) error {
	// An error of the ledger counts here, unlike in Start: results that it refuses, it would refuse for ever. While it is
	// out of order for everything, Start does not get so far.
	if r.NotAnalysed != "" && len(d.frames) == 0 {
		if err := d.ledger.SkipJob(ctx, d.job.ID, r.NotAnalysed, d.now()); err != nil {
			return err
		}
		d.log.Warn("instance not analysed", "sop_instance_uid", d.job.Instance.SOPInstanceUID, "model", d.job.Model, "why", r.NotAnalysed)
		d.finished()
		return nil
	}
	if last := len(d.frames) - 1; r.NotAnalysed != "" {
		d.frames[last].Note = r.NotAnalysed
	}
	d.offered = true
	if err := d.ledger.FinishJob(ctx, d.job.ID, d.frames, d.objects, d.now()); err != nil {
		return err
	}
	d.log.Info("instance analysed", "sop_instance_uid", d.job.Instance.SOPInstanceUID, "model", d.job.Model,
		"frames", len(d.frames), "heatmaps", len(d.objects))
	d.finished()
	return nil
}

// Abort implements inference.Delivery: what is in the spool already has no row in the ledger, and is released.
// Where the ledger may have it after all, it stays: what nothing needs, the next start releases.
func (d *delivery) Abort(ctx context.Context, err error) error {
	if d.offered {
		return d.verdict(ctx, d.job, err)
	}
	for _, o := range d.objects {
		if err := d.keeper.spool.Release(o.Entry); err != nil {
			d.log.Warn("entry not released", "entry", o.Entry, "err", err)
		}
	}
	return d.verdict(ctx, d.job, err)
}
