package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/frames"
)

// videoSequence are the frames of a video that the manifest selects, prepared.
func videoSequence(ctx context.Context, f frames.Frame, clip *video.Clip, b *inference.Bundle) (sequence, error) {
	s := sequence{of: f.Path, name: f.Name, numbers: []int{}}
	numbers, err := b.Temporal.Select.Choose(ctx, clip, mostOfClip)
	if err != nil {
		return s, err
	}
	for frame, err := range clip.Frames(ctx, numbers) {
		bad := (*pixeldata.FrameError)(nil)
		if ctx.Err() == nil && errors.As(err, &bad) {
			continue
		}
		if err != nil {
			return s, err
		}
		p, err := b.Reduce(frame.Image, analysis.Pose{Aspect: frame.Aspect})
		if err != nil {
			return s, err
		}
		s.frames, s.numbers = append(s.frames, p), append(s.numbers, frame.Number)
	}
	if len(s.frames) == 0 {
		return s, fmt.Errorf("%w: none of its frames can be decoded", pixeldata.ErrCorrupt)
	}
	return s, nil
}

// tellVideo says what a video is, and in what it is not as it says.
func (r *explainRun) tellVideo(name string, clip *video.Clip) {
	selected := r.model.Bundle.Temporal.Select
	fmt.Fprintf(r.tty.out, "%s  %d frames, %s; seen of them: %s\n", name, clip.Count(), analysis.Clock(clip.Time(clip.Count()).Seconds()), selected)
	if note := clip.Note(); note != "" {
		fmt.Fprintf(r.tty.out, "%s  %s\n", name, note)
	}
}

// watcher is the model as a gateway has it for videos, loaded where the first one needs it; the caller of the run closes it.
func (r *explainRun) watcher(ctx context.Context) (inference.Watcher, error) {
	if r.watches != nil {
		return r.watches, nil
	}
	opened, err := r.model.OpenNetwork(ctx)
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, opened.Close)
	if r.watches, err = inference.NewModel(ctx, r.model.Bundle, opened.Opened, nil); err != nil {
		return nil, err
	}
	return r.watches, nil
}

// video looks through a video as a gateway does, says what persists in it and when, and explains its key frames.
func (r *explainRun) video(ctx context.Context, f frames.Frame, clip *video.Clip) error {
	model, err := r.watcher(ctx)
	if err != nil {
		return err
	}
	r.tellVideo(f.Name, clip)
	w := inference.Worker{Models: map[string]inference.Model{r.model.Bundle.Name: model}}
	a, err := w.Watch(ctx, inference.Task{Job: f.Name, Model: r.model.Bundle.Name, Clip: clip}, nil)
	if err != nil {
		return err
	}
	if a.Moving == nil {
		return errors.New(a.NotAnalysed)
	}
	fmt.Fprintf(r.tty.out, "%s  %s\n", f.Name, a.Moving.Counted())
	for _, s := range a.Moving.Segments {
		fmt.Fprintf(r.tty.out, "%s  %-24s %s\n", f.Name, s.Class, s)
	}
	var numbers []int
	for _, k := range a.Moving.KeyFrames {
		fmt.Fprintf(r.tty.out, "%s  key frame %d at %s: %s, %s\n", f.Name, k.Frame, analysis.Clock(k.At), k.Class, k.Reason)
		numbers = append(numbers, k.Frame)
	}
	if len(numbers) == 0 {
		fmt.Fprintf(r.tty.out, "%s  nothing persists in it: there is no key frame to explain\n", f.Name)
	}
	slices.Sort(numbers)
	for frame, err := range clip.Frames(ctx, slices.Compact(numbers)) {
		if err != nil {
			return err
		}
		one := f
		one.Name, one.Number, one.Image = fmt.Sprintf("%s-%d", f.Name, frame.Number), frame.Number, frame.Image
		one.Aspect = frame.Aspect
		if err := r.frame(ctx, one); err != nil {
			return err
		}
	}
	return nil
}
