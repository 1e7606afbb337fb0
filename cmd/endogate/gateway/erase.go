package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/hl7"
	"endogate/reports/publish"
)

// Erased is what ErasePatient has removed, or would, and what it has not.
type Erased struct {
	ledger.Erasure
	Left []string // files that may have the patient's data and are not touched
	// Nameless is how many messages and refused instances in the spool name no patient, so that nobody can tell whose they are.
	Nameless int
}

// ErasePatient removes a patient's data from ledger and spool, as far as it is at rest. The gateway must not run. Where it
// ends in between, it is called again. What only the spool's actions knew of the patient goes with them: the ledger as it
// is then takes their place. With dry it changes nothing.
func ErasePatient(ctx context.Context, cfg configs.Config, patient ledger.Identifier, dry bool, by ledger.Actor, log *slog.Logger) (done Erased, err error) {
	err = keptAtRest(ctx, cfg, "erase", log, func(l *ledger.Ledger, j intake.Journal) error {
		if err := followed(ctx, l, j.Spool); err != nil {
			return err
		}
		ids, err := l.IdentifiersOf(ctx, patient)
		if err != nil {
			return err
		}
		plan, err := l.PlanErasure(ctx, patient, nil)
		if err != nil && !errors.Is(err, ledger.ErrNoPatient) { // messages may name the patient all the same
			return err
		}
		refused, err := l.Refused(ctx)
		if err != nil {
			return err
		}
		messages, nameless, err := naming(j.Spool, ids, plan.Studies, refused)
		if err != nil {
			return err
		}
		done.Nameless = nameless
		if done.Left, err = putAsides(cfg); err != nil {
			return err
		}
		done.Erasure, err = l.PlanErasure(ctx, patient, messages)
		if dry {
			return err
		}
		if err == nil {
			done.Erasure, err = l.ErasePatient(ledger.By(ctx, by), patient, messages, time.Now())
		}
		if err != nil && !(errors.Is(err, ledger.ErrNoPatient) && unfinished(j)) {
			return err
		}
		left, err := forgetBytes(ctx, l, j)
		done.Left = append(done.Left, left...)
		return err
	})
	return done, err
}

// unfinished says whether the ledger has forgotten a patient of whom the spool still has everything.
func unfinished(j intake.Journal) bool {
	for appended, err := range j.After(0) {
		if err == nil && ledger.Erases(appended.Actions) {
			return true
		}
	}
	return false
}

// followed is an error where the spool has what the ledger does not know yet: it could not be told whose it is.
func followed(ctx context.Context, l *ledger.Ledger, store *spool.Spool) error {
	position, err := l.Position(ctx)
	if err != nil {
		return err
	}
	for entry, err := range store.Entries(position) {
		if err != nil && !errors.Is(err, spool.ErrGone) || entry.Kind == spool.Received { // of all else what is gone was taken back
			return errors.New("erase: the spool has entries that the ledger has not taken in: start the gateway once, stop it in order, and try again")
		}
	}
	return nil
}

// naming returns the messages in the spool, and the instances that the ledger has refused, that name the patient or are about
// one of the studies, and how many name nobody.
func naming(store *spool.Spool, ids []ledger.Identifier, studies []dicom.UID, refused []string) (entries []string, nameless int, err error) {
	for entry, err := range store.Held(0) {
		var named []ledger.Identifier
		about := dicom.UID("")
		switch {
		case slices.Contains(refused, entry.ID): // it may be of no message, and damaged
			about = entry.Header.StudyInstanceUID
			named = append(named, ledger.Identifier{ID: entry.Header.PatientID, Authority: entry.Header.IssuerOfPatientID})
		case err != nil && !errors.Is(err, spool.ErrCorrupt):
			return nil, 0, fmt.Errorf("erase: nobody can tell whom it names, and nothing is erased: see to the disk, and try again: %w", err)
		case err != nil || entry.Kind != spool.Message:
			continue // what is damaged is the gateway's to tell of
		default:
			about = publish.StudyOf(entry.Record)
			if named, err = namedIn(store, entry.ID); err != nil {
				return nil, 0, err
			}
		}
		named = slices.DeleteFunc(named, func(i ledger.Identifier) bool { return i.ID == "" })
		is := func(i ledger.Identifier) bool {
			return slices.ContainsFunc(ids, func(id ledger.Identifier) bool {
				return i.ID == id.ID && (i.Authority == "" || id.Authority == "" || i.Authority == id.Authority)
			})
		}
		switch {
		case slices.Contains(studies, about), slices.ContainsFunc(named, is):
			entries = append(entries, entry.ID)
		case len(named) == 0 && about == "":
			nameless++
		}
	}
	return entries, nameless, nil
}

// patientFields are where a message names patients: by the identifiers of today, and of versions before 2.3.1.
var patientFields = map[string][]int{"PID": {2, 3, 4}, "MRG": {1, 2, 4}}

// namedIn returns the patients that a message names.
func namedIn(store *spool.Spool, id string) (named []ledger.Identifier, err error) {
	_, r, err := store.Open(id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	m, _ := hl7.Parse(text, hl7.Options{})
	if m == nil {
		return nil, nil
	}
	for _, s := range m.Segments() {
		for _, field := range patientFields[s.Name] {
			for _, rep := range s.Repetitions(field) {
				cx := rep.CX()
				named = append(named, ledger.Identifier{ID: strings.TrimSpace(cx.ID), Authority: cx.Authority()})
			}
		}
	}
	return named, nil
}

// forgetBytes puts the ledger as it is in the place of the actions that led to it, and takes what nothing needs off the disk.
func forgetBytes(ctx context.Context, l *ledger.Ledger, j intake.Journal) (left []string, err error) {
	if err := l.Scrub(ctx); err != nil {
		return nil, err
	}
	j.Spool.BeginSegment()
	if err := j.Checkpoint(ctx, l); err != nil {
		return nil, err
	}
	reclaim := &intake.Reclaimer{Spool: j.Spool, Ledger: l, Now: time.Now, Log: j.Log, Spare: func(id string) { err = errors.Join(err, j.Spool.Release(id)) }}
	if err := errors.Join(reclaim.Unneeded(ctx), err); err != nil {
		return nil, err
	}
	return j.Spool.Purge(ctx)
}

// putAsides are ledgers that a rebuild has put aside.
func putAsides(cfg configs.Config) ([]string, error) {
	return filepath.Glob(cfg.LedgerFile() + ".before-*")
}
