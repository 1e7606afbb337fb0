package ledger

import (
	"context"
	"fmt"
	"time"
)

// A message that was made of what a person has signed, and that waits under an identity which the patient no longer has,
// is stale: it is not sent. What was signed stays as it is; Readdress puts in the message's place another one of the same
// version that names the patient as it is now.

// staled marks what waits to be sent of signed versions. What is parked waits for a person first.
func (t *tx) staled(study int64) error {
	_, err := t.exec("UPDATE delivery AS d SET stale = 1 WHERE d.study = ?1 AND d.kind <> '"+KindDICOM+"' AND d.state IN ('pending', 'parked') AND "+
		fmt.Sprintf(madeOf, "?1")+" NOT IN ('draft', 'amending')", study)
	return err
}

// madeOf is the standing of the version that a delivery was made of, in the study %s.
const madeOf = "(SELECT m.standing FROM draft m WHERE m.study = %s AND m.number = d.number AND m.version = d.version)"

const staleDeliveries = selectDelivery + "WHERE d.stale = 1 AND d.state = 'pending' ORDER BY d.id LIMIT ?"

// Stale returns at most limit pending deliveries that are to be made anew under the identity that their patient has now.
func (l *Ledger) Stale(ctx context.Context, limit int) ([]Delivery, error) {
	ds, err := query(ctx, l.readDB, scanDelivery, staleDeliveries, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: stale deliveries: %w", err)
	}
	return ds, nil
}

// Readdress puts message, of which entry and digest count, in the place of the delivery id, which is stale: both say the
// same of the same version, and message names patient. A delivery that is stale no more, or not pending, stays as it is. It is
// ErrPatient where the study's patient is another one by now.
func (l *Ledger) Readdress(ctx context.Context, id int64, message Outgoing, patient Person, at time.Time) error {
	a := &action{Name: "readdress", Outgoing: []Outgoing{message}, Person: &patient, At: at}
	return l.stepDelivery(ctx, id, "readdress", a, func(t *tx, d deliveryRow) error {
		var old Delivery
		var stale bool
		err := t.row("SELECT kind, purpose, rank, waits_for, next_at, number, version, stale FROM delivery WHERE id = ?", []any{id},
			&old.Kind, &old.Purpose, &old.Rank, &old.After, timeColumn{&old.NextAt}, &old.Number, &old.Version, &stale)
		if err != nil || !stale || d.state != DeliveryPending {
			return err
		}
		if err := t.isOn(d.study, patient); err != nil {
			return err
		}
		of := Draft{Number: old.Number, Version: old.Version, At: at}
		if err := t.made(d.study, of, Outgoing{Kind: old.Kind, Entry: message.Entry, Purpose: old.Purpose}); err != nil {
			return err
		}
		next := old
		next.Entry, next.State = message.Entry, DeliveryPending
		if next.After == "" {
			next.NextAt = at
		}
		if err := t.deliver(d.study, next, []string{d.destination}, at); err != nil {
			return err
		}
		if _, err := t.exec("UPDATE delivery SET state = 'discarded', ended_at = ?, reason = ? WHERE id = ?", micros(at), superseded, id); err != nil {
			return err
		}
		return t.event(d.event(EventDeliveryDiscarded, at, Answer{}, superseded))
	})
}
