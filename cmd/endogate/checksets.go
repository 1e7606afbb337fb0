package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"endogate/configs"
	"endogate/dicomnode/pixeldata/video"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/figures"
	"endogate/inference/frames"
	"endogate/inference/trial"
)

// belongs says which flags are of no use without others.
func (m *checkCmd) belongs() error {
	switch {
	case len(m.Frames) == 0 && len(m.Set) == 0 && m.Masks != "":
		return usageError("model check: --masks needs --frames or --set")
	case len(m.Set) == 0 && (len(m.At) > 0 || len(m.Group) > 0 || len(m.Label) > 0 || m.About != "" || m.Variants || m.HTML != "" || m.JSON):
		return usageError("model check: --at, --group, --label, --about, --variants, --html and --json need a --set")
	case m.Worst < 0 || m.Worst > 200:
		return usageError(fmt.Sprintf("model check: --worst %d: must be 0 to 200", m.Worst))
	}
	return nil
}

// accuracy measures how well the model classifies the sets.
func (m *checkCmd) accuracy(ctx context.Context, cfg configs.Config, b *inference.Bundle, tty console) (err error) {
	a := &trial.Accuracy{
		Bundle: b, Groups: m.Group, Worst: m.Worst, Log: tty.err,
		Frames: func(paths []string) frames.Files { return frameFiles(cfg, paths, m.Masks, tty) },
	}
	if m.HTML == "" {
		a.Worst = 0
	}
	if a.Aims, err = readAims(m.At, b); err != nil {
		return err
	}
	box, err := readBox(m.Box)
	if err != nil {
		return err
	}
	a.Variants = trial.Variants(b, m.Variants, box)
	sets, err := m.sets(b)
	if err != nil {
		return err
	}
	if a.Model, err = openModel(cfg, b, ask.Options{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Model.Close()) }()
	watcher, closing := m.watcher(b, a.Model)
	defer func() { err = errors.Join(err, closing()) }()
	a.Watch = func(ctx context.Context, f frames.Frame, clip *video.Clip) (analysis.Analysis, error) {
		model, err := watcher(ctx)
		if err != nil {
			return analysis.Analysis{}, err
		}
		w := inference.Worker{Models: map[string]inference.Model{b.Name: model}}
		return w.Watch(ctx, inference.Task{Job: f.Name, Model: b.Name, Clip: clip}, nil)
	}
	if b.Clip != nil {
		a.Sequences = func(ctx context.Context, files frames.Files, do func(context.Context, string, []analysis.Prepared) error) error {
			return eachSequence(ctx, files, b, func(ctx context.Context, s sequence) error { return do(ctx, s.of, s.frames) })
		}
	}
	result, unread := a.Measure(ctx, sets)
	if result == nil {
		return fmt.Errorf("model check: %w", unread)
	}
	print := result.WriteText
	if m.JSON {
		print = result.WriteJSON
	}
	err = print(tty.out)
	if m.HTML != "" {
		err = errors.Join(err, writeFile(m.HTML, result.WriteHTML))
	}
	return errors.Join(err, unread)
}

// watcher is the model as a gateway has it for videos, loaded where the first one needs it.
func (m *checkCmd) watcher(b *inference.Bundle, asked *ask.Model) (load func(context.Context) (inference.Watcher, error), closing func() error) {
	var loaded inference.Watcher
	free := func() error { return nil }
	return func(ctx context.Context) (inference.Watcher, error) {
		if loaded != nil {
			return loaded, nil
		}
		opened, err := asked.OpenNetwork(ctx)
		if err != nil {
			return nil, err
		}
		free = opened.Close
		loaded, err = inference.NewModel(ctx, b, opened.Opened, nil)
		return loaded, err
	}, func() error { return free() }
}

// sets reads the flag.
func (m *checkCmd) sets(b *inference.Bundle) ([]trial.Set, error) {
	o := trial.Sets{Classes: b.ClassNames(), Rename: m.Label, File: m.FileColumn, Label: m.LabelColumn, About: m.About, Masks: m.Masks, Class: m.Class}
	for label, class := range m.Label {
		if class != "" && !slices.Contains(o.Classes, class) {
			return nil, usageError(fmt.Sprintf("model check: --label %s=%s: no such class; there are %s", label, class, strings.Join(o.Classes, ", ")))
		}
	}
	var sets []trial.Set
	for _, said := range m.Set {
		s, err := o.Read(said)
		if err != nil {
			return nil, fmt.Errorf("model check: %w", err)
		}
		if slices.ContainsFunc(sets, func(other trial.Set) bool { return other.Name == s.Name }) {
			return nil, usageError(fmt.Sprintf("model check: two sets are called %s", s.Name))
		}
		sets = append(sets, s)
	}
	return sets, nil
}

// readAims reads operating points.
func readAims(said []string, b *inference.Bundle) ([]trial.Aim, error) {
	var aims []trial.Aim
	for _, text := range said {
		class, rest, ok := strings.Cut(text, ":")
		if !ok {
			class, rest = "", text
		}
		of, number, _ := strings.Cut(rest, "=")
		value, err := strconv.ParseFloat(number, 64)
		switch {
		case !slices.Contains([]string{"sensitivity", "specificity", "threshold"}, of) || err != nil || !(value > 0 && value <= 1):
			return nil, usageError(fmt.Sprintf("model check: --at %q: must be sensitivity=, specificity= or threshold= and a number above 0, at most 1", text))
		case class != "" && !slices.Contains(b.ClassNames(), class):
			return nil, usageError(fmt.Sprintf("model check: --at %q: no class %q; there are %s", text, class, strings.Join(b.ClassNames(), ", ")))
		}
		aims = append(aims, trial.Aim{Class: class, Aim: figures.Aim{Of: of, Value: value}})
	}
	return aims, nil
}

// readBox reads four parts of a frame.
func readBox(edges []float64) (inference.Box, error) {
	if len(edges) != 4 || !(0 <= edges[0] && edges[0] < edges[2] && edges[2] <= 1 && 0 <= edges[1] && edges[1] < edges[3] && edges[3] <= 1) {
		return inference.Box{}, usageError("model check: --box: must be left,top,right,bottom in parts of the frame, as 0,0.62,0.38,1")
	}
	return inference.Box{Left: edges[0], Top: edges[1], Right: edges[2], Bottom: edges[3]}, nil
}

// writeFile writes a file that nobody else may read: it has frames of patients.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
