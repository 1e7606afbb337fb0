package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"endogate/dicomnode/dicom"
)

// forgettable is a study of which nothing is open, waits for a person or has bytes, and nothing has happened since ?1.
const forgettable = `SELECT s.id FROM study s WHERE s.forgotten_at IS NULL AND s.last_at < ?1 AND s.open = 0 AND s.parked = 0
	AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.study = s.id AND i.released_at IS NULL)
	AND NOT EXISTS (SELECT 1 FROM object o WHERE o.study = s.id AND o.released_at IS NULL)
	AND NOT EXISTS (SELECT 1 FROM event e WHERE e.study = s.id AND e.last_at >= ?1)
	ORDER BY s.last_at LIMIT 1`

// audited are the steps that persons make: they stay.
const audited = `'` + string(EventRetried) + `', '` + string(EventDiscarded) + `', '` + string(EventDeliveryUnparked) + `', '` +
	string(EventDeliveryDiscarded) + `', '` + string(DraftEdited) + `', '` + string(DraftSigned) + `', '` + string(DraftAmending) + `', '` + string(DraftAmended) + `', '` +
	string(DraftWithdrawn) + `', '` + string(DraftRetracted) + `', '` + string(EventForgotten) + `', '` + string(EventErased) + `', '` + string(EventGateReleased) + `', '` + string(EventCorrected) + `', '` + string(EventReviewed) + `'`

// forgetSteps delete rows of the study ?1, ?2 at most each, once their UIDs and digests are noted.
var forgetSteps = []string{
	`DELETE FROM event WHERE id IN (SELECT id FROM event WHERE study = ?1 AND what NOT IN (` + audited + `) LIMIT ?2)`,
	`INSERT OR IGNORE INTO known SELECT sop_instance_uid, 1, digest FROM object WHERE id IN (` + someObjects + `)`,
	`DELETE FROM object WHERE id IN (` + someObjects + `)`,
	`INSERT OR IGNORE INTO known SELECT sop_instance_uid, 0, digest FROM instance i WHERE id IN (` + someInstances + `) AND ` + workedOn,
	`DELETE FROM span WHERE job IN (SELECT id FROM job WHERE instance IN (` + someInstances + `))`,
	`DELETE FROM job WHERE instance IN (` + someInstances + `)`,
	`DELETE FROM instance WHERE id IN (` + someInstances + `)`,
	`UPDATE need SET ended_at = coalesce(ended_at, 0) WHERE entry IN (SELECT page FROM draft WHERE id IN (SELECT id FROM draft WHERE study = ?1 LIMIT ?2))`,
	`DELETE FROM notice WHERE id IN (SELECT id FROM notice WHERE study = ?1 LIMIT ?2)`,
	`DELETE FROM urgent WHERE study = ?1 AND ?2 > 0`,
	`DELETE FROM draft WHERE id IN (SELECT id FROM draft WHERE study = ?1 LIMIT ?2)`,
	`DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE study = ?1 LIMIT ?2)`, // after the instances that ask for them
}

// workedOn says of an instance that somebody has had it: a model has analysed it, or a destination has it.
const workedOn = `(EXISTS (SELECT 1 FROM job j WHERE j.instance = i.id AND j.state = 'done')
	OR EXISTS (SELECT 1 FROM delivery d WHERE d.entry = i.entry AND d.state = 'done'))`

const (
	someObjects   = `SELECT id FROM object WHERE study = ?1 ORDER BY twin_of IS NULL, id LIMIT ?2` // twins before what they are of
	someInstances = `SELECT id FROM instance WHERE study = ?1 ORDER BY id LIMIT ?2`
)

