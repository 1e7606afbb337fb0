package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
)

// explanations puts questions about frames that the spool still holds to the models. It implements admin.Explanations.
type explanations struct {
	views   *views
	models  *Models
	painter *ask.Painter
}

// Explain implements admin.Explanations.
func (x explanations) Explain(ctx context.Context, study, sop dicom.UID, frame int, q admin.Question) (admin.Explanation, error) {
	model, question, err := x.question(q)
	if err != nil {
		return admin.Explanation{}, err
	}
	entry, f, err := x.views.frame(ctx, string(sop), frame)
	switch {
	case err != nil:
		return admin.Explanation{}, err
	case entry.Header.StudyInstanceUID != study:
		return admin.Explanation{}, fmt.Errorf("%w: the study has no such instance", admin.ErrNotFound)
	case entry.Kind != spool.Received:
		return admin.Explanation{}, fmt.Errorf("%w: the instance was made here; ask about the one that it was made of", admin.ErrRefused)
	}
	question.Orientation = analysis.Orientation(f.Orientation)
	asked, err := model.Ask(ctx, f.Image, question)
	if err != nil {
		return admin.Explanation{}, refused(err)
	}
	b := model.Bundle
	out := admin.Explanation{
		StudyInstanceUID: study, SOPInstanceUID: entry.Header.SOPInstanceUID, Frame: frame,
		Model: b.Name, Version: b.Version, Digest: b.Digest, Class: asked.ClassName(), Against: asked.AgainstName(),
		Notes: []string{picture.NotVerified},
	}
	for i, p := range asked.Probabilities {
		out.Probabilities = append(out.Probabilities, admin.ClassProbability{Class: b.Classes[i].Name, Probability: p, Threshold: b.Classes[i].Threshold})
	}
	for _, r := range asked.Regions {
		contours := r.Contours
		if contours == nil {
			contours = [][][2]float64{}
		}
		out.Regions = append(out.Regions, admin.Region{Class: b.Classes[r.Class].Name, Probability: r.Probability, Outline: r.Outline, Number: r.Number, Contours: contours})
	}
	note := func(text string) {
		if text != "" {
			out.Notes = append(out.Notes, text)
		}
	}
	note(f.Note)
	err = model.Paint(ctx, asked, x.painter, nil, func(a ask.Answer, p ask.Painting) error {
		maps, err := a.Maps(asked.Input.Shape)
		if err != nil {
			return err
		}
		out.Method, out.Title, out.Layer, out.Picture = string(a.Method), p.Title, p.Layer, p.Picture
		out.Grid = admin.Grid{Rows: maps[0].Height, Columns: maps[0].Width, Values: []float32{}}
		if _, err := maps[0].Magnitude(); !errors.Is(err, explain.ErrNotFinite) {
			out.Grid.Values = maps[0].Values
		}
		note(a.Layer.Chosen)
		note(a.Note)
		if a.Instead != a.Layer.Chosen {
			note(a.Instead)
		}
		note(p.Note)
		return nil
	})
	return out, refused(err)
}

// question finds the model of a question, and what the gateway chooses where it is left open.
func (x explanations) question(q admin.Question) (*ask.Model, ask.Question, error) {
	none := func(format string, args ...any) (*ask.Model, ask.Question, error) {
		return nil, ask.Question{}, fmt.Errorf("%w: %s", admin.ErrRefused, fmt.Sprintf(format, args...))
	}
	names := x.models.Names()
	name := cmp.Or(x.models.folders[q.Model], q.Model)
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	model, ok := x.models.Live(name)
	switch {
	case len(names) == 0:
		return none("the gateway has no model")
	case name == "":
		return none("name the model: there are %s", strings.Join(names, ", "))
	case !ok:
		return none("there is no model %q; there are %s", name, strings.Join(names, ", "))
	case q.Layer == explain.AllLayers || q.Layer == explain.BlockLayers:
		return none("one picture is of one layer; name it: endogate model inspect lists them")
	}
	method := cmp.Or(q.Method, x.models.Explained(name).Method)
	if method == inference.NoMethod {
		return none("the manifest of %s has it explained by no method; name one", name)
	}
	methods, err := ask.ReadMethods([]string{method})
	return model, ask.Question{Class: q.Class, Against: q.Against, Layer: q.Layer, Methods: methods}, refused(err)
}

// refused tells what is wrong with a question from what is wrong here.
func refused(err error) error {
	var wrong ask.Error
	var unsupported *explain.UnsupportedError
	if errors.As(err, &wrong) || errors.As(err, &unsupported) || errors.Is(err, explain.ErrNoLayer) {
		return fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	return err
}
