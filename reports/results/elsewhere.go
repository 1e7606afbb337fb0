package results

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/inference"
	"endogate/inference/analysis"
)

// Parcel is what a worker elsewhere needs of an instance: an encoded [inference.Order], and pixels without a word of whose
// they are: an extract, or the frame prepared for the model.
type Parcel struct {
	Order []byte
	Bytes io.ReadCloser
}

// Pack begins a job for a worker elsewhere. A nil parcel without an error means that there is nothing left to do. Errors as
// Do; those of the parcel's bytes are for Failed. Prepares is what the worker says of its bundle's Preparation.
func (w *Workshop) Pack(ctx context.Context, id, prepares string) (p *Parcel, err error) {
	if err := w.home.said(id); err != nil {
		return nil, named(id, err)
	}
	err = inference.Guard(w.Log, id, func() error {
		job, ok, err := w.Begin(ctx, id)
		if err != nil || !ok {
			return err
		}
		if b := w.Prepare[job.Model]; b != nil && b.Preparation() == prepares && b.Input.Len() <= inference.MaxPrepared {
			p, err = w.packPrepared(ctx, job, b)
		}
		if p == nil && err == nil {
			p, err = w.pack(ctx, job)
		}
		if errors.Is(err, errBegun) { // the try goes on
			return inference.Postponed(err)
		}
		return w.verdict(ctx, job, err)
	})
	return p, named(id, err)
}

// packPrepared decodes a still, which it has to do once in any case to draw on it, and prepares it in the worker's place.
// A nil parcel without an error: that is for the worker to do.
func (w *Workshop) packPrepared(ctx context.Context, job ledger.Job, b *inference.Bundle) (*Parcel, error) {
	entry, err := w.Keeper.Open(ctx, job.Entry)
	if err != nil {
		return nil, err
	}
	defer entry.Close()
	if entry.Instance.Count() != 1 {
		return nil, nil
	}
	var frame pixeldata.Frame
	err = w.Pictures.decode(ctx, func() error {
		frame, err = entry.Instance.Frame(ctx, 1)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, pixeldata.ErrCorrupt), errors.Is(err, pixeldata.ErrTooMuch):
		return nil, inference.Permanent(err)
	case err != nil: // perhaps the worker can
		return nil, nil
	}
	p, err := b.Reduce(frame.Image, analysis.Orientation(frame.Orientation))
	if err != nil {
		return nil, inference.Permanent(err)
	}
	order, err := inference.Order{Prepared: &p.Geometry, Note: frame.Note, Wishes: w.Wishes[job.Route]}.Encode()
	if err != nil {
		return nil, err
	}
	w.Pictures.keep(job.ID, frame.Image)
	return &Parcel{Order: order, Bytes: io.NopCloser(bytes.NewReader(p.Pixels))}, nil
}

func (w *Workshop) pack(ctx context.Context, job ledger.Job) (*Parcel, error) {
	entry, err := w.Keeper.Open(ctx, job.Entry)
	if err != nil {
		return nil, err
	}
	if entry.Instance.Video() { // its stream may hold words of whose it is, and what is said of it is kept here
		if err := entry.Close(); err != nil || w.Worker == nil {
			return nil, cmp.Or(err, w.atHome(ctx, job, errVideo))
		}
		return nil, w.watchAtHome(ctx, job)
	}
	extract, err := entry.Instance.Extract()
	if err != nil {
		err = errors.Join(w.unpacked(ctx, job, err), entry.Close())
		return nil, err
	}
	order, err := inference.Order{TransferSyntaxUID: extract.TransferSyntax.UID, Wishes: w.Wishes[job.Route]}.Encode()
	if err != nil {
		return nil, errors.Join(err, entry.Close())
	}
	r, pipe := io.Pipe()
	packed := make(chan struct{})
	go func() { // ends with the extract, or when r is closed
		defer close(packed)
		err := inference.Guard(w.Log, job.ID, func() error { _, err := extract.WriteTo(pipe); return err })
		if errors.Is(err, pixeldata.ErrCorrupt) || errors.Is(err, pixeldata.ErrTooMuch) {
			err = inference.Permanent(err)
		}
		pipe.CloseWithError(err)
	}()
	return &Parcel{Order: order, Bytes: &parcelBytes{PipeReader: r, packed: packed, entry: entry}}, nil
}

// errVideo says why a job stays at home.
var errVideo = errors.New("videos are analysed where they lie")

// unpacked ends a job with nothing in it for a worker.
func (w *Workshop) unpacked(ctx context.Context, job ledger.Job, why error) error {
	switch {
	case errors.Is(why, pixeldata.ErrUnsupported):
		return w.produce(ctx, job, w.Algorithms[job.Model].Model, func(*making, *Entry) (string, error) { return why.Error(), nil })
	case errors.Is(why, pixeldata.ErrCorrupt), errors.Is(why, pixeldata.ErrTooMuch):
		return inference.Permanent(why)
	}
	return why
}

// atHome does a job whose pixels must not leave, beside what the workers here do, one at a time.
func (w *Workshop) atHome(ctx context.Context, job ledger.Job, why error) error {
	if w.Worker == nil {
		return w.produce(ctx, job, w.Algorithms[job.Model].Model, func(*making, *Entry) (string, error) {
			return "no worker elsewhere is given it, and this gateway has none: " + why.Error(), nil
		})
	}
	w.words.Lock()
	defer w.words.Unlock()
	return inference.Guard(w.Log, job.ID, func() error { return w.analyse(ctx, job) })
}

type parcelBytes struct {
	*io.PipeReader
	packed <-chan struct{}
	entry  *Entry
}

func (p *parcelBytes) Close() error {
	_ = p.PipeReader.Close() // never fails
	<-p.packed
	return p.entry.Close()
}

// Unpack takes an encoded analysis, as Take, of the job that was offered for a model. Its error is Refused where the result
// is of no use.
func (w *Workshop) Unpack(ctx context.Context, id string, model analysis.Model, result io.Reader) error {
	a, err := analysis.Decode(result)
	if err == nil && (a.Model.Name != model.Name || a.Model.Version != model.Version || a.Model.Digest != model.Digest) {
		err = fmt.Errorf("%w: another model than the job is for", analysis.ErrFormat)
	}
	switch {
	case errors.Is(err, analysis.ErrFormat): // the worker's try was counted
		return inference.Refused(w.Failed(ctx, id, fmt.Errorf("result: %w", err)))
	case err != nil:
		return inference.Postponed(fmt.Errorf("job %s: result: %w", id, err))
	}
	return w.Take(ctx, id, a)
}

// Open says whether a job still is.
func (w *Workshop) Open(ctx context.Context, id string) (bool, error) {
	_, ok, err := w.waiting(ctx, id)
	return ok, err
}
