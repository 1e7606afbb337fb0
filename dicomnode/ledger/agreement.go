package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
)

// AgreementFilter picks decisions. Empty fields pick all.
type AgreementFilter struct {
	Model, ModelVersion, Route, Class string
	Site                              string // code value
	From, Before                      time.Time
	After                             Cursor
	Page
}

// AgreementCount is how often persons agreed with a version of a model about a class in a site. A finding counts once,
// by what was decided about it last.
type AgreementCount struct {
	Model        string     `json:"model"`
	ModelVersion string     `json:"model_version"`
	Route        string     `json:"route"`
	Class        string     `json:"class"`
	Site         dicom.Code `json:"site"`
	Accepted     int        `json:"accepted"`
	Rejected     int        `json:"rejected"`
	Modified     int        `json:"modified"`
}

// newestDecision is the last on a finding.
const newestDecision = `NOT EXISTS (SELECT 1 FROM agreement b WHERE b.study = a.study AND b.finding = a.finding AND b.id > a.id)`

// timed says whether f picks by time too: what is counted is not counted by that.
func (f AgreementFilter) timed() bool { return !f.From.IsZero() || !f.Before.IsZero() }

// where returns the conditions of f with their arguments: on the newest decision on each finding, or on what was counted of these.
func (f AgreementFilter) where(counted bool) (string, []any) {
	conditions := []string{"a.decision <> ''"}
	if counted {
		conditions = append(conditions, "a.n > 0")
	} else {
		conditions = append(conditions, newestDecision)
	}
	var args []any
	for _, c := range []struct{ condition, value string }{
		{"a.model = ?", f.Model},
		{"a.model_version = ?", f.ModelVersion},
		{"a.route = ?", f.Route},
		{"a.class = ?", f.Class},
		{"a.site ->> 'value' = ?", f.Site},
	} {
		if c.value != "" {
			conditions, args = append(conditions, c.condition), append(args, c.value)
		}
	}
	if !f.From.IsZero() {
		conditions, args = append(conditions, "a.at >= ?"), append(args, micros(f.From))
	}
	if !f.Before.IsZero() {
		conditions, args = append(conditions, "a.at < ?"), append(args, micros(f.Before))
	}
	return "WHERE " + strings.Join(conditions, " AND ") + " ", args
}

// AgreementCounts returns the statistics of the decisions that f picks, without regard to its page.
func (l *Ledger) AgreementCounts(ctx context.Context, f AgreementFilter) ([]AgreementCount, error) {
	from, one := "agreed", "a.n"
	if f.timed() {
		from, one = "agreement", "1"
	}
	where, args := f.where(!f.timed())
	counts, err := query(ctx, l.readDB, func(rows *sql.Rows) (c AgreementCount, err error) {
		return c, rows.Scan(&c.Model, &c.ModelVersion, &c.Route, &c.Class, jsonColumn{&c.Site}, &c.Accepted, &c.Rejected, &c.Modified)
	}, fmt.Sprintf(`SELECT a.model, a.model_version, a.route, a.class, a.site,
		sum(%[1]s * (a.decision = 'accept')), sum(%[1]s * (a.decision = 'reject')), sum(%[1]s * (a.decision = 'modify'))
		FROM %[2]s a `, one, from)+where+`GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`, args...)
	if err != nil {
		return nil, fmt.Errorf("ledger: agreement: %w", err)
	}
	return counts, nil
}

// Agreements returns a page of the decisions that f picks, the newest first, and how many f picks in all.
func (l *Ledger) Agreements(ctx context.Context, f AgreementFilter) (page []Agreement, total int, err error) {
	count := "SELECT coalesce(sum(a.n), 0) FROM agreed a "
	if f.timed() {
		count = "SELECT count(*) FROM agreement a "
	}
	where, args := f.where(!f.timed())
	if err := l.readDB.QueryRowContext(ctx, count+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("ledger: agreement: %w", err)
	}
	where, args = f.where(false)
	if f.After.ID != "" {
		where, args = where+"AND a.id < CAST(? AS INTEGER) ", append(args, f.After.ID)
	}
	limit, offset := f.bounds()
	page, err = query(ctx, l.readDB, func(rows *sql.Rows) (a Agreement, err error) {
		return a, rows.Scan(&a.ID, &a.Study, &a.Finding, &a.Number, &a.Version, &a.Model, &a.ModelVersion, &a.Route, &a.Class, jsonColumn{&a.Site},
			&a.Decision, &a.Author, &a.Unauthenticated, timeColumn{&a.At})
	}, `SELECT a.id, s.study_instance_uid, a.finding, a.number, a.version, a.model, a.model_version, a.route, a.class, a.site,
		a.decision, a.author, a.unauthenticated, a.at FROM agreement a JOIN study s ON s.id = a.study `+where+
		`ORDER BY a.id DESC LIMIT ? OFFSET ?`, append(args, limit, offset)...)
	if err != nil {
		return nil, 0, fmt.Errorf("ledger: agreement: %w", err)
	}
	return page, total, nil
}
