package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/frames"
	"endogate/inference/onnx"
)

type explainCmd struct {
	Files   []string `arg:"" help:"DICOM, JPEG, PNG, MP4 or transport stream files, or folders of them." type:"existing" name:"file"`
	Model   string   `help:"Model bundle." default:"testdata/models/demo" type:"existingdir"`
	Class   string   `help:"Class to explain: its name, or top for the most probable." default:"top"`
	Against string   `help:"Class to contrast it with: why this and not that." default:""`
	Layer   string   `help:"Layer to explain at: last, blocks, all, or its name (endogate model inspect lists them); the manifest's without one." default:""`
	Method  []string `help:"Methods, separated by commas; all for every one. Without any: grad-CAM, gradient and guided grad-CAM."`
	Out     string   `help:"Folder for what is made." default:"out" type:"path"`
	Colour  string   `help:"Colour map: jet (blue to red), turbo, viridis, inferno; the configuration's without one." default:""`
	Opacity float64  `help:"Of the map over the frame, 0 to 1; the configuration's without one." default:"-1"`
	DICOM   bool     `help:"Write Secondary Captures too, of DICOM files." name:"dicom"`
	Output  bool     `help:"Start at the model's own output, after a softmax or sigmoid in it, rather than at the logits."`
}

func (e *explainCmd) Run(ctx context.Context, c *cli, tty console) (err error) {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	bundle, err := inference.LoadBundle(e.Model)
	if err != nil {
		return err
	}
	model, err := openModel(cfg, bundle, ask.Options{FromOutput: e.Output})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	methods, err := readMethods(e.Method, model)
	if err != nil {
		return err
	}
	if bundle.Clip != nil {
		if err := e.ofClips(methods); err != nil {
			return err
		}
	} else if len(methods) == 0 {
		methods = []explain.Method{explain.GradCAM, explain.Gradient, explain.GuidedGradCAM}
	}
	p := &ask.Painter{Opacity: e.Opacity}
	if e.Opacity < 0 {
		p.Opacity = cfg.Reports.Opacity
	}
	if !(p.Opacity >= 0 && p.Opacity <= 1) {
		return usageError(fmt.Sprintf("explain: opacity %g: write a number from 0 to 1", p.Opacity))
	}
	if p.Colours, err = explain.NamedColourMap(cmp.Or(e.Colour, cfg.Reports.ColourMap)); err != nil {
		return usageError(err.Error())
	}
	q := ask.Question{Class: e.Class, Against: e.Against, Layer: e.Layer, Methods: methods}
	run := &explainRun{out: e.Out, question: q, model: model, painter: p, tty: tty, names: map[string]string{}}
	defer func() { err = errors.Join(err, run.close()) }()
	if e.DICOM {
		if run.captures, err = newCaptures(cfg, bundle, p, cmp.Or(e.Layer, bundle.Explain.Layer)); err != nil {
			return err
		}
		run.captures.variant = e.variant(cfg)
	}
	if err := hold(ctx, model); err != nil {
		return err
	}
	if err := os.MkdirAll(e.Out, 0o755); err != nil {
		return err
	}
	files := frameFiles(cfg, e.Files, e.Out, tty)
	if bundle.Clip != nil {
		err = run.clips(ctx, files)
	} else {
		files.Video = run.video
		err = files.Each(ctx, run.frame)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("explain: stopped; what was finished before is in %s: %w", e.Out, ctx.Err())
	}
	return asUsage(err)
}

// frameFiles are the files that a command names, but for a folder in them; why one is not read is told.
func frameFiles(cfg configs.Config, paths []string, except string, tty console) frames.Files {
	return frames.Files{
		Paths: paths, Except: except, Decoding: gateway.Decoding(cfg),
		Tell: func(file string, why error) { fmt.Fprintf(tty.err, "%s: %v\n", file, why) },
	}
}

// variant names what of the flags makes another picture than a gateway of this configuration would.
func (e *explainCmd) variant(cfg configs.Config) string {
	var v []string
	if e.Colour != "" && e.Colour != cfg.Reports.ColourMap {
		v = append(v, "colours "+e.Colour)
	}
	if e.Opacity >= 0 && e.Opacity != cfg.Reports.Opacity {
		v = append(v, fmt.Sprintf("opacity %g", e.Opacity))
	}
	if e.Output {
		v = append(v, "from the output")
	}
	return strings.Join(v, ", ")
}

// openModel opens a bundle to be asked, with what the configuration says of ONNX Runtime.
func openModel(cfg configs.Config, b *inference.Bundle, o ask.Options) (*ask.Model, error) {
	o.Threads, o.Provider, o.Cache = cfg.ONNXRuntime.Threads, cfg.ONNXRuntime.Provider, onnx.NewCache(int64(cfg.ONNXRuntime.LiveCache))
	return ask.Open(cfg.ONNXRuntime.Library, b, o)
}

// hold is an error where a gateway would not take the model, as its probabilities are others than the network's own.
func hold(ctx context.Context, m *ask.Model) error {
	opened, err := m.OpenNetwork(ctx)
	if err != nil {
		return err
	}
	return opened.Close()
}

