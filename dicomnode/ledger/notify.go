package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// Notify says what makes an examination urgent, and who is told of what. The ledger keeps it, and decides with the result: so what is
// told is as durable as what it is about.
type Notify struct {
	Urgent []Urgency    `json:"urgent,omitempty"`
	Rules  []NotifyRule `json:"rules,omitempty"`
}

// Urgency is from when on a class that a model finds is urgent.
type Urgency struct {
	Class     string  `json:"class"`
	Threshold float64 `json:"threshold"`
	Frames    int     `json:"frames"` // at or above it
}

// What a rule is about.
const (
	OnUrgent = "urgent" // a finding that makes an examination urgent
	OnReview = "review" // a question about a report of another system
)

// NotifyRule says where a notice goes.
type NotifyRule struct {
	Name     string   `json:"name"`
	On       string   `json:"on"`
	Kinds    []string `json:"kinds,omitempty"`    // of reviews; none: all
	Findings []string `json:"findings,omitempty"` // classes, or findings of reviews; none: all
	To       []string `json:"to"`                 // destinations
}

// about says whether the rule is about a finding, of a review of a kind.
func (r NotifyRule) about(on, kind, finding string) bool {
	return r.On == on && (len(r.Kinds) == 0 || slices.Contains(r.Kinds, kind)) && (len(r.Findings) == 0 || slices.Contains(r.Findings, finding))
}

// PurposeNotice is that of a delivery that tells a person of a study; its entry is the notice's ID.
const PurposeNotice = "notice"

// RankNotice is before all else.
const RankNotice = -10

// Notice is what a person is told: that a study needs one. It has no patient data. The ID stays the same however often it is sent.
type Notice struct {
	ID           string    `json:"id"`
	Rule         string    `json:"rule"`
	On           string    `json:"on"`
	Study        dicom.UID `json:"study_uid"`
	Finding      string    `json:"finding"`
	Kind         string    `json:"kind,omitempty"` // of the review
	Route        string    `json:"route"`
	Model        string    `json:"model"`
	ModelVersion string    `json:"model_version"`
	Probability  float64   `json:"probability"` // the highest
	Frames       int       `json:"frames"`      // at or above the threshold
	Received     time.Time `json:"received_at"` // the first of these frames
	At           time.Time `json:"at"`
}

// noticeID is the same for what a rule tells of a finding of a study, whatever else changes: a person is told once.
func noticeID(n Notice) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{n.Rule, n.On, string(n.Study), n.Finding, n.Kind}, "\x00")))
	return "notice-" + hex.EncodeToString(sum[:16])
}

// SetNotify says what holds from now on. What was found before is not told anew. The same again changes nothing.
func (l *Ledger) SetNotify(ctx context.Context, n Notify, at time.Time) error {
	var is Notify
	err := l.readDB.QueryRowContext(ctx, "SELECT notify FROM meta").Scan(jsonColumn{&is})
	if err == nil && !reflect.DeepEqual(is, n) {
		err = l.setNotify(ctx, n, at)
	}
	if err != nil {
		return fmt.Errorf("ledger: notify: %w", err)
	}
	return nil
}

func (l *Ledger) setNotify(ctx context.Context, n Notify, at time.Time) error {
	return l.act(ctx, "configuration", &action{Name: "set-notify", Notify: &n, At: at}, func(t *tx) error {
		document, err := jsonText(n)
		if err == nil {
			_, err = t.exec("UPDATE meta SET notify = ?", document)
		}
		return err
	})
}

func (t *tx) notifying() (n Notify, err error) {
	return n, t.row("SELECT notify FROM meta", nil, jsonColumn{&n})
}

const urgentFrames = `SELECT coalesce(sum(r.count), 0), coalesce(max((SELECT max(value ->> 'probability') FROM json_each(r.findings) WHERE value ->> 'class' = ?2)), 0), min(i.received_at)
	FROM job j JOIN instance i ON i.id = j.instance JOIN span r ON r.job = j.id
	WHERE j.exam = ?1 AND j.state = 'done' AND j.retracted = ''
	AND EXISTS (SELECT 1 FROM json_each(r.findings) WHERE value ->> 'class' = ?2 AND value ->> 'probability' >= ?3)`

// findUrgent makes the study of a job urgent where its exam has a class on enough frames by now, and tells of it, once.
func (t *tx) findUrgent(j jobRow, by analysis.Model, results []analysis.Result, at time.Time) error {
	if !slices.ContainsFunc(results, func(r analysis.Result) bool { return len(r.Findings) > 0 }) {
		return nil
	}
	rules, err := t.notifying()
	if err != nil {
		return err
	}
	for _, u := range rules.Urgent {
		if !slices.ContainsFunc(results, func(r analysis.Result) bool {
			return slices.ContainsFunc(r.Findings, func(f analysis.Finding) bool { return f.Class == u.Class && f.Probability >= u.Threshold })
		}) {
			continue
		}
		var passed bool // it is known, or of a screening: what was reported long ago is not urgent, and asked about by a review
		if err := t.row("SELECT EXISTS (SELECT 1 FROM urgent WHERE study = ?1 AND class = ?2) OR (SELECT screening <> '' FROM job WHERE id = ?3)", []any{j.study, u.Class, j.id}, &passed); err != nil {
			return err
		}
		if passed {
			continue
		}
		n := Notice{On: OnUrgent, Finding: u.Class, Model: by.Name, ModelVersion: by.Version}
		if err := t.row(urgentFrames, []any{j.exam, u.Class, u.Threshold}, &n.Frames, &n.Probability, timeColumn{&n.Received}); err != nil {
			return err
		}
		if n.Frames < u.Frames {
			continue
		}
		if err := t.row("SELECT route FROM exam WHERE id = ?", []any{j.exam}, &n.Route); err != nil {
			return err
		}
		if err := t.makeUrgent(j, u.Class, at); err != nil {
			return err
		}
		if err := t.tell(j.study, rules, n, "", at); err != nil {
			return err
		}
	}
	return nil
}

