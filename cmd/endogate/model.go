package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"endogate/configs"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/jobs"
	"endogate/inference/onnx"
)

type modelCmd struct {
	Inspect inspectCmd `cmd:"" help:"Print what a bundle says and which layers can be explained."`
	Check   checkCmd   `cmd:"" help:"Load a bundle as the gateway does and try it on a black frame."`

	Warm     modelWarm     `cmd:"" help:"Have a running gateway load what the usual question about a model needs."`
	Versions modelVersions `cmd:"" help:"Print the versions of a model whose bundles a running gateway finds, which is in force, since when and by whom."`
	Rollback modelRollback `cmd:"" help:"Have a running gateway put another version of a model in force in place of the configured one, or take that back."`

	Compare modelCompare `cmd:"" help:"Have a running gateway put the last frames that it still has to two models, and count what they see differently."`
}

type inspectCmd struct {
	Dir string `arg:"" help:"Model bundle." type:"existingdir"`
}

func (m *inspectCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	bundle, err := inference.LoadBundle(m.Dir)
	if err != nil {
		return err
	}
	runtime, err := onnx.OpenConfigured(cfg.ONNXRuntime.Library)
	if err != nil {
		return err
	}
	model := ask.New(runtime, bundle, ask.Options{Provider: cfg.ONNXRuntime.Provider})
	found, err := model.Inspect()
	w := tabwriter.NewWriter(tty.out, 0, 4, 2, ' ', 0)
	printBundle(w, bundle, runtime.Version())
	if found != nil {
		printNetwork(w, found)
	}
	if how, openErr := howOf(ctx, model); openErr != nil {
		err = errors.Join(err, openErr)
	} else {
		fmt.Fprintf(w, "%s", how)
		if found == nil && err != nil { // it is classified with all the same
			fmt.Fprintf(w, "not explained\t%v\n", err)
			return w.Flush()
		}
	}
	if err != nil {
		return errors.Join(w.Flush(), err)
	}
	if err := timings(ctx, w, cfg, bundle, found); err != nil {
		return errors.Join(w.Flush(), err)
	}
	return w.Flush()
}

// howOf says how a network's output is read, and how it is explained in the end.
func howOf(ctx context.Context, m *ask.Model) (string, error) {
	opened, err := m.OpenNetwork(ctx)
	if err != nil {
		return "", err
	}
	applied := "the output as it is"
	if a := opened.Reading.Applied(); a != inference.None {
		applied = string(a) + " of the output"
	}
	return fmt.Sprintf("probabilities\t%s\nfindings\t%s\n", applied, explainedBy(opened.How)), errors.Join(opened.Close(), m.Close())
}

// explainedBy says how findings are explained.
func explainedBy(e analysis.Explanation) string {
	info, ok := explain.LookupMethod(explain.Method(e.Method))
	switch {
	case !ok && e.Fallback == "":
		return "not explained, as the manifest has it"
	case !ok:
		return "not explained: " + e.Fallback
	case e.Fallback != "":
		return fmt.Sprintf("explained by %s: %s", info.Title, e.Fallback)
	}
	return "explained by " + info.Title
}

// printBundle prints what the manifest says.
func printBundle(w io.Writer, b *inference.Bundle, runtime string) {
	fmt.Fprintf(w, "name\t%s %s\nmanufacturer\t%s\nintended use\t%s\nSHA-256\t%s\nqueues\t%s\ninput\t%d×%d %s\nexplained by\t%s at layer %s\nONNX Runtime\t%s\n",
		b.Name, b.Version, b.Manufacturer, b.IntendedUse, b.Digest, strings.Join(jobs.Model{Name: b.Name, Version: b.Version, Digest: b.Digest}.Queues(), " "),
		b.Input.Rows, b.Input.Columns, b.Input.Layout, b.Explain.Method, b.Explain.Layer, runtime)
	if c := b.Clip; c != nil {
		fmt.Fprintf(w, "clip\t%s\n", c)
	}
	fmt.Fprintf(w, "output\t%s\n", b.Output)
	for i, class := range b.Classes {
		fmt.Fprintf(w, "class %d\t%s, %s above %.2f: %s (%s, %s)\n", i, class.Name, class.Role, class.Threshold,
			class.Finding.Meaning, class.Finding.Value, class.Finding.Scheme)
	}
}

