package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
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
	Probability  float64   `json:"probability"`          // the highest
	Frames       int       `json:"frames"`               // at or above the threshold
	Received     time.Time `json:"received_at,omitzero"` // the first of these frames; not of a review
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

// urgentOf picks the jobs j of an exam, ?1, and their spans r with a class, ?2, at a threshold, ?3, or above it: of what stands, and is not of
// a screening.
const urgentOf = `FROM job j JOIN instance i ON i.id = j.instance JOIN span r ON r.job = j.id
	WHERE j.exam = ?1 AND j.state = 'done' AND j.retracted = '' AND j.screening = ''
	AND EXISTS (SELECT 1 FROM json_each(r.findings) WHERE value ->> 'class' = ?2 AND value ->> 'probability' >= ?3)`

const (
	urgentFrames = `SELECT coalesce(sum(r.count), 0), coalesce(max((SELECT max(value ->> 'probability') FROM json_each(r.findings) WHERE value ->> 'class' = ?2)), 0), min(i.received_at) ` + urgentOf
	urgentBy     = `SELECT coalesce(j.made_by ->> 'name', ''), coalesce(j.made_by ->> 'version', '') ` + urgentOf + ` ORDER BY j.id DESC LIMIT 1`
)

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
		n, err := t.urgency(j.exam, u)
		if err != nil {
			return err
		}
		if n.Frames < u.Frames {
			continue
		}
		n.Model, n.ModelVersion = by.Name, by.Version
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
	if _, err := t.exec("INSERT INTO urgent (study, class, model, at) VALUES (?, ?, ?, ?)", j.study, class, j.model, micros(at)); err != nil {
		return err
	}
	for _, step := range []string{
		"UPDATE study SET urgent = 1 WHERE id = ?",
		"UPDATE delivery SET source = " + statLane + " || source WHERE study = ? AND state IN ('pending', 'sent', 'parked') AND substr(source, 1, 1) <> " + statLane,
		"UPDATE review SET priority = 0 WHERE study = ? AND state = 'open'",
	} {
		if _, err := t.exec(step, j.study); err != nil {
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
			if err := t.tellAgain(n, review, at); err != nil {
				return err
			}
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
	n := Notice{On: OnReview}
	n.askOf(r)
	return t.tell(study, rules, n, r.Name, r.MadeAt)
}

// askOf has n say what a review does.
func (n *Notice) askOf(r Review) {
	n.Finding, n.Kind, n.Route, n.Model, n.ModelVersion, n.Probability, n.Frames = r.Finding, r.Kind, r.Route, r.Model, r.ModelVersion, r.Probability, r.Frames
}

// tellAgain puts on its way what was taken back before it was sent, and holds again. What a receiver has, or a person discarded, stays.
func (t *tx) tellAgain(n Notice, review string, at time.Time) error {
	again, err := t.stepDeliveries(EventDeliveryUnparked, "d.entry = ?2 AND d.state = 'discarded' AND d.reason LIKE '"+untold+"%'", "'it holds again'", setPending, micros(at), n.ID)
	if err != nil || again == 0 {
		return err
	}
	if err := t.rewrite(n, review); err != nil {
		return err
	}
	_, err = t.parkUnconfigured(at)
	return err
}

// rewrite has a notice that is on its way say what holds now.
func (t *tx) rewrite(n Notice, review string) error {
	document, err := jsonText(n)
	if err == nil {
		_, err = t.exec("UPDATE notice SET model = ?, review = ?, document = ? WHERE name = ?", n.Model, review, document, n.ID)
	}
	return err
}

// untold begins the reason of deliveries that were taken back, as nothing else does.
const untold = "not sent: "

// toBeTold picks deliveries d of notices that are not sent yet.
const toBeTold = "d.state IN ('pending', 'parked') AND d.entry IN "

// Conditions on deliveries d of notices of study ?2 that nobody needs any more: of its reviews, and of a class, ?3.
const (
	ofWithdrawn = toBeTold + `(SELECT n.name FROM notice n JOIN review r ON r.name = n.review WHERE n.study = ?2 AND r.state <> 'open')`
	ofCalmed    = toBeTold + `(SELECT name FROM notice WHERE study = ?2 AND document ->> 'on' = '` + OnUrgent + `' AND document ->> 'finding' = ?3)`
)

// untell takes back what is on its way to a person and says what does not hold any more.
func (t *tx) untell(where, why string, at time.Time, of ...any) error {
	_, err := t.stepDeliveries(EventDeliveryDiscarded, where, "'"+why+"'", "state = 'discarded', ended_at = ?1, reason = '"+untold+why+"'", append([]any{micros(at)}, of...)...)
	return err
}

// others finds, for notices of a study that are on their way and whose review is not open any more, an open one that asks the same.
const others = `SELECT n.document, o.document FROM notice n JOIN review r ON r.name = n.review
	JOIN review o ON o.study = n.study AND o.state = 'open' AND o.finding = r.finding AND o.kind = r.kind
	WHERE n.study = ?1 AND r.state <> 'open' AND EXISTS (SELECT 1 FROM delivery d WHERE d.entry = n.name AND d.state IN ('pending', 'parked')) GROUP BY n.id ORDER BY n.id`

// untellReviews takes back what is on its way and asks of reviews of a study that are not open any more, unless another one asks the same.
func (t *tx) untellReviews(study int64, why string, at time.Time) error {
	rows, err := t.rows(others, study)
	if err != nil {
		return err
	}
	var notices []Notice
	var reviews []Review
	for rows.Next() {
		var n Notice
		var r Review
		if err := rows.Scan(jsonColumn{&n}, jsonColumn{&r}); err != nil {
			return errors.Join(err, rows.Close())
		}
		notices, reviews = append(notices, n), append(reviews, r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for i, n := range notices {
		n.askOf(reviews[i])
		if err := t.rewrite(n, reviews[i].Name); err != nil {
			return err
		}
	}
	return t.untell(ofWithdrawn, why, at, study)
}

// withoutResults are the open reviews of exam ?1's study that rest on results of it that were taken back, and on none that stand.
const withoutResults = `UPDATE review AS r SET state = 'withdrawn' WHERE r.study = (SELECT study FROM exam WHERE id = ?1) AND r.state = 'open'
	AND EXISTS (SELECT 1 FROM job j WHERE j.exam = ?1 AND j.retracted <> '' AND j.made_by ->> 'name' = r.model AND j.made_by ->> 'version' = r.model_version)
	AND NOT EXISTS (SELECT 1 FROM exam e JOIN job j ON j.exam = e.id WHERE e.study = r.study AND e.route = r.route
		AND j.state = 'done' AND j.retracted = '' AND j.made_by ->> 'name' = r.model AND j.made_by ->> 'version' = r.model_version)`

// calm ends what the results of an exam say that a person took back: the urgency of its study for classes that no other result makes
// urgent, by the rules of now, its reviews, and what is on its way of these. What others say too is told as theirs.
func (t *tx) calm(exam Retracted, at time.Time) error {
	const why = "its result was retracted"
	if _, err := t.exec(withoutResults, exam.exam); err != nil {
		return err
	}
	if err := t.untellReviews(exam.study, why, at); err != nil {
		return err
	}
	rules, err := t.notifying()
	if err != nil {
		return err
	}
	classes, err := t.strings("SELECT class FROM urgent WHERE study = ? AND model = ?", exam.study, exam.Model)
	if err != nil {
		return err
	}
	for _, class := range classes {
		stays, err := t.urgentStill(exam.study, class, rules)
		if err != nil {
			return err
		}
		if stays {
			continue
		}
		if _, err := t.exec("DELETE FROM urgent WHERE study = ? AND class = ?", exam.study, class); err != nil {
			return err
		}
		if err := t.untell(ofCalmed, why, at, exam.study, class); err != nil {
			return err
		}
	}
	_, err = t.exec("UPDATE study SET urgent = EXISTS (SELECT 1 FROM urgent WHERE study = study.id) WHERE id = ?", exam.study)
	return err
}

// urgentStill says whether results that stand make a study urgent for a class; it is urgent for these then, and what is on its way says so.
func (t *tx) urgentStill(study int64, class string, rules Notify) (bool, error) {
	exams, err := t.ids("SELECT id FROM exam WHERE study = ? ORDER BY id", study)
	if err != nil {
		return false, err
	}
	for _, exam := range exams {
		for _, u := range rules.Urgent {
			if u.Class != class {
				continue
			}
			n, err := t.urgency(exam, u)
			if err != nil {
				return false, err
			}
			if n.Frames < u.Frames {
				continue
			}
			return true, t.handOver(study, exam, n, u)
		}
	}
	return false, nil
}

// urgency is what the results of an exam that stand say of a class.
func (t *tx) urgency(exam int64, u Urgency) (n Notice, err error) {
	n = Notice{On: OnUrgent, Finding: u.Class}
	if err := t.row(urgentFrames, []any{exam, u.Class, u.Threshold}, &n.Frames, &n.Probability, timeColumn{&n.Received}); err != nil {
		return n, err
	}
	return n, t.row("SELECT route FROM exam WHERE id = ?", []any{exam}, &n.Route)
}

// handOver has a study be urgent for a class by another exam's results, and what is on its way say so.
func (t *tx) handOver(study, exam int64, n Notice, u Urgency) error {
	if err := t.row(urgentBy, []any{exam, u.Class, u.Threshold}, &n.Model, &n.ModelVersion); err != nil {
		return err
	}
	if _, err := t.exec("UPDATE urgent SET model = (SELECT model FROM exam WHERE id = ?1) WHERE study = ?2 AND class = ?3", exam, study, u.Class); err != nil {
		return err
	}
	names, err := t.strings("SELECT DISTINCT d.entry FROM delivery d WHERE d.study = ?2 AND "+ofCalmed+" ORDER BY 1", nil, study, u.Class)
	for _, name := range names {
		var was Notice
		if err := t.row("SELECT document FROM notice WHERE name = ?", []any{name}, jsonColumn{&was}); err != nil {
			return err
		}
		n.ID, n.Rule, n.Study, n.At = was.ID, was.Rule, was.Study, was.At
		if err := t.rewrite(n, ""); err != nil {
			return err
		}
	}
	return err
}

// Notice returns what the notice of an ID tells, or ErrNotFound.
func (l *Ledger) Notice(ctx context.Context, id string) (n Notice, err error) {
	err = l.readDB.QueryRowContext(ctx, "SELECT document FROM notice WHERE name = ?", id).Scan(jsonColumn{&n})
	if err != nil {
		return Notice{}, fmt.Errorf("ledger: notice %s: %w", id, notFound(err))
	}
	return n, nil
}
