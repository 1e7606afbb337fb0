package gateway

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"strings"
	"sync"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
)

// explanations puts questions about frames that the spool still holds to the models. It implements admin.Explanations.
type explanations struct {
	*parts
	views *views
}

// mapSide is how many pixels a side of a map has at most that a browser draws: a few on a screen are one of it.
const mapSide = 512

// Explain implements admin.Explanations.
func (x explanations) Explain(ctx context.Context, study, sop dicom.UID, frame int, q admin.Question) (admin.Explanation, error) {
	model, f, asked, err := x.asked(ctx, study, sop, frame, q)
	if err != nil {
		return admin.Explanation{}, err
	}
	out, err := x.answer(ctx, model, f, asked, frame, q)
	out.StudyInstanceUID, out.SOPInstanceUID = study, sop
	return out, err
}

// answer answers in the form that is asked for.
func (x explanations) answer(ctx context.Context, model *ask.Model, f pixeldata.Frame, asked *ask.Asked, frame int, q admin.Question) (_ admin.Explanation, err error) {
	out := x.said(model, asked)
	out.Frame = frame
	out.note(f.Note)
	switch q.As {
	case admin.AsNone:
	case admin.AsMap:
		err = model.Answer(ctx, asked, nil, func(a ask.Answer) error { return out.lay(asked, a) })
	default:
		var p *ask.Painter
		if p, err = x.paint(q); err == nil {
			err = model.Paint(ctx, asked, p, nil, func(a ask.Answer, p ask.Painting) error { return out.paint(asked, a, p) })
		}
	}
	return out.Explanation, refused(err)
}

// asked puts a question about a frame of an instance that came in.
func (x explanations) asked(ctx context.Context, study, sop dicom.UID, frame int, q admin.Question) (*ask.Model, pixeldata.Frame, *ask.Asked, error) {
	model, question, err := x.question(q)
	if err != nil {
		return nil, pixeldata.Frame{}, nil, err
	}
	entry, f, err := x.views.frame(ctx, string(sop), frame)
	switch {
	case err != nil:
	case entry.Header.StudyInstanceUID != study:
		err = fmt.Errorf("%w: the study has no such instance", admin.ErrNotFound)
	case entry.Kind != spool.Received:
		err = fmt.Errorf("%w: the instance was made here; ask about the one that it was made of", admin.ErrRefused)
	}
	if err != nil {
		return nil, f, nil, err
	}
	asked, err := put(ctx, model, f, question, q)
	return model, f, asked, err
}

// put puts a question to a model about a frame, or about what somebody makes of it.
func put(ctx context.Context, model *ask.Model, f pixeldata.Frame, question ask.Question, q admin.Question) (*ask.Asked, error) {
	question.Pose = analysis.Pose{Orientation: analysis.Orientation(f.Orientation), Aspect: f.Aspect}
	question.Before = whatIf(f.Image.Rect.Size(), q)
	asked, err := model.Ask(ctx, f.Image, question)
	return asked, refused(err)
}

// triedPixels bounds a picture that somebody tries.
const triedPixels = 25_000_000

// Picture implements admin.Explanations.
func (x explanations) Picture(ctx context.Context, file []byte, frame int) (image.Image, error) {
	f, err := x.tried(ctx, file, frame)
	if err != nil {
		return nil, err
	}
	return f.Image, nil
}

// tried is a frame of a file that is no part of a record.
func (x explanations) tried(ctx context.Context, file []byte, frame int) (pixeldata.Frame, error) {
	decode := x.views.decode()
	decode.Bounds.Pixels = triedPixels
	unsupported := func(err error) (pixeldata.Frame, error) {
		if ctx.Err() != nil {
			return pixeldata.Frame{}, ctx.Err()
		}
		return pixeldata.Frame{}, fmt.Errorf("%w: %w", admin.ErrUnsupported, err)
	}
	r := bufio.NewReader(bytes.NewReader(file))
	meta, err := dicom.ReadFileMeta(r)
	if errors.Is(err, dicom.ErrNoFileMeta) {
		f, err := pixeldata.DecodePicture(ctx, file, decode)
		if err != nil {
			return unsupported(err)
		}
		return f, nil
	}
	if err != nil {
		return unsupported(err)
	}
	ts, ok := dicom.LookupTransferSyntax(meta.TransferSyntaxUID)
	if !ok {
		return unsupported(errors.New("its transfer syntax is unknown"))
	}
	dataset, err := io.ReadAll(r)
	if err != nil {
		return unsupported(err)
	}
	opened, err := pixeldata.OpenSeekable(bytes.NewReader(dataset), ts, decode)
	if err != nil {
		return unsupported(err)
	}
	f, err := opened.Frame(ctx, frame)
	if err != nil {
		return unsupported(err)
	}
	return f, nil
}

