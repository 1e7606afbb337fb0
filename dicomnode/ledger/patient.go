package ledger

import (
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"endogate/dicomnode/dicom"
)

// PatientField names what a sender may take back of a patient.
type PatientField string

// The fields.
const (
	FieldName      PatientField = "name"
	FieldBirthDate PatientField = "birth_date"
	FieldSex       PatientField = "sex"
)

// PatientChange is what a message says of a patient, and who else is the same person.
type PatientChange struct {
	Person                 // what is not empty is so from now on
	Removed []PatientField `json:"removed,omitempty"` // what is unknown from now on: HL7's ""
	Prior   []Identifier   `json:"prior,omitempty"`   // identifiers that the same person had: they name this patient from now on, for ever
}

// patientRow is a patient with its row. One that was merged into another is named by it for ever, and says nothing itself.
type patientRow struct {
	id, current int64
	sender      string // who told of it first
	Person
}

func (p patientRow) merged() bool { return p.id != p.current }

const selectPatient = `SELECT id, current, sender, identifier, authority, others, name, birth_date, sex FROM patient `

func scanPatient(rows *sql.Rows) (patientRow, error) {
	var p patientRow
	err := rows.Scan(&p.id, &p.current, &p.sender, &p.ID, &p.Authority, jsonColumn{&p.Others}, &p.Name, &p.BirthDate, &p.Sex)
	return p, err
}

func (t *tx) patients(where string, args ...any) ([]patientRow, error) {
	rows, err := t.rows(selectPatient+where, args...)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, scanPatient)
}

// findPatient returns the patient whom id names. An identifier that nobody's authority is said of names the only patient
// who has it, under whatever authority, as does one with an authority the only patient whose authority nobody has said.
func (t *tx) findPatient(id Identifier) (patientRow, bool, error) {
	all, err := t.patients("WHERE identifier = ? ORDER BY id", id.ID)
	if err != nil {
		return patientRow{}, false, err
	}
	exact := slices.IndexFunc(all, func(p patientRow) bool { return p.Authority == id.Authority })
	switch {
	case exact >= 0:
		return all[exact], true, nil
	case len(all) == 1 && (id.Authority == "" || all[0].Authority == ""):
		return all[0], true, nil
	}
	return patientRow{}, false, nil
}

// patient returns the patient whom a sender means by id, who is new where there was none. Senders of two hospitals have the
// same numbers for different patients: one that leaves the authority out means a patient whom it told of itself, and an
// authority that it says for the first time is that of such a patient. A person, who is no sender, may leave it out, too.
func (t *tx) patient(id Identifier, sender string, at time.Time) (patientRow, error) {
	p, ok, err := t.findPatient(id)
	if err != nil {
		return patientRow{}, err
	}
	own := sender != "" && sender == p.sender || sender == "" && id.Authority == ""
	if !ok || p.Identifier != id && !own {
		row, err := t.insert(`INSERT INTO patient (identifier, authority, sender, current, changed_at)
			VALUES (?, ?, ?, (SELECT coalesce(max(id), 0) + 1 FROM patient), ?)`, id.ID, id.Authority, sender, micros(at))
		return patientRow{id: row, current: row, sender: sender, Person: Person{Identifier: id}}, err
	}
	if p.Authority == "" && id.Authority != "" {
		if _, err := t.exec("UPDATE patient SET authority = ? WHERE id = ?", id.Authority, p.id); err != nil {
			return patientRow{}, err
		}
		_, err := t.exec("UPDATE imaging_order SET patient_authority = ?1 WHERE patient_id = ?2 AND patient_authority = ''", id.Authority, id.ID)
		if err != nil {
			return patientRow{}, err
		}
		p.Authority = id.Authority
	}
	return p, nil
}

func (t *tx) patientByRow(id int64) (patientRow, error) {
	all, err := t.patients("WHERE id = ?", id)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return patientRow{}, err
	}
	return all[0], nil
}

// changePatient does what c of a sender says, and has all that is about the patient follow: orders, studies, drafts and messages that
// are on their way. It returns who the patient is then, and the studies that followed.
func (t *tx) changePatient(c PatientChange, sender string, at time.Time) (Person, []dicom.UID, error) {
	k, err := t.knowPatient(c, sender, at)
	if err != nil || !k.changed && !k.merged {
		return k.Person, nil, err
	}
	followed, err := t.followPatient(k.row, k.merged, at)
	return k.Person, followed, err
}

// knownPatient is a patient as the ledger has it once it was told something.
type knownPatient struct {
	Person
	row             int64
	changed, merged bool
}

