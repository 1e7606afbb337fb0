package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"endogate/configs"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/onnx"
)

type modelCmd struct {
	Inspect inspectCmd `cmd:"" help:"Print what a bundle says and which layers can be explained."`
	Check   checkCmd   `cmd:"" help:"Load a bundle as the gateway does and try it on a black frame."`
}

type inspectCmd struct {
	Dir string `arg:"" help:"Model bundle." type:"existingdir"`
}

func (m *inspectCmd) Run(c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	bundle, err := inference.LoadBundle(m.Dir)
	if err != nil {
		return err
	}
	runtime, content, err := openBundle(cfg, bundle)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(tty.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "name\t%s %s\nmanufacturer\t%s\nintended use\t%s\nSHA-256\t%s\ninput\t%d×%d %s\nONNX Runtime\t%s\n",
		bundle.Name, bundle.Version, bundle.Manufacturer, bundle.IntendedUse, bundle.Digest,
		bundle.Input.Rows, bundle.Input.Columns, bundle.Input.Layout, runtime.Version())
	for i, class := range bundle.Classes {
		fmt.Fprintf(w, "class %d\t%s, %s above %.2f: %s (%s, %s)\n", i, class.Name, class.Role, class.Threshold,
			class.Finding.Meaning, class.Finding.Value, class.Finding.Scheme)
	}
	layers, err := explain.Layers(content, explain.Options{Probe: runtime.Probe})
	if err != nil {
		return errors.Join(err, w.Flush())
	}
	for _, layer := range layers {
		fmt.Fprintf(w, "layer\t%s, %d channels of %d×%d\n", layer.Name, layer.Channels, layer.Height, layer.Width)
	}
	return w.Flush()
}

// openBundle loads ONNX Runtime and a bundle's network file.
func openBundle(cfg configs.Config, b *inference.Bundle) (*onnx.Runtime, []byte, error) {
	library, err := onnx.FindLibrary(cfg.ONNXRuntime.Library)
	if err != nil {
		return nil, nil, err
	}
	runtime, err := onnx.Open(library)
	if err != nil {
		return nil, nil, err
	}
	content, err := b.Network()
	return runtime, content, err
}

type checkCmd struct {
	Dir string `arg:"" help:"Model bundle." type:"existingdir"`
}

func (m *checkCmd) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	cfg.Models = []configs.Model{{Dir: m.Dir}}
	loaded, err := openModels(ctx, cfg)
	if err != nil {
		return err
	}
	b := loaded.bundles[0]
	fmt.Fprintf(tty.out, "%s %s: manifest, network and gradient graph load, and a black frame gives finite results\n", b.Name, b.Version)
	return loaded.Close()
}
