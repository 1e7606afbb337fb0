package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
)

// DraftEvent is what made a version of a draft.
type DraftEvent string

// The events, as the timeline names them.
const (
	DraftDrafted   DraftEvent = "drafted"   // by the gateway, of new analyses, or of another order or patient
	DraftEdited    DraftEvent = "edited"    // by a person
	DraftSigned    DraftEvent = "signed"    // by a person
	DraftAmending  DraftEvent = "amending"  // opened again by a person, to be changed and signed once more
	DraftAmended   DraftEvent = "amended"   // signed once more
	DraftWithdrawn DraftEvent = "withdrawn" // by a person
	DraftRetracted DraftEvent = "retracted" // by a person, with the results of a model
)

// Draft is a version of the report draft on a study. What the document says is nothing to the ledger.
type Draft struct {
	Study           dicom.UID       `json:"study"`
	Number          int             `json:"number"`  // of the draft among those of its study, from 1
	Version         int             `json:"version"` // of this draft, from 1
	Event           DraftEvent      `json:"event"`
	Standing        string          `json:"standing"` // draft, signed, …: the document's word
	Author          string          `json:"author"`
	Unauthenticated bool            `json:"unauthenticated,omitempty"` // named by the client, checked by nobody
	System          bool            `json:"system,omitempty"`          // the gateway
	At              time.Time       `json:"at"`
	Document        json.RawMessage `json:"document"`
	Edit            json.RawMessage `json:"edit,omitempty"` // as it was given
	Basis           Basis           `json:"basis"`
	Note            string          `json:"note,omitempty"` // for the timeline, without patient data
	Page            string          `json:"-"`              // entry of the PDF of a signed one; empty: none was kept
}

// Basis is what a draft is made of.
type Basis struct {
	Desk    int64       `json:"desk"` // version of the study's desk: all of it up to then is in the draft
	Exams   []ExamBasis `json:"exams"`
	Order   string      `json:"order,omitempty"`   // spool entry of the order's last message
	Patient string      `json:"patient,omitempty"` // and of the patient's
}

// ExamBasis is an exam as a draft saw it.
type ExamBasis struct {
	Route    string    `json:"route"`
	Model    string    `json:"model"`
	State    ExamState `json:"state"`
	Revision int       `json:"revision"` // of its report
	Version  int64     `json:"version"`
}

// PurposePage is that of the PDF of a signed version: it goes nowhere, and is kept as long as the version is.
const PurposePage = "page"

