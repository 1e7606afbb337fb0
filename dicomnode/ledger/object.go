package ledger

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"endogate/dicomnode/dicom"
)

// insertObjects writes objects with their alternates and puts them on the way, among those of the screening that they are made for.
func (t *tx) insertObjects(study int64, screening string, objects []Object, at time.Time) error {
	for _, o := range objects {
		if err := t.insertObject(study, screening, o, at); err != nil {
			return fmt.Errorf("object %s: %w", o.Instance.SOPInstanceUID, err)
		}
	}
	return nil
}

func (t *tx) insertObject(study int64, screening string, o Object, at time.Time) error {
	id, err := t.insertObjectRow(study, o, nil, at)
	if err != nil {
		return err
	}
	d := Delivery{
		Kind: KindDICOM, Entry: o.Entry, Instance: o.Instance, TransferSyntaxUID: transferSyntax(o),
		Purpose: o.Purpose, Rank: o.Rank, State: DeliveryPending, NextAt: at, screening: screening,
	}
	if twin := o.Alternate; twin != nil {
		d.Alternate = twin.Entry
		like := *twin
		like.Purpose, like.Model, like.Source, like.Span, like.Revision = o.Purpose, o.Model, o.Source, o.Span, o.Revision
		if _, err := t.insertObjectRow(study, like, &id, at); err != nil {
			return err
		}
	}
	detail := o.Purpose
	if o.Revision > 0 {
		detail = fmt.Sprintf("%s, revision %d", o.Purpose, o.Revision)
	}
	made := event{study: study, instance: o.Instance.SOPInstanceUID, entry: o.Entry, what: EventMade, at: at, detail: detail}
	if err := t.event(made); err != nil {
		return err
	}
	return t.deliver(study, d, o.Destinations, at)
}

func (t *tx) insertObjectRow(study int64, o Object, twinOf *int64, at time.Time) (int64, error) {
	if err := t.checkContent(o.Instance.SOPInstanceUID, o.Digest); err != nil {
		return 0, err
	}
	return t.insert(`INSERT INTO object
		(entry, digest, name, study, series_instance_uid, sop_class_uid, sop_instance_uid, transfer_syntax_uid, purpose, model, source, first,
		 count, revision, twin_of, made_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		o.Entry, o.Digest, cmp.Or(o.Name, o.Instance.SOPInstanceUID), study, o.Instance.SeriesInstanceUID, o.Instance.SOPClassUID, o.Instance.SOPInstanceUID, transferSyntax(o),
		o.Purpose, o.Model, o.Source, o.Span.First, o.Span.Count, o.Revision, twinOf, micros(at))
}

func transferSyntax(o Object) dicom.UID {
	if o.TransferSyntaxUID == "" {
		return dicom.ExplicitVRLittleEndian
	}
	return o.TransferSyntaxUID
}

const current = selectObject + "WHERE o.name = ? ORDER BY o.id DESC LIMIT 1"

// Current returns the object that was made last of those with a name; or ErrNotFound.
func (l *Ledger) Current(ctx context.Context, name dicom.UID) (Object, error) {
	objects, err := query(ctx, l.readDB, scanObject, current, name)
	if err == nil && len(objects) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Object{}, fmt.Errorf("ledger: object %s: %w", name, err)
	}
	return objects[0], nil
}
