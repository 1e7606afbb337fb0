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
	(destination, entry, alternate, study, series_instance_uid, sop_class_uid, sop_instance_uid, transfer_syntax_uid,
	 purpose, rank, state, next_at, reason)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (entry, destination) DO NOTHING`

// deliver puts d on the way to each of destinations.
func (t *tx) deliver(study int64, d Delivery, destinations []string) error {
	for _, destination := range destinations {
		in, state, reason := d.Instance, d.State, d.Reason
		if state == StatePending && t.configured != nil && !t.configured[destination] {
			state, reason = StateParked, notConfigured(destination)
		}
		_, err := t.exec(insertDelivery, destination, d.Entry, d.Alternate, study, in.SeriesInstanceUID, in.SOPClassUID,
			in.SOPInstanceUID, d.TransferSyntaxUID, d.Purpose, d.Rank, state, micros(d.NextAt), reason)
		if err != nil {
			return err
		}
	}
	return nil
}

const selectDelivery = `SELECT d.id, d.destination, d.entry, d.alternate, d.sop_class_uid, d.sop_instance_uid,
	d.series_instance_uid, s.study_instance_uid, d.transfer_syntax_uid, d.purpose, d.rank, d.state, d.attempts, d.next_at,
	d.ended_at, d.used, d.status, d.reason
	FROM delivery d JOIN study s ON s.id = d.study `

func scanDelivery(rows *sql.Rows) (Delivery, error) {
	var d Delivery
	err := rows.Scan(&d.ID, &d.Destination, &d.Entry, &d.Alternate, &d.Instance.SOPClassUID, &d.Instance.SOPInstanceUID,
		&d.Instance.SeriesInstanceUID, &d.Instance.StudyInstanceUID, &d.TransferSyntaxUID, &d.Purpose, &d.Rank, &d.State,
		&d.Attempts, timeColumn{&d.NextAt}, timeColumn{&d.EndedAt}, &d.Used, &d.Status, &d.Reason)
	return d, err
}

// The + keeps the planner from sorting all that is due by way of delivery_next.
const dueDeliveries = selectDelivery + `WHERE d.state = 'pending' AND d.destination = ? AND +d.next_at <= ?
	ORDER BY d.rank, d.id LIMIT ?`

// DueDeliveries returns at most limit pending deliveries to destination whose time has come,
// by rank and then in the order they were made.
func (l *Ledger) DueDeliveries(ctx context.Context, destination string, now time.Time, limit int) ([]Delivery, error) {
	ds, err := query(ctx, l.readDB, scanDelivery, dueDeliveries, destination, micros(now), limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: due deliveries: %w", err)
	}
	return ds, nil
}

const nextDelivery = "SELECT min(next_at) FROM delivery WHERE state = 'pending' AND destination = ?"

// NextDelivery returns when the next pending delivery to destination is due, and false when
// there is none.
func (l *Ledger) NextDelivery(ctx context.Context, destination string) (time.Time, bool, error) {
	var n sql.NullInt64
	if err := l.readDB.QueryRowContext(ctx, nextDelivery, destination).Scan(&n); err != nil {
		return time.Time{}, false, fmt.Errorf("ledger: next delivery: %w", err)
	}
	return fromMicros(n), n.Valid, nil
}

// deliveryRow is what a step needs to know of a delivery.
type deliveryRow struct {
	id, study   int64
	instance    dicom.UID
	entry       string
	alternate   string
	destination string
	state       State
}

func (t *tx) delivery(id int64) (deliveryRow, error) {
	d := deliveryRow{id: id}
	err := t.row("SELECT study, sop_instance_uid, entry, alternate, destination, state FROM delivery WHERE id = ?", []any{id},
		&d.study, &d.instance, &d.entry, &d.alternate, &d.destination, &d.state)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return d, err
}

func (d deliveryRow) event(what What, at time.Time, status, detail string) event {
	return event{
		study: d.study, instance: d.instance, entry: d.entry, what: what, at: at,
		destination: d.destination, status: status, detail: detail,
	}
}

// stepDelivery runs do on the delivery id.
func (l *Ledger) stepDelivery(ctx context.Context, id int64, what string, do func(*tx, deliveryRow) error) error {
	err := l.write(ctx, func(t *tx) error {
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

// Delivered ends a delivery: the peer has taken usedEntry, the entry itself or its alternate,
// and answered with status. It holds whatever the state was, because the peer has it.
func (l *Ledger) Delivered(ctx context.Context, id int64, usedEntry string, status uint16, at time.Time) error {
	return l.stepDelivery(ctx, id, "end", func(t *tx, d deliveryRow) error {
		if d.state == StateDone {
			return nil
		}
		text := fmt.Sprintf("%04X", status)
		_, err := t.exec(`UPDATE delivery SET state = 'done', attempts = attempts + 1, ended_at = ?, used = ?, status = ?, reason = ''
			WHERE id = ?`, micros(at), usedEntry, text, id)
		if err != nil {
			return err
		}
		detail := ""
		if usedEntry != "" && usedEntry == d.alternate {
			detail = "the alternate, as the peer refuses the SOP class"
		}
		return t.event(d.event(EventDelivered, at, text, detail))
	})
}

// Defer says that an attempt at time at did not work and when to try again. status is the
// peer's answer as four hexadecimal digits, empty when there was none. A delivery that is no
// longer pending stays as it is.
func (l *Ledger) Defer(ctx context.Context, id int64, next time.Time, status, reason string, at time.Time) error {
	return l.stepDelivery(ctx, id, "defer", func(t *tx, d deliveryRow) error {
		if d.state != StatePending {
			return nil
		}
		_, err := t.exec("UPDATE delivery SET attempts = attempts + 1, next_at = ?, status = ?, reason = ? WHERE id = ?",
			micros(next), status, reason, id)
		if err != nil {
			return err
		}
		e := d.event(EventDeferred, at, status, reason)
		e.merge = fmt.Sprintf("deferred %d %s", id, status)
		return t.event(e)
	})
}

// Park says that trying on is of no use until a person has looked at it. A delivery that is
// no longer pending stays as it is.
func (l *Ledger) Park(ctx context.Context, id int64, status, reason string, at time.Time) error {
	return l.stepDelivery(ctx, id, "park", func(t *tx, d deliveryRow) error {
		if d.state != StatePending {
			return nil
		}
		_, err := t.exec("UPDATE delivery SET state = 'parked', attempts = attempts + 1, ended_at = ?, status = ?, reason = ? WHERE id = ?",
			micros(at), status, reason, id)
		if err != nil {
			return err
		}
		return t.event(d.event(EventDeliveryParked, at, status, reason))
	})
}

// Unpark puts a parked delivery back, due at once, with its attempts counted anew. A pending
// one stays as it is; one that has ended is ErrState.
func (l *Ledger) Unpark(ctx context.Context, id int64, at time.Time) error {
	return l.stepDelivery(ctx, id, "unpark", func(t *tx, d deliveryRow) error {
		switch d.state {
		case StatePending:
			return nil
		case StateParked:
		default:
			return fmt.Errorf("%w: it is %s", ErrState, d.state)
		}
		_, err := t.exec("UPDATE delivery SET state = 'pending', attempts = 0, next_at = ?, ended_at = NULL WHERE id = ?", micros(at), id)
		if err != nil {
			return err
		}
		return t.event(d.event(EventDeliveryUnparked, at, "", ""))
	})
}

// Discard ends a delivery that a person does not want. One that is done is ErrState.
func (l *Ledger) Discard(ctx context.Context, id int64, at time.Time) error {
	return l.stepDelivery(ctx, id, "discard", func(t *tx, d deliveryRow) error {
		switch d.state {
		case StateDiscarded:
			return nil
		case StateDone:
			return fmt.Errorf("%w: it is %s", ErrState, d.state)
		}
		if _, err := t.exec("UPDATE delivery SET state = 'discarded', ended_at = ? WHERE id = ?", micros(at), id); err != nil {
			return err
		}
		return t.event(d.event(EventDeliveryDiscarded, at, "", ""))
	})
}
