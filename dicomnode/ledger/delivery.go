package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"endogate/dicomnode/dicom"
)

const insertDelivery = `INSERT INTO delivery
	(kind, destination, entry, alternate, study, series_instance_uid, sop_class_uid, sop_instance_uid, transfer_syntax_uid,
	 purpose, rank, state, next_at, reason, waits_for, number, version, asked_at, since, source)
	VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?18,
		iif(?1 = 'notice' OR ?19 = '' AND (SELECT urgent FROM study WHERE id = ?5), ` + statLane + `, '') || coalesce(nullif(?19, ''), (SELECT calling_ae FROM instance WHERE study = ?5 LIMIT 1), '')) ON CONFLICT (entry, destination) DO NOTHING`

// deliver puts d on the way to each of destinations, at that time.
func (t *tx) deliver(study int64, d Delivery, destinations []string, at time.Time) error {
	source := ""
	if d.screening != "" {
		source = screeningSource(d.screening)
	}
	for _, destination := range destinations {
		in, state, reason := d.Instance, d.State, d.Reason
		if state == DeliveryPending && t.configured != nil && !t.configured[destination] {
			state, reason = DeliveryParked, notConfigured(destination)
		}
		_, err := t.exec(insertDelivery, d.Kind, destination, d.Entry, d.Alternate, study, in.SeriesInstanceUID, in.SOPClassUID,
			in.SOPInstanceUID, d.TransferSyntaxUID, d.Purpose, d.Rank, state, micros(d.NextAt), reason, d.After, d.Number, d.Version, micros(at), source)
		if err != nil {
			return err
		}
	}
	return nil
}

const selectDelivery = deliveryColumns + "FROM delivery d JOIN study s ON s.id = d.study "

const deliveryColumns = `SELECT d.id, d.kind, d.destination, d.entry, d.alternate, d.sop_class_uid, d.sop_instance_uid,
	d.series_instance_uid, s.study_instance_uid, d.transfer_syntax_uid, d.purpose, d.rank, d.state, d.attempts, d.next_at,
	d.ended_at, d.used, d.protocol, d.code, d.text, d.reason, d.waits_for,
	EXISTS (SELECT 1 FROM instance i WHERE i.entry = d.entry AND i.state = 'conflict'), d.held, d.number, d.version,
	d.behind, d.source `

func scanDelivery(rows *sql.Rows) (Delivery, error) {
	var d Delivery
	err := rows.Scan(&d.ID, &d.Kind, &d.Destination, &d.Entry, &d.Alternate, &d.Instance.SOPClassUID, &d.Instance.SOPInstanceUID,
		&d.Instance.SeriesInstanceUID, &d.Instance.StudyInstanceUID, &d.TransferSyntaxUID, &d.Purpose, &d.Rank, &d.State,
		&d.Attempts, timeColumn{&d.NextAt}, timeColumn{&d.EndedAt}, &d.Used, &d.Answer.Protocol, &d.Answer.Code, &d.Answer.Text, &d.Reason, &d.After, &d.Conflict, &d.Held, &d.Number, &d.Version,
		&d.Behind, &d.Source)
	if d.State == DeliveryParked && d.EndedAt.IsZero() {
		d.EndedAt = d.NextAt // parked as it was made
	}
	return d, err
}

// isTime finds each source by a search of its own, takes what is due of it in its order, and then one of each in turn; of one in the
// STAT lane up to four, first: so the others have a turn after every four of each room there.
// The + and the index named keep the planner from sorting all that is due by way of delivery_next.
const isTime = `WITH RECURSIVE turn (source) AS (
		SELECT min(source) FROM delivery d WHERE d.destination = ?1 AND %[1]s
	UNION ALL
		SELECT (SELECT min(d.source) FROM delivery d WHERE d.destination = ?1 AND %[1]s AND d.source > turn.source) FROM turn WHERE source IS NOT NULL),
	due (id, n) AS (SELECT d.id, (row_number() OVER (PARTITION BY d.source ORDER BY %[2]s) - 1) / iif(substr(d.source, 1, 1) = ` + statLane + `, 4, 1) FROM turn CROSS JOIN delivery d ON d.id IN (
		SELECT d.id FROM delivery d INDEXED BY %[3]s WHERE d.destination = ?1 AND %[1]s AND d.source = turn.source
			AND (+d.next_at <= ?2 OR +d.next_at > ?3 AND d.waits_for = '') ORDER BY %[2]s LIMIT ?4)) ` +
	deliveryColumns + `FROM due CROSS JOIN delivery d ON d.id = due.id JOIN study s ON s.id = d.study ORDER BY due.n, substr(d.source, 1, 1) <> ` + statLane + `, %[2]s LIMIT ?4`

