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
	// Abort is called in place of Finish, and after a Finish that returned an error, with the reason; what Frame has made
	// is in vain. It returns the error that decides about the job: err, or Permanent(err) when that was its last try.
	// For a Postponed one the try is taken back. ctx may be done.
	Abort(ctx context.Context, err error) error
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
	MaxFrames int           // of an instance that are analysed; 0: 2000
	Stall     time.Duration // longest time without a frame done; 0: 5 minutes

	Observe func(model string, d time.Duration) // of each frame, preparation to findings; may be nil
	Log     *slog.Logger                        // nil: slog.Default
}

const (
	defaultMaxFrames = 2000
	defaultStall     = 5 * time.Minute
)

// Do does a job; it returns nil once the results are durable. Every error has a Temporary method: false for what stays
// so however often it is tried, such as corrupt pixel data, or a panic; and a Postponed method: true for what is no
// fault of the job, such as the end of ctx. A job may take as long as it has frames, but no longer than Stall for each.
func (w *Worker) Do(ctx context.Context, j Job) error {
	err := w.guard(j, func() error { return w.do(ctx, j) })
	if err == nil {
		return nil
	}
	return &taskError{fmt.Errorf("inference: job %s: %w", j.ID, err), jobs.DispositionOf(err)}
}

// guard runs a step of a job; a panic is an error of that job.
func (w *Worker) guard(j Job, step func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			cmp.Or(w.Log, slog.Default()).Error("panic in a job", "job", j.ID, "model", j.Model,
				"sop_instance_uid", j.Instance.SOPInstanceUID, "reason", panicReason(reason), "stack", string(debug.Stack()))
			err = Permanent(errors.New("panic; its stack is in the log"))
		}
	}()
	return step()
}

// panicReason is what may be said of a panic: what other code panics with may hold patient data.
func panicReason(reason any) string {
	if err, ok := reason.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", reason)
}

func (w *Worker) do(ctx context.Context, j Job) error {
	model, ok := w.Models[j.Model]
	if !ok {
		return Permanent(fmt.Errorf("model %q is not configured", j.Model))
	}
	delivery, err := w.Start(ctx, j)
	if err != nil {
		return stopped(ctx, err)
	}
	if delivery == nil {
		return nil
	}
	if err := w.guard(j, func() error { return w.deliver(ctx, j, model, delivery) }); err != nil {
		return delivery.Abort(ctx, stopped(ctx, err))
	}
	return nil
}

// stopped marks what came of the end of ctx, which is the end of the process and no fault of the job.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return Postponed(err) // whatever it says: a decoder that is killed calls its input corrupt
	}
	return err
}

// deliver has the job done and its results made durable, as long as it gets on.
func (w *Worker) deliver(ctx context.Context, j Job, model Model, delivery Delivery) error {
	limit := cmp.Or(w.Stall, defaultStall)
	stalled := fmt.Errorf("no frame was done within %s", limit)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(limit, func() { cancel(stalled) })
	defer timer.Stop()
	result, err := w.analyse(ctx, j, model, delivery, func() { timer.Reset(limit) })
	if err == nil {
		err = delivery.Finish(ctx, result)
	}
	if err != nil && context.Cause(ctx) == stalled {
		return stalled // err only says what was cut short
	}
	return err
}

func (w *Worker) analyse(ctx context.Context, j Job, model Model, delivery Delivery, progress func()) (Result, error) {
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
		progress()
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
	a.Maps = nil
	return a
}
