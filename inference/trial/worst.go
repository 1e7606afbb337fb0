package trial

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"io/fs"
	"maps"
	"slices"

	"golang.org/x/image/draw"

	"endogate/explain"
	"endogate/inference"
	"endogate/inference/ask"
	"endogate/inference/frames"
)

// shot is a picture in the report.
type shot struct {
	Title string
	Note  string       // why there is no map
	Data  template.URL // of a JPEG picture
}

// maxShot is the width of pictures in the report.
const maxShot = 320

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// wrong is how far a frame is from what it is: the distance of the probabilities called and right; 0 where nothing is wrong.
func (a *Accuracy) wrong(f seen) (far float64, called, right int) {
	names, scores := a.Bundle.ClassNames(), f.scores[0]
	right = -1
	for c, name := range names {
		if slices.Contains(f.label.Is, name) && (right < 0 || scores[c] > scores[right]) {
			right = c
		}
	}
	probability := func(c int) float64 {
		if c < 0 {
			return 0
		}
		return scores[c]
	}
	if a.exclusive() && f.label.Only == "" {
		if called = top(scores); slices.Contains(f.label.Is, names[called]) {
			return 0, called, right
		}
		return scores[called] - probability(right), called, right
	}
	called = -1
	for c, class := range a.Bundle.Classes {
		is := slices.Contains(f.label.Is, class.Name)
		if !f.label.knows(class.Name) || a.calls(scores, c) == is {
			continue
		}
		distance := scores[c]
		if is {
			distance = 1 - scores[c]
		}
		if distance > far {
			far, called = distance, -1
			if !is {
				called = c
			} else {
				right = c
			}
		}
	}
	return far, called, right
}

// worst are the most confident errors of a set, with pictures.
func (a *Accuracy) worst(ctx context.Context, g gathered) ([]Mistake, error) {
	type wrongly struct {
		seen
		far           float64
		called, right int
	}
	var all []wrongly
	for _, f := range g.frames {
		if f.number == 0 { // no one picture shows it
			continue
		}
		if far, called, right := a.wrong(f); far > 0 {
			all = append(all, wrongly{f, far, called, right})
		}
	}
	slices.SortStableFunc(all, func(x, y wrongly) int { return cmp.Or(cmp.Compare(y.far, x.far), cmp.Compare(x.path, y.path)) })
	mistakes := []Mistake{}
	for _, e := range all[:min(a.Worst, len(all))] {
		m := Mistake{Frame: e.name, Is: e.label.Is, Probability: e.far}
		if e.called >= 0 {
			m.Called, m.Probability = a.Bundle.Classes[e.called].Name, e.scores[0][e.called]
		} else {
			m.Probability = e.scores[0][e.right]
		}
		if err := a.shoot(ctx, &m, e.seen, e.called, e.right); err != nil {
			return nil, err
		}
		mistakes = append(mistakes, m)
	}
	return mistakes, nil
}

// shoot takes the pictures of an error: the frame, and what speaks for what it was called and for what it is.
func (a *Accuracy) shoot(ctx context.Context, m *Mistake, f seen, classes ...int) error {
	files := a.Frames([]string{f.path})
	return files.Each(ctx, func(ctx context.Context, frame frames.Frame) error {
		if frame.Number != f.number {
			return nil
		}
		m.pictures = append(m.pictures, shot{Title: "frame", Data: encoded(frame.Image)})
		for _, c := range classes {
			if c >= 0 {
				one, err := a.overlay(ctx, frame.Image, c)
				if err != nil {
					return err
				}
				m.pictures = append(m.pictures, one)
			}
		}
		return fs.SkipAll
	})
}

// overlay is what speaks for a class, over a frame, by the manifest's method and layer.
func (a *Accuracy) overlay(ctx context.Context, frame *image.RGBA, class int) (shot, error) {
	name := a.Bundle.Classes[class].Name
	method, known := explain.LookupMethod(explain.Method(a.Bundle.Explain.Method))
	s := shot{Title: fmt.Sprintf("what speaks for %s: %s", name, method.Title)}
	if !known {
		s.Title, s.Note = "what speaks for "+name, "the manifest names no method of explanation"
		return s, nil
	}
	asked, err := a.Model.Ask(ctx, frame, ask.Question{Class: name, Methods: []explain.Method{method.Method}})
	if err != nil {
		return s, err
	}
	s.Title = fmt.Sprintf("what speaks for %s (%.3f): %s", name, asked.Probabilities[class], method.Title)
	answers, err := a.Model.Answers(ctx, asked)
	var unsupported *explain.UnsupportedError
	if errors.As(err, &unsupported) {
		s.Note = err.Error()
		return s, nil
	}
	if err != nil {
		return s, err
	}
	method, _ = explain.LookupMethod(answers[0].Method) // what stands in for it, where it cannot be had
	s.Note = answers[0].Instead
	s.Title = fmt.Sprintf("what speaks for %s (%.3f): %s", name, asked.Probabilities[class], method.Title)
	if at := answers[0].Layer.Name; at != "" {
		s.Title += " at " + at
	}
	shown, err := answers[0].OnFrame(asked)
	switch {
	case errors.Is(err, explain.ErrZeroMap), errors.Is(err, inference.ErrUnseen), errors.Is(err, explain.ErrNotFinite):
		s.Note = "no map: " + err.Error()
		return s, nil
	case err != nil:
		return s, err
	}
	colours, err := explain.NamedColourMap(pageColours)
	if err != nil {
		return s, err
	}
	s.Data = encoded(explain.Overlay(frame, shown, colours, 0.4))
	return s, nil
}

// encoded is a picture within the page.
func encoded(m *image.RGBA) template.URL {
	if size := m.Rect.Size(); size.X > maxShot {
		small := image.NewRGBA(image.Rect(0, 0, maxShot, max(size.Y*maxShot/size.X, 1)))
		draw.BiLinear.Scale(small, small.Rect, m, m.Rect, draw.Src, nil)
		m = small
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, m, &jpeg.Options{Quality: 85}) // a buffer takes everything, and the picture has a size
	return template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b.Bytes()))
}