var (
	dueDeliveries = fmt.Sprintf(isTime, "d.state = 'pending' AND d.held = 0 AND d.stale = 0 AND d.behind = 0", "d.rank, d.id", "delivery_due")
	dueBehind     = fmt.Sprintf(isTime, "d.state = 'pending' AND d.held = 0 AND d.stale = 0 AND d.behind = 1", "d.next_at, d.id", "delivery_behind")
)

// DueDeliveries returns pending deliveries to destination whose time has come: at most limit that nothing was deferred
// behind others of, one of each source in turn, or four of those in the STAT lane, by rank and then in the order they were made, and after these at most limit
// that are behind, in turn too, those that have waited longest first. What is to wait for more than longest was deferred under a clock that has been set back
// since: it is due, unless another one is to be delivered before; so with a longest far below zero all is that was
// deferred. Results that are held at the gate are not. The results that they are made from are durable.
func (l *Ledger) DueDeliveries(ctx context.Context, destination string, now time.Time, longest time.Duration, limit int) ([]Delivery, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	var ds []Delivery
	for _, q := range []string{dueDeliveries, dueBehind} {
		some, err := query(ctx, l.readDB, scanDelivery, q, destination, micros(now), micros(now.Add(longest)), limit)
		if err != nil {
			return nil, fmt.Errorf("ledger: due deliveries: %w", err)
		}
		ds = append(ds, some...)
	}
	if len(ds) > 0 {
		if err := l.sync(ctx); err != nil {
			return nil, fmt.Errorf("ledger: due deliveries: %w", err)
		}
	}
	return ds, nil
}

const isDue = "SELECT EXISTS (SELECT 1 FROM delivery WHERE id = ? AND state = 'pending' AND held = 0 AND stale = 0)"

// IsDue says whether a delivery that DueDeliveries has returned is to be sent still: it may have been held at the gate, taken
// back for a patient who has another name now, or discarded meanwhile.
func (l *Ledger) IsDue(ctx context.Context, id int64) (due bool, err error) {
	if err := l.readDB.QueryRowContext(ctx, isDue, id).Scan(&due); err != nil {
		return false, fmt.Errorf("ledger: is delivery %d due: %w", id, err)
	}
	return due, nil
}

const nextDelivery = "SELECT min(next_at) FROM delivery WHERE state = 'pending' AND held = 0 AND stale = 0 AND destination = ?"

// NextDelivery returns when the next pending delivery to destination is due, and false when
// there is none.
func (l *Ledger) NextDelivery(ctx context.Context, destination string) (time.Time, bool, error) {
	var n sql.NullInt64
	if err := l.readDB.QueryRowContext(ctx, nextDelivery, destination).Scan(&n); err != nil {
		return time.Time{}, false, fmt.Errorf("ledger: next delivery: %w", err)
	}
	return fromMicros(n), n.Valid, nil
}

// undelivered says whether a delivery of entry has not ended: what waits for it waits on.
func (t *tx) undelivered(entry string) (some bool, err error) {
	return some, t.row("SELECT EXISTS (SELECT 1 FROM delivery WHERE entry = ? AND state IN ('pending', 'sent', 'parked'))", []any{entry}, &some)
}

// goOn makes due what has waited for the deliveries of entry, when all have ended.
func (t *tx) goOn(entry string, at time.Time) error {
	some, err := t.undelivered(entry)
	if err == nil && !some {
		_, err = t.exec("UPDATE delivery SET waits_for = '', next_at = ?1, since = ?1, asked_at = ?1 WHERE waits_for = ?2 AND waits_for <> '' AND state = 'pending'", micros(at), entry)
	}
	return err
}

// waitOn has what was held at the gate of a study be asked for only now. What waits for another delivery, which could not
// go either, has what it had left of its time when the gate closed. It is called before the gate lets go.
func (t *tx) waitOn(study int64, at time.Time) error {
	_, err := t.exec(`UPDATE delivery SET asked_at = ?2, next_at = iif(waits_for = '', next_at, ?2 + max(0, next_at - max(since, coalesce((SELECT since FROM gate WHERE study = ?1), 0)))),
		since = iif(waits_for = '', since, ?2) WHERE study = ?1 AND state = 'pending' AND held = 1`, study, micros(at))
	return err
}

// deliveryRow is what a step needs to know of a delivery.
type deliveryRow struct {
	id, study   int64
	series      dicom.UID
	instance    dicom.UID
	entry       string
	alternate   string
	destination string
	state       DeliveryState
}

