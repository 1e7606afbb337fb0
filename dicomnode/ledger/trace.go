package ledger

import (
	"context"
	"fmt"
	"slices"

	"endogate/dicomnode/dicom"
)

const tracedStudies = selectStudy + `WHERE study_instance_uid = ?1 OR accession_number = ?1
	OR id IN (SELECT study FROM instance WHERE sop_instance_uid = ?1)
	OR id IN (SELECT study FROM object WHERE sop_instance_uid = ?1) ORDER BY last_at DESC LIMIT 100`

// Trace returns what became of name: a Study or SOP Instance UID, or an Accession Number. For
// a SOP Instance its study is cut down to the instance, what was made of it, and their steps.
// It returns ErrNotFound when the ledger knows no such name.
func (l *Ledger) Trace(ctx context.Context, name string) ([]StudyDetail, error) {
	if name == "" {
		return nil, fmt.Errorf("ledger: trace: %w", ErrNotFound)
	}
	studies, err := query(ctx, l.readDB, scanStudy, tracedStudies, name)
	if err == nil && len(studies) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: trace: %w", err)
	}
	details := make([]StudyDetail, len(studies))
	for i, s := range studies {
		if details[i], err = l.Study(ctx, s.StudyInstanceUID, Page{}); err != nil {
			return nil, err
		}
		if name != string(s.StudyInstanceUID) && name != s.AccessionNumber {
			details[i].narrow(dicom.UID(name))
		}
	}
	return details, nil
}

// narrow leaves what has to do with the SOP Instance uid.
func (d *StudyDetail) narrow(uid dicom.UID) {
	about := map[dicom.UID]bool{uid: true}
	for _, o := range d.Objects {
		if o.Source == uid || o.Instance.SOPInstanceUID == uid {
			about[o.Instance.SOPInstanceUID] = true
			about[o.Source] = o.Source != ""
		}
	}
	d.InstanceViews = slices.DeleteFunc(d.InstanceViews, func(v InstanceView) bool { return !about[v.Instance.SOPInstanceUID] })
	d.Objects = slices.DeleteFunc(d.Objects, func(o Object) bool { return !about[o.Instance.SOPInstanceUID] })
	d.Deliveries = slices.DeleteFunc(d.Deliveries, func(v Delivery) bool { return !about[v.Instance.SOPInstanceUID] })
	d.Events = slices.DeleteFunc(d.Events, func(e Event) bool { return !about[e.SOPInstanceUID] })
}

const entryOf = `SELECT entry FROM instance WHERE entry = ?1 OR sop_instance_uid = ?1
	UNION ALL SELECT entry FROM object WHERE entry = ?1 OR sop_instance_uid = ?1 LIMIT 1`

// EntryOf returns the spool entry of name, which is one or a SOP Instance UID, received or made here. It returns
// ErrNotFound when the ledger knows no such name.
func (l *Ledger) EntryOf(ctx context.Context, name string) (string, error) {
	entries, err := query(ctx, l.readDB, scanString, entryOf, name)
	if err == nil && len(entries) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("ledger: entry of %s: %w", name, err)
	}
	return entries[0], nil
}
