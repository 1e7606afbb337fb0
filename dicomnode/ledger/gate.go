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

// Gate says what becomes of the results of a study whose images, order and patient do not agree. Images pass whatever it
// says, and the results of a study that has images of two patients are held whatever it says.
type Gate string

// The gates, the strictest last.
const (
	GateOff  Gate = "off"  // nobody looks
	GateWarn Gate = "warn" // results go out, and say so
	GateHold Gate = "hold" // results wait until a person releases or corrects
)

// stricter returns the stricter of g and h; of a study that comes by several routes it counts.
func (g Gate) stricter(h Gate) Gate {
	for _, strictest := range []Gate{GateHold, GateWarn, GateOff} {
		if g == strictest || h == strictest {
			return strictest
		}
	}
	return GateWarn
}

// GateState is how a study stands at the gate.
type GateState struct {
	StudyInstanceUID dicom.UID
	Gate             Gate
	Patient          Identifier // whom it is on
	Mismatches       []Mismatch
	Held             bool      // its results
	Since            time.Time // of Held
	Released         bool      // a person has seen the mismatches and let the results go
	Corrected        bool      // a person has said whose the study is, or which order it belongs to
}

// Words say in what images, order and patient do not agree.
func (g GateState) Words() string { return inWords(g.Mismatches) }

// InDoubt says that the order of the study may be another patient's than its images, whether or not anybody looks at
// mismatches: what it says has no place in their report, as long as no person has said otherwise.
func (g GateState) InDoubt(o Order) bool {
	contested := slices.Contains(g.Mismatches, MismatchContested) && g.Patient != o.Patient.Identifier
	return !g.Corrected && (ofOthers(g.Mismatches) || contested || g.Patient.ID != "" && o.Patient.ID != "" && g.Patient != o.Patient.Identifier)
}

const selectGate = `SELECT s.study_instance_uid, g.policy, g.mismatches, g.held, g.since, g.evidence <> '' AND g.released = g.evidence,
	g.correct_id <> '' OR g.correct_order IS NOT NULL, g.patient FROM gate g JOIN study s ON s.id = g.study `

func scanGate(rows *sql.Rows) (GateState, error) {
	var g GateState
	var on Person
	err := rows.Scan(&g.StudyInstanceUID, &g.Gate, jsonColumn{&g.Mismatches}, &g.Held, timeColumn{&g.Since}, &g.Released, &g.Corrected, jsonColumn{&on})
	g.Patient = on.Identifier
	return g, err
}

// GateOf returns how a study stands at the gate, or ErrNotFound.
func (l *Ledger) GateOf(ctx context.Context, study dicom.UID) (GateState, error) {
	found, err := query(ctx, l.readDB, scanGate, selectGate+"WHERE s.study_instance_uid = ?", study)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return GateState{}, fmt.Errorf("ledger: gate of study %s: %w", study, err)
	}
	return found[0], nil
}

