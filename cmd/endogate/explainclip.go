package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata/video"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/frames"
)

// mostOfClip bounds the frames of one sequence that are held: prepared ones, of 150 KB at 224×224.
const mostOfClip = 2000

// sequence is frames that belong together: those of a multi-frame object, or the pictures of a folder.
type sequence struct {
	of      string
	name    string
	frames  []analysis.Prepared
	left    int   // frames beyond the bound
	numbers []int // of the frames in a video; nil: they are counted from 1
}

// number is that of the i-th frame, from 0.
func (s sequence) number(i int) int {
	if s.numbers != nil {
		return s.numbers[i]
	}
	return i + 1
}

// clips explains sequences rather than frames, by a model that looks across time.
func (r *explainRun) clips(ctx context.Context, files frames.Files) error {
	one := func(ctx context.Context, s sequence) error {
		s.name = r.named(frames.Frame{Name: s.name, Path: s.of})
		return r.sequence(ctx, s)
	}
	files.Video = func(ctx context.Context, f frames.Frame, clip *video.Clip) error {
		s, err := videoSequence(ctx, f, clip, r.model.Bundle)
		if err != nil {
			return err
		}
		r.tellVideo(f.Name, clip)
		return one(ctx, s)
	}
	return eachSequence(ctx, files, r.model.Bundle, one)
}

// eachSequence hands over what belongs together of files, prepared. Errors as frames.Files.Each.
func eachSequence(ctx context.Context, files frames.Files, b *inference.Bundle, do func(context.Context, sequence) error) error {
	var now sequence
	done := func() error {
		if len(now.frames) == 0 {
			return nil
		}
		return do(ctx, now)
	}
	unread := files.Each(ctx, func(ctx context.Context, f frames.Frame) error {
		if of, name := sequenceOf(f); of != now.of {
			if err := done(); err != nil {
				return err
			}
			now = sequence{of: of, name: name}
		}
		if len(now.frames) == mostOfClip {
			now.left++
			return nil
		}
		p, err := b.Reduce(f.Image, analysis.Pose{Orientation: analysis.Orientation(f.Orientation), Aspect: f.Aspect})
		now.frames = append(now.frames, p)
		return err
	})
	if unread != nil && !errors.Is(unread, frames.ErrUnread) {
		return unread
	}
	return errors.Join(done(), unread)
}

// sequenceOf says what a frame belongs to, and how that is called.
func sequenceOf(f frames.Frame) (of, name string) {
	if f.Attributes != nil {
		if n, ok := f.Attributes.Int(dicom.NumberOfFrames); ok && n > 1 {
			return f.Path, strings.TrimSuffix(filepath.Base(f.Path), filepath.Ext(f.Path))
		}
	}
	folder := filepath.Dir(f.Path)
	if whole, err := filepath.Abs(folder); err == nil {
		return folder, filepath.Base(whole)
	}
	return folder, filepath.Base(folder)
}

// sequence explains what there is of a sequence, clip by clip.
func (r *explainRun) sequence(ctx context.Context, s sequence) error {
	windows := r.model.Bundle.Clip.Windows(len(s.frames))
	covered := map[int]bool{}
	for _, w := range windows {
		if err := r.clip(ctx, s, w, len(windows) > 1); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for _, i := range w {
			covered[i] = true
		}
	}
	if left := len(s.frames) - len(covered) + s.left; left > 0 {
		fmt.Fprintf(r.tty.out, "%s  %d of %d frames are not looked at (clip.longer: %s)\n", s.name, left, len(s.frames)+s.left, r.model.Bundle.Clip.Longer)
	}
	return nil
}

// clip explains one clip, the frames at these places of a sequence, and writes what came of it.
func (r *explainRun) clip(ctx context.Context, s sequence, at []int, several bool) error {
	var some []analysis.Prepared
	for _, i := range at {
		some = append(some, s.frames[i])
	}
	name, which := s.name, fmt.Sprintf("frames %d to %d", s.number(at[0]), s.number(at[len(at)-1]))
	if several {
		name = fmt.Sprintf("%s-%d", s.name, s.number(at[0]))
	}
	w, err := r.model.Watch(ctx, some, r.question)
	if err != nil {
		return err
	}
	for i, p := range w.Probabilities {
		fmt.Fprintf(r.tty.out, "%s  %s  %-24s %.4f\n", s.name, which, r.model.Bundle.Classes[i].Name, p)
	}
	numbers := func(i int) int { return s.number(at[i]) }
	fmt.Fprintf(r.tty.out, "%s  %s  frames that count most: %s\n", s.name, which, mostOf(w.Importance(), numbers))
	base := filepath.Join(r.out, name+"-"+fileName(w.Subject()))
	if w.Layers != nil {
		if err := writeNPY(base+"-attention.npy", []int64{int64(len(w.Layers)), int64(len(w.Layers[0]))}, slices.Concat(w.Layers...)); err != nil {
			return err
		}
	}
	if len(w.Maps) > 0 {
		var values []float32
		for _, m := range w.Maps {
			values = append(values, m.Values...)
		}
		if err := writeNPY(base+"-maps.npy", []int64{int64(len(w.Maps)), int64(w.Maps[0].Height), int64(w.Maps[0].Width)}, values); err != nil {
			return err
		}
	}
	sheet, err := w.Sheet(s.name, numbers, r.painter)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.tty.out, "%s  %s  why %s (AI, not verified): %s\n", s.name, which, w.Subject(), base+"-sheet.png")
	return writePNG(base+"-sheet.png", sheet)
}

// mostOf names the frames that count most.
func mostOf(importance []float32, number func(int) int) string {
	order := make([]int, len(importance))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(importance[b], importance[a]) })
	var all []string
	for _, i := range order[:min(len(order), 5)] {
		if importance[i] > 0 {
			all = append(all, fmt.Sprintf("%d (%.3f)", number(i), importance[i]))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// ofClips says what of a wish a model that looks across time does not do.
func (e *explainCmd) ofClips(methods []explain.Method) error {
	if e.DICOM {
		return usageError("explain: --dicom makes objects of single frames; the model looks across time")
	}
	for _, m := range methods {
		if !ask.OfClips(m) {
			return usageError(fmt.Sprintf("explain: %s is not made of clips; there are gradcam, gradcam++, hirescam, layercam, one at a time", m))
		}
	}
	if len(methods) > 1 {
		return usageError("explain: of a model that looks across time one method at a time is shown beside the attention")
	}
	return nil
}
