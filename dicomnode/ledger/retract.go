package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"endogate/dicomnode/dicom"
)

// Retraction says which results of models a person takes back. Model or Study is given; what is left empty is any.
type Retraction struct {
	Study   dicom.UID `json:"study,omitempty"`
	Route   string    `json:"route,omitempty"`
	Model   string    `json:"model,omitempty"`
	Version string    `json:"version,omitempty"` // of the model, that made a result
	Reason  string    `json:"reason"`
}

// Retracted is an exam with results that are taken back, or would be.
type Retracted struct {
	StudyInstanceUID dicom.UID `json:"study"`
	Route            string    `json:"route"`
	Model            string    `json:"model"`
	Results          int       `json:"results"`   // instances
	Delivered        int       `json:"delivered"` // objects made of them that a destination has
	exam, study      int64
}

// ErrNoPerson is why nothing is retracted: what tells an archive to hide or to distrust an object is a person's decision
// alone (IHE IOCM; a network must never do it).
var ErrNoPerson = errors.New("only a person retracts")

// standing picks the jobs j of exam e whose results r takes back: those that stand.
const standing = `j.exam = e.id AND j.state = 'done' AND j.retracted = '' AND (?4 = '' OR j.made_by ->> 'version' = ?4)`

const retractable = `SELECT e.id, e.study, s.study_instance_uid, e.route, e.model,
	(SELECT count(*) FROM job j WHERE ` + standing + `),
	(SELECT count(DISTINCT d.entry) FROM delivery d JOIN object o ON o.entry = d.entry WHERE o.study = e.study AND o.model = e.model AND d.state = 'done')
	FROM exam e JOIN study s ON s.id = e.study
	WHERE (?1 = '' OR s.study_instance_uid = ?1) AND (?2 = '' OR e.route = ?2) AND (?3 = '' OR e.model = ?3)
	AND EXISTS (SELECT 1 FROM job j WHERE ` + standing + `) AND (?5 IS NULL OR e.id IN (SELECT value FROM json_each(?5))) ORDER BY e.id`

// retractBatch is how many exams are done in one transaction: what is received waits for it.
const retractBatch = 20

func (r Retraction) args() []any { return []any{r.Study, r.Route, r.Model, r.Version, nil} }

// Validate says what is missing from r.
func (r Retraction) Validate() error {
	switch {
	case r.Study == "" && r.Model == "":
		return errors.New("a study or a model has to be named")
	case r.Version != "" && r.Model == "":
		return errors.New("a version is one of a model: name it")
	case r.Reason == "":
		return errors.New("a reason is needed: it stands in the reports")
	}
	return nil
}

func scanRetracted(rows *sql.Rows) (Retracted, error) {
	var r Retracted
	err := rows.Scan(&r.exam, &r.study, &r.StudyInstanceUID, &r.Route, &r.Model, &r.Results, &r.Delivered)
	return r, err
}

// Retractable lists what Retract would take back.
func (l *Ledger) Retractable(ctx context.Context, r Retraction) ([]Retracted, error) {
	err := r.Validate()
	if err != nil {
		return nil, fmt.Errorf("ledger: retract: %w", err)
	}
	found, err := query(ctx, l.readDB, scanRetracted, retractable, r.args()...)
	if err != nil {
		return nil, fmt.Errorf("ledger: retract: %w", err)
	}
	return found, nil
}

// ModelVersion is a version of a model.
type ModelVersion struct {
	Model   string `json:"model"`
	Version string `json:"version"`
}

// Standing lists models and versions that have results that stand: the first 100.
func (l *Ledger) Standing(ctx context.Context) ([]ModelVersion, error) {
	found, err := query(ctx, l.readDB, func(rows *sql.Rows) (m ModelVersion, err error) {
		return m, rows.Scan(&m.Model, &m.Version)
	}, `SELECT DISTINCT e.model, coalesce(j.made_by ->> 'version', '') FROM job j JOIN exam e ON e.id = j.exam
		WHERE j.state = 'done' AND j.retracted = '' ORDER BY 1, 2 LIMIT 100`)
	if err != nil {
		return nil, fmt.Errorf("ledger: models with results: %w", err)
	}
	return found, nil
}

// Retract takes results of models back and returns of which exams: those that Retractable lists, some at a time. When it
// fails on the way, those that it returns are done, and asked again it does the others. What was made of them and has not
// left yet does not leave any more; each exam gets another revision of its report, due at once, that says so, and the
// draft of its study another version. It is done by a person, or not at all: ErrNoPerson.
func (l *Ledger) Retract(ctx context.Context, r Retraction, at time.Time) (done []Retracted, err error) {
	by := actorOf(ctx, "")
	switch err = r.Validate(); {
	case err != nil:
	case by.Kind != ActorPerson && by.Kind != ActorToken:
		err = ErrNoPerson
	default:
		var all []Retracted
		if all, err = query(ctx, l.readDB, scanRetracted, retractable, r.args()...); err != nil {
			break
		}
		for some := range slices.Chunk(all, retractBatch) {
			names := make([]examName, len(some))
			for i, s := range some {
				names[i] = examName{Study: s.StudyInstanceUID, Route: s.Route, Model: s.Model}
			}
			var of []Retracted
			if of, err = l.retractOf(ctx, r, names, at); err != nil {
				break
			}
			done = append(done, of...)
		}
	}
	if err != nil {
		return done, fmt.Errorf("ledger: retract: %d exams are done; ask again for what is left: %w", len(done), err)
	}
	return done, nil
}

