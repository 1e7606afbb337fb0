package inference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"runtime/debug"
	"slices"
	"time"

	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
	"endogate/inference/analysis"
)

// Progress is how far a video is.
type Progress struct {
	Done, Of int // frames to be analysed
}

// Diary keeps what is said of the frames of a video until all is said: whoever goes on with it does not say it again.
type Diary interface {
	// Kept are the parts that were kept before, in the order of their frames, where as many were to be analysed.
	Kept(ctx context.Context, of int) ([]analysis.Part, error)
	// Keep makes parts durable, which follow on those kept before; with them p.Done are.
	Keep(ctx context.Context, parts []analysis.Part, p Progress) error
}

// How often what is said of a video is kept: after so many frames, or so long.
const (
	keptFrames = 64
	keptTime   = 10 * time.Second

	// keptValues of embeddings are kept together at most, or those of one frame: some 30 MB of text.
	keptValues = 1 << 21
)

// Watch does a task of a video: its frames are chosen as the model has it, classified one by one, and put together; those to look at are
// then explained. Maps are there of key frames alone. Errors as Each. A nil diary: nothing is kept.
func (w *Worker) Watch(ctx context.Context, t Task, d Diary) (a analysis.Analysis, err error) {
	model, ok := w.Models[t.Model].(Watcher)
	if !ok {
		return a, Permanent(fmt.Errorf("model %q is not configured, or sees no videos", t.Model))
	}
	err = Guard(w.Log, t.Job, func() (err error) {
		a, err = w.watch(ctx, t, model, d)
		return err
	})
	if err != nil && ctx.Err() != nil {
		err = Postponed(err)
	}
	return a, err
}

// watching is a task of a video under way.
type watching struct {
	*Worker
	t     Task
	model Watcher
	clip  *video.Clip
	diary Diary
	of    int // frames to be analysed
	parts []analysis.Part
	sure  int // of the parts, from the first, those that the diary has
	kept  time.Time
	lacks lacks
	alive func() // tells the clock that a frame is done
}

func (w *Worker) watch(ctx context.Context, t Task, model Watcher, d Diary) (analysis.Analysis, error) {
	a := analysis.Analysis{Model: model.Made()}
	limit := cmp.Or(w.Stall, defaultStall)
	stalled := fmt.Errorf("no frame was done within %s", limit)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(limit, func() { cancel(stalled) })
	defer timer.Stop()
	err := w.opened(ctx, t, func(clip *video.Clip) error {
		s := &watching{Worker: w, t: t, model: model, clip: clip, diary: d, kept: time.Now(), alive: func() { timer.Reset(limit) }}
		clip.Progress = s.alive
		return s.all(ctx, &a)
	})
	switch {
	case err != nil && context.Cause(ctx) == stalled:
		return a, stalled
	case errors.Is(err, video.ErrNoRoom), errors.Is(err, pixeldata.ErrNoDecoder) && t.Others:
		return a, Postponed(err)
	case errors.Is(err, pixeldata.ErrUnsupported):
		a.NotAnalysed, a.Parts, a.Moving = err.Error(), nil, nil
		return a, nil
	case errors.Is(err, pixeldata.ErrCorrupt), errors.Is(err, pixeldata.ErrTooMuch):
		return a, Permanent(err)
	}
	return a, err
}

func (w *Worker) opened(ctx context.Context, t Task, do func(*video.Clip) error) error {
	if t.Clip != nil {
		return do(t.Clip)
	}
	clip, err := video.Open(ctx, t.Instance)
	if err != nil {
		return err
	}
	return errors.Join(do(clip), clip.Close())
}

