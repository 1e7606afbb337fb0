package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// Video is a job of a video, as far as it is.
type Video struct {
	Job            string
	Model          string
	SOPInstanceUID dicom.UID
	Moving         *analysis.Moving // nil before it has ended
	Done, Of       int              // frames analysed of those to be analysed, while it is open
}

// FinishVideo is FinishJobPartly of a job whose instance is a video.
func (l *Ledger) FinishVideo(ctx context.Context, id string, by analysis.Model, moving *analysis.Moving, results []analysis.Result, lacks string, objects []Object, at time.Time) error {
	return l.finish(ctx, &action{Name: "finish-job", how: beforeSent, Job: id, Model: &by, Moving: moving, Results: results, Reason: lacks, Objects: objects, At: at})
}

// ErrKept: what is to be kept does not follow on what is, as where another has been at the same video.
var ErrKept = errors.New("ledger: the frames before these are not kept, begin anew")

// KeepPart keeps, while a job is open, what was said of some of the frames of its video: an encoded analysis of those behind the ones
// that were kept before, of which there are so many; with them done are analysed. What was kept behind those is not gone on with, and
// goes. It is not in the journal: without it, it is said again.
func (l *Ledger) KeepPart(ctx context.Context, id string, behind, done, of int, body []byte) error {
	err := l.write(ctx, func(t *tx) error {
		if _, err := t.exec("DELETE FROM part WHERE job = (SELECT id FROM job WHERE name = ?1) AND done > ?2", id, behind); err != nil {
			return err
		}
		var follows bool
		if err := t.row("SELECT ?2 = 0 OR EXISTS (SELECT 1 FROM part WHERE job = (SELECT id FROM job WHERE name = ?1) AND done = ?2 AND total = ?3)", []any{id, behind, of}, &follows); err != nil {
			return err
		}
		if !follows {
			return ErrKept
		}
		_, err := t.exec("INSERT INTO part (job, done, total, body) SELECT id, ?, ?, ? FROM job WHERE name = ? AND state = 'open'", done, of, body, id)
		return err
	})
	return wrap("ledger: part of job "+id, err)
}

// Parts are what was kept of a job, in order, and how many of its frames are to be analysed.
func (l *Ledger) Parts(ctx context.Context, id string) (parts [][]byte, of int, err error) {
	parts, err = query(ctx, l.readDB, func(rows *sql.Rows) (b []byte, err error) {
		return b, rows.Scan(&b, &of)
	}, "SELECT p.body, p.total FROM part p JOIN job j ON j.id = p.job WHERE j.name = ? ORDER BY p.done", id)
	return parts, of, wrap("ledger: parts of job "+id, err)
}

// Parts are of jobs under way alone, and few: what has ended is found by its index, what has not by way of them.
const videos = `SELECT j.name, j.model, i.sop_instance_uid, j.moving, 0, 0 FROM job j INDEXED BY job_moving JOIN instance i ON i.id = j.instance
		WHERE j.study = (SELECT id FROM study WHERE study_instance_uid = ?1) AND j.moving <> 'null' AND j.retracted = ''
	UNION ALL SELECT j.name, j.model, i.sop_instance_uid, 'null', max(p.done), p.total FROM part p CROSS JOIN job j ON j.id = p.job CROSS JOIN instance i ON i.id = j.instance
		WHERE j.study = (SELECT id FROM study WHERE study_instance_uid = ?1) GROUP BY p.job`

// Videos are the jobs of videos of a study, those that have ended and then those under way.
func (l *Ledger) Videos(ctx context.Context, study dicom.UID) ([]Video, error) {
	all, err := query(ctx, l.readDB, func(rows *sql.Rows) (v Video, err error) {
		return v, rows.Scan(&v.Job, &v.Model, &v.SOPInstanceUID, jsonColumn{&v.Moving}, &v.Done, &v.Of)
	}, videos, study)
	return all, wrap("ledger: videos", err)
}
