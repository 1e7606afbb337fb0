package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"endogate/dicomnode/dicom"
)

// LostBytes is why work is parked whose data set is no longer in the spool. Receiving the data set again opens jobs
// that were parked with a reason that has these words, and deliveries that were parked without an answer of the peer.
const LostBytes = "bytes lost: send the instance again"

const keptAs = "SELECT entry FROM instance WHERE sop_instance_uid = ? AND digest = ? AND released_at IS NULL"

// KeptAs returns the spool entry that has the data set with this SOP Instance UID and digest, as far as the ledger
// knows. It is empty where there is none, or its work is done and it is released.
func (l *Ledger) KeptAs(ctx context.Context, uid dicom.UID, digest string) (string, error) {
	entries, err := query(ctx, l.readDB, scanString, keptAs, uid, digest)
	if err != nil {
		return "", fmt.Errorf("ledger: kept as: %w", err)
	}
	if len(entries) == 0 {
		return "", nil
	}
	return entries[0], nil
}

const sameBytes = `SELECT i.entry, r.key FROM json_each(?) r JOIN instance i ON i.sop_instance_uid = r.value ->> 0
	WHERE i.digest = r.value ->> 1 AND i.released_at IS NULL`

// findLost notes in receipts the entries that they are duplicates of and that are gone.
func (t *tx) findLost(receipts []Receipt) error {
	if !slices.ContainsFunc(receipts, func(r Receipt) bool { return r.Kept != nil }) {
		return nil
	}
	keys := make([][2]string, len(receipts))
	for i, r := range receipts {
		keys[i] = [2]string{string(r.Header.SOPInstanceUID), r.Digest}
	}
	list, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	rows, err := t.rows(sameBytes, string(list))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var entry string
		var i int
		if err := rows.Scan(&entry, &i); err != nil {
			return err
		}
		if r := &receipts[i]; entry != r.ID && r.Kept != nil && !r.Kept(entry) {
			r.Lost = entry
		}
	}
	return rows.Err()
}

// again takes in a data set that was received before as another entry.
func (b *batch) again(r Receipt, k known) (Verdict, error) {
	lost := r.Lost == k.entry // as findLost or the caller has found
	if int64(r.Seq) <= b.position && !lost {
		return Duplicate, nil // all of it is there already
	}
	verdict, err := Duplicate, error(nil)
	if k.released || lost {
		verdict, err = Restored, b.restore(r, k)
	} else {
		r.ID = k.entry // which is the one that is kept
		err = b.event(event{
			study: k.study, instance: r.Header.SOPInstanceUID, entry: k.entry, what: EventDuplicate, at: r.At, by: r.sender(),
			detail: "from " + r.CallingAE, merge: "duplicate " + k.entry,
		})
	}
	if err == nil && k.state == InstanceNotAnalysed {
		err = b.takeUp(r, k)
	}
	return verdict, err
}

// forgotten notes that a data set came again whose work was done, and whose history is forgotten.
func (b *batch) forgotten(r Receipt) error {
	if int64(r.Seq) <= b.position {
		return nil // it is noted already
	}
	e := event{
		instance: r.Header.SOPInstanceUID, entry: r.ID, what: EventDuplicate, at: r.At, by: r.sender(),
		detail: "from " + r.CallingAE + ": its work was done, its history is forgotten", merge: "duplicate " + string(r.Header.SOPInstanceUID),
	}
	err := b.row("SELECT id FROM study WHERE study_instance_uid = ?", []any{r.Header.StudyInstanceUID}, &e.study)
	if err != nil {
		return err
	}
	return b.event(e)
}

const restoreInstance = `UPDATE instance SET entry = ?1, seq = ?2, transfer_syntax_uid = ?3, calling_ae = ?4, called_ae = ?5,
	received_at = ?6, released_at = NULL, held = state = 'conflict' OR state = 'not-analysed'
		AND NOT EXISTS (SELECT 1 FROM job j WHERE j.instance = ?7)
		AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.entry = ?8)
	WHERE id = ?7`

const restoreDeliveries = `UPDATE delivery SET entry = ?1, used = iif(used = ?2, ?1, used),
	transfer_syntax_uid = iif(state IN ('pending', 'sent', 'parked'), ?3, transfer_syntax_uid) WHERE entry = ?2`

