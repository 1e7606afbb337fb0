package results

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/reports"
)

// making is what comes of one job.
type making struct {
	*Workshop
	job       ledger.Job
	source    reports.Source
	algorithm reports.Algorithm
	objects   []ledger.Object // that stand in the spool
	results   []analysis.Result
	whole     *analysis.Moving // of a video
	notes     []frameNote      // on its frames

	offered bool // the ledger was given the objects, and has not refused them: an error may hide that it has them
}

// frameNote is something to say of the results of a frame.
type frameNote struct {
	frame int
	text  string
}

const (
	// contourLevel is the part of a map's maximum at which the hot region ends.
	contourLevel = 0.5
	// minRegion is the part of the frame below which a hot region is not outlined.
	minRegion = 0.001
)

// What a finding without a map says.
const (
	NoteNotANumber = "The explanation has values that are not numbers; it is not shown."
	NoteZero       = "The explanation is zero everywhere: nothing in the explained layer speaks for this class."
	NoteUnseen     = "The explanation lies only where the picture was masked; it is not shown."
)

// noHeatmap begins the note on a finding of an instance that no object may refer to (PS3.5 9.1).
const noHeatmap = "No heatmap can be made, as objects must refer to the instance by valid UIDs: "

// noteOf says why there is nothing to show of a map; "" for an error of another kind.
func noteOf(err error) string {
	switch {
	case errors.Is(err, explain.ErrZeroMap):
		return NoteZero
	case errors.Is(err, explain.ErrNotFinite):
		return NoteNotANumber
	case errors.Is(err, inference.ErrUnseen):
		return NoteUnseen
	}
	return ""
}

// part takes over what is said of one sample: the heatmaps of every explained finding go into the spool.
func (m *making) part(ctx context.Context, p analysis.Part, frames []*image.RGBA) error {
	if got := frames[0].Rect.Size(); got != image.Pt(p.Geometry.Columns, p.Geometry.Rows) {
		return inference.Permanent(fmt.Errorf("frame %d has %d x %d pixels, what is said of it is about %d x %d",
			p.Result.Span.First, got.X, got.Y, p.Geometry.Columns, p.Geometry.Rows))
	}
	for i := range p.Result.Findings {
		if err := m.show(ctx, &p.Result, &p.Result.Findings[i], p, frames[0]); err != nil {
			return err
		}
	}
	m.results = append(m.results, p.Result)
	return nil
}

// show makes contours and heatmaps of the maps of a finding.
func (m *making) show(ctx context.Context, r *analysis.Result, f *analysis.Finding, p analysis.Part, frame *image.RGBA) error {
	var own, wished []analysis.Map
	for _, raw := range p.Maps {
		switch {
		case raw.Class != f.Class || raw.Number != f.Number:
		case raw.Wished:
			wished = append(wished, raw)
		default:
			own = append(own, raw)
		}
	}
	var unseen []image.Rectangle
	if len(own)+len(wished) > 0 {
		unseen = inference.Unseen(p.Geometry, frame)
	}
	on, _ := m.canvases.Get().(*canvas)
	if on == nil {
		on = &canvas{}
	}
	defer m.canvases.Put(on)
	for _, raw := range append(own, wished...) {
		shown, err := inference.ShownIn(on.values, p.Geometry, inference.Raw(raw))
		if note := noteOf(err); note != "" {
			if raw.Wished {
				note = raw.Method + ": " + note
			}
			r.Notes = append(r.Notes, f.Class+": "+note)
			continue
		}
		if err != nil {
			return err
		}
		on.values = shown.Values
		if !raw.Wished && f.Outline == analysis.HotRegion && f.Role == analysis.RoleFinding { // of nothing else is there a border to mistake it for
			f.Contours = explain.Contours(shown, contourLevel, minRegion*float64(r.Rows*r.Columns))
		}
		if !raw.Wished && len(wished) > 0 {
			continue
		}
		if bad := m.source.Attributes.Header().BadUIDs(); len(bad) > 0 {
			r.Notes = append(r.Notes, noHeatmap+strings.Join(bad, ", ")+".")
			continue
		}
		object, err := m.heatmap(ctx, shownSpan(*r), *f, raw.Explanation, shown, frame, unseen, on)
		if err != nil {
			return err
		}
		m.objects = append(m.objects, object)
		if f.Heatmap == "" { // the one that reports show
			f.Heatmap, f.Drawn = object.Instance.SOPInstanceUID, drawn(p.Geometry, raw, unseen)
			if raw.Wished && len(f.Contours) > 0 && f.Outline == analysis.HotRegion {
				f.Drawn.Region = &own[0].Explanation
			}
		}
	}
	return nil
}

