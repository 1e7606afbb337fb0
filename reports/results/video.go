package results

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"runtime/debug"
	"slices"

	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
	"endogate/inference"
	"endogate/inference/analysis"
)

// diary keeps in the ledger what is said of a video under way.
type diary struct {
	*Workshop
	job string
	by  analysis.Model
}

// Kept implements inference.Diary: what another version of the model said is not gone on with.
func (d diary) Kept(ctx context.Context, of int) (parts []analysis.Part, err error) {
	bodies, total, err := d.Ledger.Parts(ctx, d.job)
	if err != nil || total != of {
		return nil, err
	}
	return d.parts(bodies), nil
}

// parts are those of the bodies that this version of the model has made, up to the first that it has not.
func (d diary) parts(bodies [][]byte) (parts []analysis.Part) {
	for _, body := range bodies {
		a, err := analysis.Decode(bytes.NewReader(body))
		if err != nil || a.Model != d.by {
			d.Log.Warn("what was said of a video is not gone on with", "job", d.job, "err", err)
			return parts
		}
		parts = append(parts, a.Parts...)
	}
	if len(parts) > 0 {
		d.Log.Info("a video is gone on with", "job", d.job, "behind_frame", parts[len(parts)-1].Result.Span.First, "frames", len(parts))
	}
	return parts
}

// Keep implements inference.Diary.
func (d diary) Keep(ctx context.Context, parts []analysis.Part, p inference.Progress) error {
	var body bytes.Buffer
	if err := (analysis.Analysis{Model: d.by, Parts: parts}).Encode(&body); err != nil {
		return err
	}
	return d.Ledger.KeepPart(ctx, d.job, p.Done-len(parts), p.Done, p.Of, body.Bytes())
}

// watch has the worker here say what there is in a video.
func (m *making) watch(ctx context.Context, entry *Entry) (notAnalysed string, err error) {
	leave, err := m.home.enter(m.job.ID)
	if err != nil {
		return "", err
	}
	defer leave()
	if _, open, err := m.waiting(ctx, m.job.ID); err != nil || !open {
		return "", cmp.Or(err, inference.Postponed(errors.New("another has ended it")))
	}
	task := inference.Task{Job: m.job.ID, Model: m.job.Model, Instance: entry.Instance, Wishes: m.Wishes[m.job.Route]}
	debug.FreeOSMemory() // it takes long, and its decoder as much as what came before has left
	a, err := m.Worker.Watch(ctx, task, diary{m.Workshop, m.job.ID, m.algorithm.Model})
	if err != nil {
		return "", err
	}
	return a.NotAnalysed, m.moving(ctx, a)
}

// moving takes over what is said of a video. The frames that pictures are made of, its key frames, are decoded anew.
func (m *making) moving(ctx context.Context, a analysis.Analysis) error {
	if a.Moving == nil && a.NotAnalysed == "" {
		return fmt.Errorf("%w: it does not speak of a video", analysis.ErrFormat)
	}
	var numbers []int
	for _, p := range a.Parts {
		if len(p.Maps) > 0 {
			numbers = append(numbers, p.Result.Span.First)
		}
	}
	if m.whole = a.Moving; m.whole != nil {
		m.source.Moving = m.whole.Frames
	}
	frames := map[int]int{} // parts by frame
	for i, p := range a.Parts {
		frames[p.Result.Span.First] = i
	}
	sheets := sheetsOf(a)
	for _, s := range sheets {
		for _, moment := range s.Moments {
			numbers = append(numbers, moment.Frame)
		}
	}
	if slices.Sort(numbers); len(numbers) > 0 {
		if err := m.pictured(ctx, a.Parts, frames, slices.Compact(numbers), sheets); err != nil {
			return err
		}
	}
	for _, p := range a.Parts {
		if len(p.Maps) == 0 {
			m.results = append(m.results, p.Result)
		}
	}
	for i := range m.results {
		for _, n := range m.notes {
			if r := &m.results[i]; r.Span.First == n.frame {
				r.Notes = append(r.Notes, n.text)
			}
		}
	}
	slices.SortFunc(m.results, func(a, b analysis.Result) int { return a.Span.First - b.Span.First })
	return m.sheets(ctx, sheets)
}

// pictured decodes frames that pictures are made of: heatmaps of key frames, and what sheets show.
func (m *making) pictured(ctx context.Context, parts []analysis.Part, frames map[int]int, numbers []int, sheets []*sheet) error {
	entry, err := m.Keeper.Open(ctx, m.job.Entry) // the stream was read to its end
	if err != nil {
		return err
	}
	defer entry.Close()
	clip, err := video.Open(ctx, entry.Instance)
	if err != nil {
		return undecodable(err)
	}
	defer func() { _ = clip.Close() }() // it is only read
	if m.whole != nil && m.whole.Frames > clip.Count() {
		return fmt.Errorf("%w: it speaks of %d frames of a video of %d", analysis.ErrFormat, m.whole.Frames, clip.Count())
	}
	m.source.Stream = clip.Aspect()
	debug.FreeOSMemory() // what the samples have left goes back before a decoder stands beside it, as what the pictures of each frame leave does
	for frame, err := range clip.Frames(ctx, numbers) {
		if err != nil {
			return undecodable(err)
		}
		p := parts[frames[frame.Number]]
		for _, s := range sheets {
			s.add(m.Workshop, p, frame)
		}
		if len(p.Maps) > 0 {
			if err := m.part(ctx, p, []*image.RGBA{frame.Image}); err != nil {
				return err
			}
		}
		clip.Recycle(frame.Image)
		debug.FreeOSMemory()
	}
	return m.clips(ctx, clip, func(number int) analysis.Part { return parts[frames[number]] })
}

// undecodable marks what stays so however often it is tried.
func undecodable(err error) error {
	if errors.Is(err, video.ErrNoRoom) {
		return inference.Postponed(err)
	}
	if errors.Is(err, pixeldata.ErrUnsupported) || errors.Is(err, pixeldata.ErrCorrupt) || errors.Is(err, pixeldata.ErrTooMuch) {
		return inference.Permanent(fmt.Errorf("key frames: %w", err))
	}
	return err
}
