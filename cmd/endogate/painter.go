package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"image"

	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/ask"
)

// painter makes pictures of answers.
type painter struct {
	bundle  *inference.Bundle
	colours *explain.ColourMap
	opacity float64
	onFrame bool // as the gateway does: every map over the frame, what speaks for the class alone
}

// painting is an answer as a picture of the frame's size; of a note, where there is nothing to show.
type painting struct {
	title   string
	layer   string
	remark  string      // what a reader of the map has to know
	overlay *image.RGBA // without a legend
	picture *image.RGBA // with one
	note    string
}

// paint lays an answer over its frame: a clip's first map, since a frame is one picture.
func (p *painter) paint(frame *image.RGBA, q *question, a answer) (painting, error) {
	info, _ := explain.LookupMethod(a.Method)
	out := painting{title: info.Title, layer: a.Layer.Name, remark: a.Note}
	maps, err := a.Maps(q.shape)
	if err != nil {
		return out, err
	}
	out.overlay, err = p.overlay(frame, q, info, a, maps[0])
	text := fmt.Sprintf("%s%s for %s, p = %.2f; %s %s", info.Title, at(a.Layer.Name), q.className(), q.probabilities[q.class], p.bundle.Name, p.bundle.Version)
	if info.NoClass {
		text = fmt.Sprintf("%s%s; %s %s", info.Title, at(a.Layer.Name), p.bundle.Name, p.bundle.Version)
	}
	switch {
	case errors.Is(err, explain.ErrZeroMap):
		out.note = fmt.Sprintf("zero everywhere: nothing here speaks for %s", q.className())
		if info.NoClass {
			out.note = "zero everywhere"
		}
	case errors.Is(err, explain.ErrNotFinite):
		out.note = "it has values that are not numbers"
	case err != nil:
		return out, err
	}
	if out.note != "" {
		out.picture = picture.Refused(frame, out.note)
		return out, nil
	}
	bar := p.colours
	if info.Signed && !p.onFrame {
		bar = nil
		text += "; red for, blue against"
	}
	if a.Note != "" {
		text += "; " + a.Note // at the end, which a narrow frame keeps
	}
	out.picture = picture.Legend(out.overlay, bar, text)
	return out, nil
}

func at(layer string) string {
	if layer == "" {
		return ""
	}
	return " at " + layer
}

// overlay is the map over the frame; guided pictures stand for themselves, at the size of what the network saw.
func (p *painter) overlay(frame *image.RGBA, q *question, info explain.MethodInfo, a answer, m explain.Map) (*image.RGBA, error) {
	if _, err := m.Magnitude(); err != nil {
		return nil, err
	}
	switch {
	case info.Signed && !p.onFrame: // over grey, which hides more of the map than colours do
		return picture.Signed(frame, q.geometry.ToSource(picture.Clip(m)), min(2*p.opacity, 1))
	case guidedPicture(info.Method) && !p.onFrame:
		layout, _ := explain.LayoutOf(q.shape)
		return picture.Guided(a.Values, layout)
	}
	shown, err := ask.OnFrame(a.Attribution, q.geometry, q.shape)
	if err != nil {
		return nil, err
	}
	return explain.Overlay(frame, shown, p.colours, p.opacity), nil
}

// guidedPicture says which methods are shown as a picture of their own rather than over the frame.
func guidedPicture(m explain.Method) bool {
	return m == explain.GuidedBackprop || m == explain.GuidedGradCAM || m == explain.Deconvnet || m == explain.LayerSaliency
}

// sheet is the source with every painting: one row a layer where there are several.
func (p *painter) sheet(f sourceFrame, q *question, paintings []painting) *image.RGBA {
	tiles := []picture.Tile{{Title: "Source", Caption: f.name, Picture: f.image}}
	layers, columns := map[string]int{}, 0
	for _, one := range paintings {
		layers[one.layer]++
		columns = max(columns, layers[one.layer])
	}
	delete(layers, "")
	if len(layers) > 1 { // block by block
		return picture.Sheet(p.title(q), byLayer(tiles[0], paintings, columns), columns+1)
	}
	for _, one := range paintings {
		tiles = append(tiles, one.tile())
	}
	return picture.Sheet(p.title(q), tiles, 4)
}

func (p *painter) title(q *question) string {
	return fmt.Sprintf("%s (p = %.2f), %s %s", q.className(), q.probabilities[q.class], p.bundle.Name, p.bundle.Version)
}

func (p painting) tile() picture.Tile {
	t := picture.Tile{Title: p.title, Caption: cmp.Or(p.remark, p.layer), Picture: p.picture}
	if p.note == "" {
		t.Picture = p.overlay
	}
	return t
}

// byLayer lays paintings out in rows of a layer each, the source before every row.
func byLayer(source picture.Tile, paintings []painting, columns int) []picture.Tile {
	var order []string
	rows := map[string][]picture.Tile{}
	for _, p := range paintings {
		if rows[p.layer] == nil {
			order = append(order, p.layer)
		}
		rows[p.layer] = append(rows[p.layer], p.tile())
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

// writeNPY writes values as a NumPy file.
func writeNPY(path string, shape []int64, values []float32) error {
	file, err := createPrivate(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	return errors.Join(picture.WriteNPY(w, shape, values), w.Flush(), file.Close())
}
