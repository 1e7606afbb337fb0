package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"endogate/dicomnode/dicom"
)

// ScreeningState says whether a screening goes on.
type ScreeningState string

// The states.
const (
	ScreeningRunning   ScreeningState = "running"
	ScreeningDone      ScreeningState = "done" // all studies were looked at; jobs of it may be open
	ScreeningCancelled ScreeningState = "cancelled"
)

// Screening is a second look over the studies that came in a span of time: their reports are compared again, and models of their route
// that have not seen them are offered their instances, behind all other work. It changes nothing of what is there.
type Screening struct {
	Name            string         `json:"id"` // in all databases
	From            time.Time      `json:"from"`
	Before          time.Time      `json:"before"`
	State           ScreeningState `json:"state"`
	Author          string         `json:"author"`
	Unauthenticated bool           `json:"unauthenticated"`
	MadeAt          time.Time      `json:"made_at"`
	EndedAt         time.Time      `json:"ended_at,omitzero"`
	Of              int            `json:"of"`       // studies of the span, when it began
	Studies         int            `json:"studies"`  // looked at
	Compared        int            `json:"compared"` // of these: whose reports are compared again
	Reread          int            `json:"reread"`   // reports read anew
	Offered         int            `json:"offered"`  // jobs
	Open            int            `json:"open"`     // of these
	Done            int            `json:"done"`
	Failed          int            `json:"failed"` // parked, given up or left out
	Gone            int            `json:"gone"`   // instances that a model has not seen, and whose bytes are gone
}

// screeningSource is where the jobs of a screening wait for their turn: no AE title is that long (PS3.5 6.2).
func screeningSource(name string) string { return "second look " + name }

// selectScreening costs the same however many studies and jobs a screening has.
const selectScreening = `SELECT c.name, c.from_at, c.before_at, c.state, c.author, c.unauthenticated, c.made_at, c.ended_at, c.studies, c.compared, c.reread, c.offered, c.gone,
	max(c.total, c.studies), (SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'screening' AND name = c.name AND state = 'open'),
	(SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'screening' AND name = c.name AND state = 'done'),
	(SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'screening' AND name = c.name AND state IN ('parked', 'skipped', 'discarded')) FROM screening c `

func scanScreening(rows *sql.Rows) (c Screening, err error) {
	return c, rows.Scan(&c.Name, timeColumn{&c.From}, timeColumn{&c.Before}, &c.State, &c.Author, &c.Unauthenticated, timeColumn{&c.MadeAt}, timeColumn{&c.EndedAt},
		&c.Studies, &c.Compared, &c.Reread, &c.Offered, &c.Gone, &c.Of, &c.Open, &c.Done, &c.Failed)
}

const ofSpan = "(SELECT count(*) FROM study WHERE first_at >= ?2 AND first_at < ?3 AND forgotten_at IS NULL)"

// StartScreening begins one, and returns its name. One that runs over the same span is that one.
func (l *Ledger) StartScreening(ctx context.Context, c Screening) (name string, err error) {
	err = l.act(ctx, "screening", &action{Name: "screen", Screening: &c, At: c.MadeAt}, func(t *tx) error {
		name = ""
		err := t.row("SELECT name FROM screening WHERE state = 'running' AND from_at = ? AND before_at = ?", []any{micros(c.From), micros(c.Before)}, &name)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		name = c.Name
		_, err = t.exec("INSERT INTO screening (name, from_at, before_at, state, author, unauthenticated, made_at, at, total) VALUES (?1, ?2, ?3, 'running', ?4, ?5, ?6, ?2, "+ofSpan+")",
			c.Name, micros(c.From), micros(c.Before), c.Author, c.Unauthenticated, micros(c.MadeAt))
		return err
	})
	return name, wrap("ledger: screening", err)
}

// CancelScreening ends one: nothing more is offered. ErrState: it has ended.
func (l *Ledger) CancelScreening(ctx context.Context, name string, at time.Time) error {
	err := l.act(ctx, "screening", &action{Name: "cancel-screening", Names: []string{name}, At: at}, func(t *tx) error {
		if err := t.runs(name); err != nil {
			return err
		}
		_, err := t.exec("UPDATE screening SET state = 'cancelled', ended_at = ? WHERE name = ?", micros(at), name)
		return err
	})
	return wrap("ledger: cancel screening "+name, err)
}

// runs is an error where the screening does not run.
func (t *tx) runs(name string) error {
	var state ScreeningState
	if err := t.row("SELECT state FROM screening WHERE name = ?", []any{name}, &state); err != nil {
		return notFound(err)
	}
	if state != ScreeningRunning {
		return fmt.Errorf("%w: it is %s", ErrState, state)
	}
	return nil
}