// Forget ends the history of the study that has been at rest the longest, if nothing has happened in it since before:
// its patient, instances, results, objects, deliveries and steps go. What stays is its UID, the revisions of its
// reports and the numbers of its drafts, the steps that persons made and what they decided about findings, and UID and digest of all that was made, or received and analysed or passed on: so
// what is sent again years later is still known, and no UID that was given here ever gets a second content. What nobody
// has worked on, such as what no route matched, is new when it is sent again. It deletes at most limit rows of each table
// at a time, and reports whether there may be more to forget. SQLite uses the room again.
func (l *Ledger) Forget(ctx context.Context, before time.Time, limit int, at time.Time) (more bool, err error) {
	if l.replaying == nil {
		some, err := query(ctx, l.readDB, scanString, forgettable, micros(before))
		if err != nil {
			return false, fmt.Errorf("ledger: forget: %w", err)
		}
		if len(some) == 0 {
			return false, nil // nothing that the journal need know
		}
	}
	a := &action{Name: "forget", how: batched, Until: before, Limit: limit, At: at}
	err = l.act(ctx, "reclaimer", a, func(t *tx) error {
		more, err = t.forget(before, limit, at)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("ledger: forget: %w", err)
	}
	return more, nil
}

// restingMessages and restingOrders are those that nothing has come of since ?1, but for orders of studies that are
// remembered, by what they say themselves or because a person has said so.
const (
	restingMessages = `SELECT id FROM message WHERE at < ?1 AND released_at IS NOT NULL ORDER BY at LIMIT ?2`
	restingOrders   = `SELECT o.id FROM imaging_order o WHERE o.changed_at < ?1
	AND NOT EXISTS (SELECT 1 FROM study s WHERE s.study_instance_uid = o.study_instance_uid AND s.forgotten_at IS NULL)
	AND NOT EXISTS (SELECT 1 FROM study s WHERE s.accession_number = o.accession AND s.forgotten_at IS NULL)
	AND NOT EXISTS (SELECT 1 FROM gate g WHERE g.correct_order = o.id)
	ORDER BY o.changed_at LIMIT ?2`
)

// ForgetMessages ends the history of at most limit messages and limit orders that nothing has happened to since before. A
// message that comes again then is a new one. It reports whether there may be more to forget.
func (l *Ledger) ForgetMessages(ctx context.Context, before time.Time, limit int, at time.Time) (more bool, err error) {
	if l.replaying == nil {
		for _, text := range []string{restingMessages, restingOrders} {
			some, err := query(ctx, l.readDB, scanString, text, micros(before), 1)
			if err != nil {
				return false, fmt.Errorf("ledger: forget messages: %w", err)
			}
			more = more || len(some) > 0
		}
		if !more {
			return false, nil // nothing that the journal need know
		}
	}
	a := &action{Name: "forget-messages", how: batched, Until: before, Limit: limit, At: at}
	err = l.act(ctx, "reclaimer", a, func(t *tx) error {
		for _, step := range []string{
			"DELETE FROM report_reading WHERE entry IN (SELECT entry FROM message WHERE id IN (" + restingMessages + "))",
			"DELETE FROM subject WHERE message IN (" + restingMessages + ")",
			"DELETE FROM message WHERE id IN (" + restingMessages + ")",
			"DELETE FROM imaging_order WHERE id IN (" + restingOrders + ")",
		} {
			if _, err := t.exec(step, micros(before), limit); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("ledger: forget messages: %w", err)
	}
	return more, nil
}

func (t *tx) forget(before time.Time, limit int, at time.Time) (more bool, err error) {
	var study int64
	err = t.row(forgettable, []any{micros(before)}, &study)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	full := false
	for _, step := range forgetSteps {
		n, err := t.exec(step, study, limit)
		if err != nil {
			return false, err
		}
		full = full || n >= int64(limit)
	}
	if full {
		return true, nil
	}
	if err := t.blankReviews(study); err != nil {
		return false, err
	}
	for _, table := range []string{"claim", "gate"} {
		if _, err := t.exec("DELETE FROM "+table+" WHERE study = ?", study); err != nil {
			return false, err
		}
	}
	_, err = t.exec(`UPDATE study SET patient_id = '', patient_name = '', accession_number = '', study_date = '', study_time = '',
		study_description = '', modality = '', urgent = 0, forgotten_at = ? WHERE id = ?`, micros(at), study)
	if err != nil {
		return false, err
	}
	return true, t.event(event{study: study, what: EventForgotten, at: at})
}

// ErrOtherContent says that a SOP Instance UID was given to other content before.
var ErrOtherContent = errors.New("ledger: the SOP Instance UID has other content already")

const otherContent = `SELECT EXISTS (SELECT 1 FROM object WHERE sop_instance_uid = ?1 AND digest NOT IN (?2, '')
	UNION ALL SELECT 1 FROM known WHERE sop_instance_uid = ?1 AND made = 1 AND digest NOT IN (?2, ''))`

// checkContent holds that a UID that was given here stands for one content, for ever.
func (t *tx) checkContent(uid dicom.UID, digest string) error {
	var other bool
	if err := t.row(otherContent, []any{uid, digest}, &other); err != nil {
		return err
	}
	if other {
		return ErrOtherContent
	}
	return nil
}