// retractOf takes back the results of some exams, all or nothing; of none named, as the journal of earlier versions has it, of
// all.
func (l *Ledger) retractOf(ctx context.Context, r Retraction, some []examName, at time.Time) (done []Retracted, err error) {
	a := &action{Name: "retract", Retraction: &r, Exams: some, At: at}
	return done, l.act(ctx, "", a, func(t *tx) error {
		done, err = t.retractable(r, some)
		if err != nil {
			return err
		}
		for _, exam := range done {
			if err := t.retract(exam, r, at); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) retractable(r Retraction, of []examName) (found []Retracted, err error) {
	args := r.args()
	if len(of) > 0 {
		var ids []int64
		for _, e := range of {
			var id int64
			err := t.row("SELECT e.id FROM exam e JOIN study s ON s.id = e.study WHERE s.study_instance_uid = ? AND e.route = ? AND e.model = ?", []any{e.Study, e.Route, e.Model}, &id)
			switch {
			case errors.Is(err, sql.ErrNoRows): // forgotten since
			case err != nil:
				return nil, err
			default:
				ids = append(ids, id)
			}
		}
		list, err := jsonText(ids)
		if err != nil {
			return nil, err
		}
		if ids == nil {
			list = "[]"
		}
		args[4] = list
	}
	rows, err := t.rows(retractable, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		exam, err := scanRetracted(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, exam)
	}
	return found, rows.Err()
}

// unsent picks the deliveries d that are not needed any more when results of exam ?2 are taken back: of heatmaps and clips of
// these, and of reports and key images that a new revision stands in the place of. An exam that shares study and model
// with another keeps its reports on the way: their revision that says so goes behind them.
const unsent = `d.state IN ('pending', 'parked') AND d.entry IN (SELECT o.entry FROM object o JOIN exam e ON e.study = o.study AND e.model = o.model
	WHERE e.id = ?2 AND (
		o.purpose IN ` + ofSource + ` AND o.source IN (SELECT i.sop_instance_uid FROM job j JOIN instance i ON i.id = j.instance WHERE j.exam = e.id AND j.retracted <> '')
		OR o.purpose IN ('sr', 'kos') AND (SELECT count(*) FROM exam x WHERE x.study = e.study AND x.model = e.model) = 1))`

// unsaid picks the deliveries d of what drafts say of the study of exam ?2 and no person has signed, as messages and as
// pages: the draft that says what was taken back is made anew.
const unsaid = `d.state IN ('pending', 'parked') AND d.study = (SELECT study FROM exam WHERE id = ?2) AND EXISTS (
	SELECT 1 FROM draft f WHERE f.study = d.study AND f.standing = 'draft' AND f.at = coalesce(
		(SELECT n.at FROM need n WHERE n.entry = d.entry AND n.by = 'draft'),
		(SELECT o.made_at FROM object o WHERE o.entry = d.entry AND o.purpose = 'pdf')))`

func (t *tx) retract(exam Retracted, r Retraction, at time.Time) error {
	_, err := t.exec(`UPDATE job AS j SET retracted = ?1, retracted_at = ?4 WHERE j.exam = ?2 AND j.state = 'done' AND j.retracted = ''
		AND (?3 = '' OR j.made_by ->> 'version' = ?3)`, r.Reason, exam.exam, r.Version, micros(at))
	if err != nil {
		return err
	}
	waiting, err := t.rows("SELECT d.entry FROM delivery d WHERE "+unsent, nil, exam.exam)
	if err != nil {
		return err
	}
	var entries []string
	for waiting.Next() {
		var entry string
		if err := waiting.Scan(&entry); err != nil {
			return errors.Join(err, waiting.Close())
		}
		entries = append(entries, entry)
	}
	if err := errors.Join(waiting.Err(), waiting.Close()); err != nil {
		return err
	}
	// Before what has waited for these goes on: it would say what is taken back.
	for _, where := range []string{unsaid, unsent} {
		_, err = t.stepDeliveries(EventDeliveryDiscarded, where, "'its result was retracted'", "state = 'discarded', ended_at = ?1", micros(at), exam.exam)
		if err != nil {
			return err
		}
	}
	if err := t.calm(exam, at); err != nil {
		return err
	}
	for _, entry := range entries {
		if err := t.goOn(entry, at); err != nil {
			return err
		}
	}
	// since is long ago: the report that says so waits for nothing.
	_, err = t.exec("UPDATE exam SET state = 'open', reason = '', version = version + 1, results = version + 1, since = 0 WHERE id = ?", exam.exam)
	if err != nil {
		return err
	}
	detail := fmt.Sprintf("%s on %s: %d results: %s", cmp.Or(r.Model, exam.Model), exam.Route, exam.Results, r.Reason)
	return t.event(event{study: exam.study, what: EventRetracted, at: at, detail: detail})
}

const deliveredTo = selectObject + `WHERE s.study_instance_uid = ?1 AND (o.model = ?2 AND o.purpose IN ('heatmap', 'clip', 'map', 'sr', 'kos')
		OR o.model = '' AND o.purpose IN ('sr', 'pdf') AND o.made_at <= (SELECT max(j.retracted_at) FROM job j WHERE j.exam = ?4 AND j.retracted <> ''))
	AND EXISTS (SELECT 1 FROM delivery d WHERE d.used = o.entry AND d.destination = ?3 AND d.state = 'done') ORDER BY o.id`

// DeliveredTo lists the objects that were made of results of e's model in e's study, and that a destination has: those of
// all routes. Where results of e were retracted, the reports on the study, and their pages, that were made before are among
// them: they rest on these.
func (l *Ledger) DeliveredTo(ctx context.Context, e Exam, destination string) ([]Object, error) {
	objects, err := query(ctx, l.readDB, scanObject, deliveredTo, e.StudyInstanceUID, e.Model, destination, e.ID)
	if err != nil {
		return nil, fmt.Errorf("ledger: exam %d: delivered: %w", e.ID, err)
	}
	return objects, nil
}
