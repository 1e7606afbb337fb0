package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata/video"
	"endogate/explain"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/reports"
	"endogate/reports/draft"
)

// Pictured is a frame with what a model answered about it.
type Pictured struct {
	Source  reports.Source
	Frame   int // from 1
	Image   *image.RGBA
	Layer   string // as it was asked for; empty: the last one
	Variant string // what is not as the gateway makes it; part of the UID
	At      time.Time
}

// MapObject makes the Secondary Capture of an answer. A note in its place says why there is no map to show.
func MapObject(b *reports.Builder, of reports.Algorithm, painter ask.Painter, f Pictured, asked *ask.Asked, a ask.Answer) (o reports.Object, note string, err error) {
	painter.OnFrame = true
	p, err := painter.Paint(asked, a)
	if err != nil || p.Note != "" {
		return o, p.Note, err
	}
	of.Explain = analysis.Explanation{Method: string(a.Method), Layer: a.Layer.Name, Fallback: a.Instead}
	if f.Layer == explain.LastLayer || f.Layer == "" {
		of.Explain.Layer = f.Layer
	}
	o, err = b.Heatmap(reports.Heatmap{
		Source: f.Source, Frame: f.Frame, Pixels: f.Image, Overlay: p.Overlay, Masked: p.Words.Masked, Colours: painter.Colours, Opacity: painter.Opacity,
		Outline: asked.Outline(), Number: asked.Number(), Against: asked.AgainstName(), Variant: f.Variant,
		Algorithm: of, Class: asked.ClassName(), Probability: asked.Probabilities[asked.Class], At: f.At, Revision: 1,
	})
	return o, "", err
}

// sentMaps makes objects of maps that a person sends, and has them delivered.
type sentMaps struct{ explanations }

// SendMap implements admin.Maps.
func (s sentMaps) SendMap(ctx context.Context, study, sop dicom.UID, frame int, q admin.Question, by draft.Author) (admin.SentMap, error) {
	if len(q.Black) > 0 || q.CropBorder {
		return admin.SentMap{}, fmt.Errorf("%w: what if the frame were another is for whoever asks, and is never sent", admin.ErrRefused)
	}
	is := s.current()
	model, f, asked, err := s.asked(ctx, study, sop, frame, q)
	if err != nil {
		return admin.SentMap{}, err
	}
	if live, _ := is.models.Live(model.Bundle.Name); live != model {
		return admin.SentMap{}, fmt.Errorf("%w: the configuration is read again", admin.ErrBusy)
	}
	if q.Digest != "" && q.Digest != model.Bundle.Digest {
		return admin.SentMap{}, fmt.Errorf("%w: the map was shown by another version of the model", admin.ErrConflict)
	}
	painter, err := s.paint(q)
	if err != nil {
		return admin.SentMap{}, err
	}
	id, err := s.views.ledger.EntryOf(ctx, string(sop))
	if err != nil {
		return admin.SentMap{}, notFound(err)
	}
	source, err := s.source(ctx, id)
	if err != nil {
		return admin.SentMap{}, err
	}
	if bad := source.Attributes.Header().BadUIDs(); len(bad) > 0 {
		return admin.SentMap{}, fmt.Errorf("%w: an object must refer to the instance by valid UIDs: %s", admin.ErrRefused, strings.Join(bad, ", "))
	}
	name, now := model.Bundle.Name, s.views.now()
	var o reports.Object
	err = model.Answer(ctx, asked, nil, func(a ask.Answer) error {
		var note string
		o, note, err = MapObject(is.builder, is.models.algorithms[name], *painter, Pictured{
			Source: source, Frame: frame, Image: f.Image, Layer: cmp.Or(q.Layer, is.models.Explained(name).Layer), Variant: s.variant(q), At: now,
		}, asked, a)
		if note != "" {
			return fmt.Errorf("%w: there is no map to send: %s", admin.ErrRefused, note)
		}
		return err
	})
	if err != nil {
		return admin.SentMap{}, refused(err)
	}
	return s.put(ledger.By(ctx, person(by)), o, ledger.Object{Model: name, Source: sop, Span: analysis.Still(frame)})
}

// source is what the object of a frame copies from its instance.
func (s sentMaps) source(ctx context.Context, id string) (of reports.Source, err error) {
	entry, err := s.current().keeper.Open(ctx, id)
	switch {
	case errors.Is(err, reports.ErrGone):
		return of, admin.ErrGone
	case err != nil:
		return of, err
	}
	defer func() { err = errors.Join(err, entry.Close()) }()
	if of = entry.Source; entry.Instance.Video() {
		err = s.views.clips.video(ctx, id, entry.Instance, func(c *video.Clip) error {
			of.Moving, of.Stream = c.Count(), c.Aspect()
			return nil
		})
	}
	return of, err
}

// put makes an object durable, and puts it on the way. What shows the same and is there already is not made once more.
func (s sentMaps) put(ctx context.Context, o reports.Object, of ledger.Object) (_ admin.SentMap, err error) {
	if of.Revision, err = s.views.ledger.MapRevision(ctx, o.Name); err != nil {
		return admin.SentMap{}, err
	}
	entry, digest, err := s.current().keeper.Keep(ctx, o)
	if err != nil {
		return admin.SentMap{}, err
	}
	of.Entry, of.Digest, of.Name, of.Instance, of.TransferSyntaxUID = entry, digest, o.Name, o.Header.SOPInstance, o.TransferSyntaxUID
	of.Purpose, of.Rank = ledger.PurposeMap, ledger.RankHeatmap
	put, held, err := s.views.ledger.PutMap(ctx, of, s.views.now())
	known := errors.Is(err, ledger.ErrState) || errors.Is(err, ledger.ErrNotFound)
	if known || err == nil && put.Entry != entry { // nothing needs it
		if failed := s.spool.Release(entry); failed != nil {
			return admin.SentMap{}, failed
		}
	}
	switch {
	case errors.Is(err, ledger.ErrState):
		return admin.SentMap{}, fmt.Errorf("%w: %w", admin.ErrConflict, err)
	case err != nil:
		return admin.SentMap{}, notFound(err)
	}
	sent := admin.SentMap{SOPInstanceUID: put.Instance.SOPInstanceUID, Destinations: []string{}}
	if put.Entry == entry {
		sent.Made, sent.Held = true, held
		for _, d := range s.views.destinations() { // what is for another one is parked
			if slices.Contains(put.Destinations, d.Name) {
				sent.Destinations = append(sent.Destinations, d.Name)
			}
		}
		s.current().wakeOutbox()
	}
	return sent, nil
}

// variant names what of a question makes another picture than this gateway would.
func (s sentMaps) variant(q admin.Question) string {
	var v []string
	if q.Colours != "" && q.Colours != s.current().cfg.Reports.ColourMap {
		v = append(v, "colours "+q.Colours)
	}
	if q.Opacity >= 0 && q.Opacity != s.current().cfg.Reports.Opacity {
		v = append(v, fmt.Sprintf("opacity %g", q.Opacity))
	}
	return strings.Join(v, ", ")
}

var _ admin.Maps = sentMaps{}