// all says of the video what there is to say.
func (s *watching) all(ctx context.Context, a *analysis.Analysis) error {
	temporal, _ := s.model.Watching()
	numbers, err := temporal.Select.Choose(ctx, s.clip, cmp.Or(s.MaxFrames, defaultMaxFrames))
	if err != nil {
		return err
	}
	s.alive()
	if m, ok := s.model.(ClipWatcher); ok && m.Sequence() != nil {
		err = (&acrossTime{watching: s, model: m, clip: *m.Sequence()}).all(ctx, numbers, a)
	} else {
		err = s.stills(ctx, numbers, a)
	}
	if err != nil {
		return err
	}
	a.Moving.Frames, a.Moving.Length = s.clip.Count(), s.clip.Time(s.clip.Count()).Seconds()
	a.Parts, a.NotAnalysed = s.parts, both(s.lacks.String(), cmp.Or(s.t.Note, s.clip.Note()))
	return nil
}

// stills says of frames one by one what there is to say, and puts that together.
func (s *watching) stills(ctx context.Context, numbers []int, a *analysis.Analysis) error {
	numbers, err := s.resume(ctx, numbers, func([]analysis.Part) bool { return true })
	if err != nil {
		return err
	}
	if err := s.classify(ctx, numbers); err != nil {
		return err
	}
	if err := s.nothing(); err != nil {
		return err
	}
	temporal, classes := s.model.Watching()
	a.Moving = temporal.sum(classes, s.watched())
	a.Moving.Selected = temporal.Select.String()
	s.settle(a.Moving)
	return s.explain(ctx, a.Moving)
}

// resume takes up what the diary has of frames, where that can be gone on with, and returns those behind it.
func (s *watching) resume(ctx context.Context, numbers []int, usable func([]analysis.Part) bool) (_ []int, err error) {
	if s.of = len(numbers); s.diary == nil {
		return numbers, nil
	}
	if s.parts, err = s.diary.Kept(ctx, s.of); err != nil {
		return nil, Postponed(err)
	}
	if !usable(s.parts) || slices.ContainsFunc(s.parts, func(p analysis.Part) bool { return !slices.Contains(numbers, p.Result.Span.First) }) {
		s.parts = nil // other frames were chosen
	}
	if s.sure = len(s.parts); s.sure == 0 {
		return numbers, nil
	}
	last := s.parts[s.sure-1].Result.Span.First
	return slices.DeleteFunc(numbers, func(n int) bool {
		if n <= last && !slices.ContainsFunc(s.parts, func(p analysis.Part) bool { return p.Result.Span.First == n }) {
			s.lacks.add(&pixeldata.FrameError{First: n, Last: n, Of: s.clip.Count(), Err: fmt.Errorf("%w: it is not decoded", pixeldata.ErrCorrupt)})
		}
		return n <= last
	}), nil
}

// nothing is an error where no frame can be decoded.
func (s *watching) nothing() error {
	if len(s.parts) > 0 {
		return nil
	}
	return cmp.Or(s.lacks.first, fmt.Errorf("%w: none of its frames can be decoded", pixeldata.ErrCorrupt))
}

// watched are the frames as far as they count over time.
func (s *watching) watched() []watched { return watchedOf(s.parts) }

// Scores are what the frames of a video, or of a part of it, have together of each class, by the rule. Parts are as Watch gives them.
func (t Temporal) Scores(classes []analysis.Class, parts []analysis.Part) map[string]float64 {
	return t.sum(classes, watchedOf(parts)).Scores
}

func watchedOf(parts []analysis.Part) []watched {
	frames := make([]watched, len(parts))
	for i, p := range parts {
		r := p.Result
		frames[i] = watched{number: r.Span.First, at: r.Span.Start, sharp: p.Quality.Sharpness, poor: p.Quality.Poor, scores: r.Scores}
	}
	return frames
}

// classify has the frames said something of, and that kept.
func (s *watching) classify(ctx context.Context, numbers []int) error {
	return s.each(ctx, numbers, func(frame pixeldata.Frame) error {
		part, err := s.one(ctx, frame)
		if err != nil {
			return err
		}
		s.parts = append(s.parts, part)
		return s.keep(ctx, len(s.parts))
	})
}

