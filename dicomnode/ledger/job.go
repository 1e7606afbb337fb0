package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

const selectJob = `SELECT j.name, i.entry, j.model, i.sop_class_uid, i.sop_instance_uid, i.series_instance_uid,
	s.study_instance_uid, i.route, j.state, j.attempts, j.retries, j.inferred_at, j.ended_at, j.reason, j.made_by, j.retracted, j.priority, j.again, e.destinations, i.size, j.screening <> '', i.received_at
	FROM job j JOIN instance i ON i.id = j.instance JOIN study s ON s.id = j.study JOIN exam e ON e.id = j.exam `

func scanJob(rows *sql.Rows) (Job, error) {
	var j Job
	err := rows.Scan(jobFields(&j)...)
	return j, err
}

func jobFields(j *Job) []any {
	return []any{
		&j.ID, &j.Entry, &j.Model, &j.Instance.SOPClassUID, &j.Instance.SOPInstanceUID, &j.Instance.SeriesInstanceUID,
		&j.Instance.StudyInstanceUID, &j.Route, &j.State, &j.Attempts, &j.Retries,
		timeColumn{&j.InferredAt},
		timeColumn{&j.EndedAt},
		&j.Reason,
		jsonColumn{&j.MadeBy},
		&j.Retracted,
		&j.Priority,
		&j.tries,
		jsonColumn{&j.Destinations},
		&j.Size,
		&j.Bulk,
		timeColumn{&j.ReceivedAt},
	}
}

const openJobs = selectJob + `WHERE j.state = 'open' AND j.id > coalesce((SELECT id FROM job WHERE name = ?), 0)
	ORDER BY j.id LIMIT ?`

// OpenJobs returns at most limit open jobs in the order they were opened, from the one after the job with the ID
// after; with "", or an ID that is no more, from the first. One that is opened again goes to the end, so a caller that
// remembers the last ID it got gets what was opened since. It can miss some only when that very job was opened again:
// look at all of them now and then.
func (l *Ledger) OpenJobs(ctx context.Context, after string, limit int) ([]Job, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	jobs, err := query(ctx, l.readDB, scanJob, openJobs, after, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: open jobs: %w", err)
	}
	return jobs, nil
}

// Line is where open jobs wait for their turn: those that instances of one source, a calling AE, have for a model, of one
// priority.
type Line struct {
	Name   string
	Newest int64 // grows when a job is opened
}

// Each line is found by a search of its own: it costs nothing how many jobs there are.
const openLines = `WITH RECURSIVE line (name) AS (
		SELECT min(line) FROM job WHERE state = 'open'
	UNION ALL
		SELECT (SELECT min(line) FROM job WHERE state = 'open' AND job.line > line.name) FROM line WHERE name IS NOT NULL)
	SELECT name, (SELECT max(id) FROM job WHERE state = 'open' AND job.line = line.name) FROM line WHERE name IS NOT NULL`

// Lines returns the lines that have open jobs.
func (l *Ledger) Lines(ctx context.Context) ([]Line, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	lines, err := query(ctx, l.readDB, func(rows *sql.Rows) (o Line, err error) { return o, rows.Scan(&o.Name, &o.Newest) }, openLines)
	return lines, wrap("ledger: lines", err)
}

const jobsInLine = selectJob + `WHERE j.state = 'open' AND j.line = ? AND j.id > coalesce((SELECT id FROM job WHERE name = ?), 0)
	ORDER BY j.id LIMIT ?`

// JobsInLine is OpenJobs of one line.
func (l *Ledger) JobsInLine(ctx context.Context, line, after string, limit int) ([]Job, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	jobs, err := query(ctx, l.readDB, scanJob, jobsInLine, line, after, limit)
	return jobs, wrap("ledger: jobs in line", err)
}

// Job returns the job id, or ErrNotFound.
func (l *Ledger) Job(ctx context.Context, id string) (Job, error) {
	name, again := strings.CutPrefix(id, againPrefix)
	jobs, err := query(ctx, l.readDB, scanJob, selectJob+"WHERE j.name = ?", name)
	if err != nil {
		return Job{}, fmt.Errorf("ledger: job %s: %w", id, err)
	}
	if len(jobs) == 0 {
		return Job{}, fmt.Errorf("ledger: job %s: %w", id, ErrNotFound)
	}
	if again {
		jobs[0].again()
	}
	return jobs[0], nil
}