// ScreeningStep is what a screening does with a study.
type ScreeningStep struct {
	Screening string     `json:"screening"`
	Study     dicom.UID  `json:"study,omitempty"`  // empty: all were looked at
	Offers    []Receipt  `json:"offers,omitempty"` // of its instances, with the models that apply now
	Anew      []ReadAnew `json:"anew,omitempty"`   // of its reports
	Over      bool       `json:"over,omitempty"`   // nothing more is offered of it
	Gone      int        `json:"gone,omitempty"`
}

// ReadAnew is what the reports of a message say with the words of today.
type ReadAnew struct {
	Entry    string          `json:"entry"`
	Readings []ReportReading `json:"readings"`
}

// StepScreening does a step: offers that are done already, or that another model of the route has no need of, are nothing. ErrState: the
// screening has ended.
func (l *Ledger) StepScreening(ctx context.Context, s ScreeningStep, at time.Time) error {
	err := l.act(ctx, "screening", &action{Name: "step-screening", Step: &s, At: at}, func(t *tx) error {
		if err := t.runs(s.Screening); err != nil {
			return err
		}
		if s.Study == "" {
			_, err := t.exec("UPDATE screening SET state = 'done', ended_at = ?, total = studies WHERE name = ?", micros(at), s.Screening)
			return err
		}
		return t.stepScreening(s, at)
	})
	return wrap("ledger: screening "+s.Screening, err)
}

func (t *tx) stepScreening(s ScreeningStep, at time.Time) error {
	var study, first int64
	if err := t.row("SELECT id, first_at FROM study WHERE study_instance_uid = ?", []any{s.Study}, &study, &first); err != nil {
		return notFound(err)
	}
	offered, read := 0, 0
	b := newBatch(t)
	for _, r := range s.Offers {
		r.At = at
		n, err := b.offer(r, s.Screening)
		if err != nil {
			return err
		}
		offered += n
	}
	s.Over = s.Over || offered == 0 // what brings nothing is not done again
	if offered > 0 {
		if err := b.finish(0); err != nil {
			return err
		}
		if _, err := t.follow(studyName{study, s.Study}, newWork, at); err != nil {
			return err
		}
	}
	for _, a := range s.Anew {
		n, err := t.readAnew(a)
		if err != nil {
			return err
		}
		read += n
	}
	if _, err := t.exec("UPDATE screening SET offered = offered + ?, reread = reread + ? WHERE name = ?", offered, read, s.Screening); err != nil || !s.Over {
		return err
	}
	compared, err := t.exec("UPDATE look SET version = version + 1, quiet = (version = looked OR quiet) WHERE study = ?", study)
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE screening SET studies = studies + 1, compared = compared + ?, gone = gone + ?, at = ?, study = ? WHERE name = ?", compared, s.Gone, first, s.Study, s.Screening)
	return err
}

// offer opens jobs for the models of r that have not seen its instance.
func (b *batch) offer(r Receipt, screening string) (n int, err error) {
	in := instanceRow{r: r, state: InstanceQueued, screening: screening}
	var route string
	var state InstanceState
	var released bool
	err = b.row("SELECT id, study, route, state, released_at IS NOT NULL FROM instance WHERE entry = ?", []any{r.ID}, &in.id, &in.study, &route, &state, &released)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (released || state == InstanceConflict || route != r.Route) {
		return 0, nil
	}
	for _, model := range r.Models { // the study stays as old as it is: in lists, and for retention
		var seen bool
		if err == nil {
			err = b.row("SELECT EXISTS (SELECT 1 FROM job WHERE instance = ? AND model = ?)", []any{in.id, model}, &seen)
		}
		if err != nil || seen {
			continue
		}
		var exam *arrivals
		if exam, err = b.exam(in, model); err == nil {
			err = b.makeJob(in, model, JobOpen, exam)
			n++
		}
	}
	if err != nil || n == 0 {
		return 0, err
	}
	_, err = b.exec("UPDATE instance SET state = 'queued', reason = '', held = held AND ? WHERE id = ?", in.held(), in.id)
	return n, err
}

