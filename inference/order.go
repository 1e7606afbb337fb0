package inference

import (
	"bytes"
	"context"
	"encoding/binary"
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
	Note              string             `json:"note,omitempty"`     // what is wrong with that frame all the same, or with the video as it came
	Kept              int64              `json:"kept,omitempty"`     // of a video: the bytes, before those of the extract, of an encoded analysis of what is said already
	KeptOf            int                `json:"kept_of,omitempty"`  // how many frames were to be analysed then
	Wishes
}

// Encode is what Fill reads.
func (o Order) Encode() ([]byte, error) { return json.Marshal(o) }

// Fill does an encoded order for a job and writes the encoded analysis. Of a video keep is given what there is to keep on the way, as
// DecodeKept reads it. Errors as Each.
func (w *Worker) Fill(ctx context.Context, job, model string, order []byte, input io.Reader, keep func(ctx context.Context, part []byte) error, result io.Writer, decode pixeldata.Options) error {
	var o Order
	if err := json.Unmarshal(order, &o); err != nil {
		return Permanent(fmt.Errorf("order: %w", err))
	}
	t := Task{Job: job, Model: model, Note: o.Note, Wishes: o.Wishes, Others: true}
	d := &letters{keep: keep, of: o.KeptOf}
	var err error
	if o.Prepared != nil {
		t.Prepared, err = prepared(*o.Prepared, input)
	} else {
		if o.Kept > 0 {
			d.before, err = analysis.Decode(io.LimitReader(input, o.Kept))
		}
		if err == nil {
			t.Instance, err = o.open(input, decode)
		}
	}
	if err != nil {
		return err
	}
	var a analysis.Analysis
	if t.Instance != nil && t.Instance.Video() {
		a, err = w.Watch(ctx, t, d)
	} else {
		a, err = w.Analyse(ctx, t)
	}
	if err != nil {
		return err
	}
	return a.Encode(result)
}

// letters are the diary of a video that is elsewhere.
type letters struct {
	before analysis.Analysis
	of     int
	keep   func(ctx context.Context, part []byte) error
}

// Kept implements Diary.
func (l *letters) Kept(_ context.Context, of int) ([]analysis.Part, error) {
	if of != l.of {
		return nil, nil // other frames are chosen here
	}
	return l.before.Parts, nil
}

// Keep implements Diary.
func (l *letters) Keep(ctx context.Context, parts []analysis.Part, p Progress) error {
	var body bytes.Buffer
	body.Write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(p.Done)), uint32(p.Of)))
	if err := (analysis.Analysis{Parts: parts}).Encode(&body); err != nil {
		return err
	}
	return l.keep(ctx, body.Bytes())
}

// DecodeKept reads what Fill has kept. An error that wraps analysis.ErrFormat says that nobody could go on with it.
func DecodeKept(r io.Reader) (parts []analysis.Part, p Progress, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, p, err
	}
	p = Progress{Done: int(binary.LittleEndian.Uint32(head[:])), Of: int(binary.LittleEndian.Uint32(head[4:]))}
	a, err := analysis.Decode(r)
	switch {
	case err != nil:
		return nil, p, err
	case p.Done < len(a.Parts) || p.Done > p.Of || p.Of > defaultMaxFrames:
		return nil, p, fmt.Errorf("%w: %d parts, with which %d of %d are done", analysis.ErrFormat, len(a.Parts), p.Done, p.Of)
	}
	for _, part := range a.Parts {
		if part.Quality == nil || len(part.Maps) > 0 || part.Result.Span.Count != 1 { // key frames are explained at the end
			return nil, p, fmt.Errorf("%w: frame %d is said as none of a video under way is", analysis.ErrFormat, part.Result.Span.First)
		}
	}
	return a.Parts, p, nil
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