func (t *tx) delivery(id int64) (deliveryRow, error) {
	d := deliveryRow{id: id}
	err := t.row("SELECT study, series_instance_uid, sop_instance_uid, entry, alternate, destination, state FROM delivery WHERE id = ?", []any{id},
		&d.study, &d.series, &d.instance, &d.entry, &d.alternate, &d.destination, &d.state)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return d, err
}

func (d deliveryRow) event(what What, at time.Time, answer Answer, detail string) event {
	return event{
		study: d.study, instance: d.instance, entry: d.entry, what: what, at: at,
		destination: d.destination, answer: answer, detail: detail,
	}
}

// stepDelivery runs do on the delivery id, which it names in a.
func (l *Ledger) stepDelivery(ctx context.Context, id int64, what string, a *action, do func(*tx, deliveryRow) error) error {
	a.Delivery = &deliveryName{id: id}
	err := l.act(ctx, "outbox", a, func(t *tx) error {
		d, err := t.delivery(id)
		if err != nil {
			return err
		}
		return do(t, d)
	})
	if err != nil {
		return fmt.Errorf("ledger: %s delivery %d: %w", what, id, err)
	}
	return nil
}

// takenAs says which of the two the peer has taken.
func (d deliveryRow) takenAs(used string) string {
	if used != "" && used == d.alternate {
		return "the alternate, as the peer refuses the SOP class"
	}
	return ""
}

// Delivered ends a delivery: the peer has usedEntry, the entry itself or its alternate, for good.
// It holds whatever the state was, because the peer has it.
func (l *Ledger) Delivered(ctx context.Context, id int64, usedEntry string, answer Answer, at time.Time) error {
	return l.stepDelivery(ctx, id, "end", &action{Name: "delivered", Used: usedEntry, Answer: &answer, At: at}, func(t *tx, d deliveryRow) error {
		if d.state == DeliveryDone {
			return nil
		}
		_, err := t.exec(`UPDATE delivery SET state = 'done', attempts = attempts + 1, ended_at = ?, used = ?, protocol = ?, code = ?,
			text = ?, reason = '' WHERE id = ?`, micros(at), usedEntry, answer.Protocol, answer.Code, answer.Text, id)
		if err == nil {
			err = t.goOn(d.entry, at)
		}
		if err != nil {
			return err
		}
		return t.event(d.event(EventDelivered, at, answer, d.takenAs(usedEntry)))
	})
}

// Sent says that the peer has taken usedEntry and commits to it later: by Delivered. Uncommitted puts it back when
// until has passed without. A delivery that is no longer pending stays as it is.
func (l *Ledger) Sent(ctx context.Context, id int64, usedEntry string, until time.Time, answer Answer, at time.Time) error {
	return l.stepDelivery(ctx, id, "note the sending of", &action{Name: "sent", Used: usedEntry, Until: until, Answer: &answer, At: at}, func(t *tx, d deliveryRow) error {
		if d.state != DeliveryPending {
			return nil
		}
		_, err := t.exec(`UPDATE delivery SET state = 'sent', attempts = attempts + 1, next_at = ?, since = ?, used = ?, protocol = ?, code = ?,
			text = ?, reason = '' WHERE id = ?`, micros(until), micros(at), usedEntry, answer.Protocol, answer.Code, answer.Text, id)
		if err != nil {
			return err
		}
		e := d.event(EventSent, at, answer, d.takenAs(usedEntry))
		e.merge = fmt.Sprintf("sent %d", id)
		return t.event(e)
	})
}

const (
	overdue     = "d.state = 'sent' AND d.destination = ?2 AND (d.next_at <= ?1 OR d.next_at > ?3)"
	uncommitted = "the peer took it and has not committed to it"
)