// Try implements admin.Explanations.
func (x explanations) Try(ctx context.Context, file []byte, q admin.Question) (admin.Explanation, error) {
	model, question, err := x.question(q)
	if err != nil {
		return admin.Explanation{}, err
	}
	f, err := x.tried(ctx, file, 1)
	if err != nil {
		return admin.Explanation{}, err
	}
	asked, err := put(ctx, model, f, question, q)
	if err != nil {
		return admin.Explanation{}, err
	}
	return x.answer(ctx, model, f, asked, 1, q)
}

// border is what counts as one where somebody wants it cut off; the manifest of a model may have another.
var border = inference.CropBorder{Threshold: 30, MinFraction: 0.15, MinSize: 32}

// whatIf are the steps that make of a frame of a size the one that is asked about.
func whatIf(size image.Point, q admin.Question) (steps []inference.Step) {
	for _, b := range q.Black {
		// Half a pixel more than the edge: Box cuts off to whole ones.
		part := func(edge, length int) float64 { return (float64(min(edge, length)) + 0.5) / float64(length) }
		box := inference.Box{Left: part(b[0], size.X), Top: part(b[1], size.Y), Right: part(b[2], size.X), Bottom: part(b[3], size.Y)}
		steps = append(steps, inference.Step{MaskBox: &box})
	}
	if q.CropBorder {
		steps = append(steps, inference.Step{CropBorder: &border})
	}
	return steps
}

// answer is an explanation that is being made.
type answer struct{ admin.Explanation }

// said is what the model says of the frame.
func (x explanations) said(model *ask.Model, asked *ask.Asked) *answer {
	b := model.Bundle
	out := &answer{admin.Explanation{
		Model: b.Name, Version: b.Version, Digest: b.Digest, Class: asked.ClassName(), Against: asked.AgainstName(),
		Grid: admin.Grid{Values: []float32{}}, Notes: []string{picture.NotVerified},
	}}
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
	return out
}

func (out *answer) note(text string) {
	if text != "" {
		out.Notes = append(out.Notes, text)
	}
}

// paint takes over an answer with its picture.
func (out *answer) paint(asked *ask.Asked, a ask.Answer, p ask.Painting) error {
	maps, err := a.Maps(asked.Input.Shape)
	if err != nil {
		return err
	}
	out.Method, out.Title, out.Layer, out.Picture = string(a.Method), p.Title, p.Layer, p.Picture
	out.Grid.Rows, out.Grid.Columns = maps[0].Height, maps[0].Width
	if _, err := maps[0].Magnitude(); !errors.Is(err, explain.ErrNotFinite) {
		out.Grid.Values = maps[0].Values
	}
	out.notes(a, p.Note)
	return nil
}

// lay takes over an answer as numbers over the frame.
func (out *answer) lay(asked *ask.Asked, a ask.Answer) error {
	l, err := asked.Lay(a, mapSide)
	if err != nil {
		return err
	}
	out.Method, out.Title, out.Layer = string(a.Method), l.Title, a.Layer.Name
	out.Grid.Rows, out.Grid.Columns = a.Height, a.Width
	if a.AtInput {
		out.Grid.Rows, out.Grid.Columns = 0, 0 // as many as the input has
	}
	size := asked.Frame.Rect.Size()
	out.Map = &admin.Laid{Columns: size.X, Rows: size.Y, Width: l.Width, Height: l.Height, Signed: l.Signed, Max: float64(l.Greatest), Values: make([]byte, len(l.Values)), Unseen: edges(l.Unseen)}
	zero, steps := float32(0), float32(255)
	if l.Signed {
		zero, steps = 128, 127
	}
	for i, v := range l.Values {
		out.Map.Values[i] = byte(zero + steps*v/l.Greatest + 0.5)
	}
	out.notes(a, l.Note)
	return nil
}

// notes takes over what there is to say of an answer, and of how it is drawn.
func (out *answer) notes(a ask.Answer, drawn string) {
	out.note(a.Layer.Chosen)
	out.note(a.Note)
	if a.Instead != a.Layer.Chosen {
		out.note(a.Instead)
	}
	out.note(drawn)
}

func edges(boxes []image.Rectangle) [][4]int {
	all := make([][4]int, len(boxes))
	for i, b := range boxes {
		all[i] = [4]int{b.Min.X, b.Min.Y, b.Max.X, b.Max.Y}
	}
	return all
}

// paint is the painter of a question.
func (x explanations) paint(q admin.Question) (*ask.Painter, error) {
	is := x.current()
	p := ask.Painter{Colours: is.workshop.Colours, Opacity: is.cfg.Reports.Opacity}
	if q.Opacity >= 0 {
		p.Opacity = q.Opacity
	}
	if q.Colours != "" {
		colours, err := explain.NamedColourMap(q.Colours)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", admin.ErrRefused, err)
		}
		p.Colours = colours
	}
	return &p, nil
}

