package ledger

import (
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// OrderWasCancelled is why a job is skipped that had not begun when its order was cancelled.
const OrderWasCancelled = "its order was cancelled before the analysis began"

// followedFor is why a study follows the state of its order.
type followedFor int

const (
	aMessage followedFor = iota // said so, or a person has said which order it is
	newWork                     // is there, or is about to begin: what a person has retried stays
)

// follow has the work of a study follow the state of its order. A cancelled order's jobs are skipped as far as they have not
// begun; what is done or under way stays, and is said in the timeline, as nothing takes it back (sheet 4.2: no retraction
// by itself). They are opened again where the order stands again. A completed order ends the wait for images.
//
// An order that does not agree with images and patient decides nothing: it may be another study's. Follow says whether the
// order was cancelled too late for some of the work.
func (t *tx) follow(study studyName, why followedFor, at time.Time) (late bool, err error) {
	o, ordered, err := t.orderOf(study.uid)
	if err != nil || !ordered {
		return false, err
	}
	doubtful, err := t.doubtful(study.id)
	if err != nil || doubtful {
		return false, err
	}
	switch {
	case o.State == OrderCancelled:
		return t.stopWork(study, why, at)
	case why != aMessage:
		return false, nil
	}
	if err := t.takeUpWork(study, at); err != nil || o.State != OrderCompleted {
		return false, err
	}
	return false, t.endWait(study, at)
}

// endWait has a study that is complete wait for no more images.
func (t *tx) endWait(study studyName, at time.Time) error {
	n, err := t.exec("UPDATE exam SET over_at = ? WHERE study = ? AND (over_at IS NULL OR over_at < quiet_at)", micros(at), study.id)
	if err != nil || n == 0 {
		return err
	}
	return t.event(event{study: study.id, what: EventOrderCompleted, at: at, detail: "no report waits for more images"})
}

// doubtful reports whether images, order and patient of a study disagree, and no person has said which are right.
func (t *tx) doubtful(study int64) (doubtful bool, err error) {
	err = t.row("SELECT mismatches <> '[]' AND correct_id = '' AND correct_order IS NULL FROM gate WHERE study = ?", []any{study}, &doubtful)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return doubtful, err
}

const jobsNotBegun = `SELECT name FROM job WHERE exam IN (SELECT id FROM exam WHERE study = ?) AND state = 'open' AND attempts = 0
	AND (? OR retries = 0) ORDER BY id`

// stopWork skips the jobs of a study that have not begun, and says what of it has, and whether any has.
func (t *tx) stopWork(study studyName, why followedFor, at time.Time) (late bool, err error) {
	names, err := t.strings(jobsNotBegun, study.id, why == aMessage)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		j, err := t.job(name)
		if err != nil {
			return false, err
		}
		if err := t.endJob(j, JobSkipped, OrderWasCancelled, at); err != nil {
			return false, err
		}
		if err := t.event(j.event(EventNotAnalysed, at, j.model+": "+OrderWasCancelled)); err != nil {
			return false, err
		}
	}
	if why != aMessage {
		return false, nil
	}
	var begun int
	err = t.row(`SELECT count(*) FROM job WHERE exam IN (SELECT id FROM exam WHERE study = ?)
		AND (state = 'done' OR state = 'open' AND attempts > 0)`, []any{study.id}, &begun)
	if err != nil || begun+len(names) == 0 {
		return false, err
	}
	detail := fmt.Sprintf("%d analyses had not begun and are left out", len(names))
	if begun > 0 {
		detail += fmt.Sprintf("; %d are done or under way: what they make stays, tell who has it", begun)
	}
	return begun > 0, t.event(event{study: study.id, what: EventOrderCancelled, at: at, detail: detail})
}

const jobsLeftOut = `SELECT j.name FROM job j JOIN instance i ON i.id = j.instance WHERE j.exam IN (SELECT id FROM exam WHERE study = ?)
	AND j.state = 'skipped' AND j.reason = ? AND i.released_at IS NULL ORDER BY j.id`

// takeUpWork opens the jobs again that a cancelled order had stopped.
func (t *tx) takeUpWork(study studyName, at time.Time) error {
	names, err := t.strings(jobsLeftOut, study.id, OrderWasCancelled)
	if err != nil {
		return err
	}
	for _, name := range names {
		j, err := t.job(name)
		if err != nil {
			return err
		}
		if err := t.reopenJob(j.id, 0); err != nil {
			return err
		}
		if err := t.event(j.event(EventRetried, at, j.model+": its order stands")); err != nil {
			return err
		}
	}
	return nil
}

// followFirst is follow before a job begins: an interruption may have taken its first beginning back since.
func (t *tx) followFirst(j jobRow, at time.Time) error {
	if j.state != JobOpen {
		return nil
	}
	study := studyName{id: j.study}
	if err := t.row("SELECT study_instance_uid FROM study WHERE id = ?", []any{j.study}, &study.uid); err != nil {
		return err
	}
	_, err := t.follow(study, newWork, at)
	return err
}
