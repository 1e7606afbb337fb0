package inference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"log/slog"
	"runtime/debug"
	"time"

	"endogate/dicomnode/failure"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
	"endogate/inference/analysis"
)

// Task is what a worker is asked: what a model says about an instance.
type Task struct {
	Job      string // that it is asked for; named in the log
	Model    string // of the worker's models
	Instance *pixeldata.Instance
	Clip     *video.Clip        // in place of Instance, for Watch: a video that is open
	Prepared *analysis.Prepared // in place of Instance: its only frame
	Note     string             // what is wrong with the frame of Prepared all the same, or with the video before it came here
	Wishes   Wishes
	Others   bool // there may be workers that can decode what this machine cannot: such a task is for them
}

// Take takes over what a model says about a sample, and the frames of the sample; both are its own to keep or change.
type Take func(ctx context.Context, p analysis.Part, frames []*image.RGBA) error

// Worker turns the frames of an instance into findings and maps. It knows nothing of where the instance is from and
// where the results go. Its fields are set before the first task; its methods may be called from any goroutine.
type Worker struct {
	Models map[string]Model // by the name tasks call them

	MaxFrames int           // of an instance that are analysed; 0: 2000
	Stall     time.Duration // longest time without a frame done; 0: 5 minutes
	Limit     time.Duration // longest time of a task, beside PerFrame for each of its frames; 0: 5 minutes
	PerFrame  time.Duration // 0: 10 s

	Observe func(model string, d time.Duration) // of each frame, preparation to maps; may be nil
	Log     *slog.Logger                        // nil: slog.Default
}

const (
	defaultMaxFrames = 2000
	defaultStall     = 5 * time.Minute
	defaultLimit     = 5 * time.Minute
	defaultPerFrame  = 10 * time.Second

	// maxTooLong is after how many frames that took all the time that a frame may take the others are not tried: such an instance is
	// made to be slow.
	maxTooLong = 10
)

// Analyse does a task and keeps all that comes of it in memory. Errors as Each.
func (w *Worker) Analyse(ctx context.Context, t Task) (analysis.Analysis, error) {
	var a analysis.Analysis
	why, err := w.Each(ctx, t, func(_ context.Context, p analysis.Part, _ []*image.RGBA) error {
		a.Parts = append(a.Parts, p)
		return nil
	})
	if err != nil {
		return analysis.Analysis{}, err
	}
	a.Model, a.NotAnalysed = w.Models[t.Model].Made(), why
	return a, nil
}

// Each does a task and hands over its parts one by one, so that the frames of a long instance need not be in memory
// together. It returns why the instance, or which of its frames and why, was not analysed; or "". Frames that cannot be
// decoded do not cost the others; where none can it is an error.
//
// An error has a Temporary method that says false where it stays so however often the task is done, such as corrupt pixel
// data or a panic, and a Postponed method that says true for what is no fault of the task, such as the end of ctx. A
// task may take as long as it has frames: no longer than Stall for each, and Limit and PerFrame for all.
func (w *Worker) Each(ctx context.Context, t Task, take Take) (notAnalysed string, err error) {
	model, ok := w.Models[t.Model]
	if !ok {
		return "", Permanent(fmt.Errorf("model %q is not configured", t.Model))
	}
	err = Guard(w.Log, t.Job, func() (err error) {
		notAnalysed, err = w.each(ctx, t, model, take)
		return err
	})
	if err != nil && ctx.Err() != nil {
		err = Postponed(err) // whatever it says: a decoder that is killed calls its input corrupt
	}
	return notAnalysed, err
}

// Guard runs a step of a job; a panic is an error of that job. A nil log is slog.Default.
func Guard(log *slog.Logger, job string, step func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			cmp.Or(log, slog.Default()).Error("panic in a job", "job", job, "reason", failure.Reason(reason), "stack", string(debug.Stack()))
			err = Permanent(errors.New("panic; its stack is in the log"))
		}
	}()
	return step()
}

