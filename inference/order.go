package inference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata"
	"endogate/inference/analysis"
)

// Order is a task as it travels to a worker elsewhere, beside the bytes of a [pixeldata.Extract], or the pixels of a prepared frame.
type Order struct {
	TransferSyntaxUID dicom.UID          `json:"transfer_syntax_uid"`
	Prepared          *analysis.Geometry `json:"prepared,omitempty"` // of the frame that the pixels come from, where the worker said that it takes it so
	Note              string             `json:"note,omitempty"`     // what is wrong with that frame all the same
	Wishes
}

// Encode is what Fill reads.
func (o Order) Encode() ([]byte, error) { return json.Marshal(o) }

// Fill does an encoded order for a job and writes the encoded analysis. Errors as Each.
func (w *Worker) Fill(ctx context.Context, job, model string, order []byte, input io.Reader, result io.Writer, decode pixeldata.Options) error {
	var o Order
	if err := json.Unmarshal(order, &o); err != nil {
		return Permanent(fmt.Errorf("order: %w", err))
	}
	t := Task{Job: job, Model: model, Note: o.Note, Wishes: o.Wishes, Others: true}
	var err error
	if o.Prepared != nil {
		t.Prepared, err = prepared(*o.Prepared, input)
	} else {
		t.Instance, err = o.open(input, decode)
	}
	if err != nil {
		return err
	}
	a, err := w.Analyse(ctx, t)
	if err != nil {
		return err
	}
	return a.Encode(result)
}

func (o Order) open(input io.Reader, decode pixeldata.Options) (*pixeldata.Instance, error) {
	ts, ok := dicom.LookupTransferSyntax(o.TransferSyntaxUID)
	if !ok {
		return nil, Permanent(fmt.Errorf("order: transfer syntax %q is not known here; is this worker of an older release?", o.TransferSyntaxUID))
	}
	instance, err := pixeldata.Open(input, ts, decode)
	if errors.Is(err, pixeldata.ErrCorrupt) || errors.Is(err, pixeldata.ErrTooMuch) {
		err = Permanent(err)
	}
	return instance, err
}

// MaxPrepared bounds a prepared frame that travels: beyond it the compressed frame is the less.
const MaxPrepared = 512 << 10

func prepared(g analysis.Geometry, input io.Reader) (*analysis.Prepared, error) {
	pixels, err := io.ReadAll(io.LimitReader(input, MaxPrepared+1)) // a model refuses what is not of its size
	return &analysis.Prepared{Geometry: g, Pixels: pixels}, err
}
