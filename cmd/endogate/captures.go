package main

import (
	"bytes"
	"os"
	"time"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/inference"
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
	return &captures{builder: builder, algorithm: reports.AlgorithmOf(b, 1), painter: *p, layer: layer, now: time.Now}, nil
}

// write makes the object of an answer; one without a map has none.
func (c *captures) write(path string, f frames.Frame, asked *ask.Asked, a ask.Answer) error {
	o, note, err := gateway.MapObject(c.builder, c.algorithm, c.painter, gateway.Pictured{
		Source: reports.Source{Attributes: f.Attributes, TransferSyntaxUID: f.TransferSyntax, Size: f.Size},
		Frame:  f.Number, Image: f.Image, Layer: c.layer, Variant: c.variant, At: c.now(),
	}, asked, a)
	if err != nil || note != "" {
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
