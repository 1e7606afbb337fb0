package results

import (
	"context"
	"image"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/reports"
)

// sheet is one that is put together, frame by frame.
type sheet struct {
	analysis.Sheet
	counts   float64 // at most
	greatest float32 // of all maps, so that frames can be compared
	moments  []picture.Moment
	masked   bool // part of a frame is hatched
}

// sheetsOf are those that an analysis has something for.
func sheetsOf(a analysis.Analysis) (all []*sheet) {
	for _, one := range a.Sheets {
		s := &sheet{Sheet: one}
		for _, moment := range one.Moments {
			s.counts = max(s.counts, moment.Counts)
			if moment.Map == nil {
				continue
			}
			if v, err := inference.Raw(*moment.Map).Max(); err == nil {
				s.greatest = max(s.greatest, v)
			}
		}
		all = append(all, s)
	}
	return all
}

// add puts a frame into the sheet where it is of it. Frames come in their order.
func (s *sheet) add(w *Workshop, p analysis.Part, frame pixeldata.Frame) {
	for _, moment := range s.Moments {
		if moment.Frame != frame.Number {
			continue
		}
		unseen := inference.Unseen(p.Geometry, frame.Image)
		s.masked = s.masked || len(unseen) > 0
		hatched := func(m *image.RGBA) *image.RGBA { // as it is seen, where lines through the frame itself would be lost
			size := m.Rect.Size()
			small := picture.Small(m, frame.Aspect.Shown(size))
			var regions []image.Rectangle
			for _, r := range unseen {
				to := small.Rect.Size()
				regions = append(regions, image.Rect(r.Min.X*to.X/size.X, r.Min.Y*to.Y/size.Y, (r.Max.X*to.X+size.X-1)/size.X, (r.Max.Y*to.Y+size.Y-1)/size.Y))
			}
			picture.Hatch(small, regions)
			return small
		}
		one := picture.Moment{Frame: hatched(frame.Image), Value: float32(moment.Counts)}
		if s.counts > 0 {
			one.Share = moment.Counts / s.counts
		}
		if moment.Map != nil && s.greatest > 0 && moment.Counts > 0 {
			over := inference.ToSource(p.Geometry, inference.Raw(*moment.Map))
			for i, v := range over.Values {
				over.Values[i] = max(v, 0) / s.greatest
			}
			one.Over = hatched(explain.Overlay(frame.Image, over, w.Colours, w.Opacity))
		}
		s.moments = append(s.moments, one)
	}
}

// sheets makes the objects of sheets, which stand with the findings of their frames.
func (m *making) sheets(ctx context.Context, all []*sheet) error {
	if len(m.source.Attributes.Header().BadUIDs()) > 0 {
		return nil // it is said where heatmaps would be
	}
	for _, s := range all {
		algorithm := m.algorithm
		algorithm.Explain = s.Explanation
		o, err := m.Builder.Sheet(reports.Sheet{
			Source: m.source, Clip: s.Sheet, Moments: s.moments, Masked: s.masked, Times: m.times(s.First, s.Last), Colours: m.Colours, Opacity: m.Opacity,
			Algorithm: algorithm, At: m.job.InferredAt, Revision: m.job.Retries + 1,
		})
		if err != nil {
			return inference.Permanent(err)
		}
		object, err := m.kept(ctx, o, analysis.Span{First: s.First, Count: s.Last - s.First + 1})
		if err != nil {
			return err
		}
		m.objects = append(m.objects, object)
		m.stand(s, object)
	}
	return nil
}

// stand has the findings of a clip that have a heatmap name its sheet.
func (m *making) stand(s *sheet, o ledger.Object) {
	for i := range m.results {
		r := &m.results[i]
		if r.Span.First < s.First || r.Span.First > s.Last {
			continue
		}
		for k := range r.Findings {
			if f := &r.Findings[k]; f.Class == s.Class && f.Heatmap != "" && f.Sheet == "" {
				f.Sheet = o.Instance.SOPInstanceUID
			}
		}
	}
}

// times are when two frames begin, in seconds since the first.
func (m *making) times(first, last int) (at [2]float64) {
	for _, r := range m.results {
		if r.Span.First == first {
			at[0] = r.Span.Start.Seconds()
		}
		if r.Span.First == last { // which the first is, of a clip of one frame
			at[1] = r.Span.Start.Seconds()
		}
	}
	return at
}