// printNetwork prints what the graph says.
func printNetwork(w io.Writer, in *explain.Inspection) {
	fmt.Fprintf(w, "opset\t%d\n", in.Opset)
	for _, p := range in.Inputs {
		fmt.Fprintf(w, "tensor in\t%s %v\n", p.Name, p.Shape)
	}
	for _, p := range in.Outputs {
		fmt.Fprintf(w, "tensor out\t%s %v\n", p.Name, p.Shape)
	}
	fmt.Fprintf(w, "logits\t%s, %d values\n", in.Logits, in.Classes)
	for _, l := range in.Layers {
		why := ""
		if l.Err != nil {
			why = ": cannot be explained"
		}
		frames := ""
		if l.Frames > 1 {
			frames = fmt.Sprintf("%d frames of ", l.Frames)
		}
		sees := ""
		if l.Sees > 0 {
			sees = fmt.Sprintf(", a place sees %d pixels of the input", l.Sees)
		}
		fmt.Fprintf(w, "layer\t%s, %d channels of %s%d×%d%s%s\n", l.Name, l.Channels, frames, l.Height, l.Width, sees, why)
	}
	if in.Attended > 0 {
		fmt.Fprintf(w, "attention\tover %d frames\n", in.Attended)
	}
	if in.Last.Name != "" {
		fmt.Fprintf(w, "last layer\t%s\n", in.Last.Chosen)
	}
	for _, u := range in.Without {
		fmt.Fprintf(w, "without a rule\t%s (%s, opset %d): layers before it cannot be explained\n", u.Node, u.Operator, u.Opset)
	}
	const mib = 1 << 20
	fmt.Fprintf(w, "weights\t%.1f MiB\n", float64(in.Weights)/mib)
	fmt.Fprintf(w, "memory, estimated\t%.0f MiB to classify, up to %.0f MiB more while explaining at the input\n",
		float64(in.Weights+in.Tensors/4)/mib, float64(2*in.Tensors)/mib)
	fmt.Fprintf(w, "work\t%.2f thousand million multiplications a frame\n", float64(in.Multiply)/1e9)
}

// timings measures a black frame on this machine: the second run of each.
func timings(ctx context.Context, w io.Writer, cfg configs.Config, b *inference.Bundle, in *explain.Inspection) error {
	if b.Clip != nil {
		return timeClips(ctx, w, cfg, b)
	}
	for _, m := range []explain.Method{"", explain.GradCAM, explain.Gradient, explain.GuidedGradCAM} {
		if m != "" && (len(in.Layers) == 0 || in.Layers[len(in.Layers)-1].Err != nil) {
			return nil
		}
		var methods []explain.Method
		title := "classification alone"
		if m != "" {
			info, _ := explain.LookupMethod(m)
			methods, title = []explain.Method{m}, "with "+info.Title
		}
		took, err := timeMethod(ctx, cfg, b, methods)
		var unsupported *explain.UnsupportedError
		if errors.As(err, &unsupported) {
			fmt.Fprintf(w, "time\t%s: %v\n", title, unsupported)
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "time\t%s %.0f ms a frame on this machine, %d thread(s)\n", title, float64(took.Microseconds())/1000, max(cfg.ONNXRuntime.Threads, 1))
	}
	return nil
}

// timeClips measures a clip of black frames on this machine: the second run of each.
func timeClips(ctx context.Context, w io.Writer, cfg configs.Config, b *inference.Bundle) (err error) {
	model, err := openModel(cfg, b, ask.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	black, err := b.Reduce(b.BlackFrame(), analysis.Pose{})
	if err != nil {
		return err
	}
	clip := slices.Repeat([]analysis.Prepared{black}, b.Clip.Frames)
	for _, one := range []struct {
		title string
		run   func() error
	}{
		{"classification alone", func() error { _, err := model.Look(ctx, clip); return err }},
		{"classified, then explained in time and space", func() error { _, err := model.Watch(ctx, clip, ask.Question{}); return err }},
	} {
		var took time.Duration
		for range 2 {
			start := time.Now()
			if err := one.run(); err != nil {
				return err
			}
			took = time.Since(start)
		}
		fmt.Fprintf(w, "time\t%s %.0f ms a clip on this machine, %d thread(s)\n", one.title, float64(took.Microseconds())/1000, max(cfg.ONNXRuntime.Threads, 1))
	}
	return nil
}

// timeMethod is how long one frame takes once everything is loaded.
func timeMethod(ctx context.Context, cfg configs.Config, b *inference.Bundle, methods []explain.Method) (took time.Duration, err error) {
	model, err := openModel(cfg, b, ask.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	frame := image.NewRGBA(image.Rect(0, 0, b.Input.Columns, b.Input.Rows))
	for range 2 {
		start := time.Now()
		asked, err := model.Ask(ctx, frame, ask.Question{Layer: explain.LastLayer, Methods: methods})
		if err == nil && len(methods) > 0 { // classification is part of their run
			start = time.Now()
			_, err = model.Answers(ctx, asked)
		}
		if took = time.Since(start); err != nil {
			return 0, err
		}
	}
	return took, nil
}