// claims notes what an image says, and judges its study where no other image has said so, or its route is stricter than
// those before.
func (b *batch) claims(study int64, r Receipt) error {
	h := r.Header
	said := claimed{study, claim{Identifier{h.PatientID, h.IssuerOfPatientID}, h.AccessionNumber, h.PatientName, h.PatientBirthDate, h.PatientSex}, r.Gate}
	if b.claimed[said] {
		return nil
	}
	b.claimed[said] = true
	n, err := b.exec("INSERT INTO claim (study, patient_id, issuer, accession, name, birth_date, sex) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		study, h.PatientID, h.IssuerOfPatientID, h.AccessionNumber, h.PatientName, h.PatientBirthDate, h.PatientSex)
	if err != nil {
		return err
	}
	var gate Gate
	err = b.row("SELECT policy FROM gate WHERE study = ?", []any{study}, &gate)
	if errors.Is(err, sql.ErrNoRows) {
		gate = GateOff
		_, err = b.exec("INSERT INTO gate (study, policy) VALUES (?, ?)", study, gate)
	}
	if err != nil {
		return err
	}
	asked := r.Gate
	if asked == "" {
		asked = GateWarn
	}
	stricter := gate.stricter(asked)
	if n == 0 && stricter == gate {
		return nil
	}
	if _, err := b.exec("UPDATE gate SET policy = ? WHERE study = ?", stricter, study); err != nil {
		return err
	}
	return b.judge(study, newEvidence, r.At)
}

// judgedFor says why a study is judged anew.
type judgedFor int

const (
	newEvidence judgedFor = iota // what a person released before need not be what there is now
	samePerson                   // patients have other names than before: what a person released stays released
	aPerson                      // a person releases what there is
)

// gateRow is a row of the gate.
type gateRow struct {
	study              int64
	uid                dicom.UID
	policy             Gate
	patient            string
	mismatches         []Mismatch
	evidence, released string
	held               bool
	correct            Identifier
	ordered            bool // a person has said which order it belongs to
}

func (t *tx) gate(study int64) (gateRow, error) {
	g := gateRow{study: study}
	err := t.row(`SELECT s.study_instance_uid, g.policy, g.patient, g.mismatches, g.evidence, g.released, g.held, g.correct_id, g.correct_authority,
		g.correct_order IS NOT NULL FROM gate g JOIN study s ON s.id = g.study WHERE g.study = ?`, []any{study},
		&g.uid, &g.policy, &g.patient, jsonColumn{&g.mismatches}, &g.evidence, &g.released, &g.held, &g.correct.ID, &g.correct.Authority, &g.ordered)
	return g, notFound(err)
}

// judge holds images, order and patient of a study against each other, in the transaction that changed one of them, and
// says whose the study is.
func (t *tx) judge(study int64, why judgedFor, at time.Time) error {
	before, err := t.gate(study)
	if errors.Is(err, ErrNotFound) {
		return nil // forgotten, or not received yet
	}
	if err != nil {
		return err
	}
	claims, err := t.claimsOf(study)
	if err != nil {
		return err
	}
	order, ordered, err := t.orderOf(before.uid)
	if err != nil {
		return err
	}
	after := before
	if after.mismatches, err = t.mismatches(before, claims, order, ordered, why); err != nil {
		return err
	}
	after.evidence = evidence(after.mismatches, claims, order, before.correct)
	seen := before.released != "" && before.released == before.evidence
	known := func(m Mismatch) bool { return slices.Contains(before.mismatches, m) }
	if why == aPerson || why == samePerson && seen && !slices.ContainsFunc(after.mismatches, func(m Mismatch) bool { return !known(m) }) {
		after.released = after.evidence
	}
	after.held = len(after.mismatches) > 0 && after.released != after.evidence &&
		(after.policy == GateHold || slices.Contains(after.mismatches, MismatchPatients))
	whose, err := t.whose(after, claims, order, ordered)
	if err != nil {
		return err
	}
	if after.patient, err = jsonText(whose.Person); err != nil {
		return err
	}
	if err := t.writeGate(after, whose, at); err != nil {
		return err
	}
	if before.patient != "{}" && before.patient != after.patient { // else it is new
		if err := t.retarget(study, at); err != nil {
			return err
		}
		if err := t.staled(study); err != nil {
			return err
		}
	}
	contested := func(g gateRow) bool { return slices.Contains(g.mismatches, MismatchContested) }
	if before.patient != "{}" && (ofOthers(before.mismatches) != ofOthers(after.mismatches) || contested(before) != contested(after)) { // the order's part of the reports
		if err := t.reportAgain(study, at); err != nil {
			return err
		}
		if err := t.draftDue(study); err != nil {
			return err
		}
	}
	return t.tellOfGate(before, after, at)
}

func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

func (t *tx) writeGate(g gateRow, w Whose, at time.Time) error {
	found, err := jsonText(g.mismatches)
	if err != nil {
		return err
	}
	if !g.held {
		if err := t.waitOn(g.study, at); err != nil {
			return err
		}
	}
	_, err = t.exec(`UPDATE gate SET patient_id = ?, patient = ?, other = ?, mismatches = ?, evidence = ?, released = ?,
		since = iif(?7, iif(held, since, ?8), NULL), held = ?7 WHERE study = ?9`,
		w.ID, g.patient, w.Other, found, g.evidence, g.released, g.held, micros(at), g.study)
	return err
}

// tellOfGate puts into the timeline what has changed.
func (t *tx) tellOfGate(before, after gateRow, at time.Time) error {
	tell := func(what What, detail string) error {
		return t.event(event{study: after.study, what: what, at: at, detail: detail, by: Actor{Kind: ActorSystem, Name: "gate"}})
	}
	if !slices.Equal(before.mismatches, after.mismatches) {
		detail := inWords(after.mismatches)
		if detail == "" {
			detail = "images, order and patient agree now"
		}
		if err := tell(EventMismatch, detail); err != nil {
			return err
		}
	}
	switch {
	case after.held && !before.held:
		return tell(EventHeld, "results wait until a person releases or corrects")
	case before.held && !after.held && after.released != after.evidence:
		return tell(EventUnheld, "")
	}
	return nil
}

// correctedTo returns the studies of which a person has said that they belong to the order.
func (t *tx) correctedTo(order int64) ([]studyName, error) {
	rows, err := t.rows("SELECT s.id, s.study_instance_uid FROM gate g JOIN study s ON s.id = g.study WHERE g.correct_order = ?", order)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (n studyName, err error) { return n, rows.Scan(&n.id, &n.uid) })
}

