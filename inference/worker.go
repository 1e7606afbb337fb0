package inference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/inference/jobs"
)

// Job is a reference to work.
type Job = jobs.Job

// Delivery takes over the results of one job, frame by frame, so that the maps of a long
// multi-frame instance need not be in memory together. It is used by one goroutine.
type Delivery interface {
	// Frame takes a frame's analysis, and its picture; both are its own to keep or change.
	Frame(ctx context.Context, a FrameAnalysis, picture *image.RGBA) error
	// Finish makes the results durable; nil means the job is done for good.
	Finish(ctx context.Context, r Result) error
	// Abort is called in place of Finish, and after a Finish that returned an error; what Frame has made is in vain.
	Abort()
}

// Result is what came of a job. Frames come without their maps, which Delivery.Frame had.
type Result struct {
	Frames []FrameAnalysis
	// NotAnalysed says why the instance, or what comes behind the last of Frames, was not analysed; or it is "".
	NotAnalysed string
}

// Worker does jobs. Its fields are set before the first and not changed; Do may be called from any goroutine.
type Worker struct {
	Models map[string]Model // by the name jobs call them

	// Open opens the data set of a spool entry. An entry that is gone for good is a Permanent error.
	Open func(ctx context.Context, entry string) (io.ReadCloser, dicom.TransferSyntax, error)
	// Start is told, durably, that a job begins. A nil Delivery without an error means there is nothing left to do.
	Start func(ctx context.Context, j Job) (Delivery, error)

	Decode    pixeldata.Options
	MaxFrames int // of an instance that are analysed; 0: 2000

	Observe func(model string, d time.Duration) // of each frame, preparation to findings; may be nil
	Log     *slog.Logger                        // nil: slog.Default
}

const defaultMaxFrames = 2000

// Do does a job; it returns nil once the results are durable. Every error has a Temporary method: false for what stays
// so however often it is tried, such as corrupt pixel data, or a panic.
func (w *Worker) Do(ctx context.Context, j Job) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			cmp.Or(w.Log, slog.Default()).Error("panic in a job", "job", j.ID, "model", j.Model,
				"sop_instance_uid", j.Instance.SOPInstanceUID, "reason", panicReason(reason), "stack", string(debug.Stack()))
			err = Permanent(fmt.Errorf("inference: job %s: panic; its stack is in the log", j.ID))
		}
	}()
	if err := w.do(ctx, j); err != nil {
		return &taskError{fmt.Errorf("inference: job %s: %w", j.ID, err), !isPermanent(err)}
	}
	return nil
}

// panicReason is what may be said of a panic: what other code panics with may hold patient data.
func panicReason(reason any) string {
	if err, ok := reason.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", reason)
}

func (w *Worker) do(ctx context.Context, j Job) (err error) {
	model, ok := w.Models[j.Model]
	if !ok {
		return Permanent(fmt.Errorf("model %q is not configured", j.Model))
	}
	delivery, err := w.Start(ctx, j)
	if err != nil || delivery == nil {
		return err
	}
	finished := false
	defer func() {
		if !finished {
			delivery.Abort()
		}
	}()
	result, err := w.analyse(ctx, j, model, delivery)
	if err != nil {
		return err
	}
	err = delivery.Finish(ctx, result)
	finished = err == nil
	return err
}

func (w *Worker) analyse(ctx context.Context, j Job, model Model, delivery Delivery) (Result, error) {
	dataset, ts, err := w.Open(ctx, j.Entry)
	if err != nil {
		return Result{}, err
	}
	defer dataset.Close()
	var r Result
	for frame, err := range pixeldata.Frames(ctx, dataset, ts, w.Decode) {
		switch limit := cmp.Or(w.MaxFrames, defaultMaxFrames); {
		case errors.Is(err, pixeldata.ErrUnsupported):
			r.NotAnalysed = err.Error()
			return r, nil
		case errors.Is(err, pixeldata.ErrCorrupt):
			return Result{}, Permanent(err)
		case err != nil:
			return Result{}, err
		case frame.Number > limit:
			r.NotAnalysed = fmt.Sprintf("only the first %d frames are analysed", limit)
			return r, nil
		}
		a, err := w.frame(ctx, j, model, delivery, frame)
		if err != nil {
			return Result{}, fmt.Errorf("frame %d: %w", frame.Number, err)
		}
		r.Frames = append(r.Frames, a)
	}
	return r, nil
}

// frame analyses and hands over one frame, and returns what is kept of it.
func (w *Worker) frame(ctx context.Context, j Job, model Model, delivery Delivery, f pixeldata.Frame) (FrameAnalysis, error) {
	begun := time.Now()
	a, err := model.Infer(ctx, f)
	if err != nil {
		return FrameAnalysis{}, err
	}
	if w.Observe != nil {
		w.Observe(j.Model, time.Since(begun))
	}
	kept := a.withoutMaps()
	return kept, delivery.Frame(ctx, a, f.Image)
}

func (a FrameAnalysis) withoutMaps() FrameAnalysis {
	findings := make([]Finding, len(a.Findings))
	for i, f := range a.Findings {
		f.Map = explain.Map{}
		findings[i] = f
	}
	a.Findings = findings
	return a
}