// Outgoing is something made of a draft that is to be delivered, or kept: of kind KindDICOM it becomes an object of the
// study.
type Outgoing struct {
	Kind              string            `json:"kind"`  // dicom, hl7, fhir
	Entry             string            `json:"entry"` // in the spool
	Digest            string            `json:"digest"`
	Name              dicom.UID         `json:"name,omitempty"`    // of a SOP Instance, as Object has it
	Purpose           string            `json:"purpose"`           // oru, bundle, pdf, sr, kos, page
	Instance          dicom.SOPInstance `json:"instance,omitzero"` // of a SOP Instance
	TransferSyntaxUID dicom.UID         `json:"transfer_syntax_uid,omitempty"`
	Alternate         *Outgoing         `json:"alternate,omitempty"` // to send where the peer refuses the SOP class
	Destination       string            `json:"destination,omitempty"`
	Rank              int               `json:"rank"`
	// After is an entry that is to be delivered first, to whomever it goes. One whose deliveries have all ended, or that
	// goes nowhere, is not waited for, and none longer than Until.
	After string    `json:"after,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// Decision is what a person has decided about what a model said.
type Decision string

// The decisions.
const (
	Accept Decision = "accept"
	Reject Decision = "reject"
	Modify Decision = "modify"
	Undone Decision = "" // taken back
)

// Agreement is a person's decision on a finding of a model. The newest of a finding counts.
type Agreement struct {
	ID              int64      `json:"-"`
	Study           dicom.UID  `json:"study"`
	Finding         string     `json:"finding"` // its UID
	Model           string     `json:"model"`
	ModelVersion    string     `json:"model_version"`
	Route           string     `json:"route"`
	Class           string     `json:"class"`
	Site            dicom.Code `json:"site"` // where the model saw it
	Decision        Decision   `json:"decision"`
	Number          int        `json:"number"` // of the draft
	Version         int        `json:"version"`
	Author          string     `json:"author"`
	Unauthenticated bool       `json:"unauthenticated"`
	At              time.Time  `json:"at"`
}

// DraftConflictError says that a draft is not at the version that somebody changes.
type DraftConflictError struct {
	Number                int // of the draft
	Expected, Latest      int // versions; Latest is 0 where there is none
	LatestNumber          int // of the study's newest draft
	LatestAt              time.Time
	LatestUnauthenticated bool
	LatestAuthor          string
	OtherPatient          bool // the version is the newest, and its study is on another patient by now, or on one of another name
}

// Error names both versions.
func (e *DraftConflictError) Error() string {
	if e.OtherPatient {
		return fmt.Sprintf("ledger: the patient of draft %d.%d has changed since: read its next version", e.Number, e.Latest)
	}
	return fmt.Sprintf("ledger: draft %d is at version %d, not %d: read it and make the change again", e.Number, e.Latest, e.Expected)
}

// PutDraft enters a version of a draft, with what persons decided in it and with what it sends, all or nothing. It follows
// version d.Version-1 of the draft d.Number, or begins the next draft of the study; where another one has come in
// between, that is a *DraftConflictError. The same version again changes nothing.
func (l *Ledger) PutDraft(ctx context.Context, d Draft, decisions []Agreement, outgoing []Outgoing) (err error) {
	// As the journal would have it, so that the same bytes are read from a ledger that is rebuilt.
	if d.Document, err = json.Marshal(d.Document); err == nil && d.Edit != nil {
		d.Edit, err = json.Marshal(d.Edit)
	}
	if err != nil {
		return fmt.Errorf("ledger: draft of study %s: %w", d.Study, err)
	}
	a := &action{Name: "put-draft", Draft: &d, Decisions: decisions, Outgoing: outgoing}
	if err := l.act(ctx, "desk", a, func(t *tx) error { return t.putDraft(d, decisions, outgoing) }); err != nil {
		return fmt.Errorf("ledger: draft of study %s: %w", d.Study, err)
	}
	return nil
}

const insertDraft = `INSERT INTO draft
	(study, number, version, event, standing, author, unauthenticated, system, at, document, edit, basis)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

func (t *tx) putDraft(d Draft, decisions []Agreement, outgoing []Outgoing) error {
	study, done, err := t.drafting(d)
	if err != nil || done {
		return err
	}
	if len(outgoing) > 0 {
		if err := t.checkPatient(study, d.Document); err != nil {
			return err
		}
	}
	basis, err := json.Marshal(d.Basis)
	if err != nil {
		return err
	}
	if _, err := t.exec(insertDraft, study, d.Number, d.Version, d.Event, d.Standing, d.Author, d.Unauthenticated, d.System,
		micros(d.At), string(d.Document), string(d.Edit), string(basis)); err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO desk (study, version, covered, number) VALUES (?1, ?2, ?2, ?3)
		ON CONFLICT DO UPDATE SET covered = max(covered, ?2), number = max(number, ?3), reason = ''`, study, d.Basis.Desk, d.Number); err != nil {
		return err
	}
	if err := t.event(event{study: study, what: What(d.Event), at: d.At, detail: d.detail()}); err != nil {
		return err
	}
	for _, a := range decisions {
		if err := t.agree(study, d, a); err != nil {
			return err
		}
	}
	return t.send(study, d, outgoing)
}

// detail says in the timeline which version it is, and by whom where nobody signed in: what they said may be anybody's name.
func (d Draft) detail() string {
	detail := fmt.Sprintf("draft %d.%d", d.Number, d.Version)
	if d.Unauthenticated && d.Author != "" {
		detail += ", by " + d.Author + " (not signed in)"
	}
	if d.Note != "" {
		detail += ": " + d.Note
	}
	return detail
}

// drafting returns the study of d, and whether d is there already.
func (t *tx) drafting(d Draft) (study int64, done bool, err error) {
	number := 0
	err = t.row(`SELECT s.id, coalesce((SELECT number FROM desk WHERE study = s.id), 0) FROM study s WHERE s.study_instance_uid = ?`,
		[]any{d.Study}, &study, &number)
	if err != nil {
		return 0, false, notFound(err)
	}
	conflict := &DraftConflictError{Number: d.Number, Expected: d.Version - 1, LatestNumber: number}
	var document string
	err = t.row(`SELECT version, at, author, unauthenticated, iif(version = ?3, document, '') FROM draft
		WHERE study = ?1 AND number = ?2 ORDER BY version DESC LIMIT 1`, []any{study, d.Number, d.Version},
		&conflict.Latest, timeColumn{&conflict.LatestAt}, &conflict.LatestAuthor, &conflict.LatestUnauthenticated, &document)
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return 0, false, err
	case document == string(d.Document):
		return study, true, nil
	case conflict.Latest != d.Version-1, conflict.Latest == 0 && d.Number != number+1:
		return 0, false, conflict
	}
	return study, false, nil
}

func (t *tx) agree(study int64, d Draft, a Agreement) error {
	site, err := json.Marshal(a.Site)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO agreement
		(study, finding, number, version, model, model_version, route, class, site, decision, author, unauthenticated, at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		study, a.Finding, d.Number, d.Version, a.Model, a.ModelVersion, a.Route, a.Class, string(site), a.Decision,
		d.Author, d.Unauthenticated, micros(d.At))
	return err
}

// send keeps what was made of a draft and puts it on its way. What goes to several destinations is made once.
func (t *tx) send(study int64, d Draft, outgoing []Outgoing) error {
	made := map[string]bool{}
	outgoing = slices.Clone(outgoing)
	slices.SortStableFunc(outgoing, func(a, b Outgoing) int { return strings.Compare(a.After, b.After) }) // what waits for none comes first
	for _, o := range outgoing {
		if o.Kind == KindDICOM || o.Destination == "" {
			continue
		}
		if err := t.supersede(study, d, o); err != nil {
			return err
		}
	}
	for _, o := range outgoing {
		if !made[o.Entry] {
			made[o.Entry] = true
			if err := t.made(study, d, o); err != nil {
				return fmt.Errorf("%s %s: %w", o.Kind, o.Purpose, err)
			}
		}
		if o.Destination == "" {
			continue
		}
		out := Delivery{
			Kind: o.Kind, Entry: o.Entry, Instance: o.Instance, TransferSyntaxUID: o.TransferSyntaxUID, Purpose: o.Purpose, Rank: o.Rank,
			State: DeliveryPending, NextAt: d.At, Number: d.Number, Version: d.Version,
		}
		if o.Alternate != nil {
			out.Alternate = o.Alternate.Entry
		}
		if o.After != "" {
			waits, err := t.undelivered(o.After)
			if err != nil {
				return err
			}
			if waits {
				out.After, out.NextAt = o.After, o.Until
			}
		}
		if err := t.deliver(study, out, []string{o.Destination}, d.At); err != nil {
			return err
		}
	}
	return nil
}

// supersede takes back what waits to be sent to the destination of o of earlier versions of the same draft: it would be the
// last word there if it came later. What was signed before this draft began stays.
func (t *tx) supersede(study int64, d Draft, o Outgoing) error {
	why := fmt.Sprintf("'superseded by version %d.%d'", d.Number, d.Version)
	_, err := t.stepDeliveries(EventDeliveryDiscarded, `d.study = ?2 AND d.kind = ?3 AND d.purpose = ?4 AND d.destination = ?5 AND d.state IN ('pending', 'parked')
		AND d.number = ?6`,
		why, "state = 'discarded', ended_at = ?1, reason = "+why, micros(d.At), study, o.Kind, o.Purpose, o.Destination, d.Number)
	return err
}

// made enters what was made of a draft: a SOP Instance as an object, anything else as an entry that is kept as long as
// objects are.
func (t *tx) made(study int64, d Draft, o Outgoing) error {
	if o.Kind == KindDICOM {
		object := o.object(d.Version)
		if o.Alternate != nil {
			alternate := o.Alternate.object(d.Version)
			object.Alternate = &alternate
		}
		return t.insertObject(study, "", object, d.At)
	}
	ended := sql.NullInt64{Int64: micros(d.At), Valid: o.Purpose != PurposePage}
	_, err := t.exec("INSERT INTO need (entry, by, reason, at, ended_at) VALUES (?1, 'draft', '', ?2, ?3) ON CONFLICT DO NOTHING", o.Entry, micros(d.At), ended)
	if err == nil && o.Purpose == PurposePage {
		_, err = t.exec("UPDATE draft SET page = ? WHERE study = ? AND number = ? AND version = ?", o.Entry, study, d.Number, d.Version)
	}
	if err != nil {
		return err
	}
	return t.event(event{study: study, entry: o.Entry, what: EventMade, at: d.At, detail: fmt.Sprintf("%s of draft %d.%d", o.Purpose, d.Number, d.Version)})
}

func (o Outgoing) object(version int) Object {
	return Object{
		Entry: o.Entry, Digest: o.Digest, Name: o.Name, Instance: o.Instance, TransferSyntaxUID: o.TransferSyntaxUID, Purpose: o.Purpose,
		Revision: version, Rank: o.Rank,
	}
}

// SettleDraft says that what version of a study's desk has makes no other draft: for a reason why none can be made, until
// there is something new or RetryDraft, or because it says nothing new, without one. It changes nothing when there is
// something new already.
func (l *Ledger) SettleDraft(ctx context.Context, study dicom.UID, version int64, reason string, at time.Time) error {
	a := &action{Name: "settle-draft", Names: []string{string(study)}, Desk: version, Reason: reason, At: at}
	err := l.act(ctx, "desk", a, func(t *tx) error {
		id, err := t.studyID(study)
		if err != nil {
			return err
		}
		n, err := t.exec("UPDATE desk SET covered = ?1, reason = ?2 WHERE study = ?3 AND version = ?1 AND covered < ?1", version, reason, id)
		if err != nil || n == 0 || reason == "" {
			return err
		}
		return t.event(event{study: id, what: EventDraftParked, at: at, detail: reason})
	})
	if err != nil {
		return fmt.Errorf("ledger: settle draft of study %s: %w", study, err)
	}
	return nil
}

// RetryDraft makes a draft due: one that was parked, or the next on a study that has any.
func (l *Ledger) RetryDraft(ctx context.Context, study dicom.UID, at time.Time) error {
	err := l.act(ctx, "desk", &action{Name: "retry-draft", Names: []string{string(study)}, At: at}, func(t *tx) error {
		id, err := t.studyID(study)
		if err != nil {
			return err
		}
		if err := t.draftDue(id); err != nil {
			return err
		}
		if _, err := t.exec("UPDATE desk SET reason = '' WHERE study = ?", id); err != nil {
			return err
		}
		return t.event(event{study: id, what: EventRetried, at: at, detail: "draft"})
	})
	if err != nil {
		return fmt.Errorf("ledger: retry draft of study %s: %w", study, err)
	}
	return nil
}

func (t *tx) studyID(uid dicom.UID) (id int64, err error) {
	return id, notFound(t.row("SELECT id FROM study WHERE study_instance_uid = ?", []any{uid}, &id))
}

// draftDue says that what a draft of a study is made of has changed, beside its exams: order or patient.
func (t *tx) draftDue(study int64) error {
	_, err := t.exec("INSERT INTO desk (study, version) VALUES (?, 1) ON CONFLICT DO UPDATE SET version = version + 1", study)
	return err
}

// DueDraft is a study whose draft is to be made, or made anew.
type DueDraft struct {
	Study   dicom.UID
	Version int64 // of its desk, as Basis has it and SettleDraft takes it
	Unsent  bool  // what was to be sent of the newest draft was taken back: another version has to go out, whatever it says
}

// An exam that is reported on though jobs are open has waited for them as long as it may.
const dueDrafts = `SELECT s.study_instance_uid, d.version, EXISTS (SELECT 1 FROM delivery x WHERE x.study = d.study AND x.number = d.number
		AND x.state = 'discarded' AND x.reason = '` + superseded + `'
		AND x.version = (SELECT max(v.version) FROM draft v WHERE v.study = d.study AND v.number = d.number))
	FROM desk d JOIN study s ON s.id = d.study
	WHERE d.version > d.covered AND EXISTS (SELECT 1 FROM exam e WHERE e.study = d.study)
	AND NOT EXISTS (SELECT 1 FROM exam e WHERE e.study = d.study AND e.state = 'open') ORDER BY d.study LIMIT ?`

// DueDrafts returns at most limit studies of which something is in no draft, and all exams are reported on or parked.
func (l *Ledger) DueDrafts(ctx context.Context, limit int) ([]DueDraft, error) {
	if err := l.usable(ctx); err != nil {
		return nil, err
	}
	due, err := query(ctx, l.readDB, func(rows *sql.Rows) (d DueDraft, err error) {
		return d, rows.Scan(&d.Study, &d.Version, &d.Unsent)
	}, dueDrafts, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: due drafts: %w", err)
	}
	return due, nil
}

// ExamsOf returns the exams of a study, as they stand.
func (l *Ledger) ExamsOf(ctx context.Context, study dicom.UID) ([]Exam, error) {
	exams, err := query(ctx, l.readDB, scanExam, selectExam+"WHERE s.study_instance_uid = ? ORDER BY e.id", study)
	if err != nil {
		return nil, fmt.Errorf("ledger: exams of study %s: %w", study, err)
	}
	return exams, nil
}

const reportOf = selectObject + `JOIN exam e ON e.study = o.study AND e.model = o.model AND e.revision = o.revision AND e.reported_at = o.made_at
	WHERE e.id = ? AND o.purpose = 'sr' AND o.twin_of IS NULL`

// ReportOf returns the structured report that was made last of an exam, false where there is none, or it is forgotten.
func (l *Ledger) ReportOf(ctx context.Context, exam int64) (Object, bool, error) {
	objects, err := query(ctx, l.readDB, scanObject, reportOf, exam)
	if err != nil {
		return Object{}, false, fmt.Errorf("ledger: report on exam %d: %w", exam, err)
	}
	if len(objects) == 0 {
		return Object{}, false, nil
	}
	return objects[0], true, nil
}

const selectDraft = `SELECT s.study_instance_uid, d.number, d.version, d.event, d.standing, d.author, d.unauthenticated, d.system, d.at,
	d.document, d.edit, d.basis, d.page FROM draft d JOIN study s ON s.id = d.study `

func scanDraft(rows *sql.Rows) (Draft, error) {
	var d Draft
	var document, edit string
	err := rows.Scan(&d.Study, &d.Number, &d.Version, &d.Event, &d.Standing, &d.Author, &d.Unauthenticated, &d.System, timeColumn{&d.At},
		&document, &edit, jsonColumn{&d.Basis}, &d.Page)
	if d.Document = json.RawMessage(document); edit != "" {
		d.Edit = json.RawMessage(edit)
	}
	return d, err
}

const oneDraft = selectDraft + `WHERE s.study_instance_uid = ?1 AND (?2 = 0 OR d.number = ?2) AND (?3 = 0 OR d.version = ?3)
	ORDER BY d.number DESC, d.version DESC LIMIT 1`

// Draft returns a version of a draft: of number 0 that of the newest draft, of version 0 the newest; or ErrNotFound.
func (l *Ledger) Draft(ctx context.Context, study dicom.UID, number, version int) (Draft, error) {
	drafts, err := query(ctx, l.readDB, scanDraft, oneDraft, study, number, version)
	if err == nil && len(drafts) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Draft{}, fmt.Errorf("ledger: draft of study %s: %w", study, err)
	}
	return drafts[0], nil
}

const draftHistory = `SELECT s.study_instance_uid, d.number, d.version, d.event, d.standing, d.author, d.unauthenticated, d.system, d.at,
	'', d.edit, d.basis, d.page FROM draft d JOIN study s ON s.id = d.study WHERE s.study_instance_uid = ? ORDER BY d.number, d.version LIMIT ? OFFSET ?`

// Drafts returns the versions of the drafts of a study in the order in which they were made, without their documents.
func (l *Ledger) Drafts(ctx context.Context, study dicom.UID, p Page) ([]Draft, error) {
	limit, offset := p.bounds()
	drafts, err := query(ctx, l.readDB, scanDraft, draftHistory, study, limit, offset)
	if err != nil {
		return nil, fmt.Errorf("ledger: drafts of study %s: %w", study, err)
	}
	return drafts, nil
}

const parkedDrafts = `SELECT (SELECT count(*) FROM desk WHERE reason <> ''), s.study_instance_uid, d.reason FROM desk d JOIN study s ON s.id = d.study
	WHERE d.reason <> '' ORDER BY d.study LIMIT 1`

// ParkedDrafts returns of how many studies no draft can be made, and of one of them which it is and why.
func (l *Ledger) ParkedDrafts(ctx context.Context) (n int, study dicom.UID, reason string, err error) {
	err = l.readDB.QueryRowContext(ctx, parkedDrafts).Scan(&n, &study, &reason)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", "", nil
	}
	if err != nil {
		return 0, "", "", fmt.Errorf("ledger: parked drafts: %w", err)
	}
	return n, study, reason, nil
}

// DeskState is how far the drafts of a study are.
type DeskState struct {
	Version int64  // of what they are made of
	Covered int64  // by the last draft
	Number  int    // of the last draft; 0 before the first
	Reason  string // why none can be made of Covered
}

// Desk returns how far the drafts of a study are; the zero value where nothing is to be drafted yet.
func (l *Ledger) Desk(ctx context.Context, study dicom.UID) (d DeskState, err error) {
	err = l.readDB.QueryRowContext(ctx, `SELECT d.version, d.covered, d.number, d.reason FROM desk d JOIN study s ON s.id = d.study
		WHERE s.study_instance_uid = ?`, study).Scan(&d.Version, &d.Covered, &d.Number, &d.Reason)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return DeskState{}, fmt.Errorf("ledger: desk of study %s: %w", study, err)
	}
	return d, nil
}
