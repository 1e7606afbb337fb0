package ledger

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"endogate/dicomnode/dicom"
)

// Erasure is what is removed of a patient, or would be, and what is not.
type Erasure struct {
	Identifiers []Identifier // that named the patient
	Studies     []dicom.UID  // whose data goes
	Kept        []KeptStudy  // whose data stays
	Instances   int
	Objects     int
	Drafts      int // versions
	Orders      int
	Messages    int
	Delivered   map[string]int // what destinations have, by destination: nobody here can remove it
}

// KeptStudy is a study that is not erased.
type KeptStudy struct {
	StudyInstanceUID dicom.UID
	Why              string
}

// ErrNoPatient says that nothing is known of a patient.
var ErrNoPatient = errors.New("ledger: no such patient")

// Erases says whether actions of a journal have a patient erased.
func Erases(actions []byte) bool { return bytes.Contains(actions, []byte(`{"action":"erase-patient"`)) } // no text has such quotes

// PlanErasure says what ErasePatient would do. Messages are those whose bytes a caller has found to name the patient. ErrNoPatient: there is nothing.
func (l *Ledger) PlanErasure(ctx context.Context, patient Identifier, messages []string) (plan Erasure, err error) {
	err = l.write(ctx, func(t *tx) (err error) { // it has the one connection with the transactions' words; it changes nothing
		plan, _, err = t.planErasure(patient, messages)
		return err
	})
	if err != nil {
		return Erasure{}, fmt.Errorf("ledger: plan erasure: %w", err)
	}
	return plan, nil
}

