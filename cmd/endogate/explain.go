package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // a frame may be a JPEG file
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/onnx"
)

type explainCmd struct {
	Files  []string `arg:"" help:"DICOM, JPEG or PNG files." type:"existingfile" name:"file"`
	Model  string   `help:"Model bundle." default:"testdata/models/demo" type:"existingdir"`
	Class  string   `help:"Class to explain: its name, or top for the most probable." default:"top"`
	Layer  string   `help:"Layer to explain at; the manifest's without one." default:""`
	Out    string   `help:"Folder for the overlays." default:"." type:"path"`
	Colour string   `help:"Colour map: jet, turbo, viridis, inferno." default:"jet"`
}

func (e *explainCmd) Run(ctx context.Context, c *cli, tty console) (err error) {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	x := &explainer{out: e.Out, opacity: cfg.Reports.Opacity, decode: pixeldata.Options{FFmpeg: cfg.FFmpeg}, class: e.Class, tty: tty}
	if x.colours, err = explain.NamedColourMap(e.Colour); err != nil {
		return usageError(err.Error())
	}
	if x.bundle, err = inference.LoadBundle(e.Model); err != nil {
		return err
	}
	if e.Class != "top" && !slices.Contains(x.bundle.ClassNames(), e.Class) {
		return usageError(fmt.Sprintf("explain: %s has no class %q; it has %s", x.bundle.Name, e.Class, strings.Join(x.bundle.ClassNames(), ", ")))
	}
	layer := x.bundle.Explain.Layer
	if e.Layer != "" {
		layer = e.Layer
	}
	runtime, content, err := openBundle(cfg, x.bundle)
	if err != nil {
		return err
	}
	x.network, err = runtime.OpenNetwork(content, onnx.NetworkOptions{Layer: layer, IntraOpThreads: cfg.ONNXRuntime.Threads})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.network.Close()) }()
	if err := os.MkdirAll(e.Out, 0o755); err != nil {
		return err
	}
	for _, path := range e.Files {
		if err := x.file(ctx, path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// explainer classifies frames one by one and writes why.
type explainer struct {
	bundle  *inference.Bundle
	network *onnx.Network
	class   string
	colours *explain.ColourMap
	opacity float64
	decode  pixeldata.Options
	out     string
	tty     console
}

func (x *explainer) file(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	r := bufio.NewReader(f)
	meta, err := dicom.ReadFileMeta(r)
	if errors.Is(err, dicom.ErrNoFileMeta) {
		picture, _, err := image.Decode(r)
		if err != nil {
			return fmt.Errorf("neither DICOM nor JPEG nor PNG: %w", err)
		}
		return x.frame(ctx, name, pixeldata.Frame{Number: 1, Image: toRGBA(picture)})
	}
	if err != nil {
		return err
	}
	return x.instance(ctx, name, r, meta.TransferSyntaxUID)
}

func (x *explainer) instance(ctx context.Context, name string, dataset io.Reader, syntax dicom.UID) error {
	ts, ok := dicom.LookupTransferSyntax(syntax)
	if !ok {
		return fmt.Errorf("transfer syntax %s is unknown", syntax)
	}
	for frame, err := range pixeldata.Frames(ctx, dataset, ts, x.decode) {
		if err != nil {
			return err
		}
		if err := x.frame(ctx, fmt.Sprintf("%s-%d", name, frame.Number), frame); err != nil {
			return err
		}
	}
	return nil
}

func (x *explainer) frame(ctx context.Context, name string, f pixeldata.Frame) error {
	input := make([]float32, x.bundle.Input.Len())
	geometry, err := x.bundle.Prepare(f.Image, input)
	if err != nil {
		return err
	}
	logits, err := x.network.Logits(ctx, input, x.bundle.Input.Shape())
	if err != nil {
		return err
	}
	probabilities, err := x.bundle.Output.Activation.Apply(logits)
	if err != nil {
		return err
	}
	class := slices.Index(x.bundle.ClassNames(), x.class)
	if class < 0 { // top
		class = slices.Index(probabilities, slices.Max(probabilities))
	}
	_, maps, err := x.network.Explain(ctx, input, x.bundle.Input.Shape(), []int{class})
	if err != nil {
		return err
	}
	for i, p := range probabilities {
		fmt.Fprintf(x.tty.out, "%s  %-24s %.4f\n", name, x.bundle.Classes[i].Name, p)
	}
	shown, err := geometry.ToSource(maps[0]).Normalised()
	if err != nil {
		fmt.Fprintf(x.tty.out, "%s  no overlay for %s: %v\n", name, x.bundle.Classes[class].Name, err)
		return nil
	}
	path := filepath.Join(x.out, name+"-"+x.bundle.Classes[class].Name+".png")
	fmt.Fprintf(x.tty.out, "%s  why %s (AI, not verified): %s\n", name, x.bundle.Classes[class].Name, path)
	return writePNG(path, explain.Overlay(f.Image, shown, x.colours, x.opacity))
}

func toRGBA(picture image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, picture.Bounds().Dx(), picture.Bounds().Dy()))
	draw.Draw(out, out.Rect, picture, picture.Bounds().Min, draw.Src)
	return out
}
