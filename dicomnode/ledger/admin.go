package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
)

// OutboxFilter picks deliveries. Empty fields pick all.
type OutboxFilter struct {
	Destination string
	State       DeliveryState
	Limit       int // 0: 100
	Offset      int
	After       Cursor
}

// countDeliveries counts by the tally: however many there are, it costs the same.
const countDeliveries = "SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'delivery' AND (?1 = '' OR name = ?1) AND (?2 = '' OR state = ?2)"

// Outbox returns a page of the deliveries that f picks, the newest first, and how many f picks in all.
func (l *Ledger) Outbox(ctx context.Context, f OutboxFilter) (page []Delivery, total int, err error) {
	var conditions []string
	var args []any
	if f.Destination != "" {
		conditions, args = append(conditions, "d.destination = ?"), append(args, f.Destination)
	}
	switch f.State {
	case "":
	case DeliveryPending, DeliverySent, DeliveryParked, DeliveryDiscarded:
		// As literals, so that the index of what is not done serves.
		conditions = append(conditions, fmt.Sprintf("d.state <> 'done' AND d.state = '%s'", f.State))
	case DeliveryDone:
		conditions = append(conditions, "d.state = 'done'")
	default:
		return nil, 0, fmt.Errorf("ledger: outbox: state %q: not one of pending, sent, parked, done, discarded", f.State)
	}
	if f.After.ID != "" {
		conditions, args = append(conditions, "d.id < CAST(? AS INTEGER)"), append(args, f.After.ID)
	}
	where := ""
	if len(conditions) > 0 {
		where = "WHERE " + strings.Join(conditions, " AND ") + " "
	}
	if err := l.readDB.QueryRowContext(ctx, countDeliveries, f.Destination, f.State).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("ledger: outbox: %w", err)
	}
	args = append(args, limit(f.Limit), f.Offset)
	page, err = query(ctx, l.readDB, scanDelivery, selectDelivery+where+"ORDER BY d.id DESC LIMIT ? OFFSET ?", args...)
	if err != nil {
		return nil, 0, fmt.Errorf("ledger: outbox: %w", err)
	}
	return page, total, nil
}

// ParkedKind says what kind of work waits for a person.
type ParkedKind string

// The kinds, in the order in which they are listed.
const (
	ParkedJobs       ParkedKind = "job"
	ParkedExams      ParkedKind = "exam"
	ParkedDeliveries ParkedKind = "delivery"
	HeldInstances    ParkedKind = "instance"
	ParkedDesks      ParkedKind = "draft"
	HeldResults      ParkedKind = "gate"
)

// ParkedFilter picks work that waits for a person. The zero value picks all.
type ParkedFilter struct {
	Kind ParkedKind // empty: all
	Page
}

// ParkedWork is what waits for a person, or a page of it.
type ParkedWork struct {
	Jobs       []Job
	Exams      []Exam
	Deliveries []Delivery
	Instances  []InstanceView // kept until DiscardInstance, or until they are analysed; without their jobs
	Drafts     []ParkedDraft  // studies of which no draft can be made, until RetryDraft
	Gates      []GateState    // studies whose results wait until ReleaseGate or CorrectGate
}

// ParkedDraft is a study of which no draft can be made.
type ParkedDraft struct {
	StudyInstanceUID dicom.UID
	Reason           string
	At               time.Time
}

func scanParkedDraft(rows *sql.Rows) (ParkedDraft, error) {
	var d ParkedDraft
	err := rows.Scan(&d.StudyInstanceUID, &d.Reason, timeColumn{&d.At})
	return d, err
}

// Parked returns a page of what waits for a person, kind by kind, the oldest first, and how much f picks in all.
func (l *Ledger) Parked(ctx context.Context, f ParkedFilter) (p ParkedWork, total int, err error) {
	limit, offset := f.bounds()
	for _, k := range []struct {
		kind  ParkedKind
		count string
		read  func(limit, offset int) (int, error)
	}{
		{ParkedJobs, "SELECT count(*) FROM job WHERE state = 'parked'", func(limit, offset int) (int, error) {
			p.Jobs, err = query(ctx, l.readDB, scanJob, parkedJobs, limit, offset)
			return len(p.Jobs), err
		}},
		{ParkedExams, "SELECT count(*) FROM exam WHERE state = 'parked'", func(limit, offset int) (int, error) {
			p.Exams, err = query(ctx, l.readDB, scanExam, parkedExams, limit, offset)
			return len(p.Exams), err
		}},
		{ParkedDeliveries, "SELECT count(*) FROM delivery WHERE state = 'parked'", func(limit, offset int) (int, error) {
			p.Deliveries, err = query(ctx, l.readDB, scanDelivery, parkedDeliveries, limit, offset)
			return len(p.Deliveries), err
		}},
		{HeldInstances, "SELECT count(*) FROM instance WHERE held = 1", func(limit, offset int) (int, error) {
			p.Instances, err = query(ctx, l.readDB, scanInstance, heldInstances, limit, offset)
			return len(p.Instances), err
		}},
		{ParkedDesks, "SELECT count(*) FROM desk WHERE reason <> ''", func(limit, offset int) (int, error) {
			p.Drafts, err = query(ctx, l.readDB, scanParkedDraft, listParkedDrafts, limit, offset)
			return len(p.Drafts), err
		}},
		{HeldResults, "SELECT count(*) FROM gate WHERE held = 1", func(limit, offset int) (int, error) {
			p.Gates, err = query(ctx, l.readDB, scanGate, heldGates, limit, offset)
			return len(p.Gates), err
		}},
	} {
		if f.Kind != "" && f.Kind != k.kind {
			continue
		}
		var n, got int
		err := l.readDB.QueryRowContext(ctx, k.count).Scan(&n)
		if err == nil && limit != 0 && offset < n {
			got, err = k.read(limit, offset)
		}
		if err != nil {
			return ParkedWork{}, 0, fmt.Errorf("ledger: parked: %w", err)
		}
		total += n
		offset = max(0, offset-n)
		if limit > 0 {
			limit -= got
		}
	}
	return p, total, nil
}