// restore puts the entry of r in the place of the one that is gone, and opens again what waited for it. Jobs get the
// IDs of their new entry, so that no worker takes a job for one on the bytes that are gone.
func (b *batch) restore(r Receipt, k known) error {
	if _, err := b.study(r); err != nil {
		return err
	}
	_, err := b.exec(restoreInstance, r.ID, int64(r.Seq), r.TransferSyntaxUID, r.CallingAE, r.CalledAE, micros(r.At), k.id, k.entry)
	if err != nil {
		return err
	}
	if _, err := b.exec(restoreDeliveries, r.ID, k.entry, r.TransferSyntaxUID); err != nil {
		return err
	}
	err = b.event(event{
		study: k.study, instance: r.Header.SOPInstanceUID, entry: r.ID, what: EventRestored, at: r.At, by: r.sender(),
		detail: "from " + r.CallingAE + ", in place of " + k.entry,
	})
	if err != nil {
		return err
	}
	if err := b.restoreJobs(r, k); err != nil {
		return err
	}
	if err := b.orderLost(k.study, r.Header.SOPInstanceUID, r.At); err != nil {
		return err
	}
	return b.restoreLostDeliveries(r)
}

const jobsOfInstance = "SELECT id, model, state, reason FROM job WHERE instance = ? ORDER BY id"

func (b *batch) restoreJobs(r Receipt, k known) error {
	type row struct {
		id            int64
		model, reason string
		state         JobState
	}
	var jobs []row
	rows, err := b.rows(jobsOfInstance, k.id)
	if err != nil {
		return err
	}
	for rows.Next() {
		var j row
		if err := rows.Scan(&j.id, &j.model, &j.state, &j.reason); err != nil {
			return errors.Join(err, rows.Close())
		}
		jobs = append(jobs, j)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, j := range jobs {
		if _, err := b.exec("UPDATE job SET name = ? WHERE id = ?", JobID(r.ID, j.model), j.id); err != nil {
			return err
		}
		waited := j.state == JobParked && strings.Contains(j.reason, LostBytes)
		if j.state != JobOpen && !waited {
			continue
		}
		if err := b.reopenJob(j.id, 0); err != nil {
			return err
		}
		if !waited {
			continue
		}
		retried := event{study: k.study, instance: r.Header.SOPInstanceUID, entry: r.ID, what: EventRetried, at: r.At, detail: j.model}
		if err := b.event(retried); err != nil {
			return err
		}
	}
	return nil
}

// waitedForBytes picks deliveries d of entry ?2 that were parked without an answer of the peer.
const waitedForBytes = `d.entry = ?2 AND d.state = 'parked' AND d.protocol = ''
	AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.entry = d.entry AND i.state = 'conflict')`

func (b *batch) restoreLostDeliveries(r Receipt) error {
	_, err := b.stepDeliveries(EventDeliveryUnparked, waitedForBytes, "'its bytes are back'", setPending, micros(r.At), r.ID)
	if err != nil {
		return err
	}
	_, err = b.parkUnconfigured(r.At)
	return err
}

// takeUp gives a data set that was not analysed the work that its route has for it now. r has the ID of its entry.
func (b *batch) takeUp(r Receipt, k known) error {
	if k.route != "" && (r.Skip != "" || len(r.Models) == 0) {
		return nil
	}
	in := instanceRow{r: r, id: k.id, study: k.study, state: InstanceQueued}
	if k.route == "" && r.Route != "" {
		if _, err := b.exec("UPDATE instance SET route = ? WHERE id = ?", r.Route, k.id); err != nil {
			return err
		}
		if err := b.forward(in); err != nil {
			return err
		}
	}
	if r.Skip == "" {
		if err := b.takeUpJobs(in); err != nil {
			return err
		}
	}
	_, err := b.exec("UPDATE instance SET held = held AND ? WHERE id = ?", in.held(), k.id)
	return err
}

func (b *batch) takeUpJobs(in instanceRow) error {
	for _, model := range in.r.Models {
		var job int64
		err := b.row("SELECT id FROM job WHERE name = ? AND state = 'skipped'", []any{JobID(in.r.ID, model)}, &job)
		switch {
		case err == nil:
			if err = b.reopenJob(job, 1); err == nil {
				err = b.event(in.event(EventRetried, model))
			}
		case errors.Is(err, sql.ErrNoRows):
			var exam *arrivals
			if exam, err = b.exam(in, model); err == nil {
				err = b.makeJob(in, model, JobOpen, exam)
			}
		}
		if err != nil {
			return err
		}
	}
	if len(in.r.Models) == 0 {
		return nil
	}
	if _, err := b.study(in.r); err != nil {
		return err
	}
	_, err := b.exec("UPDATE instance SET state = 'queued', reason = '' WHERE id = ?", in.id)
	return err
}
