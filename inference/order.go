package inference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
)

// Order is a task as it travels to a worker elsewhere, beside the bytes of a [pixeldata.Extract].
type Order struct {
	TransferSyntaxUID dicom.UID        `json:"transfer_syntax_uid"`
	Heatmaps          []explain.Target `json:"heatmaps,omitempty"` // wished in place of the model's own
}

// Encode is what Fill reads.
func (o Order) Encode() ([]byte, error) { return json.Marshal(o) }

// Fill does an encoded order for a job and writes the encoded analysis. Errors as Each.
func (w *Worker) Fill(ctx context.Context, job, model string, order []byte, input io.Reader, result io.Writer, decode pixeldata.Options) error {
	var o Order
	if err := json.Unmarshal(order, &o); err != nil {
		return Permanent(fmt.Errorf("order: %w", err))
	}
	ts, ok := dicom.LookupTransferSyntax(o.TransferSyntaxUID)
	if !ok {
		return Permanent(fmt.Errorf("order: transfer syntax %q is not known here; is this worker of an older release?", o.TransferSyntaxUID))
	}
	instance, err := pixeldata.Open(input, ts, decode)
	switch {
	case errors.Is(err, pixeldata.ErrCorrupt), errors.Is(err, pixeldata.ErrTooMuch):
		return Permanent(err)
	case err != nil:
		return err
	}
	a, err := w.Analyse(ctx, Task{Job: job, Model: model, Instance: instance, Heatmaps: o.Heatmaps, Others: true})
	if err != nil {
		return err
	}
	return a.Encode(result)
}