// Uncommitted puts deliveries to destination back that were sent and not committed in time, to be sent again, and
// returns how many. What has more than longest to go was sent under a clock that has been set back since.
func (l *Ledger) Uncommitted(ctx context.Context, destination string, now time.Time, longest time.Duration) (n int, err error) {
	args := []any{micros(now), destination, micros(now.Add(longest))}
	some := l.replaying != nil
	if !some {
		err = l.readDB.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM delivery d WHERE "+overdue+")", args...).Scan(&some)
	}
	if err == nil && some {
		err = l.act(ctx, "outbox", &action{Name: "uncommitted", Names: []string{destination}, At: now, Longest: longest}, func(t *tx) error {
			n, err = t.stepDeliveries(EventDeferred, overdue, "'"+uncommitted+"'",
				"state = 'pending', next_at = ?1, since = ?1, reason = '"+uncommitted+"'", args...)
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("ledger: uncommitted deliveries: %w", err)
	}
	return n, nil
}

// Deferral is why and until when a delivery waits.
type Deferral struct {
	Next   time.Time
	Behind bool // others go first from now on, also before the rest of its series: it may be the same with them
	Answer Answer
	Reason string // no patient data
}

// Defer says that an attempt at time at did not work and when to try again. A delivery that has ended or is parked
// stays as it is.
func (l *Ledger) Defer(ctx context.Context, id int64, why Deferral, at time.Time) error {
	return l.stepDelivery(ctx, id, "defer", &action{Name: "defer", Deferral: &why, At: at}, func(t *tx, d deliveryRow) error {
		if d.state != DeliveryPending && d.state != DeliverySent {
			return nil
		}
		answer := why.Answer
		_, err := t.exec(`UPDATE delivery SET state = 'pending', attempts = attempts + 1, next_at = ?, since = ?, behind = max(behind, ?), protocol = ?, code = ?,
			text = ?, reason = ? WHERE id = ?`, micros(why.Next), micros(at), why.Behind, answer.Protocol, answer.Code, answer.Text, why.Reason, id)
		if err == nil && why.Behind {
			_, err = t.exec(`UPDATE delivery SET behind = 1 WHERE study = ? AND destination = ? AND series_instance_uid = ?
				AND state = 'pending' AND behind = 0`, d.study, d.destination, d.series)
		}
		if err != nil {
			return err
		}
		e := d.event(EventDeferred, at, answer, why.Reason)
		e.merge = fmt.Sprintf("deferred %d %s", id, answer.Code)
		return t.event(e)
	})
}

// Park says that trying on is of no use until a person has looked at it. A delivery that has ended or is parked stays
// as it is.
func (l *Ledger) Park(ctx context.Context, id int64, answer Answer, reason string, at time.Time) error {
	return l.stepDelivery(ctx, id, "park", &action{Name: "park", Answer: &answer, Reason: reason, At: at}, func(t *tx, d deliveryRow) error {
		if d.state != DeliveryPending && d.state != DeliverySent {
			return nil
		}
		_, err := t.exec(`UPDATE delivery SET state = 'parked', attempts = attempts + 1, ended_at = ?, protocol = ?, code = ?, text = ?,
			reason = ? WHERE id = ?`, micros(at), answer.Protocol, answer.Code, answer.Text, reason, id)
		if err != nil {
			return err
		}
		return t.event(d.event(EventDeliveryParked, at, answer, reason))
	})
}

// Unpark puts a parked delivery back, due at once, with its attempts counted anew. One that is on its way
// stays as it is; one that has ended, or that is for a destination that is not configured, is ErrState. It returns where the delivery goes.
func (l *Ledger) Unpark(ctx context.Context, id int64, at time.Time) (destination string, err error) {
	err = l.stepDelivery(ctx, id, "unpark", &action{Name: "unpark", At: at}, func(t *tx, d deliveryRow) error {
		destination = d.destination
		switch d.state {
		case DeliveryPending, DeliverySent:
			return nil
		case DeliveryParked:
		default:
			return fmt.Errorf("%w: it is %s", ErrState, d.state)
		}
		if t.configured != nil && !t.configured[destination] {
			return fmt.Errorf("%w: %s", ErrState, notConfigured(destination))
		}
		_, err := t.exec("UPDATE delivery SET state = 'pending', attempts = 0, behind = 0, next_at = ?1, since = ?1, asked_at = ?1, ended_at = NULL WHERE id = ?2", micros(at), id)
		if err != nil {
			return err
		}
		return t.event(d.event(EventDeliveryUnparked, at, Answer{}, ""))
	})
	return destination, err
}

// Discard ends a delivery that a person does not want. One that is done is ErrState.
func (l *Ledger) Discard(ctx context.Context, id int64, at time.Time) error {
	return l.stepDelivery(ctx, id, "discard", &action{Name: "discard", At: at}, func(t *tx, d deliveryRow) error {
		switch d.state {
		case DeliveryDiscarded:
			return nil
		case DeliveryDone:
			return fmt.Errorf("%w: it is %s", ErrState, d.state)
		}
		if _, err := t.exec("UPDATE delivery SET state = 'discarded', ended_at = ? WHERE id = ?", micros(at), id); err != nil {
			return err
		}
		if err := t.goOn(d.entry, at); err != nil {
			return err
		}
		return t.event(d.event(EventDeliveryDiscarded, at, Answer{}, ""))
	})
}