// each does a task as long as it gets on.
func (w *Worker) each(ctx context.Context, t Task, model Model, take Take) (notAnalysed string, err error) {
	limit := cmp.Or(w.Stall, defaultStall)
	stalled := fmt.Errorf("no frame was done within %s", limit)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(limit, func() { cancel(stalled) })
	defer timer.Stop()
	whole := w.whole(t)
	tooLong := fmt.Errorf("it was not done within %s, which is what its frames may take together", whole)
	defer time.AfterFunc(whole, func() { cancel(tooLong) }).Stop()
	var bad lacks
	good, long := 0, 0
	end := func(rest string) (string, error) {
		if good == 0 && bad.first != nil {
			return "", Permanent(bad.first)
		}
		return both(bad.String(), rest), nil
	}
	samples := t.samples(ctx)
	if m, ok := model.(interface{ Sequence() *Clip }); ok && m.Sequence() != nil && t.Prepared == nil {
		samples = m.Sequence().clips(samples, t.Instance.Count(), func() { timer.Reset(limit) })
	}
	for sample, err := range samples {
		frames := (*pixeldata.FrameError)(nil)
		switch most := cmp.Or(w.MaxFrames, defaultMaxFrames); {
		case ctx.Err() == nil && errors.As(err, &frames) && frames.First <= most:
			bad.add(frames)
			if errors.Is(err, pixeldata.ErrTooLong) {
				if long++; long == maxTooLong {
					return end(fmt.Sprintf("those behind frame %d were not tried", frames.Last))
				}
			}
			err = nil
		case err == nil && sample.Span.First > most, frames != nil:
			return end(fmt.Sprintf("only the first %d frames are analysed", most))
		case errors.Is(err, pixeldata.ErrNoDecoder) && t.Others:
			err = Postponed(err)
		case errors.Is(err, pixeldata.ErrUnsupported):
			return end(err.Error())
		case errors.Is(err, pixeldata.ErrCorrupt), errors.Is(err, pixeldata.ErrTooMuch):
			err = Permanent(err)
		case err == nil:
			err = w.sample(ctx, t, model, take, sample)
			good++
		}
		switch {
		case err != nil && context.Cause(ctx) == stalled:
			return "", stalled // err only says what was cut short
		case err != nil && context.Cause(ctx) == tooLong:
			return "", Permanent(tooLong)
		case err != nil:
			return "", err
		}
		timer.Reset(limit)
	}
	return end("")
}

// samples are what there is to see, as [pixeldata.Instance.Frames].
func (t Task) samples(ctx context.Context) iter.Seq2[analysis.Sample, error] {
	return func(yield func(analysis.Sample, error) bool) {
		if t.Prepared != nil {
			yield(analysis.Sample{Span: analysis.Still(1), Prepared: t.Prepared, Note: t.Note}, nil)
			return
		}
		for frame, err := range t.Instance.Frames(ctx) {
			pose := analysis.Pose{Orientation: analysis.Orientation(frame.Orientation), Aspect: frame.Aspect}
			if !yield(analysis.Sample{Span: analysis.Still(frame.Number), Frames: []*image.RGBA{frame.Image}, Note: frame.Note, Pose: pose}, err) {
				return
			}
		}
	}
}

// whole is how long all frames of a task may take together.
func (w *Worker) whole(t Task) time.Duration {
	frames := 1
	if t.Prepared == nil {
		frames = min(t.Instance.Count(), cmp.Or(w.MaxFrames, defaultMaxFrames))
	}
	return cmp.Or(w.Limit, defaultLimit) + time.Duration(frames)*cmp.Or(w.PerFrame, defaultPerFrame)
}

// sample analyses and hands over one sample.
func (w *Worker) sample(ctx context.Context, t Task, model Model, take Take, s analysis.Sample) error {
	begun := time.Now()
	part, err := model.Infer(ctx, s, t.Wishes)
	if err == nil {
		if w.Observe != nil {
			w.Observe(t.Model, time.Since(begun))
		}
		if s.Note != "" {
			part.Result.Notes = append(part.Result.Notes, s.Note)
		}
		err = take(ctx, part, shownOf(s, part.Result))
	}
	if err != nil {
		return fmt.Errorf("frame %d: %w", s.Span.First, err)
	}
	return nil
}

// shownOf are the frames that are handed over: of a clip the one that maps are of.
func shownOf(s analysis.Sample, r analysis.Result) []*image.RGBA {
	for i, f := range s.Frames {
		if r.Peak > 0 && s.Number(i) == r.Peak {
			return []*image.RGBA{f}
		}
	}
	return s.Frames
}