// readAnew puts what a message's reports say now in the place of what they were read as, and returns how many these are. Where they are
// not as many as before, they stay as they were read.
func (t *tx) readAnew(a ReadAnew) (int, error) {
	rows, err := t.ids("SELECT id FROM report_reading WHERE entry = ? ORDER BY id", a.Entry)
	if err != nil || len(rows) != len(a.Readings) {
		return 0, err
	}
	for i, r := range a.Readings {
		r.Reporter = Physician{} // that stays as it was taken
		document, err := jsonText(r)
		if err != nil {
			return 0, err
		}
		if _, err := t.exec("UPDATE report_reading SET document = ? WHERE id = ?", document, rows[i]); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

const runningScreening = `SELECT c.name, (SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'screening' AND name = c.name AND state = 'open')
	FROM screening c WHERE c.state = 'running' ORDER BY c.id LIMIT 1`

// RunningScreening returns the oldest that runs and how many jobs of it are open, or ErrNotFound. It costs the same for any span.
func (l *Ledger) RunningScreening(ctx context.Context) (name string, open int, err error) {
	if err := l.usable(ctx); err != nil {
		return "", 0, err
	}
	err = notFound(l.readDB.QueryRowContext(ctx, runningScreening).Scan(&name, &open))
	return name, open, wrap("ledger: screening", err)
}

const screenedPending = `SELECT count(*) FROM (
	SELECT d.id FROM json_each(?1) n CROSS JOIN delivery d INDEXED BY delivery_due ON d.destination = n.value AND d.source = ?2
		AND d.state = 'pending' AND d.held = 0 AND d.stale = 0 AND d.behind = 0
	UNION ALL SELECT d.id FROM json_each(?1) n CROSS JOIN delivery d INDEXED BY delivery_behind ON d.destination = n.value AND d.source = ?2
		AND d.state = 'pending' AND d.held = 0 AND d.stale = 0 AND d.behind = 1
	LIMIT ?3)`

// ScreenedPending returns how many results of a screening are on the way to these destinations, most at most.
func (l *Ledger) ScreenedPending(ctx context.Context, name string, destinations []string, most int) (n int, err error) {
	err = l.readDB.QueryRowContext(ctx, screenedPending, namesText(destinations), screeningSource(name), most).Scan(&n)
	return n, wrap("ledger: screening "+name, err)
}

// Screening returns one, or ErrNotFound.
func (l *Ledger) Screening(ctx context.Context, name string) (Screening, error) {
	return l.oneScreening(ctx, "WHERE c.name = ?", name)
}

func (l *Ledger) oneScreening(ctx context.Context, where string, args ...any) (Screening, error) {
	found, err := query(ctx, l.readDB, scanScreening, selectScreening+where, args...)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Screening{}, fmt.Errorf("ledger: screening: %w", err)
	}
	return found[0], nil
}

// Screenings returns a page, the newest first, and how many there are.
func (l *Ledger) Screenings(ctx context.Context, after string, p Page) (page []Screening, total int, err error) {
	limit, offset := p.bounds()
	err = l.readDB.QueryRowContext(ctx, "SELECT count(*) FROM screening").Scan(&total)
	if err == nil {
		page, err = query(ctx, l.readDB, scanScreening, selectScreening+"WHERE c.id < coalesce((SELECT id FROM screening WHERE name = ?), 1 << 62) ORDER BY c.id DESC LIMIT "+
			strconv.Itoa(limit)+" OFFSET "+strconv.Itoa(offset), after)
	}
	return page, total, wrap("ledger: screenings", err)
}

const nextScreened = `SELECT s.study_instance_uid FROM screening c JOIN study s INDEXED BY study_first ON (s.first_at, s.study_instance_uid) > (c.at, c.study) AND s.first_at < c.before_at
	AND s.forgotten_at IS NULL WHERE c.name = ? ORDER BY s.first_at, s.study_instance_uid LIMIT 1`

// NextScreened returns the study that a screening is to look at next; none: all were.
func (l *Ledger) NextScreened(ctx context.Context, name string) (study dicom.UID, err error) {
	err = l.readDB.QueryRowContext(ctx, nextScreened, name).Scan(&study)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return study, wrap("ledger: screening "+name, err)
}

// Unseen is an instance that a model of its route has not been given.
type Unseen struct {
	Entry    string
	Route    string
	Released bool // its bytes are gone
}

// unseen is asked with the routes and models there are, each as [route, model].
const unseen = `SELECT i.entry, i.route, i.released_at IS NOT NULL FROM instance i WHERE i.study = (SELECT id FROM study WHERE study_instance_uid = ?1) AND i.state <> 'conflict'
	AND EXISTS (SELECT 1 FROM json_each(?2) m WHERE m.value ->> 0 = i.route AND NOT EXISTS (SELECT 1 FROM job j WHERE j.instance = i.id AND j.model = m.value ->> 1))
	ORDER BY i.id`

// Unseen returns the instances of a study that a model of their route has not been given; models are those of each route.
func (l *Ledger) Unseen(ctx context.Context, study dicom.UID, models map[string][]string) ([]Unseen, error) {
	pairs := [][2]string{}
	for route, names := range models {
		for _, model := range names {
			pairs = append(pairs, [2]string{route, model})
		}
	}
	text, err := jsonText(pairs)
	if err != nil {
		return nil, err
	}
	all, err := query(ctx, l.readDB, func(rows *sql.Rows) (u Unseen, err error) { return u, rows.Scan(&u.Entry, &u.Route, &u.Released) }, unseen, study, text)
	return all, wrap("ledger: unseen of study "+string(study), err)
}

// source is the source of an instance's jobs.
func (in instanceRow) source() string {
	if in.screening != "" {
		return screeningSource(in.screening)
	}
	return in.r.CallingAE
}
