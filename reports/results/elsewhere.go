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
	"endogate/dicomnode/pixeldata/video"
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
// Do; those of the parcel's bytes are for Failed. Prepares is what the worker says of its bundle's Preparation, videos whether it
// takes any.
func (w *Workshop) Pack(ctx context.Context, id, prepares string, videos bool) (p *Parcel, err error) {
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
			p, err = w.pack(ctx, job, videos)
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
	p, err := b.Reduce(frame.Image, analysis.Pose{Orientation: analysis.Orientation(frame.Orientation), Aspect: frame.Aspect})
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

func (w *Workshop) pack(ctx context.Context, job ledger.Job, videos bool) (*Parcel, error) {
	entry, err := w.Keeper.Open(ctx, job.Entry)
	if err != nil {
		return nil, err
	}
	switch {
	case entry.Instance.Video() && videos:
		return w.packVideo(ctx, job, entry)
	case entry.Instance.Video():
		return nil, cmp.Or(entry.Close(), w.atHome(ctx, job, errVideo))
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
	return &Parcel{Order: order, Bytes: w.piped(job, func(to io.Writer) error { _, err := extract.WriteTo(to); return err }, entry.Close)}, nil
}

// packVideo has what was said of a video so far go along, and the video freed of what is not pixels.
func (w *Workshop) packVideo(ctx context.Context, job ledger.Job, entry *Entry) (*Parcel, error) {
	bodies, of, err := w.Ledger.Parts(ctx, job.ID)
	if err != nil {
		return nil, errors.Join(inference.Postponed(err), entry.Close())
	}
	clip, err := video.Open(ctx, entry.Instance)
	if err != nil {
		if errors.Is(err, video.ErrNoRoom) {
			err = inference.Postponed(err)
		}
		return nil, errors.Join(w.unpacked(ctx, job, err), entry.Close())
	}
	closing := func() error { return errors.Join(clip.Close(), entry.Close()) }
	by := w.Algorithms[job.Model].Model
	var kept bytes.Buffer
	if parts := (diary{w, job.ID, by}).parts(together(bodies)); len(parts) > 0 {
		err = analysis.Analysis{Model: by, Parts: parts}.Encode(&kept)
	}
	order, fault := inference.Order{
		TransferSyntaxUID: entry.Instance.TransferSyntax().UID, Note: clip.Note(), Kept: int64(kept.Len()), KeptOf: of, Wishes: w.Wishes[job.Route],
	}.Encode()
	if err = cmp.Or(err, fault); err != nil {
		return nil, errors.Join(err, closing())
	}
	return &Parcel{Order: order, Bytes: w.piped(job, func(to io.Writer) error {
		if _, err := to.Write(kept.Bytes()); err != nil {
			return err
		}
		err := clip.Bare(ctx, entry.Instance, to)
		if errors.Is(err, pixeldata.ErrWords) {
			err = fmt.Errorf("%w: %w", errVideo, err)
		}
		return err
	}, closing)}, nil
}

// together are as many bodies as one can say: what the others did is said again.
func together(bodies [][]byte) [][]byte {
	text := 0
	for i, body := range bodies {
		if text += len(body); text > analysis.MaxText {
			return bodies[:i]
		}
	}
	return bodies
}

// piped are the bytes that write writes, as they are read; done is called when they are closed.
func (w *Workshop) piped(job ledger.Job, write func(io.Writer) error, done func() error) io.ReadCloser {
	r, pipe := io.Pipe()
	packed := make(chan struct{})
	go func() { // ends with what is written, or when r is closed
		defer close(packed)
		err := inference.Guard(w.Log, job.ID, func() error { return write(pipe) })
		if errors.Is(err, pixeldata.ErrCorrupt) || errors.Is(err, pixeldata.ErrTooMuch) {
			err = inference.Permanent(err)
		}
		pipe.CloseWithError(err)
	}()
	return &parcelBytes{PipeReader: r, packed: packed, done: done}
}

// errVideo says why a video stays at home: the worker is of a release that takes none, or it cannot be freed of what is not pixels.
var errVideo = errors.New("the video is analysed where it lies")

// Keep makes durable what a worker elsewhere has said of a video so far, by the version of its model that is here.
func (w *Workshop) Keep(ctx context.Context, id string, part io.Reader) error {
	parts, p, err := inference.DecodeKept(part)
	if err != nil {
		return named(id, err)
	}
	job, open, err := w.waiting(ctx, id)
	if err != nil || !open {
		return named(id, cmp.Or(err, errors.New("nobody waits for it any more")))
	}
	return named(id, diary{w, id, w.Algorithms[job.Model].Model}.Keep(ctx, parts, p))
}

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
	if errors.Is(why, errVideo) {
		return w.watchAtHome(ctx, job)
	}
	w.words.Lock()
	defer w.words.Unlock()
	return inference.Guard(w.Log, job.ID, func() error { return w.analyse(ctx, job) })
}

type parcelBytes struct {
	*io.PipeReader
	packed <-chan struct{}
	done   func() error
}

func (p *parcelBytes) Close() error {
	_ = p.PipeReader.Close() // never fails
	<-p.packed
	return p.done()
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
