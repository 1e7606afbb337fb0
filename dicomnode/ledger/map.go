package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"endogate/dicomnode/dicom"
)

// PurposeMap is the Purpose of the map of a frame that a person asked for and sent. No report speaks of it.
const PurposeMap = "map"

// PutMap stores a map that a person has made of an instance, and puts it on the way to where results go: of the model in that study, else
// of all models there. It returns the object with these destinations, and whether it waits at the gate; where there is one of that name,
// which shows the same, of its revision or a later one, it returns that and changes nothing. ErrNotFound: the study has no such instance. ErrState: what the model said of
// the instance was taken back, or results of the study go nowhere.
func (l *Ledger) PutMap(ctx context.Context, o Object, at time.Time) (put Object, held bool, err error) {
	err = l.act(ctx, "page", &action{Name: "put-map", how: beforeSent, Objects: []Object{o}, At: at}, func(t *tx) error {
		put = o
		var study int64
		var retracted bool
		err := t.row(`SELECT i.study, EXISTS (SELECT 1 FROM job j WHERE j.instance = i.id AND j.model = ?3 AND j.retracted <> ''),
			EXISTS (SELECT 1 FROM gate g WHERE g.study = i.study AND g.held = 1)
			FROM instance i JOIN study s ON s.id = i.study WHERE i.sop_instance_uid = ?1 AND s.study_instance_uid = ?2 AND i.state <> 'conflict'`,
			[]any{o.Source, o.Instance.StudyInstanceUID, o.Model}, &study, &retracted, &held)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNotFound
		case err != nil:
			return err
		case retracted:
			return fmt.Errorf("%w: what the model said of the instance was taken back", ErrState)
		}
		before := objectRow{study: study}
		err = t.row("SELECT id, sop_instance_uid, entry, purpose, revision FROM object WHERE name = ? ORDER BY id DESC LIMIT 1", []any{o.Name},
			&before.id, &before.uid, &before.entry, &before.purpose, &before.revision)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case before.revision >= o.Revision:
			put.Instance.SOPInstanceUID, put.Entry, put.Purpose = before.uid, before.entry, before.purpose
			return nil
		default:
			if err := t.supersedeLost(before, "the map that was sent again", at); err != nil {
				return err
			}
		}
		if put.Destinations, err = t.resultsOf(study, o.Model); err != nil {
			return err
		}
		if len(put.Destinations) == 0 {
			return fmt.Errorf("%w: results of the study go to no destination", ErrState)
		}
		return t.insertObject(study, "", put, at)
	})
	if err != nil {
		return Object{}, false, fmt.Errorf("ledger: map of %s: %w", o.Source, err)
	}
	return put, held, nil
}

const lostMap = `SELECT o.revision FROM object o WHERE o.name = ?1 AND o.purpose = 'map'
	AND EXISTS (SELECT 1 FROM delivery d WHERE d.entry = o.entry AND d.state = 'parked' AND d.reason = ?2) ORDER BY o.id DESC LIMIT 1`

// MapRevision is the revision under which PutMap takes a map of a name: 0, or one more than that of a map whose bytes were lost on the way.
func (l *Ledger) MapRevision(ctx context.Context, name dicom.UID) (int, error) {
	lost, err := query(ctx, l.readDB, func(rows *sql.Rows) (revision int, err error) { return revision, rows.Scan(&revision) }, lostMap, name, notMadeAgain)
	if err != nil {
		return 0, fmt.Errorf("ledger: map %s: %w", name, err)
	}
	if len(lost) == 0 {
		return 0, nil
	}
	return lost[0] + 1, nil
}

// resultsOf are the destinations that results of a model in a study go to; where it is none of its models, of them all.
func (t *tx) resultsOf(study int64, model string) (of []string, err error) {
	rows, err := t.rows("SELECT model, destinations FROM exam WHERE study = ? ORDER BY id", study)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var all []string
	for rows.Next() {
		var name, text string
		var some []string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &some); err != nil {
			return nil, err
		}
		if all = append(all, some...); name == model {
			of = append(of, some...)
		}
	}
	if of == nil {
		of = all
	}
	slices.Sort(of)
	return slices.Compact(of), rows.Err()
}