// jobRow is what a step needs to know of a job.
type jobRow struct {
	id, study, exam int64
	name            string
	model           string
	state           JobState
	instance        dicom.UID
	entry           string
	released        bool // its bytes
	again           bool // it is done once more
}

func (t *tx) job(name string) (jobRow, error) {
	j := jobRow{}
	j.name, j.again = strings.CutPrefix(name, againPrefix)
	err := t.row(`SELECT j.id, j.study, j.exam, j.model, iif(?2, iif(j.again > 0, 'open', 'done'), j.state), i.sop_instance_uid, i.entry, i.released_at IS NOT NULL
		FROM job j JOIN instance i ON i.id = j.instance WHERE j.name = ?1`, []any{j.name, j.again},
		&j.id, &j.study, &j.exam, &j.model, &j.state, &j.instance, &j.entry, &j.released)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return j, err
}

func (j jobRow) event(what What, at time.Time, detail string) event {
	return event{study: j.study, instance: j.instance, entry: j.entry, what: what, at: at, detail: detail}
}

// stepJob runs do on the job of a.
func (l *Ledger) stepJob(ctx context.Context, what string, a *action, do func(*tx, jobRow) error) error {
	err := l.act(ctx, "worker", a, func(t *tx) error {
		j, err := t.job(a.Job)
		if err != nil {
			return err
		}
		return do(t, j)
	})
	if err != nil {
		return fmt.Errorf("ledger: %s job %s: %w", what, a.Job, err)
	}
	return nil
}

// endOpenJob is stepJob for the end of a job that somebody waits for: there is one while it is open. One that is not is
// ErrState, so that whoever comes second knows it.
func (l *Ledger) endOpenJob(ctx context.Context, what string, a *action, do func(*tx, jobRow) error) error {
	return l.stepJob(ctx, what, a, func(t *tx, j jobRow) error {
		if j.state != JobOpen {
			return fmt.Errorf("%w: it is %s", ErrState, j.state)
		}
		return do(t, j)
	})
}

// StartJob counts an attempt and returns the job. InferredAt is that of the first attempt
// ever, so that a job done again gives the same bytes. A job that is not open is returned
// unchanged: the caller looks at State.
func (l *Ledger) StartJob(ctx context.Context, id string, now time.Time) (Job, error) {
	var job Job
	err := l.stepJob(ctx, "start", &action{Name: "start-job", Job: id, At: now}, func(t *tx, j jobRow) error {
		job = Job{}
		if j.again {
			if _, err := t.exec("UPDATE job SET again = again + 1 WHERE id = ? AND again > 0", j.id); err != nil {
				return err
			}
			err := t.row(selectJob+"WHERE j.id = ?", []any{j.id}, jobFields(&job)...)
			job.again()
			return err
		}
		if err := t.followFirst(j, now); err != nil {
			return err
		}
		_, err := t.exec("UPDATE job SET attempts = attempts + 1, inferred_at = coalesce(inferred_at, ?) WHERE name = ? AND state = 'open'",
			micros(now), id)
		if err != nil {
			return err
		}
		return t.row(selectJob+"WHERE j.name = ?", []any{id}, jobFields(&job)...)
	})
	if err != nil {
		return Job{}, err
	}
	return job, nil
}

// UnstartJob takes back the attempt that StartJob counted, for an interruption that is no fault of the job, such as
// an orderly stop. A job that is not open, or has no attempt counted, stays as it is.
func (l *Ledger) UnstartJob(ctx context.Context, id string) error {
	return l.stepJob(ctx, "take back", &action{Name: "unstart-job", Job: id}, func(t *tx, j jobRow) error {
		if j.again {
			_, err := t.exec("UPDATE job SET again = again - 1 WHERE id = ? AND again > 1", j.id)
			return err
		}
		_, err := t.exec("UPDATE job SET attempts = attempts - 1 WHERE name = ? AND state = 'open' AND attempts > 0", id)
		return err
	})
}

