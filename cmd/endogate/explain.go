package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"endogate/configs"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/ask"
)

type explainCmd struct {
	Files   []string `arg:"" help:"DICOM, JPEG or PNG files, or folders of them." type:"existing" name:"file"`
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
	methods, err := e.methods(cfg, bundle)
	if err != nil {
		return err
	}
	x, err := openExplainer(cfg, bundle, bundle.Network, methods, layerOr(e.Layer, bundle), e.Output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	p := &painter{opacity: e.Opacity, bundle: bundle}
	if e.Opacity < 0 {
		p.opacity = cfg.Reports.Opacity
	}
	if !(p.opacity >= 0 && p.opacity <= 1) {
		return usageError(fmt.Sprintf("explain: opacity %g: write a number from 0 to 1", p.opacity))
	}
	if p.colours, err = explain.NamedColourMap(cmp.Or(e.Colour, cfg.Reports.ColourMap)); err != nil {
		return usageError(err.Error())
	}
	run := &explainRun{cmd: e, explainer: x, painter: p, tty: tty, names: map[string]string{}}
	if e.DICOM {
		if run.captures, err = newCaptures(cfg, bundle, p, layerOr(e.Layer, bundle)); err != nil {
			return err
		}
		run.captures.variant = e.variant(cfg)
	}
	if err := os.MkdirAll(e.Out, 0o755); err != nil {
		return err
	}
	files := frameFiles{paths: e.Files, except: e.Out, decoding: pixeldata.Options{FFmpeg: cfg.FFmpeg}, tty: tty}
	err = files.each(ctx, run.frame)
	if ctx.Err() != nil {
		return fmt.Errorf("explain: stopped; what was finished before is in %s: %w", e.Out, ctx.Err())
	}
	return err
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

// layerOr is the layer asked for, or the manifest's.
func layerOr(layer string, b *inference.Bundle) string {
	if layer != "" {
		return layer
	}
	return b.Explain.Layer
}

// methods reads the flag: all is what the network can be asked for.
func (e *explainCmd) methods(cfg configs.Config, b *inference.Bundle) ([]explain.Method, error) {
	if len(e.Method) == 0 {
		return []explain.Method{explain.GradCAM, explain.Gradient, explain.GuidedGradCAM}, nil
	}
	var chosen []explain.Method
	for _, name := range e.Method {
		if name == "all" {
			return possibleMethods(cfg, b)
		}
		if info, ok := explain.LookupMethod(explain.Method(name)); !ok || info.Raw {
			return nil, usageError(fmt.Sprintf("explain: method %q is unknown; there are %s", name, explain.MethodNames()))
		}
		chosen = append(chosen, explain.Method(name))
	}
	return chosen, nil
}

// possibleMethods are those that a network can be asked for.
func possibleMethods(cfg configs.Config, b *inference.Bundle) ([]explain.Method, error) {
	runtime, content, err := openBundle(cfg, b)
	if err != nil {
		return nil, err
	}
	in, err := ask.Inspect(runtime, b, content)
	if err != nil {
		return nil, err
	}
	return in.Methods(), nil
}

// explainRun is one run of the command.
type explainRun struct {
	cmd       *explainCmd
	explainer *bundleExplainer
	painter   *painter
	captures  *captures // nil without --dicom
	tty       console
	names     map[string]string // of what is made, and the frame it is made of
}

// named gives a frame a name that no other one has: files of one name may lie in several folders.
func (r *explainRun) named(f sourceFrame) string {
	of, name := f.id(), f.name
	for i := 2; r.names[name] != "" && r.names[name] != of; i++ {
		name = fmt.Sprintf("%s_%d", f.name, i)
	}
	r.names[name] = of
	return name
}

// frame explains one frame and writes what came of it.
func (r *explainRun) frame(ctx context.Context, f sourceFrame) error {
	f.name = r.named(f)
	q, err := r.explainer.prepare(ctx, f.image)
	if err != nil {
		return err
	}
	if err := q.choose(r.cmd.Class, r.cmd.Against); err != nil {
		return err
	}
	for i, p := range q.probabilities {
		fmt.Fprintf(r.tty.out, "%s  %-24s %.4f\n", f.name, q.bundle.Classes[i].Name, p)
	}
	var painted []painting
	err = r.explainer.answer(ctx, q, progress(r.tty, f.name), func(a answer) error {
		p, err := r.painter.paint(f.image, q, a)
		if err != nil {
			return err
		}
		if a.Note != "" {
			fmt.Fprintf(r.tty.out, "%s  %s: %s\n", f.name, p.title, a.Note)
		}
		if p.note != "" {
			fmt.Fprintf(r.tty.out, "%s  %s: no picture: %s\n", f.name, p.title, p.note)
		}
		painted = append(painted, p)
		return r.write(f, q, a, p)
	})
	if err != nil {
		return err
	}
	sheet := filepath.Join(r.cmd.Out, f.name+"-"+fileName(q.className())+"-sheet.png")
	fmt.Fprintf(r.tty.out, "%s  why %s (AI, not verified): %s\n", f.name, q.className(), sheet)
	return writePNG(sheet, r.painter.sheet(f, q, painted))
}

// write puts the overlay, the raw map and, if asked for, the Secondary Capture into the folder.
func (r *explainRun) write(f sourceFrame, q *question, a answer, p painting) error {
	base := filepath.Join(r.cmd.Out, f.name+"-"+fileName(q.className())+"-"+fileName(string(a.Method)))
	if a.Layer.Name != "" {
		base += "-" + fileName(a.Layer.Name)
	}
	if err := writeNPY(base+".npy", a.shape(q.shape), a.Values); err != nil {
		return err
	}
	if p.note != "" {
		return nil // a picture would look like an explanation and be none
	}
	if err := writePNG(base+".png", p.picture); err != nil || r.captures == nil {
		return err
	}
	if f.source.Attributes == nil {
		fmt.Fprintf(r.tty.err, "%s  is no DICOM file: no Secondary Capture of it\n", f.name)
		return nil
	}
	return r.captures.write(base+".dcm", f, q, a)
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