// IdentifiersOf returns what names a patient: with those of whom was merged into it, or which it was merged into.
func (l *Ledger) IdentifiersOf(ctx context.Context, patient Identifier) (ids []Identifier, err error) {
	err = l.write(ctx, func(t *tx) (err error) {
		ids, _, _, err = t.toErase(patient)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: identifiers: %w", err)
	}
	return ids, nil
}

// ErasePatient removes what is known of a patient: demographics, aliases, orders, and studies with their instances,
// results, drafts, objects and deliveries, as far as these are at rest. Orders, aliases and messages go with the last study.
// UIDs and digests of what was made or worked on stay, so that no UID gets a second content, and so do the steps that
// persons made, without their words, and what persons decided about findings. The caller takes what Needed does not name
// out of the spool, and the journal that speaks of it.
func (l *Ledger) ErasePatient(ctx context.Context, patient Identifier, messages []string, at time.Time) (done Erasure, err error) {
	a := &action{Name: "erase-patient", Patient: &patient, Entries: messages, At: at}
	err = l.act(ctx, "erase", a, func(t *tx) error {
		var rows []int64
		done, rows, err = t.planErasure(patient, messages)
		if err != nil {
			return err
		}
		for _, study := range rows {
			if err := t.eraseStudy(study, at); err != nil {
				return err
			}
		}
		if len(done.Kept) > 0 {
			return nil
		}
		return t.eraseIdentity(done.Identifiers, messages, at)
	})
	if err != nil {
		return Erasure{}, fmt.Errorf("ledger: erase: %w", err)
	}
	return done, nil
}

// toErase returns the identifiers of the patient whom id names; nobody need have told of it.
func (t *tx) toErase(id Identifier) (ids []Identifier, current Identifier, known bool, err error) {
	p, known, err := t.survivor(id)
	if err != nil || !known {
		return []Identifier{id}, id, false, err
	}
	ids, err = t.identifiersOf(p.id)
	return ids, p.Identifier, true, err
}

func (t *tx) planErasure(patient Identifier, messages []string) (Erasure, []int64, error) {
	ids, current, known, err := t.toErase(patient)
	if err != nil {
		return Erasure{}, nil, err
	}
	plan := Erasure{Identifiers: ids, Messages: len(messages), Delivered: map[string]int{}}
	studies, err := t.studiesOfPatient(current, ids)
	if err != nil {
		return Erasure{}, nil, err
	}
	for _, id := range ids {
		var n int
		if err := t.row("SELECT count(*) FROM imaging_order WHERE patient_id = ? AND (patient_authority = ?2 OR ?2 = '')", []any{id.ID, id.Authority}, &n); err != nil {
			return Erasure{}, nil, err
		}
		plan.Orders += n
	}
	if !known && len(studies)+plan.Orders+len(messages) == 0 {
		return Erasure{}, nil, ErrNoPatient
	}
	var rows []int64
	for _, study := range studies {
		why, err := t.keptFor(study, ids)
		if err != nil {
			return Erasure{}, nil, err
		}
		var uid dicom.UID
		var instances, objects, drafts int
		if err := t.row(`SELECT study_instance_uid, (SELECT count(*) FROM instance WHERE study = s.id), (SELECT count(*) FROM object WHERE study = s.id),
			(SELECT count(*) FROM draft WHERE study = s.id) FROM study s WHERE id = ?`, []any{study}, &uid, &instances, &objects, &drafts); err != nil {
			return Erasure{}, nil, err
		}
		if why != "" {
			plan.Kept = append(plan.Kept, KeptStudy{uid, why})
			continue
		}
		rows, plan.Studies = append(rows, study), append(plan.Studies, uid)
		plan.Instances, plan.Objects, plan.Drafts = plan.Instances+instances, plan.Objects+objects, plan.Drafts+drafts
		if err := t.countDelivered(study, plan.Delivered); err != nil {
			return Erasure{}, nil, err
		}
	}
	return plan, rows, nil
}

// keptFor says why a study is not erased; "" that it is.
func (t *tx) keptFor(study int64, ids []Identifier) (string, error) {
	var open, parked int
	if err := t.row("SELECT open, parked FROM study WHERE id = ?", []any{study}, &open, &parked); err != nil {
		return "", err
	}
	if open+parked > 0 {
		return fmt.Sprintf("%d analyses, reports or deliveries are open, and %d wait for a person: let them end, or discard them", open, parked), nil
	}
	claims, err := t.claimsOf(study)
	if err != nil {
		return "", err
	}
	for _, c := range claims {
		one := c.Patient.ID == ""
		for _, id := range ids {
			one = one || c.Patient.is(id, true)
		}
		if !one {
			return "it has images of another patient", nil
		}
	}
	return "", nil
}

func (t *tx) countDelivered(study int64, by map[string]int) error {
	names, err := t.strings("SELECT destination FROM delivery WHERE study = ? AND state = 'done'", study)
	for _, name := range names {
		by[name]++
	}
	return err
}

// namesStudy picks the subjects u that the study s is.
const namesStudy = `s.id = ?1 AND (u.study_instance_uid = s.study_instance_uid OR u.accession <> '' AND u.accession = s.accession_number)`

// unneedOfStudy ends what keeps entries of the study ?1, of which nothing is open: what was sent of its drafts, delivered or
// superseded, has no row but its need.
const unneedOfStudy = `DELETE FROM need WHERE entry IN (SELECT entry FROM delivery WHERE study = ?1 UNION SELECT alternate FROM delivery WHERE study = ?1
	UNION SELECT page FROM draft WHERE study = ?1 UNION SELECT entry FROM event WHERE study = ?1 UNION SELECT entry FROM instance WHERE study = ?1 UNION SELECT entry FROM object WHERE study = ?1)`

func (t *tx) eraseStudy(study int64, at time.Time) error {
	for _, step := range []string{
		"UPDATE message SET released_at = coalesce(released_at, ?2) WHERE entry IN (SELECT entry FROM delivery WHERE study = ?1)",
		"UPDATE message SET released_at = coalesce(released_at, ?2) WHERE id IN (SELECT u.message FROM subject u JOIN study s ON " + namesStudy + ")",
	} {
		if _, err := t.exec(step, study, micros(at)); err != nil {
			return err
		}
	}
	if _, err := t.exec(unneedOfStudy, study); err != nil {
		return err
	}
	if err := t.blankReviews(study); err != nil {
		return err
	}
	for _, step := range forgetSteps {
		if _, err := t.exec(step, study, int64(1)<<62); err != nil {
			return err
		}
	}
	for _, step := range []string{
		"DELETE FROM subject WHERE rowid IN (SELECT u.rowid FROM subject u JOIN study s ON " + namesStudy + ")",
		"DELETE FROM claim WHERE study = ?1",
		"DELETE FROM gate WHERE study = ?1",
		"UPDATE event SET text = '' WHERE study = ?1",
	} {
		if _, err := t.exec(step, study); err != nil {
			return err
		}
	}
	_, err := t.exec(`UPDATE study SET patient_id = '', patient_name = '', accession_number = '', study_date = '', study_time = '',
		study_description = '', modality = '', urgent = 0, forgotten_at = ? WHERE id = ?`, micros(at), study)
	if err != nil {
		return err
	}
	return t.event(event{study: study, what: EventErased, at: at})
}

// eraseIdentity removes who the patient was, and what was ordered.
func (t *tx) eraseIdentity(ids []Identifier, messages []string, at time.Time) error {
	const orders = "(SELECT id FROM imaging_order WHERE patient_id = ?1 AND (patient_authority = ?2 OR ?2 = ''))"
	const about = "(SELECT u.message FROM subject u JOIN imaging_order o ON u.accession = o.accession WHERE u.accession <> '' AND o.id IN " + orders + ")"
	for _, id := range ids {
		if _, err := t.exec("UPDATE message SET released_at = coalesce(released_at, ?3) WHERE id IN "+about, id.ID, id.Authority, micros(at)); err != nil {
			return err
		}
		if _, err := t.exec("DELETE FROM report_reading WHERE patient_id = ?1 AND (?2 = '' OR coalesce(document ->> '$.patient.authority', '') IN ('', ?2))", id.ID, id.Authority); err != nil {
			return err
		}
		for _, step := range []string{
			"DELETE FROM subject WHERE accession <> '' AND accession IN (SELECT accession FROM imaging_order WHERE id IN " + orders + ")",
			"UPDATE gate SET correct_order = NULL WHERE correct_order IN " + orders,
			"DELETE FROM imaging_order WHERE id IN " + orders,
			"DELETE FROM patient WHERE current IN (SELECT current FROM patient WHERE identifier = ?1 AND (authority = ?2 OR ?2 = ''))",
		} {
			if _, err := t.exec(step, id.ID, id.Authority); err != nil {
				return err
			}
		}
	}
	for _, entry := range messages {
		if _, err := t.exec("UPDATE message SET released_at = coalesce(released_at, ?) WHERE entry = ?", micros(at), entry); err != nil {
			return err
		}
		if _, err := t.exec("DELETE FROM need WHERE entry = ?", entry); err != nil {
			return err
		}
	}
	return nil
}

// Scrub leaves nothing of what was deleted in the ledger's own files. Nothing else may use the ledger meanwhile.
func (l *Ledger) Scrub(ctx context.Context) error {
	if l.writeDB == nil {
		return ErrReadOnly
	}
	err := l.writes.tx.keepTemporary("FILE") // all of the ledger
	for _, step := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if err == nil {
			_, err = l.writes.tx.conn.ExecContext(ctx, step)
		}
	}
	return wrap("ledger: scrub", errors.Join(err, l.writes.tx.keepTemporary("MEMORY")))
}