// Faithfulness implements admin.Explanations.
func (x explanations) Faithfulness(ctx context.Context, study, sop dicom.UID, frame int, q admin.Question) (admin.Faithfulness, error) {
	model, f, asked, err := x.asked(ctx, study, sop, frame, q)
	if err != nil {
		return admin.Faithfulness{}, err
	}
	out := admin.Faithfulness{Model: model.Bundle.Name, Class: asked.ClassName(), Against: asked.AgainstName(), Notes: []string{picture.NotVerified}}
	if f.Note != "" {
		out.Notes = append(out.Notes, f.Note)
	}
	err = model.Answer(ctx, asked, nil, func(a ask.Answer) error {
		deletion, insertion, err := model.Faithfulness(ctx, asked, a)
		if err != nil {
			return err
		}
		out.Method, out.Layer = string(a.Method), a.Layer.Name
		out.Deletion = admin.Curve{Probabilities: deletion.Scores, Area: deletion.Area}
		out.Insertion = admin.Curve{Probabilities: insertion.Scores, Area: insertion.Area}
		return nil
	})
	if errors.Is(err, explain.ErrZeroMap) || errors.Is(err, explain.ErrNotFinite) {
		err = fmt.Errorf("%w: there is no map to hold against the network: %w", admin.ErrRefused, err)
	}
	return out, refused(err)
}

// Network implements admin.Explanations.
func (x explanations) Network(_ context.Context, name string) (admin.Network, error) {
	is := x.current()
	name = cmp.Or(is.models.folders[name], name)
	model, ok := is.models.Live(name)
	if !ok {
		return admin.Network{}, fmt.Errorf("%w: there are %s", admin.ErrNotFound, strings.Join(is.models.Names(), ", "))
	}
	return is.networks.of(name, func() (admin.Network, error) { return network(model) })
}

// network looks at the network of a model.
func network(model *ask.Model) (admin.Network, error) {
	in, err := model.Inspect()
	if err != nil {
		return admin.Network{}, refused(err)
	}
	b := model.Bundle
	out := admin.Network{
		Model: b.Name, Version: b.Version, Rows: b.Input.Rows, Columns: b.Input.Columns, Classes: len(b.Classes), Weights: in.Weights, Multiply: in.Multiply,
		Layers: []admin.NetworkLayer{}, Methods: []admin.NetworkMethod{},
	}
	for _, l := range in.Layers {
		if l.Err == nil {
			block := slices.ContainsFunc(in.Blocks, func(b explain.Layer) bool { return b.Name == l.Name })
			last := slices.ContainsFunc(in.Lasts, func(b explain.Layer) bool { return b.Name == l.Name })
			out.Layers = append(out.Layers, admin.NetworkLayer{
				Name: l.Name, Channels: l.Channels, Rows: l.Height, Columns: l.Width, Sees: l.Sees, Block: block, Last: last,
			})
		}
	}
	for _, m := range in.Methods() {
		info, _ := explain.LookupMethod(m)
		out.Methods = append(out.Methods, admin.NetworkMethod{
			Name: string(m), Title: info.Title, AtLayer: info.AtLayer, Signed: info.Signed, Runs: info.Runs, NoClass: info.NoClass,
		})
	}
	return out, nil
}

// looked remembers what networks are: to look at one takes a while, and it does not change.
type looked struct {
	mu  sync.Mutex
	all map[string]admin.Network
}

func (l *looked) of(name string, look func() (admin.Network, error)) (admin.Network, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.all[name]; ok {
		return known, nil
	}
	n, err := look()
	if err == nil {
		l.all[name] = n
	}
	return n, err
}

// question finds the model of a question, and what the gateway chooses where it is left open.
func (x explanations) question(q admin.Question) (*ask.Model, ask.Question, error) {
	none := func(format string, args ...any) (*ask.Model, ask.Question, error) {
		return nil, ask.Question{}, fmt.Errorf("%w: %s", admin.ErrRefused, fmt.Sprintf(format, args...))
	}
	models := x.current().models
	names := models.Names()
	name := cmp.Or(models.folders[q.Model], q.Model)
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	model, ok := models.Live(name)
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
	method := cmp.Or(q.Method, models.Explained(name).Method)
	if method == inference.NoMethod && q.As == admin.AsNone { // what the network says wants no method
		return model, ask.Question{Class: q.Class, Against: q.Against, Layer: q.Layer}, nil
	}
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
	if errors.As(err, &wrong) || errors.As(err, &unsupported) || errors.Is(err, explain.ErrNoLayer) || errors.Is(err, inference.ErrCropped) {
		return fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	return err
}
