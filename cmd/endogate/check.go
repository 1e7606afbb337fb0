package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/ask"
	"endogate/inference/frames"
	"endogate/inference/trial"
)

type checkCmd struct {
	Dir    string   `arg:"" help:"Model bundle." type:"existingdir"`
	Frames []string `help:"Frames to measure the explanations on: JPEG, PNG or DICOM files, or folders." type:"existing"`
	Masks  string   `help:"Folder of masks, PNG or JPEG, named as their frames: where the finding is." type:"existingdir"`
	Class  string   `help:"Class to explain: its name, or top for the most probable." default:"top"`
	Layer  []string `help:"Layers to explain at; the manifest's without one."`
	Method []string `help:"Methods; without any, all that take one run of the network. all: every one."`
	Limit  int      `help:"Frames at most; 0: all." default:"0"`
	Draws  int      `help:"Random weights the maps are compared with; the frames are gone over once for each." default:"3"`
	Out    string   `help:"Folder for the table (CSV) and the plot." default:"." type:"path"`
	Margin float64  `help:"How far beside the mask the pointing game allows, in parts of the frame's width." default:"0.067"`
}

func (m *checkCmd) Run(ctx context.Context, c *cli, tty console) error {
	if m.Draws < 1 {
		return usageError(fmt.Sprintf("model check: --draws %d: must be at least 1", m.Draws))
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
	fmt.Fprintf(tty.out, "%s %s: manifest, network and gradient graph load, and a black frame gives finite results\n", b.Name, b.Version)
	if len(m.Frames) == 0 {
		if m.Masks != "" {
			return usageError("model check: --masks needs --frames")
		}
		return nil
	}
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