// readMethods reads a flag: all is what the network can be asked for.
func readMethods(names []string, m *ask.Model) ([]explain.Method, error) {
	if slices.Contains(names, "all") {
		in, err := m.Inspect()
		if err != nil {
			return nil, err
		}
		return in.Methods(), nil
	}
	methods, err := ask.ReadMethods(names)
	return methods, asUsage(err)
}

// asUsage makes a wrong use of the command of what is wrong with a question or its files.
func asUsage(err error) error {
	var wrong ask.Error
	if errors.As(err, &wrong) || errors.Is(err, frames.ErrFolder) {
		return usageError(err.Error())
	}
	return err
}

// explainRun is one run of the command.
type explainRun struct {
	out      string
	question ask.Question
	model    *ask.Model
	painter  *ask.Painter
	captures *captures // nil without --dicom
	tty      console
	names    map[string]string // of what is made, and the frame it is made of

	watches inference.Watcher // nil before the first video
	closers []func() error
}

// close frees what was loaded on the way.
func (r *explainRun) close() (err error) {
	for _, one := range r.closers {
		err = errors.Join(err, one())
	}
	return err
}

// named gives a frame a name that no other one has: files of one name may lie in several folders.
func (r *explainRun) named(f frames.Frame) string {
	of, name := f.ID(), f.Name
	for i := 2; r.names[name] != "" && r.names[name] != of; i++ {
		name = fmt.Sprintf("%s_%d", f.Name, i)
	}
	r.names[name] = of
	return name
}

// frame explains one frame and writes what came of it.
func (r *explainRun) frame(ctx context.Context, f frames.Frame) error {
	f.Name = r.named(f)
	question := r.question
	question.Pose = analysis.Pose{Orientation: analysis.Orientation(f.Orientation), Aspect: f.Aspect}
	asked, err := r.model.Ask(ctx, f.Image, question)
	if err != nil {
		return err
	}
	for i, p := range asked.Probabilities {
		fmt.Fprintf(r.tty.out, "%s  %-24s %.4f\n", f.Name, r.model.Bundle.Classes[i].Name, p)
	}
	for _, one := range asked.Regions {
		fmt.Fprintf(r.tty.out, "%s  %-24s %.4f %s\n", f.Name, r.model.Bundle.Classes[one.Class].Name, one.Probability, placed(one.Outline, one.Contours))
	}
	seen := func(stored *image.RGBA) *image.RGBA {
		return picture.Fitted(nil, stored, f.Aspect.Shown(stored.Rect.Size()))
	}
	var painted []ask.Painting
	err = r.model.Paint(ctx, asked, r.painter, r.progress(f.Name), func(a ask.Answer, p ask.Painting) error {
		if p.Remark != "" {
			fmt.Fprintf(r.tty.out, "%s  %s: %s\n", f.Name, p.Title, p.Remark)
		}
		if p.Note != "" {
			fmt.Fprintf(r.tty.out, "%s  %s: no picture: %s\n", f.Name, p.Title, p.Note)
		}
		if p.Note == "" && !f.Aspect.Square() {
			p.Overlay = seen(p.Overlay)
			p.Picture = picture.Legend(p.Overlay, p.Words)
		}
		painted = append(painted, p)
		return r.write(f, asked, a, p)
	})
	if err != nil {
		return err
	}
	sheet := filepath.Join(r.out, f.Name+"-"+fileName(asked.Subject())+"-sheet.png")
	fmt.Fprintf(r.tty.out, "%s  why %s (AI, not verified): %s\n", f.Name, asked.Subject(), sheet)
	asked.Frame = seen(asked.Frame)
	return writePNG(sheet, asked.Sheet(f.Name, painted))
}

// progress tells of long work every tenth of it.
func (r *explainRun) progress(name string) ask.Progress {
	tenth := 0
	return func(m explain.Method, done, all int) {
		if now := 10 * done / max(all, 1); now != tenth {
			tenth = now
			fmt.Fprintf(r.tty.err, "%s  %s: %d of %d runs\n", name, m, done, all)
		}
	}
}

// write puts the overlay, the raw map and, if asked for, the Secondary Capture into the folder.
func (r *explainRun) write(f frames.Frame, asked *ask.Asked, a ask.Answer, p ask.Painting) error {
	base := filepath.Join(r.out, f.Name+"-"+fileName(asked.Subject())+"-"+fileName(string(a.Method)))
	if a.Layer.Name != "" {
		base += "-" + fileName(a.Layer.Name)
	}
	if err := writeNPY(base+".npy", a.Shape(asked), a.Values); err != nil {
		return err
	}
	if p.Note != "" {
		return nil // a picture would look like an explanation and be none
	}
	if err := writePNG(base+".png", p.Picture); err != nil || r.captures == nil {
		return err
	}
	if f.Attributes == nil {
		fmt.Fprintf(r.tty.err, "%s  is no DICOM file: no Secondary Capture of it\n", f.Name)
		return nil
	}
	return r.captures.write(base+".dcm", f, asked, a)
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

// fileName makes a name for a file of a class, a method or a layer.
func fileName(s string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '+':
			return r
		}
		return '_'
	}, s), "_")
}
