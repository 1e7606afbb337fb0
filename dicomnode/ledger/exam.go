package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

const selectExam = `SELECT e.id, s.study_instance_uid, e.route, e.model, e.state, e.reason, e.revision, e.first_at, e.last_at,
	e.reported_at, e.open_jobs, e.version, e.covered, e.destinations FROM exam e JOIN study s ON s.id = e.study `

func scanExam(rows *sql.Rows) (Exam, error) {
	var e Exam
	err := rows.Scan(&e.ID, &e.StudyInstanceUID, &e.Route, &e.Model, &e.State, &e.Reason, &e.Revision, timeColumn{&e.FirstAt},
		timeColumn{&e.LastAt}, timeColumn{&e.ReportedAt}, &e.OpenJobs, &e.Version, &e.covered, jsonColumn{&e.Destinations})
	return e, err
}

const dueExams = selectExam + `WHERE e.state = 'open' AND
	(e.open_jobs = 0 AND NOT EXISTS (SELECT 1 FROM job j WHERE j.exam = e.id AND j.again > 0) AND (e.quiet_at <= ?1 OR e.quiet_at <= e.over_at) OR e.results > e.covered AND e.since <= ?2) ORDER BY e.id`

// DueExams returns the exams to report on: they have something that no report has, and either
// no job is open and the last arrival is quiet ago or of before their order was completed, or the first of it is maxWait ago and there
// is a result. What came under a clock that has been set back since is for BringBack. Revision is that of the report to be made. With
// them come, Again, those whose last report is lost.
func (l *Ledger) DueExams(ctx context.Context, now time.Time, quiet, maxWait time.Duration) ([]Exam, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	exams, err := query(ctx, l.readDB, scanExam, dueExams, micros(now.Add(-quiet)), micros(now.Add(-maxWait)))
	if err != nil {
		return nil, fmt.Errorf("ledger: due exams: %w", err)
	}
	for i := range exams {
		exams[i].Revision++
	}
	again, err := l.examsAgain(ctx)
	if err != nil {
		return nil, fmt.Errorf("ledger: due exams: %w", err)
	}
	return append(exams, again...), nil
}

const examResults = `SELECT j.id, i.entry, i.sop_class_uid, i.sop_instance_uid, i.series_instance_uid, s.study_instance_uid,
	i.header, i.transfer_syntax_uid, j.inferred_at, j.state, j.reason, j.made_by, j.version, i.released_at IS NOT NULL, j.retracted, j.retracted_at, j.moving
	FROM job j JOIN instance i ON i.id = j.instance JOIN study s ON s.id = j.study
	WHERE j.exam = ? AND j.state <> 'open' AND j.version <= ? ORDER BY i.instance_number, i.id`

// ExamResults returns what became of the instances of e, as of when DueExams returned it, by
// Instance Number and then arrival. Instances whose job is still open are not among them.
func (l *Ledger) ExamResults(ctx context.Context, e Exam) ([]ExamResult, error) {
	rows, err := query(ctx, l.readDB, scanExamRow, examResults, e.ID, e.Version)
	if err != nil {
		return nil, fmt.Errorf("ledger: exam %d: %w", e.ID, err)
	}
	heatmaps, err := l.heatmaps(ctx, e.ID)
	if err != nil {
		return nil, fmt.Errorf("ledger: exam %d: %w", e.ID, err)
	}
	results := make([]ExamResult, len(rows))
	for i, r := range rows {
		results[i] = r.ExamResult
		results[i].Heatmaps = heatmaps[r.Instance.SOPInstanceUID]
		if r.state != JobDone {
			continue
		}
		if results[i].Results, err = l.results(ctx, r.job); err != nil {
			return nil, fmt.Errorf("ledger: exam %d: %w", e.ID, err)
		}
	}
	return results, nil
}

type examRow struct {
	ExamResult
	job   int64
	state JobState
}

func scanExamRow(rows *sql.Rows) (examRow, error) {
	var r examRow
	var header, reason string
	in := &r.Instance
	err := rows.Scan(&r.job, &r.Entry, &in.SOPClassUID, &in.SOPInstanceUID, &in.SeriesInstanceUID, &in.StudyInstanceUID,
		&header, &r.TransferSyntaxUID, timeColumn{&r.InferredAt}, &r.state, &reason, jsonColumn{&r.MadeBy}, &r.Order, &r.Released, &r.Retracted, timeColumn{&r.RetractedAt}, jsonColumn{&r.Moving})
	if err != nil {
		return examRow{}, err
	}
	if err := json.Unmarshal([]byte(header), &r.Header); err != nil {
		return examRow{}, fmt.Errorf("header of entry %s: %w", r.Entry, err)
	}
	r.Header.SOPInstance = r.Instance
	if r.state == JobDone {
		r.Lacks = reason
	} else {
		r.Skipped = r.state == JobSkipped
		r.Failed = reason
		if reason == "" {
			r.Failed = "not analysed"
		}
	}
	return r, nil
}

// heatmaps returns the heatmaps that were made for an exam, by the SOP Instance UID of their source.
func (l *Ledger) heatmaps(ctx context.Context, exam int64) (map[dicom.UID][]dicom.SOPInstance, error) {
	objects, err := query(ctx, l.readDB, scanObject, selectObject+`JOIN exam e ON e.study = o.study AND e.model = o.model
		WHERE e.id = ? AND o.purpose = 'heatmap' ORDER BY o.id`, exam)
	bySource := map[dicom.UID][]dicom.SOPInstance{}
	for _, o := range objects {
		bySource[o.Source] = append(bySource[o.Source], o.Instance)
	}
	return bySource, err
}