// canvas is what a heatmap is made on: the next one may be, as soon as it is written.
type canvas struct {
	values  []float32
	overlay *image.RGBA
}

// drawn is what is kept of a map beside its picture.
func drawn(g analysis.Geometry, raw analysis.Map, unseen []image.Rectangle) *analysis.Drawn {
	d := &analysis.Drawn{Explanation: raw.Explanation, Crop: analysis.Edges(g.Crop)}
	for _, box := range unseen {
		d.Masked = append(d.Masked, analysis.Edges(box))
	}
	scaled := explain.Map{Width: raw.Width, Height: raw.Height, Values: slices.Clone(raw.Values)}
	if raw.Width > analysis.MaxDrawn || raw.Height > analysis.MaxDrawn || scaled.Normalise() != nil {
		return d
	}
	d.Width, d.Height, d.Values = raw.Width, raw.Height, make([]byte, len(scaled.Values))
	for i, v := range scaled.Values {
		d.Values[i] = byte(255*v + 0.5)
	}
	return d
}

func (m *making) heatmap(ctx context.Context, span analysis.Span, f analysis.Finding, e analysis.Explanation, shown explain.Map, frame *image.RGBA, unseen []image.Rectangle, on *canvas) (ledger.Object, error) {
	algorithm := m.algorithm
	algorithm.Explain = e
	if len(f.Contours) == 0 {
		f.Outline = analysis.HotRegion // no line is drawn, and none is spoken of
	}
	overlay := explain.OverlayIn(on.overlay, frame, shown, m.Colours, m.Opacity)
	on.overlay = overlay
	picture.Hatch(overlay, unseen)
	if f.Outline != analysis.HotRegion {
		picture.Outline(overlay, f.Contours)
	}
	o, err := m.Builder.Heatmap(reports.Heatmap{
		Source: m.source, Frame: span.First, Pixels: frame, Masked: len(unseen) > 0,
		Overlay: overlay, Colours: m.Colours, Opacity: m.Opacity,
		Algorithm: algorithm, Class: f.Class, Probability: f.Probability, Outline: f.Outline, Number: f.Number,
		At: m.job.InferredAt, Revision: m.job.Retries + 1,
	})
	if err != nil {
		return ledger.Object{}, inference.Permanent(err)
	}
	return m.kept(ctx, o, span)
}

// kept puts a picture of a span into the spool.
func (m *making) kept(ctx context.Context, o reports.Object, span analysis.Span) (ledger.Object, error) {
	entry, digest, err := m.Keeper.Keep(ctx, o)
	if err != nil {
		return ledger.Object{}, err
	}
	return ledger.Object{
		Entry: entry, Digest: digest, Name: o.Name, Instance: o.Header.SOPInstance, TransferSyntaxUID: o.TransferSyntaxUID, Purpose: "heatmap",
		Model: m.job.Model, Source: m.job.Instance.SOPInstanceUID, Span: span,
		Rank: ledger.RankHeatmap, Destinations: m.job.Destinations,
	}, nil
}

