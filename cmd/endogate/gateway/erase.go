package gateway

import (
	"context"
	"errors"
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
		messages, err := naming(j.Spool, ids, plan.Studies)
		if err != nil {
			return err
		}
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
		if err != nil || entry.Kind == spool.Received {
			return errors.New("erase: the spool has entries that the ledger has not taken in: start the gateway once, stop it in order, and try again")
		}
	}
	return nil
}

// naming returns the messages in the spool that name the patient, or are about one of the studies.
func naming(store *spool.Spool, ids []ledger.Identifier, studies []dicom.UID) (entries []string, err error) {
	for entry, err := range store.Held(0) {
		if err != nil || entry.Kind != spool.Message {
			continue // what cannot be read is the gateway's to tell of
		}
		names := slices.Contains(studies, publish.StudyOf(entry.Record))
		if !names {
			names, err = messageNames(store, entry.ID, ids)
		}
		if err != nil {
			return nil, err
		}
		if names {
			entries = append(entries, entry.ID)
		}
	}
	return entries, nil
}

func messageNames(store *spool.Spool, id string, ids []ledger.Identifier) (bool, error) {
	_, r, err := store.Open(id)
	if err != nil {
		return false, err
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(r)
	if err != nil {
		return false, err
	}
	m, _ := hl7.Parse(text, hl7.Options{})
	if m == nil {
		return false, nil
	}
	for _, path := range []string{"PID", "MRG"} {
		for _, s := range m.Segments() {
			field := map[string]int{"PID": 3, "MRG": 1}[path]
			if s.Name != path {
				continue
			}
			for _, rep := range s.Repetitions(field) {
				cx := rep.CX()
				is := func(i ledger.Identifier) bool {
					return i.ID == strings.TrimSpace(cx.ID) && (i.Authority == "" || cx.Authority() == "" || i.Authority == cx.Authority())
				}
				if slices.ContainsFunc(ids, is) {
					return true, nil
				}
			}
		}
	}
	return false, nil
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
