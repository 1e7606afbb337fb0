package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
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

// Mismatch is in what images, order and patient of a study do not agree.
type Mismatch string

// The mismatches. An order is found by Study Instance UID, else by accession number.
const (
	MismatchPatients  Mismatch = "patients"   // the images are of two patients
	MismatchPatient   Mismatch = "patient"    // images and order are of different patients
	MismatchBirthDate Mismatch = "birth_date" // images and order have one patient, with two birth dates
	MismatchAccession Mismatch = "accession"  // the order that has the Study Instance UID has another accession number
	MismatchStudy     Mismatch = "study"      // the order that has the accession number has another Study Instance UID
	MismatchContested Mismatch = "contested"  // orders of different patients have the accession number
)

// String returns the mismatch in words, without patient data.
func (m Mismatch) String() string {
	switch m {
	case MismatchPatients:
		return "images of two patients are in this study"
	case MismatchPatient:
		return "the images name another patient than the order"
	case MismatchBirthDate:
		return "the images have another birth date than the order's patient"
	case MismatchAccession:
		return "the order of this Study Instance UID has another accession number than the images"
	case MismatchStudy:
		return "the order of this accession number is for another Study Instance UID"
	case MismatchContested:
		return "orders of different patients have this accession number"
	}
	return string(m)
}