// each hands over frames, whose pictures are theirs only until do returns; those that cannot be decoded are noted.
func (s *watching) each(ctx context.Context, numbers []int, do func(pixeldata.Frame) error) error {
	for frame, err := range s.clip.Frames(ctx, numbers) {
		bad := (*pixeldata.FrameError)(nil)
		if ctx.Err() == nil && errors.As(err, &bad) {
			s.lacks.add(bad)
			continue
		}
		if err != nil {
			return err
		}
		if err := do(frame); err != nil {
			return fmt.Errorf("frame %d: %w", frame.Number, err)
		}
		s.clip.Recycle(frame.Image)
		s.alive()
	}
	return nil
}

func (s *watching) one(ctx context.Context, frame pixeldata.Frame) (analysis.Part, error) {
	begun := time.Now()
	quality := Assess(frame.Image)
	part, err := s.model.Classify(ctx, s.sample(frame))
	if err != nil {
		return part, err
	}
	part.Quality = &analysis.Quality{Sharpness: quality.Sharpness, Poor: quality.Poor()}
	if s.Observe != nil {
		s.Observe(s.t.Model, time.Since(begun))
	}
	return part, nil
}

func (s *watching) sample(frame pixeldata.Frame) analysis.Sample {
	span := analysis.Still(frame.Number)
	span.Start = s.clip.Time(frame.Number)
	return analysis.Sample{Span: span, Frames: []*image.RGBA{frame.Image}, Pose: analysis.Pose{Aspect: frame.Aspect}}
}

// keep has the diary take, now and then, what it has not of the first so many parts.
func (s *watching) keep(ctx context.Context, ready int) error {
	if fresh := ready - s.sure; s.diary == nil || fresh < 1 || fresh < keptFrames && time.Since(s.kept) < keptTime {
		return nil
	}
	for s.sure < ready {
		next := s.sure + 1
		for values := len(s.parts[s.sure].Embedding); next < ready; next++ {
			if values += len(s.parts[next].Embedding); values > keptValues {
				break
			}
		}
		if err := s.diary.Keep(ctx, s.parts[s.sure:next], Progress{next, s.of}); err != nil {
			return Postponed(err)
		}
		s.sure = next
	}
	s.kept = time.Now()
	return nil
}

// settle leaves of what was found in frames what counts.
func (s *watching) settle(m *analysis.Moving) {
	for i := range s.parts {
		r := &s.parts[i].Result
		poor := s.parts[i].Quality.Poor
		if poor != "" {
			r.Notes = append(r.Notes, "Discounted: "+poor+".")
		}
		r.Findings = slices.DeleteFunc(r.Findings, func(f analysis.Finding) bool { return poor != "" || !m.Within(r.Span.First, f.Class) })
	}
}

// explain explains the key frames.
func (s *watching) explain(ctx context.Context, m *analysis.Moving) error {
	var numbers []int
	for _, k := range m.KeyFrames {
		numbers = append(numbers, k.Frame)
	}
	slices.Sort(numbers)
	debug.FreeOSMemory() // a network with its gradient takes more than one without, while decoders stand beside it
	for frame, err := range s.clip.Frames(ctx, slices.Compact(numbers)) {
		if err != nil {
			return err
		}
		part, err := s.model.Infer(ctx, s.sample(frame), s.t.Wishes)
		if err != nil {
			return fmt.Errorf("frame %d: %w", frame.Number, err)
		}
		i := slices.IndexFunc(s.parts, func(p analysis.Part) bool { return p.Result.Span.First == frame.Number })
		r := &s.parts[i].Result
		r.Notes = append(r.Notes, part.Result.Notes...)
		for _, one := range part.Maps {
			if slices.ContainsFunc(r.Findings, func(f analysis.Finding) bool { return f.Class == one.Class && f.Number == one.Number }) {
				s.parts[i].Maps = append(s.parts[i].Maps, one)
			}
		}
		s.clip.Recycle(frame.Image)
		s.alive()
		debug.FreeOSMemory()
	}
	return nil
}
