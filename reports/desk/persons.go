package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// ErrUnauthenticated says that a person whom nobody knows may not do what others would hold for a report.
var ErrUnauthenticated = errors.New("desk: nobody has signed in: a report is signed or withdrawn by a person who is known, or where reports.unauthenticated_sign allows it")

// Version is a version of a draft with how it came to be.
type Version struct {
	ledger.Draft
	Content draft.Document
}

// Version returns a version of a draft: of number 0 of the newest draft, of version 0 the newest; or ledger.ErrNotFound.
func (d *Desk) Version(ctx context.Context, study dicom.UID, number, version int) (Version, error) {
	row, err := d.Ledger.Draft(ctx, study, number, version)
	if err != nil {
		return Version{}, err
	}
	v := Version{Draft: row}
	if err := json.Unmarshal(row.Document, &v.Content); err != nil {
		return Version{}, fmt.Errorf("desk: draft %d.%d of study %s: %w", row.Number, row.Version, study, err)
	}
	return v, nil
}

// Edit makes the edits of author in the version that at names, which has to be the newest of its draft: else it is a
// *ledger.DraftConflictError. Errors of the edits are those of draft.Apply.
func (d *Desk) Edit(ctx context.Context, study dicom.UID, at draft.Reference, edits []draft.Edit, author draft.Author) (draft.Document, error) {
	text, err := json.Marshal(edits)
	if err != nil {
		return draft.Document{}, fmt.Errorf("desk: %w", err)
	}
	return d.change(ctx, study, at, author, text, func(doc draft.Document, now time.Time) (draft.Document, ledger.DraftEvent, error) {
		for i, e := range edits {
			version, undo := e.Undoes(doc)
			if !undo || version < 1 || version >= doc.Version {
				continue // the package draft says what is wrong with it
			}
			earlier, err := d.version(ctx, study, doc.Number, version)
			if err != nil {
				return doc, "", err
			}
			edits[i].Earlier = &earlier
		}
		next, err := d.Templates.Apply(doc, edits, author, now)
		return next, ledger.DraftEdited, err
	})
}

// Sign makes the signed version of the one that at names, and sends it.
func (d *Desk) Sign(ctx context.Context, study dicom.UID, at draft.Reference, author draft.Author) (draft.Document, error) {
	if author.Unauthenticated && !d.UnauthenticatedSign {
		return draft.Document{}, ErrUnauthenticated
	}
	return d.change(ctx, study, at, author, nil, func(doc draft.Document, now time.Time) (draft.Document, ledger.DraftEvent, error) {
		read, err := d.version(ctx, study, at.Number, at.Version)
		if err != nil {
			return doc, "", err
		}
		if !read.Patient.Same(doc.Patient) { // who signs has read it of another
			return doc, "", &ledger.DraftConflictError{
				Number: doc.Number, Expected: doc.Version, Latest: doc.Version, LatestNumber: doc.Number, LatestAt: doc.At, OtherPatient: true,
			}
		}
		next, err := d.Templates.Sign(doc, author, now, d.ReportingSystem && !author.Unauthenticated)
		if next.Standing == draft.Amended {
			return next, ledger.DraftAmended, err
		}
		return next, ledger.DraftSigned, err
	})
}

// Amend opens a signed version again, to be edited and signed once more. Until then it stands as it is.
func (d *Desk) Amend(ctx context.Context, study dicom.UID, at draft.Reference, author draft.Author, reason string) (draft.Document, error) {
	return d.change(ctx, study, at, author, nil, func(doc draft.Document, now time.Time) (draft.Document, ledger.DraftEvent, error) {
		next, err := d.Templates.Amend(doc, author, now, reason)
		if next.Standing == draft.Drafted { // after a withdrawal
			return next, ledger.DraftDrafted, err
		}
		return next, ledger.DraftAmending, err
	})
}

// Withdraw takes a report back, and says so to those who have it.
func (d *Desk) Withdraw(ctx context.Context, study dicom.UID, at draft.Reference, author draft.Author, reason string) (draft.Document, error) {
	if author.Unauthenticated && !d.UnauthenticatedSign {
		return draft.Document{}, ErrUnauthenticated
	}
	return d.change(ctx, study, at, author, nil, func(doc draft.Document, now time.Time) (draft.Document, ledger.DraftEvent, error) {
		next, err := d.Templates.Withdraw(doc, author, now, reason)
		return next, ledger.DraftWithdrawn, err
	})
}

// change makes the next version of the one that at names.
func (d *Desk) change(ctx context.Context, study dicom.UID, at draft.Reference, author draft.Author, edits json.RawMessage,
	step func(draft.Document, time.Time) (draft.Document, ledger.DraftEvent, error),
) (draft.Document, error) {
	unlock, err := d.lock(ctx, study)
	if err != nil {
		return draft.Document{}, err
	}
	defer unlock()
	row, err := d.Ledger.Draft(ctx, study, at.Number, 0)
	if err != nil {
		return draft.Document{}, err
	}
	if row.Version != at.Version {
		newest, err := d.Ledger.Draft(ctx, study, 0, 0)
		if err != nil {
			return draft.Document{}, err
		}
		return draft.Document{}, &ledger.DraftConflictError{
			Number: at.Number, Expected: at.Version, Latest: row.Version, LatestNumber: newest.Number,
			LatestAt: row.At, LatestAuthor: row.Author, LatestUnauthenticated: row.Unauthenticated,
		}
	}
	var doc draft.Document
	if err := json.Unmarshal(row.Document, &doc); err != nil {
		return draft.Document{}, fmt.Errorf("desk: draft %d.%d of study %s: %w", row.Number, row.Version, study, err)
	}
	patient := doc.Patient
	if _, err := d.identify(ctx, study, &patient); err != nil {
		return draft.Document{}, fmt.Errorf("desk: study %s: %w", study, err)
	}
	d.Templates.Renamed(&doc, patient)
	next, event, err := step(doc, later(d.now(), doc.At)) // a clock that was set back puts no version before the one it follows
	if err != nil {
		return draft.Document{}, err
	}
	actor := ledger.Actor{Kind: ledger.ActorPerson}
	if !author.Unauthenticated {
		actor.Name = author.Name
	}
	// What has begun is finished, though who asked for it has gone: signed and not entered would be made twice.
	ctx = ledger.By(context.WithoutCancel(ctx), actor)
	return next, d.enter(ctx, next, event, row.Basis, edits, decisions(doc, next))
}

// decisions are those on what models said that next has and was has not.
func decisions(was, next draft.Document) (all []ledger.Agreement) {
	before := map[string]draft.Decision{}
	for _, f := range was.Findings {
		before[f.ID] = f.Decision
	}
	for _, f := range next.Findings {
		if f.Own() || f.Decision == before[f.ID] {
			continue
		}
		a := ledger.Agreement{
			Finding: f.ID, Model: f.Model.Name, ModelVersion: f.Model.Version, Route: f.Route, Class: f.Class, Site: f.Site, Decision: decided[f.Decision],
		}
		if f.SiteProposal != nil {
			a.Site = *f.SiteProposal
		}
		all = append(all, a)
	}
	return all
}

var decided = map[draft.Decision]ledger.Decision{
	draft.Proposed: ledger.Undone, draft.Accepted: ledger.Accept, draft.Rejected: ledger.Reject, draft.Changed: ledger.Modify,
}
