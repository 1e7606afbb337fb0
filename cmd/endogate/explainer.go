package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	"endogate/configs"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/onnx"
)

// bundleExplainer explains frames by several methods, outside a gateway.
type bundleExplainer struct {
	bundle  *inference.Bundle
	plain   *onnx.Explainer // classifies
	graph   *onnx.Explainer // all methods of one run, in one graph
	targets []explain.Target
	runs    map[explain.Method]*onnx.Explainer // those of many runs
	layer   string
}

// openExplainer takes the network of load, which is the bundle's or one made of it. It compiles nothing yet.
func openExplainer(cfg configs.Config, b *inference.Bundle, load func() ([]byte, error), methods []explain.Method, layer string, fromOutput bool) (*bundleExplainer, error) {
	runtime, content, err := openBundle(cfg, b)
	if err != nil {
		return nil, err
	}
	if _, err := ask.Inspect(runtime, b, content); err != nil {
		return nil, err
	}
	logits := onnx.ExplainerOptions{
		InputShape: b.Input.Shape(), Output: b.Output.Name, IntraOpThreads: cfg.ONNXRuntime.Threads, Provider: cfg.ONNXRuntime.Provider,
		Cache: onnx.NewCache(int64(cfg.ONNXRuntime.Cache)),
	}
	output := logits
	output.FromOutput = fromOutput
	x := &bundleExplainer{bundle: b, layer: layer, runs: map[explain.Method]*onnx.Explainer{}, graph: runtime.NewExplainer(load, output), plain: runtime.NewExplainer(load, logits)}
	for _, m := range methods {
		if info, _ := explain.LookupMethod(m); info.Runs && info.AtInput {
			x.runs[m] = runtime.NewExplainer(load, output) // by gradients
		} else if info.Runs {
			x.runs[m] = runtime.NewExplainer(load, logits) // by probabilities, which the activation makes of logits
		} else {
			x.targets = append(x.targets, explain.Target{Method: m, Layer: layer})
		}
	}
	return x, nil
}

// Close frees the networks.
func (x *bundleExplainer) Close() error {
	errs := []error{x.graph.Close(), x.plain.Close()}
	for _, e := range x.runs {
		errs = append(errs, e.Close())
	}
	return errors.Join(errs...)
}

// question is a frame as the network sees it, and what is asked about it.
type question struct {
	bundle        *inference.Bundle
	geometry      analysis.Geometry
	input         onnx.Input
	shape         []int64
	probabilities []float64
	class         int
	against       int // -1 for none
}

// answer is what a method says, at one layer.
type answer struct{ onnx.Attribution }

// shape of the values, for a file.
func (a answer) shape(input []int64) []int64 {
	if a.AtInput {
		return input
	}
	return []int64{int64(a.Frames), int64(a.Height), int64(a.Width)}
}

// prepare classifies a frame.
func (x *bundleExplainer) prepare(ctx context.Context, frame *image.RGBA) (*question, error) {
	b := x.bundle
	q := &question{bundle: b, shape: b.Input.Shape(), against: -1}
	values := make([]float32, b.Input.Len())
	var err error
	if q.geometry, err = b.Prepare(frame, values); err != nil {
		return nil, err
	}
	q.input = onnx.Input{Shape: q.shape, Values: values, Baseline: b.Input.Uniform(0), Low: b.Input.Uniform(0), High: b.Input.Uniform(255)}
	logits, err := x.plain.Logits(ctx, q.input, 1)
	if err != nil {
		return nil, err
	}
	q.probabilities, err = b.Output.Activation.Apply(logits)
	return q, err
}

// choose takes the class to explain: by name, or the most probable.
func (q *question) choose(class, against string) error {
	names := q.bundle.ClassNames()
	find := func(name string) (int, error) {
		i := slices.Index(names, name)
		if i < 0 {
			return 0, usageError(fmt.Sprintf("explain: %s has no class %q; it has %s", q.bundle.Name, name, strings.Join(names, ", ")))
		}
		return i, nil
	}
	var err error
	if q.class = slices.Index(q.probabilities, slices.Max(q.probabilities)); class != "top" {
		if q.class, err = find(class); err != nil {
			return err
		}
	}
	if q.against = -1; against != "" {
		if q.against, err = find(against); err == nil && q.against == q.class {
			err = usageError(fmt.Sprintf("explain: %s rather than itself: name another class with --against", against))
		}
	}
	return err
}

// className says what is asked.
func (q *question) className() string {
	name := q.bundle.Classes[q.class].Name
	if q.against >= 0 {
		name += " rather than " + q.bundle.Classes[q.against].Name
	}
	return name
}

// seed is the question as weights of the logits.
func (q *question) seed() []float32 {
	seed := make([]float32, len(q.bundle.Classes))
	seed[q.class] = 1
	if q.against >= 0 {
		seed[q.against]--
	}
	return seed
}

// score is what methods of many runs explain: the probability, or for a contrast that of one less the other.
func (q *question) score(logits []float32) float64 {
	p, err := q.bundle.Output.Activation.Apply(logits)
	if err != nil { // a logit is no number
		return math.NaN()
	}
	if q.against >= 0 {
		return p[q.class] - p[q.against]
	}
	return p[q.class]
}

// answer asks every method, those of one run together and then the others, and hands over each answer as soon as it is there.
func (x *bundleExplainer) answer(ctx context.Context, q *question, progress func(m explain.Method, done, all int), do func(answer) error) error {
	all := func(maps []onnx.Attribution) error {
		for _, m := range maps {
			if err := do(answer{m}); err != nil {
				return err
			}
		}
		return nil
	}
	if len(x.targets) > 0 {
		_, maps, err := x.graph.Run(ctx, q.input, [][]float32{q.seed()}, x.targets)
		if err := errors.Join(err, all(maps)); err != nil {
			return err
		}
	}
	for _, info := range explain.Methods() {
		e := x.runs[info.Method]
		if e == nil {
			continue
		}
		maps, err := e.Explain(ctx, q.input, onnx.Question{
			Target: explain.Target{Method: info.Method, Layer: x.layer}, Seed: q.seed(), Score: q.score,
			Progress: func(done, all int) { progress(info.Method, done, all) },
		})
		if err != nil {
			return fmt.Errorf("%s: %w", info.Title, err)
		}
		if err := all(maps); err != nil {
			return err
		}
	}
	return nil
}

// answers are all of them.
func (x *bundleExplainer) answers(ctx context.Context, q *question) (all []answer, err error) {
	err = x.answer(ctx, q, func(explain.Method, int, int) {}, func(a answer) error { all = append(all, a); return nil })
	return all, err
}

// progress tells of long work every tenth of it.
func progress(tty console, name string) func(m explain.Method, done, all int) {
	tenth := 0
	return func(m explain.Method, done, all int) {
		if now := 10 * done / max(all, 1); now != tenth {
			tenth = now
			fmt.Fprintf(tty.err, "%s  %s: %d of %d runs\n", name, m, done, all)
		}
	}
}
