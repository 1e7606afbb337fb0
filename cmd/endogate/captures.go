package main

import (
	"bytes"
	"os"
	"time"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/frames"
	"endogate/reports"
)

// captures writes the Secondary Captures that the gateway would send.
type captures struct {
	builder   *reports.Builder
	algorithm reports.Algorithm
	painter   ask.Painter
	layer     string
	variant   string // what is not as a gateway would have it
	now       func() time.Time
}

func newCaptures(cfg configs.Config, b *inference.Bundle, p *ask.Painter, layer string) (*captures, error) {
	builder, err := gateway.NewBuilder(cfg, build())
	if err != nil {
		return nil, err
	}
	onFrame := *p
	onFrame.OnFrame = true
	return &captures{builder: builder, algorithm: reports.AlgorithmOf(b, 1), painter: onFrame, layer: layer, now: time.Now}, nil
}

// write makes the object of an answer; one without a map has none.
func (c *captures) write(path string, f frames.Frame, asked *ask.Asked, a ask.Answer) error {
	p, err := c.painter.Paint(asked, a)
	if err != nil || p.Note != "" {
		return err
	}
	algorithm := c.algorithm
	algorithm.Explain = analysis.Explanation{Method: string(a.Method), Layer: a.Layer.Name}
	if c.layer == explain.LastLayer || c.layer == "" {
		algorithm.Explain.Layer = c.layer
	}
	algorithm.Explain.Fallback = a.Instead
	o, err := c.builder.Heatmap(reports.Heatmap{
		Against: asked.AgainstName(), Variant: c.variant,
		Source: reports.Source{Attributes: f.Attributes, TransferSyntaxUID: f.TransferSyntax, Size: f.Size}, Frame: f.Number, Pixels: f.Image, Overlay: p.Overlay, Masked: p.Words.Masked, Colours: c.painter.Colours, Opacity: c.painter.Opacity,
		Outline: asked.Outline(), Number: asked.Number(),
		Algorithm: algorithm, Class: asked.ClassName(), Probability: asked.Probabilities[asked.Class], At: c.now(), Revision: 1,
	})
	if err != nil {
		return err
	}
	var file bytes.Buffer
	meta := dicom.FileMeta{SOPClassUID: o.Header.SOPClassUID, SOPInstanceUID: o.Header.SOPInstanceUID, TransferSyntaxUID: o.TransferSyntaxUID}
	if err := dicom.WriteFileMeta(&file, meta); err != nil {
		return err
	}
	file.Write(o.Dataset)
	return os.WriteFile(path, file.Bytes(), 0o600)
}
