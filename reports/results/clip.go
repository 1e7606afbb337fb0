package results

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
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

// Clips are what a route has made of the frames around the findings of a video: a SOP class as of [reports.ClipForm], or none ("").
type Clips struct {
	Form dicom.UID
	By   map[string]dicom.UID // by destination, in place of Form
	Else dicom.UID            // in place of a video that cannot be encoded here
}

// shape is a form of clips, and who gets them.
type shape struct {
	class        dicom.UID
	destinations []string
}

// shapes are the forms that destinations get; Form where there are none.
func (c Clips) shapes(destinations []string) (all []shape) {
	if len(destinations) == 0 && c.Form != "" {
		return []shape{{class: c.Form}}
	}
	for _, d := range destinations {
		class, own := c.By[d]
		if !own {
			class = c.Form
		}
		if class != "" {
			all = with(all, class, d)
		}
	}
	return all
}

// with adds destinations to those of a form.
func with(all []shape, class dicom.UID, destinations ...string) []shape {
	i := slices.IndexFunc(all, func(s shape) bool { return s.class == class })
	if i < 0 {
		return append(all, shape{class, destinations})
	}
	all[i].destinations = append(all[i].destinations, destinations...)
	return all
}

// clips makes, where the route wants them, a clip of the frames around each finding of a video, the most probable first. Peak is what is said
// of the frame of that number.
func (m *making) clips(ctx context.Context, clip *video.Clip, peak func(number int) analysis.Part) error {
	if !m.clipped() || m.whole == nil || len(m.source.Attributes.Header().BadUIDs()) > 0 {
		return nil
	}
	shapes := m.Clips[m.job.Route].shapes(m.job.Destinations)
	var found []analysis.Segment
	for _, s := range m.whole.Segments {
		if s.Role == analysis.RoleFinding && m.whole.Key(s.PeakFrame, s.Class) {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b analysis.Segment) int { return cmp.Compare(b.Probability, a.Probability) })
	for _, s := range found[:min(len(found), mostClips)] {
		if err := m.clip(ctx, clip, s, peak(s.PeakFrame), shapes); err != nil {
			return err
		}
	}
	return nil
}

// clipped reports whether a video gets clips where there is something to show: the route wants them, and the model is here.
func (m *making) clipped() bool {
	if m.Worker == nil || len(m.Clips[m.job.Route].shapes(m.job.Destinations)) == 0 {
		return false
	}
	w, ok := m.Worker.Models[m.job.Model].(inference.ClipWatcher)
	return !ok || w.Sequence() == nil // else it speaks of clips of its own choice of frames, and of none alone
}

// NoteNoClip begins what a finding says whose clip is not a video as was asked for.
const NoteNoClip = "The heatmap clip is no video: "

// clip makes the clip of a segment in each of its forms. What cannot be encoded is told, and made as the route has it for that case.
func (m *making) clip(ctx context.Context, frames *video.Clip, s analysis.Segment, peak analysis.Part, shapes []shape) error {
	unmade, why, err := m.shoot(ctx, frames, s, peak, shapes)
	if err != nil || len(unmade) == 0 {
		return err
	}
	instead := m.Clips[m.job.Route].Else
	note := NoteNoClip + strings.TrimPrefix(why.Error(), "reports: clip: ")
	if note += "; none was made."; instead != "" {
		note = strings.TrimSuffix(note, "none was made.") + "it is a multi-frame image."
	}
	m.notes = append(m.notes, frameNote{s.PeakFrame, note})
	m.Log.Warn("heatmap clip is no video", "job", m.job.ID, "frame", s.PeakFrame, "instead", cmp.Or(string(instead), "none"), "err", why)
	if instead == "" {
		return nil
	}
	var left []shape
	for _, u := range unmade {
		if i := slices.IndexFunc(m.objects, func(o ledger.Object) bool {
			return o.Purpose == "clip" && o.Span.First == s.PeakFrame && o.Instance.SOPClassUID == instead
		}); i >= 0 {
			m.objects[i].Destinations = append(slices.Clone(m.objects[i].Destinations), u.destinations...)
			continue
		}
		left = with(left, instead, u.destinations...)
	}
	if len(left) == 0 {
		return nil
	}
	_, _, err = m.shoot(ctx, frames, s, peak, left)
	return err
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
	method  analysis.Explanation
	forms   []*formed
	overlay *image.RGBA // of the frame before, which is encoded: the next one is drawn on it
	values  []float32   // of its map
}

// formed is a clip in one of its forms.
type formed struct {
	shape
	made    *reports.Clip
	encoder *video.Encoder // of a video that was begun
	lacks   error          // why it is none
}

// begin is a clip about a segment, at so many frames per second.
func (m *making) begin(ctx context.Context, s analysis.Segment, peak analysis.Part, rate float64, shapes []shape) (*aroundPeak, error) {
	algorithm := m.algorithm
	if raw, ok := shownMap(peak, s.Class); ok {
		algorithm.Explain = raw.Explanation
	}
	c := &aroundPeak{making: m, Segment: s, method: algorithm.Explain}
	for _, shape := range shapes {
		f := &formed{shape: shape}
		form := reports.ClipForm{Class: shape.class}
		if shape.class != dicom.MultiFrameTrueColorSecondaryCapture {
			form.Fits, form.Encode = video.Encodable, func(size image.Point, apart time.Duration) (reports.Encoder, error) {
				e, err := video.NewEncoder(ctx, size, m.source.Aspect(), apart, reports.MostClipFrames, m.Keeper.Decode)
				f.encoder = e
				return e, err
			}
		}
		made, err := m.Builder.Clip(reports.Heatmap{
			Source: m.source, Frame: s.PeakFrame, Colours: m.Colours, Opacity: m.Opacity, Algorithm: algorithm, Class: s.Class,
			Probability: s.Probability, At: m.job.InferredAt, Revision: m.job.Retries + 1,
		}, rate, form)
		if err != nil {
			return nil, inference.Permanent(err)
		}
		f.made = made
		c.forms = append(c.forms, f)
	}
	return c, nil
}