// knowPatient does what c says, and leaves what is about the patient as it is.
func (t *tx) knowPatient(c PatientChange, sender string, at time.Time) (knownPatient, error) {
	if c.ID == "" {
		return knownPatient{}, &Refusal{"the patient has no identifier (PID-3)"}
	}
	named, err := t.patient(c.Identifier, sender, at)
	if err != nil {
		return knownPatient{}, err
	}
	before, err := t.patientByRow(named.current)
	if err != nil {
		return knownPatient{}, err
	}
	k := knownPatient{Person: before.Person, row: before.id}
	if named.merged() {
		// An identifier that is used no more has nothing newer to say: so the order in which a merge and what was said before
		// it arrive makes no difference.
		k.Person = k.filled(c.Person)
	} else {
		k.Person = c.filled(k.Person)
		k.Identifier = before.Identifier
		k.Person = k.without(c.Removed)
	}
	for _, id := range c.Prior {
		prior, did, err := t.mergePatient(id, named, sender, at)
		if err != nil {
			return knownPatient{}, err
		}
		k.Person, k.merged = k.filled(prior).without(c.Removed), k.merged || did
	}
	k.changed, err = t.writePatient(before, k.Person, at)
	return k, err
}

// filled returns p, with what is unknown of it as q has it.
func (p Person) filled(q Person) Person {
	or := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	p.Name, p.BirthDate, p.Sex = or(p.Name, q.Name), or(p.BirthDate, q.BirthDate), or(p.Sex, q.Sex)
	if len(p.Others) == 0 {
		p.Others = q.Others
	}
	return p
}

func (p Person) without(fields []PatientField) Person {
	for _, f := range fields {
		switch f {
		case FieldName:
			p.Name = ""
		case FieldBirthDate:
			p.BirthDate = ""
		case FieldSex:
			p.Sex = ""
		}
	}
	return p
}

func (t *tx) writePatient(before patientRow, after Person, at time.Time) (changed bool, err error) {
	if before.Name == after.Name && before.BirthDate == after.BirthDate && before.Sex == after.Sex && slices.Equal(before.Others, after.Others) {
		return false, nil
	}
	others, err := json.Marshal(append([]Identifier{}, after.Others...))
	if err != nil {
		return false, err
	}
	_, err = t.exec("UPDATE patient SET others = ?, name = ?, birth_date = ?, sex = ?, changed_at = ? WHERE id = ?",
		string(others), after.Name, after.BirthDate, after.Sex, micros(at), before.id)
	return true, err
}

// mergePatient has prior name the patient whom surviving names, and returns what was known of prior until now. The
// identifiers that were merged into prior before name that patient, too.
func (t *tx) mergePatient(prior Identifier, surviving patientRow, sender string, at time.Time) (known Person, merged bool, err error) {
	if prior.ID == "" {
		return Person{}, false, &Refusal{"the prior patient has no identifier (MRG-1)"}
	}
	if prior.Authority != "" && surviving.Authority != "" && prior.Authority != surviving.Authority {
		return Person{}, false, &Refusal{"identifiers of two assigning authorities are not merged (MRG-1.4, PID-3.4)"}
	}
	if prior.Authority == "" {
		prior.Authority = surviving.Authority
	}
	p, err := t.patient(prior, sender, at)
	switch {
	case err != nil:
		return Person{}, false, err
	case p.id == surviving.id:
		return Person{}, false, &Refusal{"a patient is not merged into itself (MRG-1 is PID-3)"}
	case p.id == surviving.current:
		return Person{}, false, &Refusal{"the merge would make a cycle: the surviving patient (PID-3) was merged into the prior one (MRG-1) before"}
	case p.current == surviving.current:
		return Person{}, false, nil // as it is already
	case p.merged():
		return Person{}, false, &Refusal{"the prior patient (MRG-1) was merged into another one before: merge that one"}
	}
	if _, err := t.exec("UPDATE patient SET current = ?, merged_at = coalesce(merged_at, ?) WHERE current = ?", surviving.current, micros(at), p.id); err != nil {
		return Person{}, false, err
	}
	_, err = t.exec("UPDATE patient SET others = '[]', name = '', birth_date = '', sex = '' WHERE id = ?", p.id)
	return p.Person, true, err
}

// identifiersOf returns what names the patient of row: its own identifier first, then those of whom was merged into it.
func (t *tx) identifiersOf(row int64) ([]Identifier, error) {
	all, err := t.patients("WHERE current = ?1 ORDER BY id <> ?1, id", row)
	ids := make([]Identifier, len(all))
	for i, p := range all {
		ids[i] = p.Identifier
	}
	return ids, err
}

// followPatient has the orders of a patient name it as it is now, and judges the studies anew that may be of it.
func (t *tx) followPatient(row int64, merged bool, at time.Time) (followed []dicom.UID, err error) {
	p, err := t.patientByRow(row)
	if err != nil {
		return nil, err
	}
	person, err := json.Marshal(p.Person)
	if err != nil {
		return nil, err
	}
	ids, err := t.identifiersOf(row)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		_, err := t.exec("UPDATE imaging_order SET patient_id = ?, patient_authority = ?, patient = ? WHERE patient_id = ? AND patient_authority = ?",
			p.ID, p.Authority, string(person), id.ID, id.Authority)
		if err != nil {
			return nil, err
		}
	}
	studies, err := t.studiesOfPatient(p.Identifier, ids)
	if err != nil {
		return nil, err
	}
	detail := "what is known of the patient has changed"
	if merged {
		detail = "the patient was merged with another one"
	}
	for _, study := range studies {
		if err := t.event(event{study: study, what: EventPatient, at: at, detail: detail}); err != nil {
			return nil, err
		}
		var uid dicom.UID
		if err := t.row("SELECT study_instance_uid FROM study WHERE id = ?", []any{study}, &uid); err != nil {
			return nil, err
		}
		followed = append(followed, uid)
		if err := t.judge(study, samePerson, at); err != nil {
			return nil, err
		}
	}
	return followed, nil
}

