package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/pixeldata/video"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/ask"
	"endogate/inference/frames"
	"endogate/inference/trial"
)

type checkCmd struct {
	Dir      string   `arg:"" help:"Model bundle." type:"existingdir"`
	Frames   []string `help:"Frames to measure the explanations on: JPEG, PNG or DICOM files, or folders; of a model that looks across time, folders of clips, multi-frame files and videos." type:"existing"`
	Masks    string   `help:"Folder of masks, PNG or JPEG, named as their frames: where the finding is." type:"existingdir"`
	Class    string   `help:"Class to explain: its name, or top for the most probable." default:"top"`
	Layer    []string `help:"Layers to explain at; the manifest's without one."`
	Method   []string `help:"Methods; without any, all that take one run of the network. all: every one."`
	Limit    int      `help:"Frames at most, or clips; 0: all." default:"0"`
	Draws    int      `help:"Random weights the maps are compared with; the frames are gone over once for each." default:"3"`
	Out      string   `help:"Folder for the table (CSV) and the plot." default:"." type:"path"`
	Decisive string   `help:"Of a model that looks across time: CSV of clip, first and last, the frames that decide a clip or a video, from 1." type:"existingfile"`
	Margin   float64  `help:"How far beside the mask the pointing game allows, in parts of the frame's width." default:"0.067"`

	Set         []string          `help:"Frames or videos of known classes, to measure how well they are classified: a folder with a folder for each class, a CSV of labels (some of its rows with ,COLUMN=PATTERN), or a folder of frames with --masks and --class. Again for each set." placeholder:"NAME=PATH" sep:"none"`
	At          []string          `help:"Operating points besides the manifest's thresholds: sensitivity=0.95, specificity=0.9, threshold=0.3, also for one class: polyp:sensitivity=0.95. They are chosen on the first set." placeholder:"[CLASS:]OF=VALUE" sep:"none"`
	Group       []string          `help:"Columns of the CSV to give figures for apart: device, site, procedure."`
	Label       map[string]string `help:"What a label or folder name means: a class of the model, or nothing where it is something else." placeholder:"LABEL=CLASS"`
	LabelColumn string            `help:"Column of the labels; label, or class, without one."`
	FileColumn  string            `help:"Column of the files, beside the CSV or above it." default:"file"`
	About       string            `help:"CSV of files and columns to group by, for sets that are folders." type:"existingfile"`
	Variants    bool              `help:"Compare preparations: as is, box blacked out, box and border removed."`
	Box         []float64         `help:"The box that is blacked out, where the manifest has none: left, top, right, bottom in parts of the frame." default:"0,0.62,0.38,1"`
	Worst       int               `help:"The most confident errors shown of each set." default:"8"`
	HTML        string            `help:"Write a report as a page with pictures." name:"html" type:"path"`
	JSON        bool              `help:"Print the figures as JSON." name:"json"`
}