// statLane begins the names of sources whose deliveries go in the STAT lane: no AE title has it.
const statLane = "char(1)"

// makeUrgent has what is made of a study go in the STAT lane from now on, and the study stand first in lists.
func (t *tx) makeUrgent(j jobRow, class string, at time.Time) error {
	for _, step := range []string{
		"INSERT INTO urgent (study, class, model, at) VALUES (?1, ?2, ?3, ?4)",
		"UPDATE study SET urgent = 1 WHERE id = ?1",
		"UPDATE delivery SET source = " + statLane + " || source WHERE study = ?1 AND state IN ('pending', 'sent', 'parked') AND substr(source, 1, 1) <> " + statLane,
		"UPDATE review SET priority = 0 WHERE study = ?1 AND state = 'open'",
	} {
		if _, err := t.exec(step, []any{j.study, class, j.model, micros(at)}[:strings.Count(step, "?")]...); err != nil {
			return err
		}
	}
	return t.event(event{study: j.study, what: EventUrgent, at: at, detail: class + " by " + j.model})
}

// tell puts a notice on its way to whom a rule names.
func (t *tx) tell(study int64, rules Notify, n Notice, review string, at time.Time) error {
	if err := t.row("SELECT study_instance_uid FROM study WHERE id = ?", []any{study}, &n.Study); err != nil {
		return err
	}
	for _, rule := range rules.Rules {
		if !rule.about(n.On, n.Kind, n.Finding) {
			continue
		}
		n.Rule, n.At = rule.Name, at
		n.ID = noticeID(n)
		document, err := jsonText(n)
		if err != nil {
			return err
		}
		added, err := t.exec("INSERT INTO notice (name, study, model, review, made_at, document) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			n.ID, study, n.Model, review, micros(at), document)
		if err != nil {
			return err
		}
		if added == 0 {
			continue
		}
		if err := t.event(event{study: study, entry: n.ID, what: EventNotice, at: at, detail: fmt.Sprintf("%s: %s", rule.Name, n.Finding)}); err != nil {
			return err
		}
		d := Delivery{Kind: KindNotice, Entry: n.ID, Instance: dicom.SOPInstance{StudyInstanceUID: n.Study}, Purpose: PurposeNotice, Rank: RankNotice, State: DeliveryPending, NextAt: at}
		if err := t.deliver(study, d, rule.To, at); err != nil {
			return err
		}
	}
	return nil
}

// tellOfReview tells of a review that a person is asked.
func (t *tx) tellOfReview(study int64, r Review) error {
	if r.State != ReviewOpen {
		return nil
	}
	rules, err := t.notifying()
	if err != nil {
		return err
	}
	return t.tell(study, rules, Notice{
		On: OnReview, Finding: r.Finding, Kind: r.Kind, Route: r.Route, Model: r.Model, ModelVersion: r.ModelVersion, Probability: r.Probability, Frames: r.Frames,
	}, r.Name, r.MadeAt)
}

// Conditions on deliveries d of notices that nobody needs any more: ?2 is a review's study, or an exam.
const (
	ofWithdrawn = `d.state IN ('pending', 'parked') AND d.entry IN (SELECT n.name FROM notice n JOIN review r ON r.name = n.review WHERE n.study = ?2 AND r.state <> 'open')`
	ofRetracted = `d.state IN ('pending', 'parked') AND d.entry IN (SELECT n.name FROM exam e JOIN notice n ON n.study = e.study AND n.model = e.model WHERE e.id = ?2)`
)

// untell takes back what is on its way to a person and says what does not hold any more.
func (t *tx) untell(where, why string, of int64, at time.Time) error {
	_, err := t.stepDeliveries(EventDeliveryDiscarded, where, "'"+why+"'", "state = 'discarded', ended_at = ?1", micros(at), of)
	return err
}

// calm ends the urgency of a study for what its results do not say any more.
func (t *tx) calm(exam int64) error {
	for _, step := range []string{
		"DELETE FROM urgent WHERE (study, model) = (SELECT study, model FROM exam WHERE id = ?1)",
		"UPDATE study SET urgent = EXISTS (SELECT 1 FROM urgent WHERE study = study.id) WHERE id = (SELECT study FROM exam WHERE id = ?1)",
	} {
		if _, err := t.exec(step, exam); err != nil {
			return err
		}
	}
	return nil
}

// Notice returns what the notice of an ID tells, or ErrNotFound.
func (l *Ledger) Notice(ctx context.Context, id string) (n Notice, err error) {
	err = l.readDB.QueryRowContext(ctx, "SELECT document FROM notice WHERE name = ?", id).Scan(jsonColumn{&n})
	if err != nil {
		return Notice{}, fmt.Errorf("ledger: notice %s: %w", id, notFound(err))
	}
	return n, nil
}

// noticesOf returns what was told of a study, the oldest first.
const noticesOf = `SELECT n.document FROM study s JOIN notice n ON n.study = s.id WHERE s.study_instance_uid = ? ORDER BY n.id LIMIT ?`

// Notices returns what persons were told of a study, the oldest first, at most limit.
func (l *Ledger) Notices(ctx context.Context, study dicom.UID, limit int) ([]Notice, error) {
	all, err := query(ctx, l.readDB, func(rows *sql.Rows) (n Notice, err error) { return n, rows.Scan(jsonColumn{&n}) }, noticesOf, study, limit)
	return all, wrap("ledger: notices", err)
}