const (
	studiesByOrder = `SELECT s.id FROM imaging_order o JOIN study s ON s.study_instance_uid = o.study_instance_uid
		WHERE o.patient_id = ?1 AND o.patient_authority = ?2 AND s.forgotten_at IS NULL
		UNION SELECT s.id FROM imaging_order o JOIN study s ON s.accession_number IN (o.accession, substr(o.accession, 1, 16))
		WHERE o.patient_id = ?1 AND o.patient_authority = ?2 AND s.forgotten_at IS NULL
		UNION SELECT study FROM gate WHERE correct_id = ?1 AND correct_id <> '' AND correct_authority = ?2 ORDER BY 1`
	studiesByImage = `SELECT c.study FROM claim c JOIN study s ON s.id = c.study
		WHERE c.patient_id = ?1 AND (c.issuer IN ('', ?2) OR ?2 = '') AND s.forgotten_at IS NULL
		UNION SELECT study FROM gate WHERE correct_id = ?1 AND correct_id <> '' AND correct_authority = ?2 ORDER BY 1`
)

// studiesOfPatient returns the studies whose images or orders name a patient by one of ids.
func (t *tx) studiesOfPatient(current Identifier, ids []Identifier) ([]int64, error) {
	var studies []int64
	add := func(query string, id Identifier) error {
		rows, err := t.rows(query, id.ID, id.Authority)
		if err != nil {
			return err
		}
		more, err := scanAll(rows, scanInt)
		studies = append(studies, more...)
		return err
	}
	err := add(studiesByOrder, current)
	for _, id := range ids {
		if err == nil {
			err = add(studiesByImage, id)
		}
	}
	slices.Sort(studies)
	return slices.Compact(studies), err
}

func scanInt(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }

// survivor returns whom id names by now, false where no message has told of it, or an identifier without an authority
// may be that of several.
func (t *tx) survivor(id Identifier) (patientRow, bool, error) {
	if id.ID == "" {
		return patientRow{}, false, nil
	}
	p, ok, err := t.findPatient(id)
	if err != nil || !ok {
		return patientRow{}, false, err
	}
	p, err = t.patientByRow(p.current)
	return p, err == nil, err
}

// same says whether two identifiers name one person, as far as anybody has told. An authority that only one of them has
// decides nothing.
func (t *tx) same(a, b Identifier) (bool, error) {
	if a.is(b, true) {
		return true, nil
	}
	p, known, err := t.survivor(a)
	if err != nil || !known {
		return false, err
	}
	q, known, err := t.survivor(b)
	return known && p.id == q.id, err
}

// orderedFor returns the patient of an order as the ledger knows it, with what the order says of it: before is how the
// order had it until now. What an order says of a patient fills in what other orders do not know, and changes nothing that they
// say: that is for ADT.
func (t *tx) orderedFor(before, after Person, sender string, at time.Time) (Person, error) {
	if after.ID == "" {
		return after, nil
	}
	c := PatientChange{Person: after}
	if before.Identifier == after.Identifier {
		for field, taken := range map[PatientField]bool{
			FieldName: before.Name != "" && after.Name == "", FieldBirthDate: before.BirthDate != "" && after.BirthDate == "", FieldSex: before.Sex != "" && after.Sex == "",
		} {
			if taken {
				c.Removed = append(c.Removed, field)
			}
		}
	}
	k, err := t.knowPatient(c, sender, at)
	if err == nil && k.changed {
		err = t.fillOrders(k)
	}
	return k.Person, err
}

// fillOrders gives the orders of a patient what they did not know of it.
func (t *tx) fillOrders(k knownPatient) error {
	ids, err := t.identifiersOf(k.row)
	if err != nil {
		return err
	}
	for _, id := range ids {
		rows, err := t.rows(selectOrder+"WHERE o.patient_id = ? AND o.patient_authority = ?", id.ID, id.Authority)
		if err != nil {
			return err
		}
		orders, err := scanAll(rows, scanOrderRow)
		if err != nil {
			return err
		}
		for _, o := range orders {
			person, err := json.Marshal(o.Patient.filled(k.Person))
			if err != nil {
				return err
			}
			if _, err := t.exec("UPDATE imaging_order SET patient = ? WHERE id = ?", string(person), o.id); err != nil {
				return err
			}
		}
	}
	return nil
}