func (m *checkCmd) Run(ctx context.Context, c *cli, tty console) error {
	if m.Draws < 1 {
		return usageError(fmt.Sprintf("model check: --draws %d: must be at least 1", m.Draws))
	}
	if err := m.belongs(); err != nil {
		return err
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	cfg.Models, cfg.Routes = []configs.Model{{Dir: m.Dir}}, nil
	loaded, err := gateway.OpenModels(ctx, cfg)
	if err != nil {
		return err
	}
	b := loaded.Bundles[0]
	if err := loaded.Close(); err != nil {
		return err
	}
	if err := m.fits(b); err != nil {
		return err
	}
	said := tty.out
	if m.JSON { // what is printed is read by programs
		said = tty.err
	}
	fmt.Fprintf(said, "%s %s: manifest and network load, %s; its probabilities are those of the network as it was exported\n", b.Name, b.Version, held(b))
	fmt.Fprintf(said, "%s %s: findings are %s\n", b.Name, b.Version, explainedBy(loaded.Explained(b.Name)))
	if len(m.Set) > 0 {
		err = m.accuracy(ctx, cfg, b, tty)
	}
	if b.Clip != nil && len(m.Frames) > 0 && (err == nil || errors.Is(err, frames.ErrUnread)) {
		return errors.Join(err, m.inTime(ctx, cfg, b, console{said, tty.err}))
	}
	if len(m.Frames) > 0 && (err == nil || errors.Is(err, frames.ErrUnread)) {
		err = errors.Join(err, m.faithfulness(ctx, cfg, b, console{said, tty.err}))
	}
	return err
}

// fits says which flags are not of the bundle's kind.
func (m *checkCmd) fits(b *inference.Bundle) error {
	switch {
	case b.Clip == nil && m.Decisive != "":
		return usageError("model check: --decisive is of models that look across time; " + b.Name + " takes single frames")
	case b.Clip != nil && (m.Masks != "" || m.Variants || m.HTML != "" || len(m.Method) > 0 || len(m.Layer) > 0):
		return usageError("model check: " + b.Name + " looks across time: it is measured with --set, and its explanations with --frames and --decisive; --masks, --variants, --html, --method and --layer are of models of single frames")
	}
	return nil
}

// inTime measures the explanations of a model that looks across time: each folder and each multi-frame object is a clip.
func (m *checkCmd) inTime(ctx context.Context, cfg configs.Config, b *inference.Bundle, tty console) (err error) {
	model, err := openModel(cfg, b, ask.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	t := &trial.Clips{Model: model, Class: m.Class}
	if m.Decisive != "" {
		if t.Decisive, err = trial.ReadDecisive(m.Decisive); err != nil {
			return fmt.Errorf("model check: %w", err)
		}
	}
	seen := 0
	files := frameFiles(cfg, m.Frames, "", tty)
	one := func(ctx context.Context, s sequence) error {
		for _, window := range b.Clip.Windows(len(s.frames)) {
			if seen++; m.Limit > 0 && seen > m.Limit {
				return nil
			}
			if err := t.Measure(ctx, s.name, window, s.number, s.frames); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		return nil
	}
	files.Video = func(ctx context.Context, f frames.Frame, clip *video.Clip) error {
		s, err := videoSequence(ctx, f, clip, b)
		if err != nil {
			return err
		}
		return one(ctx, s)
	}
	unread := eachSequence(ctx, files, b, one)
	if unread != nil && !errors.Is(unread, frames.ErrUnread) {
		return fmt.Errorf("model check: %w", asUsage(unread))
	}
	return errors.Join(t.Report(tty.out, filepath.Join(m.Out, b.Name+"-faithfulness")), unread)
}

// faithfulness measures explanations.
func (m *checkCmd) faithfulness(ctx context.Context, cfg configs.Config, b *inference.Bundle, tty console) error {
	methods, err := m.methods(cfg, b)
	if err != nil {
		return err
	}
	t := &trial.Trial{
		Bundle: b, Open: func(o ask.Options) (*ask.Model, error) { return openModel(cfg, b, o) },
		Files: frameFiles(cfg, m.Frames, m.Masks, tty), Masks: m.Masks, Class: m.Class, Limit: m.Limit, Draws: m.Draws, Margin: m.Margin, Log: tty.err,
	}
	layers := m.Layer
	if len(layers) == 0 {
		layers = []string{b.Explain.Layer}
	}
	var unread error
	for i, layer := range layers {
		at := methods
		if i > 0 { // the others are the same at every layer
			at = slices.DeleteFunc(slices.Clone(methods), func(m explain.Method) bool { info, _ := explain.LookupMethod(m); return !info.AtLayer })
		}
		switch err := t.Layer(ctx, layer, at); {
		case errors.Is(err, frames.ErrUnread): // what was measured on the others is reported
			unread = err
		case err != nil:
			return fmt.Errorf("model check: %w", asUsage(err))
		}
	}
	return errors.Join(t.Report(tty.out, filepath.Join(m.Out, b.Name+"-faithfulness")), unread)
}

// held says on what a network was tried.
func held(b *inference.Bundle) string {
	if n := len(b.Reference); n > 0 {
		return fmt.Sprintf("a black frame gives finite results and %d reference frames what is expected", n)
	}
	return "a black frame gives finite results"
}

// methods reads the flag; without it, they are all that take one run of the network.
func (m *checkCmd) methods(cfg configs.Config, b *inference.Bundle) ([]explain.Method, error) {
	model, err := openModel(cfg, b, ask.Options{}) // nothing is loaded
	if err != nil {
		return nil, err
	}
	if len(m.Method) > 0 {
		return readMethods(m.Method, model)
	}
	methods, err := readMethods([]string{"all"}, model)
	return slices.DeleteFunc(methods, func(m explain.Method) bool { info, _ := explain.LookupMethod(m); return info.Runs }), err
}