func inWords(all []Mismatch) string {
	words := make([]string, len(all))
	for i, m := range all {
		words[i] = m.String()
	}
	return strings.Join(words, "; ")
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

// ofOthers says whether there is more than one patient.
func ofOthers(all []Mismatch) bool {
	return slices.Contains(all, MismatchPatient) || slices.Contains(all, MismatchPatients)
}

// Notices say what a reader of a report on the study has to know of it.
func (g GateState) Notices() []string {
	var all []string
	for _, m := range g.Mismatches {
		all = append(all, m.String())
	}
	switch {
	case g.Held:
		all = append(all, "results are held until a person releases or corrects")
	case g.Corrected && len(all) > 0:
		all = append(all, "a person has said which patient and order the study belongs to")
	case g.Released:
		all = append(all, "a person has released the results all the same")
	}
	return all
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

// Whose is the patient that a study is on.
type Whose struct {
	Person
	// Other says that its images name another patient: they were merged since, or a person has said so.
	Other bool
}

// PatientOf returns whom a study is on: whom a person has said, else whom its images name, as their order knows that
// patient, else whom the order names; all as the last merges and demographic updates left them; or ErrNotFound.
func (l *Ledger) PatientOf(ctx context.Context, study dicom.UID) (Whose, error) {
	found, err := query(ctx, l.readDB, func(rows *sql.Rows) (w Whose, err error) {
		return w, rows.Scan(jsonColumn{&w.Person}, &w.Other)
	}, "SELECT g.patient, g.other FROM gate g JOIN study s ON s.id = g.study WHERE s.study_instance_uid = ?", study)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Whose{}, fmt.Errorf("ledger: patient of study %s: %w", study, err)
	}
	return found[0], nil
}

// claim is what an image says of itself.
type claim struct {
	Patient   Identifier `json:"patient"`
	Accession string     `json:"accession"`
}

// claims notes what an image says, and judges its study where no other image has said so, or its route is stricter than
// those before.
func (b *batch) claims(study int64, r Receipt) error {
	h := r.Header
	n, err := b.exec("INSERT INTO claim (study, patient_id, issuer, accession) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		study, h.PatientID, h.IssuerOfPatientID, h.AccessionNumber)
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
	if after.mismatches, err = t.mismatches(before, claims, order, ordered); err != nil {
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

func (t *tx) claimsOf(study int64) ([]claim, error) {
	rows, err := t.rows("SELECT patient_id, issuer, accession FROM claim WHERE study = ? ORDER BY patient_id, issuer, accession", study)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (c claim, err error) {
		return c, rows.Scan(&c.Patient.ID, &c.Patient.Authority, &c.Accession)
	})
}

// mismatches finds in what claims and order do not agree. What neither of two says decides nothing.
func (t *tx) mismatches(g gateRow, claims []claim, order Order, ordered bool) ([]Mismatch, error) {
	all := []Mismatch{}
	add := func(m Mismatch, so bool) {
		if so && !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	var first Identifier
	for _, c := range claims {
		if c.Patient.ID == "" {
			continue
		}
		if first.ID == "" {
			first = c.Patient
			continue
		}
		same, err := t.same(first, c.Patient)
		if err != nil {
			return nil, err
		}
		add(MismatchPatients, !same)
	}
	if g.policy == GateOff || !ordered {
		return all, nil
	}
	for _, c := range claims {
		of, err := t.isOf(c.Patient, order.Patient)
		if err != nil {
			return nil, err
		}
		born, err := t.bornAlike(g.study, c.Patient, order.Patient)
		if err != nil {
			return nil, err
		}
		add(MismatchPatient, !of || c.Patient.ID == "" && !born)
		add(MismatchBirthDate, of && c.Patient.ID != "" && !born)
		add(MismatchAccession, c.Accession != "" && order.Accession != "" && c.Accession != order.Accession)
	}
	if order.StudyInstanceUID != g.uid && !g.ordered {
		contested, err := t.contested(order.Accession)
		if err != nil {
			return nil, err
		}
		add(MismatchContested, contested)
	}
	add(MismatchStudy, order.StudyInstanceUID != "" && order.StudyInstanceUID != g.uid)
	return all, nil
}

// contested reports whether orders that stand are of different patients and have one accession number: what is found by it
// alone may be the other one's.
func (t *tx) contested(accession string) (bool, error) {
	if accession == "" {
		return false, nil
	}
	rows, err := t.rows(`SELECT DISTINCT patient_id, patient_authority FROM imaging_order WHERE accession = ? AND state <> 'cancelled'
		AND patient_id <> '' ORDER BY 1, 2`, accession)
	if err != nil {
		return false, err
	}
	patients, err := scanAll(rows, func(rows *sql.Rows) (i Identifier, err error) { return i, rows.Scan(&i.ID, &i.Authority) })
	for i := 1; i < len(patients) && err == nil; i++ {
		var same bool
		if same, err = t.same(patients[0], patients[i]); err == nil && !same {
			return true, nil
		}
	}
	return false, err
}

// bornAlike says whether the images that name a patient have the birth date of p, as far as both say one. It is all that can
// be compared of images without a Patient ID; names are written in too many ways.
func (t *tx) bornAlike(study int64, image Identifier, p Person) (bool, error) {
	if p.BirthDate == "" {
		return true, nil
	}
	dates, err := t.strings(`SELECT DISTINCT header ->> 'patient_birth_date' FROM instance WHERE study = ? AND coalesce(header ->> 'patient_id', '') = ?
		AND coalesce(header ->> 'patient_birth_date', '') <> ''`, study, image.ID)
	return !slices.ContainsFunc(dates, func(date string) bool { return date != p.BirthDate }), err
}

// isOf says whether an image's patient is p, by any of its identifiers.
func (t *tx) isOf(image Identifier, p Person) (bool, error) {
	if image.ID == "" || p.ID == "" {
		return true, nil
	}
	if slices.ContainsFunc(p.Others, func(o Identifier) bool { return image.is(o, true) }) {
		return true, nil
	}
	return t.same(image, p.Identifier)
}

// evidence is what mismatches rest on: when it is another one, nobody has seen it yet.
func evidence(all []Mismatch, claims []claim, order Order, correct Identifier) string {
	if len(all) == 0 {
		return ""
	}
	b, _ := json.Marshal([]any{all, claims, order.Accession, order.StudyInstanceUID, order.Patient.Identifier, correct}) // no value of these can fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// whose is the patient that a study is on.
func (t *tx) whose(g gateRow, claims []claim, order Order, ordered bool) (Whose, error) {
	var named Identifier // by an image
	if i := slices.IndexFunc(claims, func(c claim) bool { return c.Patient.ID != "" }); i >= 0 {
		named = claims[i].Patient
	}
	image, known, err := t.survivor(named)
	if err != nil {
		return Whose{}, err
	}
	if !known {
		image.Identifier = named
	}
	w := Whose{image.Person, image.ID != named.ID}
	switch {
	case g.correct.ID != "":
		p, _, err := t.survivor(g.correct)
		return Whose{p.Person, true}, err
	case ordered && order.Patient.ID != "":
		of, err := t.isOf(named, order.Patient)
		if err != nil {
			return Whose{}, err
		}
		of = of && (named.ID != "" || !slices.Contains(g.mismatches, MismatchPatient) && !slices.Contains(g.mismatches, MismatchContested))
		if of || g.ordered {
			w = Whose{order.Patient, w.Other && image.Identifier == order.Patient.Identifier}
		}
		if !of && g.ordered {
			return w, nil // the images know nothing of whom it is on
		}
	}
	if w.Name == "" && w.BirthDate == "" && w.Sex == "" { // nobody has told: what the image says is as good
		err = t.row(`SELECT header ->> 'patient_name', header ->> 'patient_birth_date', header ->> 'patient_sex' FROM instance
			WHERE study = ? AND coalesce(header ->> 'patient_id', '') = ? ORDER BY id LIMIT 1`, []any{g.study, named.ID},
			orEmpty{&w.Name}, orEmpty{&w.BirthDate}, orEmpty{&w.Sex})
		if errors.Is(err, sql.ErrNoRows) {
			err = t.row("SELECT patient_name FROM study WHERE id = ?", []any{g.study}, &w.Name)
		}
	}
	return w, err
}

// orEmpty scans text, or NULL as "".
type orEmpty struct{ s *string }

// Scan takes the column's value.
func (e orEmpty) Scan(v any) error {
	var s sql.NullString
	err := s.Scan(v)
	*e.s = s.String
	return err
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

// superseded is why a message is not sent any more.
const superseded = "superseded: patient or order has changed since it was made"

// retarget takes back what waits to be sent of a draft under another identity, or with another order, and has it made anew.
// What a person has signed stays as it was signed.
func (t *tx) retarget(study int64, at time.Time) error {
	_, err := t.stepDeliveries(EventDeliveryDiscarded, "d.study = ?2 AND (d.kind <> '"+KindDICOM+"' OR d.number > 0) AND d.state IN ('pending', 'parked') AND coalesce("+fmt.Sprintf(madeOf, "?2")+", 'draft') = 'draft'",
		"'"+superseded+"'", "state = 'discarded', ended_at = ?1, reason = '"+superseded+"'", micros(at), study)
	if err != nil {
		return err
	}
	return t.draftDue(study)
}

// ErrPatient says that something is to be sent on a study under another patient than it is on by now.
var ErrPatient = errors.New("ledger: the patient of the study has another identity by now: make it again")

// checkPatient holds that nothing is sent under an identity that has changed while it was made.
func (t *tx) checkPatient(study int64, document json.RawMessage) error {
	var is struct {
		Patient struct {
			ID, Issuer, Name, Sex string
			BirthDate             string `json:"birth_date"`
		}
	}
	if err := json.Unmarshal(document, &is); err != nil {
		return err
	}
	return t.isOn(study, Person{Identifier: Identifier{is.Patient.ID, is.Patient.Issuer}, Name: is.Patient.Name, BirthDate: is.Patient.BirthDate, Sex: is.Patient.Sex})
}

// isOn is ErrPatient where a study is on another patient than is.
func (t *tx) isOn(study int64, is Person) error {
	var p Person
	err := t.row("SELECT patient FROM gate WHERE study = ?", []any{study}, jsonColumn{&p})
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && (p.ID == "" || is.ID == ""):
		return nil
	case err != nil:
		return err
	case p.Identifier != is.Identifier, p.Name != is.Name, p.BirthDate != is.BirthDate, p.Sex != is.Sex:
		return ErrPatient
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
		if err := t.follow(studyName{g.study, study}, aMessage, at); err != nil {
			return err
		}
		if err := t.reportAgain(g.study, at); err != nil {
			return err
		}
		return t.event(event{study: g.study, what: EventCorrected, at: at, answer: Answer{Text: c.Reason}})
	})
}

// correctPatient finds, or enters, whom a person names.
func (t *tx) correctPatient(p Person, at time.Time) (Identifier, error) {
	if p.ID == "" {
		return Identifier{}, nil
	}
	found, known, err := t.findPatient(p.Identifier)
	switch {
	case err != nil:
		return Identifier{}, err
	case known && p.Name == "":
		return found.Identifier, nil
	case p.Name == "":
		return Identifier{}, &Refusal{"nobody has told of this patient: name, birth date and sex are needed, too"}
	}
	_, _, err = t.changePatient(PatientChange{Person: p}, "", at)
	return p.Identifier, err
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
