package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"endogate/dicomnode/dicom"
)

// LeftOut is an instance that no model has seen because none applied or could.
type LeftOut struct {
	After          int64 // to ask for those behind it
	Entry          string
	SOPInstanceUID dicom.UID
	Job            string // that was skipped, or parked; empty where there is none
	Model          string // of the job
	Reason         string
	Old            bool // it came before the time asked for
	Released       bool // its bytes are gone
}

// ModelNotConfigured is why a job is parked that nobody does: the name of its model stands between the two.
var ModelNotConfigured = [2]string{"model ", " is not configured any more; configure it again or discard"}

const orphans = selectJob + `WHERE j.state = 'open' AND j.screening = '' AND j.model NOT IN (SELECT value FROM json_each(?)) ORDER BY j.id LIMIT 1000`

// ParkOrphans parks the open jobs of models other than these, which nobody does, and returns how many they were. LeftOut has them.
func (l *Ledger) ParkOrphans(ctx context.Context, models []string, at time.Time) (n int, err error) {
	for {
		jobs, err := query(ctx, l.readDB, scanJob, orphans, namesText(models))
		if err != nil || len(jobs) == 0 {
			return n, wrap("ledger: jobs of no model", err)
		}
		for _, j := range jobs {
			switch err := l.ParkJob(ctx, j.ID, ModelNotConfigured[0]+j.Model+ModelNotConfigured[1], at); {
			case err == nil:
				n++
			case !errors.Is(err, ErrState) && !errors.Is(err, ErrNotFound): // else somebody has ended it meanwhile
				return n, err
			}
		}
	}
}

// It goes over what is not analysed, by the index of that, and never over the studies.
var leftOut = `SELECT i.id, i.entry, i.sop_instance_uid, coalesce(j.name, ''), coalesce(j.model, ''), coalesce(j.reason, i.reason), i.received_at < ?1, i.released_at IS NOT NULL
	FROM instance i INDEXED BY instance_unanalysed LEFT JOIN job j ON j.instance = i.id AND j.state IN ('skipped', 'parked')
	WHERE i.state IN ('failed', 'not-analysed') AND i.id > ?6 AND (i.state = 'not-analysed' OR instr(j.reason, ?4) > 0 OR j.reason = '` + ModelNotConfigured[0] + `' || j.model || '` + ModelNotConfigured[1] + `' OR j.model IN (SELECT value FROM json_each(?5))) AND (SELECT last_at FROM study WHERE id = i.study) >= ?2 AND coalesce(j.reason, '') <> ?3
		AND NOT EXISTS (SELECT 1 FROM event e WHERE e.study = i.study AND e.entry = i.entry AND e.what = 'discarded') ORDER BY i.id LIMIT ?7`

// LeftOut returns what was not analysed, or parked for a reason that has the words failed, by one of these models or because its model was not configured, neither because its order was cancelled nor because a person has discarded it: of studies with an arrival since
// remembered, so many at most, those behind after in the order in which they came: of an instance all, as long as they are fewer. None: there
// are no more. What came before since is old.
func (l *Ledger) LeftOut(ctx context.Context, since, remembered time.Time, failed string, models []string, after int64, limit int) ([]LeftOut, error) {
	found, err := query(ctx, l.readDB, func(rows *sql.Rows) (o LeftOut, err error) {
		return o, rows.Scan(&o.After, &o.Entry, &o.SOPInstanceUID, &o.Job, &o.Model, &o.Reason, &o.Old, &o.Released)
	}, leftOut, micros(since), micros(remembered), OrderWasCancelled, failed, namesText(models), after, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: left out: %w", err)
	}
	if len(found) == limit { // of the last instance there may be more, which come whole the next time
		last := found[limit-1].After
		found = slices.DeleteFunc(found, func(o LeftOut) bool { return o.After == last && o.After != found[0].After })
	}
	return found, nil
}

// TakeUp gives an instance that was not analysed the route and the models of r, which is made of its spool entry, as receiving it
// again would. An instance that has been taken up already is ErrState.
func (l *Ledger) TakeUp(ctx context.Context, r Receipt) error {
	err := l.act(ctx, "follower", &action{Name: "take-up", Receipts: []Receipt{r}}, func(t *tx) error {
		b := newBatch(t)
		var k known
		err := t.row("SELECT id, study, entry, route, state, released_at IS NOT NULL FROM instance WHERE entry = ?", []any{r.ID},
			&k.id, &k.study, &k.entry, &k.route, &k.state, &k.released)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNotFound
		case err != nil:
			return err
		case k.state != InstanceNotAnalysed, k.released:
			return fmt.Errorf("%w: it is %s", ErrState, k.state)
		}
		if err := b.takeUp(r, k); err != nil {
			return err
		}
		return b.finish(0)
	})
	if err != nil {
		return fmt.Errorf("ledger: take up entry %s: %w", r.ID, err)
	}
	return nil
}

// Models returns which version of each model the ledger was told of last, by name: also of those that there were only earlier.
func (l *Ledger) Models(ctx context.Context) (versions map[string]string, err error) {
	err = l.readDB.QueryRowContext(ctx, "SELECT models FROM meta").Scan(jsonColumn{&versions})
	return versions, wrap("ledger: models", err)
}

// SetModels tells the ledger which version of each model there is. Of others it remembers the version that there was last, and what that
// has given up.
func (l *Ledger) SetModels(ctx context.Context, versions map[string]string) error {
	return l.write(ctx, func(t *tx) error {
		var known map[string]string
		if err := t.row("SELECT models FROM meta", nil, jsonColumn{&known}); err != nil {
			return err
		}
		all := maps.Clone(versions)
		for name, was := range known {
			if _, is := all[name]; !is {
				all[name] = was
			}
		}
		document, err := jsonText(all)
		if err == nil {
			_, err = t.exec("UPDATE meta SET models = ?", document)
		}
		return err
	})
}