// parts takes over what was said elsewhere; the frames that pictures are made of are decoded anew, but for the only one of a
// still that was kept.
func (m *making) parts(ctx context.Context, parts []analysis.Part, kept *image.RGBA, instance *pixeldata.Instance) error {
	left := slices.Clone(parts)
	slices.SortStableFunc(left, func(a, b analysis.Part) int { return cmp.Compare(a.Result.Shown(), b.Result.Shown()) }) // clips overlap
	defer func() {
		slices.SortStableFunc(m.results, func(a, b analysis.Result) int { return cmp.Compare(a.Span.First, b.Span.First) })
	}()
	take := func(frame int, picture *image.RGBA) error {
		for len(left) > 0 && (len(left[0].Maps) == 0 || left[0].Result.Shown() == frame) {
			p := left[0]
			left = left[1:]
			if len(p.Maps) == 0 {
				m.results = append(m.results, p.Result)
				continue
			}
			if err := m.part(ctx, p, []*image.RGBA{picture}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := take(0, nil); err != nil || len(left) == 0 {
		return err
	}
	frames := instance.Frames(ctx)
	if kept != nil {
		frames = func(yield func(pixeldata.Frame, error) bool) { yield(pixeldata.Frame{Number: 1, Image: kept}, nil) }
	}
	for frame, err := range frames {
		bad := (*pixeldata.FrameError)(nil)
		switch {
		case errors.As(err, &bad) && left[0].Result.Shown() > bad.Last:
			continue // nothing is said of it
		case errors.Is(err, pixeldata.ErrUnsupported), errors.Is(err, pixeldata.ErrCorrupt), errors.Is(err, pixeldata.ErrTooMuch):
			return inference.Permanent(err)
		case err != nil:
			return err
		}
		if err := take(frame.Number, frame.Image); err != nil || len(left) == 0 {
			return err
		}
	}
	return inference.Permanent(fmt.Errorf("something is said of frame %d, which the instance does not have", left[0].Result.Shown()))
}

// shownSpan is what a heatmap is of: the frame of a clip that counts most.
func shownSpan(r analysis.Result) analysis.Span {
	if r.Peak > 0 {
		return analysis.Still(r.Peak)
	}
	return r.Span
}

// finish has results, objects and deliveries enter the ledger together. What comes second is dropped.
func (m *making) finish(ctx context.Context, notAnalysed string) error {
	end, skipped := m.enter, notAnalysed != "" && len(m.results) == 0
	if skipped {
		end = m.skip
	}
	// An error of the ledger counts here, unlike in Begin: results that it refuses, it would refuse for ever. While it is
	// out of order for everything, Begin does not get so far.
	err := end(ctx, notAnalysed)
	switch {
	case errors.Is(err, ledger.ErrOtherContent):
		m.offered = false
		return err
	case errors.Is(err, ledger.ErrState), errors.Is(err, ledger.ErrNotFound): // another worker was first, or it was ended
		m.offered = false
		m.Log.Info("results dropped: nobody waits for them any more", "job", m.job.ID, "err", err)
		return nil
	case err != nil:
		return err
	}
	m.Finished(m.job, skipped)
	return nil
}

func (m *making) skip(ctx context.Context, why string) error {
	if err := m.Ledger.SkipJob(ctx, m.job.ID, why, m.Now()); err != nil {
		return err
	}
	m.Log.Warn("instance not analysed", "sop_instance_uid", m.job.Instance.SOPInstanceUID, "model", m.job.Model, "why", why)
	return nil
}

func (m *making) enter(ctx context.Context, lacks string) error {
	m.offered = true
	if err := m.Ledger.FinishVideo(ctx, m.job.ID, m.algorithm.Model, m.whole, m.results, lacks, m.objects, m.Now()); err != nil {
		return err
	}
	if m.job.Again {
		return m.spare(ctx)
	}
	if lacks != "" {
		m.Log.Warn("instance analysed in part", "sop_instance_uid", m.job.Instance.SOPInstanceUID, "model", m.job.Model, "what", lacks)
	}
	m.Log.Info("instance analysed", "sop_instance_uid", m.job.Instance.SOPInstanceUID, "model", m.job.Model,
		"frames", len(m.results), "heatmaps", len(m.objects))
	return nil
}

// spare releases what was made once more and is there already.
func (m *making) spare(ctx context.Context) error {
	ids := make([]string, len(m.objects))
	for i, o := range m.objects {
		ids[i] = o.Entry
	}
	needed, err := m.Ledger.Needed(ctx, ids)
	if err != nil {
		return err
	}
	m.objects = slices.DeleteFunc(m.objects, func(o ledger.Object) bool { return needed[o.Entry] })
	m.offered = false
	m.Log.Info("pictures that were lost are made again", "sop_instance_uid", m.job.Instance.SOPInstanceUID, "model", m.job.Model, "pictures", len(needed))
	return nil
}

// undo releases what stands in the spool and has no row in the ledger. Where the ledger may have it after all, it stays:
// what nothing needs, the next start releases.
func (m *making) undo() {
	if m.offered {
		return
	}
	for _, o := range m.objects {
		if err := m.Keeper.Spool.Release(o.Entry); err != nil {
			m.Log.Warn("entry not released", "entry", o.Entry, "err", err)
		}
	}
}