// FinishJob stores the results of a job, with the model that said so and the objects made for it, puts these on the way to
// their destinations and ends the job, all or nothing. A job that is not open is ErrState: it takes no second results. Of one
// that is done once more only the objects count that are lost.
func (l *Ledger) FinishJob(ctx context.Context, id string, by analysis.Model, results []analysis.Result, objects []Object, at time.Time) error {
	return l.FinishJobPartly(ctx, id, by, results, "", objects, at)
}

// FinishJobPartly is FinishJob where lacks says which frames were not analysed, and why.
func (l *Ledger) FinishJobPartly(ctx context.Context, id string, by analysis.Model, results []analysis.Result, lacks string, objects []Object, at time.Time) error {
	return l.FinishVideo(ctx, id, by, nil, results, lacks, objects, at)
}

func (l *Ledger) finish(ctx context.Context, a *action) error {
	lacks, objects, at := a.Reason, a.Objects, a.At
	return l.endOpenJob(ctx, "finish", a, func(t *tx, j jobRow) error {
		if j.again {
			return t.finishAgain(j, objects, at)
		}
		findings := 0
		for _, r := range a.Results {
			findings += len(r.Findings)
			if err := t.insertResult(j.id, r); err != nil {
				return err
			}
		}
		if err := t.endJob(j, JobDone, lacks, at); err != nil {
			return err
		}
		made, madeErr := json.Marshal(a.Model)
		moving, movingErr := json.Marshal(a.Moving)
		if err := errors.Join(madeErr, movingErr); err != nil {
			return err
		}
		if _, err := t.exec("UPDATE job SET made_by = ?, moving = ? WHERE id = ?", string(made), string(moving), j.id); err != nil {
			return err
		}
		detail := fmt.Sprintf("by %s: %d frames, %d findings", j.model, len(a.Results), findings)
		if lacks != "" {
			detail += "; " + lacks
		}
		if err := t.event(j.event(EventAnalysed, at, detail)); err != nil {
			return err
		}
		if err := t.findUrgent(j, *a.Model, a.Results, at); err != nil {
			return err
		}
		var screening string
		if err := t.row("SELECT screening FROM job WHERE id = ?", []any{j.id}, &screening); err != nil {
			return err
		}
		return t.insertObjects(j.study, screening, objects, at)
	})
}

