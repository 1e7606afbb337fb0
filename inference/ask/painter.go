package ask

import (
	"errors"
	"fmt"
	"image"

	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/analysis"
)

// Painter makes pictures of answers.
type Painter struct {
	Colours *explain.ColourMap
	Opacity float64 // of a map over its frame
	OnFrame bool    // as the gateway does: every map over the frame, what speaks for the class alone
}

// Painting is an answer as a picture of the frame's size; of a note, where there is nothing to show.
type Painting struct {
	Title   string
	Layer   string
	Remark  string // what a reader of the map has to know
	Words   picture.Words
	Overlay *image.RGBA // without a legend; nil with a note
	Picture *image.RGBA // with one
	Note    string      // why there is nothing to show

	frame *image.RGBA
}

// Paint lays an answer over its frame: a clip's first map, since a frame is one picture.
func (p *Painter) Paint(a *Asked, one Answer) (Painting, error) {
	info, _ := explain.LookupMethod(one.Method)
	out := Painting{Title: info.Title, Layer: one.Layer.Name, Remark: one.remark(), frame: a.Frame}
	maps, err := one.Maps(a.Input.Shape)
	if err != nil {
		return out, err
	}
	out.Overlay, err = p.overlay(a, info, one, maps[0])
	out.Words = p.words(a, info, one)
	if out.Note = a.nothing(info, err); err != nil && out.Note == "" {
		return out, err
	}
	if out.Note != "" {
		out.Words.Note = "No map: " + out.Note
		out.Picture = picture.Legend(a.Frame, out.Words)
		return out, nil
	}
	unseen := inference.Unseen(a.Geometry, a.Frame)
	picture.Hatch(out.Overlay, unseen)
	if a.Outline() != analysis.HotRegion {
		picture.Outline(out.Overlay, a.At.Contours)
		out.Words.Remark = joined(picture.OutlineWords+": "+a.At.Outline.Worded()+", not the border of a lesion", out.Words.Remark)
	}
	out.Words.Masked = len(unseen) > 0
	out.Picture = picture.Legend(out.Overlay, out.Words)
	return out, nil
}

// nothing is why there is nothing to show of an answer, where err says that; "" else.
func (a *Asked) nothing(info explain.MethodInfo, err error) string {
	switch {
	case errors.Is(err, explain.ErrZeroMap) && info.NoClass:
		return "zero everywhere"
	case errors.Is(err, explain.ErrZeroMap):
		return fmt.Sprintf("zero everywhere: nothing here speaks for %s", a.Subject())
	case errors.Is(err, inference.ErrUnseen):
		return "all of it lies where the frame is masked"
	case errors.Is(err, explain.ErrNotFinite):
		return "it has values that are not numbers"
	}
	return ""
}

// words are the legend of an answer.
func (p *Painter) words(a *Asked, info explain.MethodInfo, one Answer) picture.Words {
	w := picture.Words{
		Method: info.Title + at(one.Layer.Name), Model: a.bundle.Name + " " + a.bundle.Version, Remark: one.remark(), Colours: p.Colours,
		Class: a.worded(), Plain: a.Subject(), Probability: fmt.Sprintf("p = %.2f", a.Probabilities[a.Class]),
	}
	if info.NoClass {
		w.Class, w.Plain, w.Probability = "", "", ""
	}
	switch {
	case p.OnFrame:
	case info.Signed:
		w.Scale = picture.ForAgainst
	case guidedPicture(info.Method):
		w.Scale = picture.Channels
	}
	return w
}

func at(layer string) string {
	if layer == "" {
		return ""
	}
	return " at " + layer
}

// overlay is the map over the frame; guided pictures stand for themselves, laid out as the frame is.
func (p *Painter) overlay(a *Asked, info explain.MethodInfo, one Answer, m explain.Map) (*image.RGBA, error) {
	if _, err := m.Magnitude(); err != nil {
		return nil, err
	}
	switch {
	case info.Signed && !p.OnFrame: // over grey, which hides more of the map than colours do
		return picture.Signed(a.Frame, inference.ToSource(a.Geometry, picture.Clip(m)), min(2*p.Opacity, 1))
	case guidedPicture(info.Method) && !p.OnFrame:
		layout, _ := explain.LayoutOf(a.Input.Shape)
		guided, err := picture.Guided(one.Values, layout)
		if err != nil {
			return nil, err
		}
		return picture.Laid(guided, a.Frame.Rect.Size(), a.Geometry.Crop, a.Geometry.Masked), nil
	}
	shown, err := one.OnFrame(a)
	if err != nil {
		return nil, err
	}
	return explain.Overlay(a.Frame, shown, p.Colours, p.Opacity), nil
}

// guidedPicture says which methods are shown as a picture of their own rather than over the frame.
func guidedPicture(m explain.Method) bool {
	return m == explain.GuidedBackprop || m == explain.GuidedGradCAM || m == explain.Deconvnet || m == explain.LayerSaliency
}

// Sheet is the frame, under its name, with every painting: one row a layer where there are several.
func (a *Asked) Sheet(name string, paintings []Painting) *image.RGBA {
	tiles := []picture.Tile{{Title: "Source", Caption: name, Picture: a.Frame}}
	title := fmt.Sprintf("%s (p = %.2f), %s %s", a.Subject(), a.Probabilities[a.Class], a.bundle.Name, a.bundle.Version)
	layers, columns := map[string]int{}, 0
	for _, one := range paintings {
		layers[one.Layer]++
		columns = max(columns, layers[one.Layer])
	}
	delete(layers, "")
	if len(layers) > 1 { // block by block
		return picture.Sheet(title, byLayer(tiles[0], paintings, columns), columns+1)
	}
	for _, one := range paintings {
		tiles = append(tiles, one.tile())
	}
	return picture.Sheet(title, tiles, 4)
}

func (p Painting) tile() picture.Tile {
	t := picture.Tile{Title: p.Title, Words: &p.Words, Picture: p.Overlay}
	if p.Overlay == nil {
		t.Picture = p.frame
	}
	return t
}

// byLayer lays paintings out in rows of a layer each, the source before every row.
func byLayer(source picture.Tile, paintings []Painting, columns int) []picture.Tile {
	var order []string
	rows := map[string][]picture.Tile{}
	for _, p := range paintings {
		if rows[p.Layer] == nil {
			order = append(order, p.Layer)
		}
		rows[p.Layer] = append(rows[p.Layer], p.tile())
	}
	var tiles []picture.Tile
	for _, layer := range order {
		tiles = append(append(tiles, source), rows[layer]...)
		for range columns - len(rows[layer]) {
			tiles = append(tiles, picture.Tile{Picture: image.NewRGBA(image.Rect(0, 0, 1, 1))})
		}
	}
	return tiles
}