// Used is how many bytes of the file have anything in them; the rest is free for what comes.
func (l *Ledger) Used(ctx context.Context) (n int64, err error) {
	err = l.readDB.QueryRowContext(ctx, "SELECT (c.page_count - f.freelist_count) * s.page_size FROM pragma_page_count c, pragma_freelist_count f, pragma_page_size s").Scan(&n)
	return n, wrap("ledger: size", err)
}

// Copy writes the ledger as it is to a file beside its own, which the caller removes, and returns its path, and up to where
// in the journal it has what was done, or further. Others may use the ledger meanwhile.
func (l *Ledger) Copy(ctx context.Context) (path string, acted uint64, err error) {
	path = l.path + ".checkpoint"
	if acted, err = ActedIn(ctx, l.path); err == nil {
		err = CopyFile(ctx, l.path, path)
	}
	return path, acted, err
}

// CopyFile writes the ledger at from, as it is at one moment, to a file in place of what is at to, and on the disk. Others may
// use the ledger meanwhile.
func CopyFile(ctx context.Context, from, to string) (err error) {
	db := openDatabase(dsn(from, "mode", "ro"), func(error) {})
	defer func() { err = errors.Join(err, db.Close()) }()
	if err = os.Remove(to); err == nil || errors.Is(err, fs.ErrNotExist) { // of one that an end cut off
		err = makePrivate(to)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	}
	if err == nil {
		err = syncFile(to)
	}
	if kindOf(err) == damaged {
		err = cmp.Or((&Ledger{path: from}).readable(ctx), err)
	}
	switch {
	case kindOf(err) == damaged:
		return fmt.Errorf("ledger: copy: %w", errors.Join(&Trouble{Damaged: true, Err: err}, os.RemoveAll(to)))
	case err != nil:
		return fmt.Errorf("ledger: copy: %w", errors.Join(err, os.RemoveAll(to)))
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
