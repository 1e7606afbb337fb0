package ask

import (
	"errors"
	"image"
	"math"

	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
)

// Laid is an answer over its frame as numbers, for who draws it himself.
type Laid struct {
	explain.Map                   // of the frame's proportions; negative values speak against the class
	Signed      bool              // there may be some
	Greatest    float32           // magnitude
	Title       string            // of the method
	Note        string            // why there is nothing to show, and no map
	Unseen      []image.Rectangle // of the frame: what the network did not see
}

// Lay lays an answer over its frame, or over the frame made smaller where a side has more than longest pixels.
func (a *Asked) Lay(one Answer, longest int) (Laid, error) {
	info, _ := explain.LookupMethod(one.Method)
	out := Laid{Signed: info.Signed, Title: info.Title, Unseen: inference.Unseen(a.Geometry, a.Frame)}
	m, err := one.raw(a)
	if err != nil {
		return out, err
	}
	shows := m.Max
	if info.Signed {
		shows = m.Magnitude
	}
	if _, err = shows(); err == nil {
		out.Map, out.Greatest, err = laid(smaller(a.Geometry, longest), m, info.Signed)
	}
	if out.Note = a.nothing(info, err); err != nil && out.Note == "" {
		return out, err
	}
	return out, nil
}

// laid is a map over a frame and the greatest magnitude there. Errors as inference.Shown.
func laid(g analysis.Geometry, m explain.Map, signed bool) (explain.Map, float32, error) {
	m = inference.ToSource(g, m)
	if !signed {
		for i, v := range m.Values {
			m.Values[i] = max(v, 0)
		}
	}
	greatest, err := m.Magnitude()
	if errors.Is(err, explain.ErrZeroMap) {
		err = inference.ErrUnseen
	}
	return m, greatest, err
}

// smaller is the geometry of a frame made smaller, so that no side has more than longest pixels.
func smaller(g analysis.Geometry, longest int) analysis.Geometry {
	share := float64(longest) / float64(max(g.Rows, g.Columns))
	if share >= 1 {
		return g
	}
	scaled := func(v int) int { return int(math.Round(share * float64(v))) }
	frame := image.Rect(0, 0, max(scaled(g.Columns), 1), max(scaled(g.Rows), 1))
	part := func(r image.Rectangle) image.Rectangle {
		left, top := min(scaled(r.Min.X), frame.Max.X-1), min(scaled(r.Min.Y), frame.Max.Y-1)
		return image.Rect(left, top, max(scaled(r.Max.X), left+1), max(scaled(r.Max.Y), top+1))
	}
	g.Columns, g.Rows, g.Crop = frame.Dx(), frame.Dy(), part(g.Crop)
	masked := make([]image.Rectangle, len(g.Masked))
	for i, box := range g.Masked {
		masked[i] = part(box)
	}
	g.Masked = masked
	return g
}
