package ledger

import (
	"context"
	"fmt"
	"time"
)

// notConfigured is why a delivery is parked that has nobody to go to.
func notConfigured(destination string) string {
	return "destination " + destination + notConfiguredEnd
}

const notConfiguredEnd = " is not configured any more; configure it again or discard"

// Conditions on delivery d; ?2 is the list of the destinations that are configured.
const (
	unconfigured = `AND d.destination NOT IN (SELECT value FROM json_each(?2))`
	reconfigured = `d.state = 'parked' AND d.reason = 'destination ' || d.destination || '` + notConfiguredEnd + `'
		AND d.destination IN (SELECT value FROM json_each(?2))`
	// bulk leaves alone what another decision is about.
	bulk = `d.state = 'parked' AND d.destination = ?2 AND instr(d.reason, '` + LostBytes + `') = 0
		AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.entry = d.entry AND i.state = 'conflict')`
)

// BulkRetriable returns how many deliveries to destination RetryDeliveries would put back.
func (l *Ledger) BulkRetriable(ctx context.Context, destination string) (n int, err error) {
	if err := l.readDB.QueryRowContext(ctx, "SELECT count(*) FROM delivery d WHERE "+bulk, nil, destination).Scan(&n); err != nil {
		return 0, fmt.Errorf("ledger: deliveries to %s to retry: %w", destination, err)
	}
	return n, nil
}

// stepDeliveries writes the step what for the deliveries that where picks, and then sets them; args has the time first.
// It returns how many they are.
func (t *tx) stepDeliveries(what What, where, detail, set string, args ...any) (int, error) {
	by := len(args) + 1
	_, err := t.exec(`INSERT INTO event (study, sop_instance_uid, entry, what, at, last_at, destination, code, detail, actor_kind, actor)
		SELECT d.study, d.sop_instance_uid, d.entry, '`+string(what)+`', ?1, ?1, d.destination, '', `+detail+fmt.Sprintf(`, ?%d, ?%d FROM delivery d WHERE `, by, by+1)+where,
		append(args, t.by.Kind, t.by.Name)...)
	if err != nil {
		return 0, err
	}
	n, err := t.exec("UPDATE delivery AS d SET "+set+" WHERE "+where, args...)
	return int(n), err
}

const (
	setPending      = "state = 'pending', attempts = 0, behind = 0, next_at = ?1, since = ?1, asked_at = ?1, ended_at = NULL, reason = ''"
	setUnconfigured = "state = 'parked', ended_at = ?1, reason = " + sayUnconfigured
	sayUnconfigured = "'destination ' || d.destination || '" + notConfiguredEnd + "'"
)

// parkUnconfigured parks what is on its way to nobody.
func (t *tx) parkUnconfigured(at time.Time) (int, error) {
	if t.configured == nil {
		return 0, nil
	}
	all := 0
	for _, state := range []DeliveryState{DeliveryPending, DeliverySent} {
		where := fmt.Sprintf("d.state = '%s' %s", state, unconfigured)
		n, err := t.stepDeliveries(EventDeliveryParked, where, sayUnconfigured, setUnconfigured, micros(at), t.configuredText())
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

func (t *tx) configuredText() string {
	names := make([]string, 0, len(t.configured))
	for name := range t.configured {
		names = append(names, name)
	}
	return namesText(names)
}

// ReconcileDestinations tells the ledger which destinations are configured, at start and before anything is sent.
// It parks the deliveries to others, those to come as well, and puts those back that were parked for this reason and
// whose destination is configured again. It returns how many it parked and put back.
func (l *Ledger) ReconcileDestinations(ctx context.Context, configured []string, at time.Time) (parked, back int, err error) {
	err = l.act(ctx, "configuration", &action{Name: "reconcile-destinations", Names: configured, At: at}, func(t *tx) error {
		t.configured = make(map[string]bool, len(configured))
		for _, name := range configured {
			t.configured[name] = true
		}
		if parked, err = t.parkUnconfigured(at); err != nil {
			return err
		}
		back, err = t.stepDeliveries(EventDeliveryUnparked, reconfigured, "'configured again'", setPending, micros(at), t.configuredText())
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("ledger: reconcile destinations: %w", err)
	}
	return parked, back, nil
}

// RetryDeliveries puts the parked deliveries of destination back, due at once, with their attempts counted anew, and
// returns how many. Those of instances in conflict and of lost bytes stay: to send again does not settle them.
func (l *Ledger) RetryDeliveries(ctx context.Context, destination string, at time.Time) (n int, err error) {
	err = l.act(ctx, "outbox", &action{Name: "retry-deliveries", Names: []string{destination}, At: at}, func(t *tx) error {
		if t.configured != nil && !t.configured[destination] {
			return fmt.Errorf("%w: %s", ErrState, notConfigured(destination))
		}
		n, err = t.stepDeliveries(EventDeliveryUnparked, bulk, "''", setPending, micros(at), destination)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ledger: retry deliveries to %s: %w", destination, err)
	}
	return n, nil
}