// add adds a frame to each of the forms.
func (c *aroundPeak) add(one reports.ClipFrame) error {
	for _, f := range c.forms {
		if f.lacks != nil {
			continue
		}
		err := f.made.Add(one)
		if errors.Is(err, video.ErrNotEncoded) {
			f.lacks, err = err, nil
		}
		if err != nil {
			return roomLess(err)
		}
	}
	return nil
}

// end lets encoders go.
func (c *aroundPeak) end() {
	for _, f := range c.forms {
		if f.encoder != nil {
			f.encoder.Close()
		}
	}
}

func roomLess(err error) error {
	if errors.Is(err, video.ErrNoRoom) {
		return inference.Postponed(err)
	}
	return hindered(err)
}

// frame is one of the clip, explained, which begins so long after the first of the video.
func (c *aroundPeak) frame(ctx context.Context, f pixeldata.Frame, at time.Duration) (reports.ClipFrame, error) {
	span := analysis.Still(f.Number)
	span.Start = at
	part, err := c.Worker.Models[c.job.Model].Infer(ctx, analysis.Sample{Span: span, Frames: []*image.RGBA{f.Image}, Pose: analysis.Pose{Aspect: f.Aspect}}, c.Wishes[c.job.Route])
	if err != nil {
		return reports.ClipFrame{}, err
	}
	unseen := inference.Unseen(part.Geometry, f.Image)
	one := reports.ClipFrame{
		Number: f.Number, At: at.Seconds(), Overlay: f.Image, Probability: part.Result.Scores[c.Class], Note: "below its threshold: no map",
		Masked: len(unseen) > 0, Poor: inference.Assess(f.Image).Poor(),
	}
	if slices.ContainsFunc(part.Result.Findings, func(f analysis.Finding) bool { return f.Class == c.Class }) {
		one.Note = "no map is made of it"
	}
	if raw, ok := shownMap(part, c.Class); ok && one.Poor == "" && raw.Method == c.method.Method && raw.Layer == c.method.Layer {
		shown, err := inference.ShownIn(c.values, part.Geometry, inference.Raw(raw))
		if one.Note = noteOf(err); one.Note == "" {
			if err != nil {
				return one, err
			}
			c.values = shown.Values
			c.overlay = explain.OverlayIn(c.overlay, f.Image, shown, c.Colours, c.Opacity)
			one.Overlay = c.overlay
		}
	}
	picture.Hatch(one.Overlay, unseen)
	return one, nil
}

// shoot makes the clip of a segment in forms. Those that cannot be encoded are returned, with the reason.
func (m *making) shoot(ctx context.Context, frames *video.Clip, s analysis.Segment, peak analysis.Part, shapes []shape) (unmade []shape, why, err error) {
	numbers, rate := around(frames, s.PeakFrame)
	c, err := m.begin(ctx, s, peak, rate, shapes)
	if err != nil {
		return nil, nil, err
	}
	defer c.end()
	some := false
	for f, err := range frames.Frames(ctx, numbers) {
		if bad := (*pixeldata.FrameError)(nil); errors.As(err, &bad) && ctx.Err() == nil {
			continue // it is not in the clip
		}
		if err != nil {
			return nil, nil, undecodable(err)
		}
		one, err := c.frame(ctx, f, frames.Time(f.Number))
		if err == nil {
			err = c.add(one)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("clip, frame %d: %w", f.Number, err)
		}
		frames.Recycle(f.Image)
		some = true
	}
	for _, f := range c.forms {
		if !some {
			break
		}
		if f.lacks == nil {
			f.lacks = m.keep(ctx, f, s)
		}
		switch {
		case errors.Is(f.lacks, video.ErrNotEncoded):
			unmade, why = append(unmade, f.shape), f.lacks
		case f.lacks != nil:
			return nil, nil, f.lacks
		}
	}
	return unmade, why, nil
}

// keep keeps a clip of which all frames are there.
func (m *making) keep(ctx context.Context, f *formed, s analysis.Segment) error {
	debug.FreeOSMemory() // what frames were drawn on goes back before a process that encodes takes as much
	o, err := f.made.Object()
	if invalid := (*reports.InvalidError)(nil); errors.As(err, &invalid) {
		return inference.Permanent(err)
	}
	if err != nil {
		return roomLess(err)
	}
	entry, digest, err := m.Keeper.Keep(ctx, o)
	if err != nil {
		return err
	}
	m.objects = append(m.objects, ledger.Object{
		Entry: entry, Digest: digest, Name: o.Name, Instance: o.Header.SOPInstance, TransferSyntaxUID: o.TransferSyntaxUID, Purpose: "clip",
		Model: m.job.Model, Source: m.job.Instance.SOPInstanceUID, Span: analysis.Still(s.PeakFrame),
		Rank: ledger.RankClip, Destinations: f.destinations,
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