func (t *tx) insertResult(job int64, r analysis.Result) error {
	scores, scoresErr := json.Marshal(r.Scores)
	findings, contours, findingsErr := splitFindings(r.Findings)
	notes, notesErr := json.Marshal(r.Notes)
	if err := errors.Join(scoresErr, findingsErr, notesErr); err != nil {
		return fmt.Errorf("result of frame %d: %w", r.Span.First, err)
	}
	_, err := t.exec(`INSERT INTO span (job, first, count, start, duration, rows, columns, scores, findings, contours, notes)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		job, r.Span.First, r.Span.Count, r.Span.Start.Microseconds(), r.Span.Duration.Microseconds(),
		r.Rows, r.Columns, string(scores), findings, contours, string(notes))
	return err
}

// endJob takes a job out of its exam's open ones; the exam has something to report from now on.
func (t *tx) endJob(j jobRow, state JobState, reason string, at time.Time) error {
	var version int64
	err := t.row(`UPDATE exam SET version = version + 1, results = version + 1, reason = '',
		since = iif(state = 'open', since, ?1), state = 'open' WHERE id = ?2 RETURNING version`,
		[]any{micros(at), j.exam}, &version)
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE job SET state = ?, reason = ?, ended_at = ?, version = ? WHERE id = ?",
		state, reason, micros(at), version, j.id)
	return err
}

// ParkJob ends the attempts at a job until a person has looked at it. Its exam goes on
// without it. A job that is not open is ErrState.
func (l *Ledger) ParkJob(ctx context.Context, id, reason string, at time.Time) error {
	return l.endOpenJob(ctx, "park", &action{Name: "park-job", Job: id, Reason: reason, At: at}, func(t *tx, j jobRow) error {
		if j.again {
			return t.endAgain(j, reason, at)
		}
		if err := t.endJob(j, JobParked, reason, at); err != nil {
			return err
		}
		return t.event(j.event(EventParked, at, j.model+": "+reason))
	})
}

// SkipJob ends a job that cannot be done and that trying again would not change, such as a frame in a
// compression that nothing here decodes. Its exam goes on without it. A job that is not open is ErrState.
func (l *Ledger) SkipJob(ctx context.Context, id, reason string, at time.Time) error {
	return l.endOpenJob(ctx, "skip", &action{Name: "skip-job", Job: id, Reason: reason, At: at}, func(t *tx, j jobRow) error {
		if j.again {
			return t.endAgain(j, reason, at)
		}
		if err := t.endJob(j, JobSkipped, reason, at); err != nil {
			return err
		}
		return t.event(j.event(EventNotAnalysed, at, j.model+": "+reason))
	})
}

// RetryJob opens a parked or skipped job again with its attempts counted anew. An open job stays as it
// is; one that has ended otherwise, or whose bytes are released, is ErrState.
func (l *Ledger) RetryJob(ctx context.Context, id string, at time.Time) error {
	return l.stepJob(ctx, "retry", &action{Name: "retry-job", Job: id, At: at}, func(t *tx, j jobRow) error {
		switch j.state {
		case JobOpen:
			return nil
		case JobParked, JobSkipped:
		default:
			return fmt.Errorf("%w: it is %s", ErrState, j.state)
		}
		if j.released {
			return fmt.Errorf("%w: its bytes are released: send the instance again", ErrState)
		}
		if err := t.reopenJob(j.id, 1); err != nil {
			return err
		}
		if j.state == JobSkipped {
			if _, err := t.exec("UPDATE instance SET reason = '' WHERE entry = ?", j.entry); err != nil {
				return err
			}
		}
		return t.event(j.event(EventRetried, at, j.model))
	})
}

const hurry = `UPDATE job SET priority = ?1 WHERE exam IN (SELECT id FROM exam WHERE study = ?2) AND priority <> ?1
	AND (state = 'open' AND attempts = 0 OR state IN ('parked', 'skipped'))`

// hurry gives the jobs of a study the priority of its order, but those that have begun: they are not taken from who does
// them.
func (t *tx) hurry(study studyName) error {
	priority, err := t.priorityOf(study.uid)
	if err == nil {
		_, err = t.exec(hurry, priority, study.id)
	}
	return err
}

// priorityOf is that of the order of a study.
func (t *tx) priorityOf(study dicom.UID) (Priority, error) {
	o, _, err := t.orderOf(study)
	if !slices.Contains([]Priority{Stat, High, Medium}, o.Priority) {
		o.Priority = Routine
	}
	return o.Priority, err
}

// reopenJob opens a job again and puts it at the end of the order. It has no frames that would refer to it.
func (t *tx) reopenJob(id int64, retries int) error {
	_, err := t.exec(`UPDATE job SET id = (SELECT max(id) + 1 FROM job), state = 'open', attempts = 0, retries = retries + ?,
		ended_at = NULL, reason = '', source = iif(screening = '', (SELECT calling_ae FROM instance i WHERE i.id = job.instance), source) WHERE id = ?`, retries, id)
	return err
}

// DiscardJob ends a parked job that a person has given up, so that its data set can be
// released. A job that is open or done is ErrState.
func (l *Ledger) DiscardJob(ctx context.Context, id string, at time.Time) error {
	return l.stepJob(ctx, "discard", &action{Name: "discard-job", Job: id, At: at}, func(t *tx, j jobRow) error {
		switch j.state {
		case JobDiscarded:
			return nil
		case JobParked:
		default:
			return fmt.Errorf("%w: it is %s", ErrState, j.state)
		}
		if _, err := t.exec("UPDATE job SET state = 'discarded' WHERE id = ?", j.id); err != nil {
			return err
		}
		return t.event(j.event(EventDiscarded, at, j.model))
	})
}