// ReleaseGate lets the results of a study go although images, order and patient do not agree, as a person wants it: until
// there is another mismatch, or other images or another order. reason is the person's. One that has nothing to release is
// ErrState.
func (l *Ledger) ReleaseGate(ctx context.Context, study dicom.UID, reason string, at time.Time) error {
	return l.atGate(ctx, "release", &action{Name: "release-gate", Study: study, Reason: reason, At: at}, func(t *tx, g gateRow) error {
		if len(g.mismatches) == 0 {
			return fmt.Errorf("%w: images, order and patient agree", ErrState)
		}
		if g.released == g.evidence {
			return nil
		}
		if err := t.judge(g.study, aPerson, at); err != nil {
			return err
		}
		if err := t.retarget(g.study, at); err != nil { // what says that it is held is made anew
			return err
		}
		return t.event(event{study: g.study, what: EventGateReleased, at: at, answer: Answer{Text: reason}})
	})
}

// Correction is what a person says that a study belongs to, whatever its images say.
type Correction struct {
	Patient   Person `json:"patient"`   // empty: the order's
	Accession string `json:"accession"` // of its order; empty: the one that it has, if it has one
	Reason    string `json:"reason"`
}

// CorrectGate says which patient and order a study belongs to, and lets its results go: those that are made anew, as
// messages are, name them. DICOM objects keep the identity of their images, beside which they are filed, until these are
// corrected where they are; destinations that follow merges get them under the new one. A patient that nobody has told of
// needs a name.
func (l *Ledger) CorrectGate(ctx context.Context, study dicom.UID, c Correction, at time.Time) error {
	return l.atGate(ctx, "correct", &action{Name: "correct-gate", Study: study, Correction: &c, At: at}, func(t *tx, g gateRow) error {
		if c.Patient.ID == "" && c.Accession == "" {
			return &Refusal{"a correction names the patient, the order, or both"}
		}
		was, err := t.standsOn(g)
		if err != nil {
			return err
		}
		correct, err := t.correctPatient(c.Patient, at)
		if err != nil {
			return err
		}
		var order *int64
		if c.Accession != "" {
			var id int64
			err := t.row("SELECT id FROM imaging_order WHERE accession = ? ORDER BY state = 'cancelled', changed_at DESC, id DESC LIMIT 1", []any{c.Accession}, &id)
			if errors.Is(err, sql.ErrNoRows) {
				return &Refusal{"no order has this accession number; send the order first"}
			}
			if err != nil {
				return err
			}
			order = &id
		}
		_, err = t.exec(`UPDATE gate SET correct_id = ?, correct_authority = ?, correct_order = coalesce(?, correct_order) WHERE study = ?`,
			correct.ID, correct.Authority, order, g.study)
		if err != nil {
			return err
		}
		if err := t.judge(g.study, aPerson, at); err != nil {
			return err
		}
		if _, err := t.follow(studyName{g.study, study}, aMessage, at); err != nil {
			return err
		}
		if err := t.reportAgain(g.study, at); err != nil {
			return err
		}
		if g, err = t.gate(g.study); err != nil {
			return err
		}
		is, err := t.standsOn(g)
		if err != nil {
			return err
		}
		return t.event(event{study: g.study, what: EventCorrected, at: at, answer: Answer{Text: c.Reason + " (from " + was + " to " + is + ")"}})
	})
}

// standsOn says which patient and order a study is on.
func (t *tx) standsOn(g gateRow) (string, error) {
	var p Person
	if err := json.Unmarshal([]byte(g.patient), &p); err != nil {
		return "", err
	}
	who := "no patient"
	if p.ID != "" {
		who = strings.TrimSuffix("patient "+p.ID+" of "+p.Authority, " of ")
	}
	o, ordered, err := t.orderOf(g.uid)
	if err != nil || !ordered {
		return who + ", no order", err
	}
	return who + ", order " + o.Accession, nil
}

// atGate runs do on the gate of the study of a.
func (l *Ledger) atGate(ctx context.Context, what string, a *action, do func(*tx, gateRow) error) error {
	err := l.act(ctx, "gate", a, func(t *tx) error {
		var study int64
		if err := t.row("SELECT id FROM study WHERE study_instance_uid = ? AND forgotten_at IS NULL", []any{a.Study}, &study); err != nil {
			return notFound(err)
		}
		g, err := t.gate(study)
		if err != nil {
			return err
		}
		return do(t, g)
	})
	if err != nil {
		return fmt.Errorf("ledger: %s the results of study %s: %w", what, a.Study, err)
	}
	return nil
}
