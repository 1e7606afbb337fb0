package results

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"time"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/reports"
)

// A clip is of so much time before and after the peak of a finding, in so many frames per second; of a video there are so many.
const (
	clipAround = 2 * time.Second
	clipRate   = 10.0
	mostClips  = 5
)

// clips makes, where the route wants them, a clip of the frames around each finding of a video, the most probable first. Peak is what is said
// of the frame of that number.
func (m *making) clips(ctx context.Context, clip *video.Clip, peak func(number int) analysis.Part) error {
	if m.Worker == nil { // a clip takes the model here
		return nil
	}
	if w, ok := m.Worker.Models[m.job.Model].(inference.ClipWatcher); ok && w.Sequence() != nil {
		return nil // it speaks of clips of its own choice of frames, and of none alone
	}
	if !m.Clips[m.job.Route] || m.whole == nil || len(m.source.Attributes.Header().BadUIDs()) > 0 {
		return nil
	}
	var found []analysis.Segment
	for _, s := range m.whole.Segments {
		if s.Role == analysis.RoleFinding && m.whole.Key(s.PeakFrame, s.Class) {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b analysis.Segment) int { return cmp.Compare(b.Probability, a.Probability) })
	for _, s := range found[:min(len(found), mostClips)] {
		if err := m.clip(ctx, clip, s, peak(s.PeakFrame)); err != nil {
			return err
		}
	}
	return nil
}

// around are the frames of a clip about a segment: its peak, and those before and after it.
func around(clip *video.Clip, peak int) (numbers []int, rate float64) {
	at := clip.Time(peak)
	step := time.Duration(float64(time.Second) / clipRate)
	next := at - clipAround
	for n := peak; n >= 1 && at-clip.Time(n) <= clipAround; n-- {
		next = clip.Time(n)
	}
	first, last := 0, 0
	for n := 1; n <= clip.Count() && len(numbers) < reports.MostClipFrames; n++ {
		t := clip.Time(n)
		if d := at - t; d > clipAround || -d > clipAround {
			continue
		}
		if n == peak || t >= next {
			if numbers, last = append(numbers, n), n; first == 0 {
				first = n
			}
			next = t + step - step/10
		}
	}
	if span := (clip.Time(last) - clip.Time(first)).Seconds(); len(numbers) > 1 && span > 0 {
		return numbers, float64(len(numbers)-1) / span
	}
	return numbers, clipRate
}

// aroundPeak is a clip of a segment being made: one method explains all of its frames, which is that of the peak.
type aroundPeak struct {
	*making
	analysis.Segment
	method analysis.Explanation
	made   *reports.Clip
}

// begin is a clip about a segment, at so many frames per second.
func (m *making) begin(s analysis.Segment, peak analysis.Part, rate float64) (*aroundPeak, error) {
	algorithm := m.algorithm
	if raw, ok := shownMap(peak, s.Class); ok {
		algorithm.Explain = raw.Explanation
	}
	made, err := m.Builder.Clip(reports.Heatmap{
		Source: m.source, Frame: s.PeakFrame, Colours: m.Colours, Opacity: m.Opacity, Algorithm: algorithm, Class: s.Class,
		Probability: s.Probability, At: m.job.InferredAt, Revision: m.job.Retries + 1,
	}, rate)
	if err != nil {
		return nil, inference.Permanent(err)
	}
	return &aroundPeak{m, s, algorithm.Explain, made}, nil
}

// frame is one of the clip, explained, which begins so long after the first of the video.
func (c *aroundPeak) frame(ctx context.Context, f pixeldata.Frame, at time.Duration) (reports.ClipFrame, error) {
	span := analysis.Still(f.Number)
	span.Start = at
	part, err := c.Worker.Models[c.job.Model].Infer(ctx, analysis.Sample{Span: span, Frames: []*image.RGBA{f.Image}}, c.Wishes[c.job.Route])
	if err != nil {
		return reports.ClipFrame{}, err
	}
	one := reports.ClipFrame{Number: f.Number, At: at.Seconds(), Overlay: f.Image, Probability: part.Result.Scores[c.Class], Note: "below its threshold: no map"}
	if slices.ContainsFunc(part.Result.Findings, func(f analysis.Finding) bool { return f.Class == c.Class }) {
		one.Note = "no map is made of it"
	}
	if raw, ok := shownMap(part, c.Class); ok && raw.Method == c.method.Method && raw.Layer == c.method.Layer {
		shown, err := inference.ShownIn(nil, part.Geometry, inference.Raw(raw))
		if one.Note = noteOf(err); one.Note == "" {
			if err != nil {
				return one, err
			}
			unseen := inference.Unseen(part.Geometry, f.Image)
			one.Overlay, one.Masked = explain.OverlayIn(nil, f.Image, shown, c.Colours, c.Opacity), len(unseen) > 0
			picture.Hatch(one.Overlay, unseen)
		}
	}
	return one, nil
}

func (m *making) clip(ctx context.Context, frames *video.Clip, s analysis.Segment, peak analysis.Part) error {
	numbers, rate := around(frames, s.PeakFrame)
	c, err := m.begin(s, peak, rate)
	if err != nil {
		return err
	}
	some := false
	for f, err := range frames.Frames(ctx, numbers) {
		if bad := (*pixeldata.FrameError)(nil); errors.As(err, &bad) && ctx.Err() == nil {
			continue // it is not in the clip
		}
		if err != nil {
			return undecodable(err)
		}
		one, err := c.frame(ctx, f, frames.Time(f.Number))
		if err == nil {
			err = c.made.Add(one)
		}
		if err != nil {
			return fmt.Errorf("clip, frame %d: %w", f.Number, err)
		}
		some = true
	}
	if !some {
		return nil
	}
	o, err := c.made.Object()
	if err != nil {
		return inference.Permanent(err)
	}
	entry, digest, err := m.Keeper.Keep(ctx, o)
	if err != nil {
		return err
	}
	m.objects = append(m.objects, ledger.Object{
		Entry: entry, Digest: digest, Name: o.Name, Instance: o.Header.SOPInstance, TransferSyntaxUID: o.TransferSyntaxUID, Purpose: "clip",
		Model: m.job.Model, Source: m.job.Instance.SOPInstanceUID, Span: analysis.Still(s.PeakFrame),
		Rank: ledger.RankClip, Destinations: m.job.Destinations,
	})
	return nil
}

// shownMap is the map of a class that reports show: the first that was wished, else the model's own.
func shownMap(p analysis.Part, class string) (m analysis.Map, ok bool) {
	for _, raw := range p.Maps {
		if raw.Class == class && raw.Number <= 1 && (!ok || raw.Wished && !m.Wished) {
			m, ok = raw, true
		}
	}
	return m, ok
}
