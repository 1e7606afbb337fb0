package ledger

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

// BundleVersion is a version of a model that is or was in force.
type BundleVersion struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Digest  string    `json:"digest"` // of the network
	Dir     string    `json:"dir"`    // of its bundle
	InForce bool      `json:"-"`
	Since   time.Time `json:"since,omitzero"` // when it came in force last,
	By      Actor     `json:"by,omitzero"`    // and by whom

	// The configured bundle in whose place a person has put it; empty: it is the configured one.
	OverVersion string `json:"over_version,omitempty"`
	OverDigest  string `json:"over_digest,omitempty"`
}

// Chosen says that it is not the configured one.
func (v BundleVersion) Chosen() bool { return v.OverDigest != "" }

// is says whether it is the same bundle for the same reason.
func (v BundleVersion) is(o BundleVersion) bool {
	return v.Name == o.Name && v.Version == o.Version && v.Digest == o.Digest && v.Dir == o.Dir && v.OverVersion == o.OverVersion && v.OverDigest == o.OverDigest
}

// PutInForce says which versions of models are in force from now on: these, and no others. One that was not, for the same reason, is since its
// Since and by whom it names; where it names none, since at, and by who acts. The same again changes nothing.
func (l *Ledger) PutInForce(ctx context.Context, all []BundleVersion, at time.Time) error {
	known, err := l.BundleVersions(ctx)
	if err != nil {
		return err
	}
	known = slices.DeleteFunc(known, func(v BundleVersion) bool { return !v.InForce })
	if len(known) == len(all) && !slices.ContainsFunc(all, func(v BundleVersion) bool { return !slices.ContainsFunc(known, v.is) }) {
		return nil
	}
	return l.putInForce(ctx, all, at)
}

func (l *Ledger) putInForce(ctx context.Context, all []BundleVersion, at time.Time) error {
	err := l.act(ctx, "configuration", &action{Name: "put-in-force", Versions: all, At: at}, func(t *tx) error {
		names := []string{}
		for _, v := range all {
			names = append(names, v.Name)
			if v.Since.IsZero() {
				v.Since, v.By = at, t.by
			}
			stays, err := t.exec("UPDATE version SET dir = ? WHERE name = ? AND version = ? AND digest = ? AND in_force = 1 AND over_version = ? AND over_digest = ?",
				v.Dir, v.Name, v.Version, v.Digest, v.OverVersion, v.OverDigest)
			if err == nil && stays == 0 {
				_, err = t.exec("INSERT OR REPLACE INTO version (name, version, digest, dir, in_force, since, actor_kind, actor, over_version, over_digest) VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?)",
					v.Name, v.Version, v.Digest, v.Dir, micros(v.Since), v.By.Kind, v.By.Name, v.OverVersion, v.OverDigest)
			}
			if err != nil {
				return err
			}
			if _, err := t.exec("UPDATE version SET in_force = 0 WHERE name = ? AND (version, digest) <> (?, ?)", v.Name, v.Version, v.Digest); err != nil {
				return err
			}
		}
		_, err := t.exec("UPDATE version SET in_force = 0 WHERE name NOT IN (SELECT value FROM json_each(?))", namesText(names))
		return err
	})
	return wrap("ledger: versions of models", err)
}

// BundleVersions returns the versions of all models that are or were in force, of each model the last first.
func (l *Ledger) BundleVersions(ctx context.Context) ([]BundleVersion, error) {
	all, err := query(ctx, l.readDB, func(rows *sql.Rows) (v BundleVersion, err error) {
		return v, rows.Scan(&v.Name, &v.Version, &v.Digest, &v.Dir, &v.InForce, timeColumn{&v.Since}, &v.By.Kind, &v.By.Name, &v.OverVersion, &v.OverDigest)
	}, "SELECT name, version, digest, dir, in_force, since, actor_kind, actor, over_version, over_digest FROM version ORDER BY name, in_force DESC, since DESC")
	return all, wrap("ledger: versions of models", err)
}

// BundleVersionsIn is BundleVersions of the database at path, which a gateway may use. One that an earlier release has left, and this one's gateway
// has not opened yet, is read as it is: it may know of none.
func BundleVersionsIn(ctx context.Context, path string) (all []BundleVersion, err error) {
	l := &Ledger{path: path, health: newHealth()}
	var some bool
	if err = l.openReaders(ctx, path, "mode", "ro"); err == nil {
		err = l.readDB.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'version')").Scan(&some)
	}
	if err == nil && some {
		all, err = l.BundleVersions(ctx)
	}
	return all, wrap("ledger: "+path, errors.Join(err, l.closeDatabases()))
}