const selectResults = `SELECT j.name, r.first, r.count, r.start, r.duration, r.rows, r.columns, r.scores, r.findings, r.contours, r.notes
	FROM span r JOIN job j ON j.id = r.job `

func (l *Ledger) results(ctx context.Context, job int64) ([]analysis.Result, error) {
	return query(ctx, l.readDB, func(rows *sql.Rows) (analysis.Result, error) {
		r, err := scanResult(rows)
		return r.Result, err
	}, selectResults+"WHERE r.job = ? ORDER BY r.first, r.count", job)
}

// jobResult is a result with the name of its job.
type jobResult struct {
	analysis.Result
	job string
}

func scanResult(rows *sql.Rows) (jobResult, error) {
	var r jobResult
	var start, duration int64
	var packed []byte
	err := rows.Scan(&r.job, &r.Span.First, &r.Span.Count, &start, &duration, &r.Rows, &r.Columns,
		jsonColumn{&r.Scores}, jsonColumn{&r.Findings}, &packed, jsonColumn{&r.Notes})
	if err == nil {
		err = joinFindings(r.Findings, packed)
	}
	r.Span.Start, r.Span.Duration = time.Duration(start)*time.Microsecond, time.Duration(duration)*time.Microsecond
	return r, err
}

// FinishReport stores the objects of e's report, puts them on the way and counts the revision,
// all or nothing. What came after DueExams returned e is for the next revision. For a revision
// that is made already it changes nothing.
func (l *Ledger) FinishReport(ctx context.Context, e Exam, objects []Object, at time.Time) error {
	err := l.act(ctx, "reports", &action{Name: "finish-report", how: beforeSent, Exam: nameOf(e), Objects: objects, At: at}, func(t *tx) error {
		study, done, err := t.reporting(e)
		if err != nil || done {
			return err
		}
		_, err = t.exec(`UPDATE exam SET revision = ?1, covered = ?2, reported_at = ?3, reason = '',
			state = iif(version > ?2, 'open', 'reported'), since = iif(version > ?2, ?3, since) WHERE id = ?4`,
			e.Revision, e.Version, micros(at), e.ID)
		if err != nil {
			return err
		}
		detail := fmt.Sprintf("%s on %s, revision %d", e.Model, e.Route, e.Revision)
		if err := t.event(event{study: study, what: EventReported, at: at, detail: detail}); err != nil {
			return err
		}
		if err := t.supersedeReports(study, e, at); err != nil {
			return err
		}
		var screening string // of what came last
		err = t.row("SELECT screening FROM job WHERE exam = ? ORDER BY id DESC LIMIT 1", []any{e.ID}, &screening)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return t.insertObjects(study, screening, objects, at)
	})
	if err != nil {
		return fmt.Errorf("ledger: report on exam %d: %w", e.ID, err)
	}
	return nil
}

// reporting returns the study of e, and whether e's revision is made already.
func (t *tx) reporting(e Exam) (study int64, done bool, err error) {
	var revision int
	var version int64
	err = t.row("SELECT study, revision, version FROM exam WHERE id = ?", []any{e.ID}, &study, &revision, &version)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, false, ErrNotFound
	case err != nil:
		return 0, false, err
	case e.Revision <= revision:
		return study, true, nil
	case e.Revision != revision+1 || e.Version > version:
		return 0, false, fmt.Errorf("%w: revision %d is next", ErrState, revision+1)
	}
	return study, false, nil
}

// ParkExam says that no report can be made of e until a person has looked at it, or something
// new has come. It changes nothing when something has come already.
func (l *Ledger) ParkExam(ctx context.Context, e Exam, reason string, at time.Time) error {
	err := l.act(ctx, "reports", &action{Name: "park-exam", Exam: nameOf(e), Reason: reason, At: at}, func(t *tx) error {
		if e.Again {
			return t.parkAgain(e, reason, at)
		}
		study, done, err := t.reporting(e)
		if err != nil || done {
			return err
		}
		n, err := t.exec("UPDATE exam SET state = 'parked', reason = ? WHERE id = ? AND state = 'open' AND version = ?",
			reason, e.ID, e.Version)
		if err != nil || n == 0 {
			return err
		}
		return t.event(event{study: study, what: EventReportParked, at: at, detail: e.Model + ": " + reason})
	})
	if err != nil {
		return fmt.Errorf("ledger: park exam %d: %w", e.ID, err)
	}
	return nil
}

// RetryExam makes a parked exam due again. One that is not parked stays as it is.
func (l *Ledger) RetryExam(ctx context.Context, id int64, at time.Time) error {
	err := l.act(ctx, "reports", &action{Name: "retry-exam", Exam: &examName{id: id}, At: at}, func(t *tx) error {
		var study int64
		var state ExamState
		var model string
		err := t.row("SELECT study, state, model FROM exam WHERE id = ?", []any{id}, &study, &state, &model)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNotFound
		case err != nil || state != ExamParked:
			return err
		}
		if _, err := t.exec("UPDATE exam SET state = 'open', reason = '', since = ? WHERE id = ?", micros(at), id); err != nil {
			return err
		}
		return t.event(event{study: study, what: EventRetried, at: at, detail: "report of " + model})
	})
	if err != nil {
		return fmt.Errorf("ledger: retry exam %d: %w", id, err)
	}
	return nil
}

// Results are those of a job, in the order of their spans.
func (l *Ledger) Results(ctx context.Context, job string) ([]analysis.Result, error) {
	all, err := query(ctx, l.readDB, func(rows *sql.Rows) (analysis.Result, error) {
		r, err := scanResult(rows)
		return r.Result, err
	}, selectResults+"WHERE r.job = (SELECT id FROM job WHERE name = ?) ORDER BY r.first, r.count", job)
	return all, wrap("ledger: results of job "+job, err)
}
