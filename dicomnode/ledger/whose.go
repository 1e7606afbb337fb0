package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"endogate/dicomnode/dicom"
)

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

const onePerson = `SELECT EXISTS (SELECT 1 FROM patient p JOIN patient q ON q.current = p.current
	WHERE p.identifier = ?1 AND (p.authority = ?2 OR p.authority = '' OR ?2 = '') AND q.identifier = ?3 AND (q.authority = ?4 OR q.authority = '' OR ?4 = ''))`

// SamePerson says whether two identifiers name one person, as far as anybody has told. An authority that only one of them has decides
// nothing.
func (l *Ledger) SamePerson(ctx context.Context, a, b Identifier) (same bool, err error) {
	if a.is(b, true) {
		return true, nil
	}
	if err := l.readDB.QueryRowContext(ctx, onePerson, a.ID, a.Authority, b.ID, b.Authority).Scan(&same); err != nil {
		return false, fmt.Errorf("ledger: whether two identifiers are one person's: %w", err)
	}
	return same, nil
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
		err = t.row(fmt.Sprintf("SELECT %s, %s, %s", firstSaid("patient_name"), firstSaid("patient_birth_date"), firstSaid("patient_sex")),
			[]any{g.study, named.ID}, orEmpty{&w.Name}, orEmpty{&w.BirthDate}, orEmpty{&w.Sex})
		if err == nil && w.Name == "" {
			err = t.row("SELECT patient_name FROM study WHERE id = ?1", []any{g.study}, &w.Name)
		}
	}
	return w, err
}

// firstSaid is what the first image of study ?1 that says it says of the patient ?2: one that names that patient before one that names
// none.
func firstSaid(of string) string {
	return fmt.Sprintf(`(SELECT header ->> '%[1]s' FROM instance WHERE study = ?1 AND coalesce(header ->> 'patient_id', '') IN (?2, '')
		AND trim(coalesce(header ->> '%[1]s', ''), '^= ') <> '' ORDER BY coalesce(header ->> 'patient_id', '') <> ?2, id LIMIT 1)`, of)
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