const (
	parkedJobs       = selectJob + "WHERE j.state = 'parked' ORDER BY j.id LIMIT ? OFFSET ?"
	parkedExams      = selectExam + "WHERE e.state = 'parked' ORDER BY e.id LIMIT ? OFFSET ?"
	parkedDeliveries = selectDelivery + "WHERE d.state = 'parked' ORDER BY d.id LIMIT ? OFFSET ?"
	listParkedDrafts = `SELECT s.study_instance_uid, d.reason, (SELECT max(e.at) FROM event e WHERE e.study = d.study AND e.what = '` + string(EventDraftParked) + `')
	FROM desk d JOIN study s ON s.id = d.study WHERE d.reason <> '' ORDER BY d.study LIMIT ? OFFSET ?`
	heldGates     = selectGate + "WHERE g.held = 1 ORDER BY g.since LIMIT ? OFFSET ?"
	heldInstances = instanceColumns + "WHERE i.held = 1 ORDER BY i.id LIMIT ? OFFSET ?"
)

// Counts tells how many rows are in which state. It costs the same however many there are, but for those held.
type Counts struct {
	Position uint64
	Held     int64 // instances kept until DiscardInstance, or until they are analysed
	Refused  int64 // spool entries that could not be taken in

	HeldStudies int64 // whose results wait at the gate
	Mismatches  int64 // studies whose images, order and patient do not agree

	Instances  map[InstanceState]int64
	Jobs       map[string]map[JobState]int64      // by model
	Exams      map[string]map[ExamState]int64     // by model
	Deliveries map[string]map[DeliveryState]int64 // by destination
}

const heldAndRefused = `SELECT (SELECT count(*) FROM instance WHERE held = 1), (SELECT count(*) FROM need WHERE by = 'refused' AND ended_at IS NULL),
	(SELECT count(*) FROM gate WHERE held = 1), (SELECT count(*) FROM gate WHERE evidence <> '')`

type tallyRow struct {
	kind, name, state string
	n                 int64
}

// Counts returns the numbers for metrics.
func (l *Ledger) Counts(ctx context.Context) (Counts, error) {
	position, err := l.Position(ctx)
	if err != nil {
		return Counts{}, err
	}
	rows, err := query(ctx, l.readDB, scanTally, "SELECT kind, name, state, n FROM tally WHERE kind IN ('instance', 'job', 'exam', 'delivery')")
	if err != nil {
		return Counts{}, fmt.Errorf("ledger: counts: %w", err)
	}
	c := Counts{
		Position: position, Instances: map[InstanceState]int64{}, Jobs: map[string]map[JobState]int64{},
		Exams: map[string]map[ExamState]int64{}, Deliveries: map[string]map[DeliveryState]int64{},
	}
	if err := l.readDB.QueryRowContext(ctx, heldAndRefused).Scan(&c.Held, &c.Refused, &c.HeldStudies, &c.Mismatches); err != nil {
		return Counts{}, fmt.Errorf("ledger: counts: %w", err)
	}
	for _, r := range rows {
		switch r.kind {
		case "instance":
			c.Instances[InstanceState(r.state)] = r.n
		case "job":
			count(c.Jobs, r)
		case "exam":
			count(c.Exams, r)
		case "delivery":
			count(c.Deliveries, r)
		}
	}
	return c, nil
}

func count[S ~string](counts map[string]map[S]int64, r tallyRow) {
	if counts[r.name] == nil {
		counts[r.name] = map[S]int64{}
	}
	counts[r.name][S(r.state)] = r.n
}

func scanTally(rows *sql.Rows) (tallyRow, error) {
	var r tallyRow
	err := rows.Scan(&r.kind, &r.name, &r.state, &r.n)
	return r, err
}

const lastDelivered = "SELECT coalesce(max(ended_at), 0) FROM delivery WHERE destination = ? AND state = 'done'"

// LastDelivered returns when destination confirmed something last, zero when it never did.
func (l *Ledger) LastDelivered(ctx context.Context, destination string) (time.Time, error) {
	at, err := l.moment(ctx, lastDelivered, destination)
	if err != nil {
		return time.Time{}, fmt.Errorf("ledger: last delivered: %w", err)
	}
	return at, nil
}

// moment returns the time that text selects, zero for 0.
func (l *Ledger) moment(ctx context.Context, text string, args ...any) (time.Time, error) {
	var us int64
	if err := l.readDB.QueryRowContext(ctx, text, args...).Scan(&us); err != nil || us == 0 {
		return time.Time{}, err
	}
	return time.UnixMicro(us).UTC(), nil
}
