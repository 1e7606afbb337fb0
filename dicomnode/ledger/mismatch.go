package ledger

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
)

// Mismatch is in what images, order and patient of a study do not agree.
type Mismatch string

// The mismatches. An order is found by Study Instance UID, else by accession number.
const (
	MismatchPatients  Mismatch = "patients"   // the images are of two patients
	MismatchPatient   Mismatch = "patient"    // images and order are of different patients
	MismatchBirthDate Mismatch = "birth_date" // images and order have one patient, with two birth dates
	MismatchName      Mismatch = "name"       // images and order have one patient, with wholly different names
	MismatchSex       Mismatch = "sex"        // images and order have one patient, male here and female there
	MismatchAccession Mismatch = "accession"  // the order that has the Study Instance UID has another accession number
	MismatchStudy     Mismatch = "study"      // the order that has the accession number has another Study Instance UID
	MismatchContested Mismatch = "contested"  // orders of different patients have the accession number
	MismatchCut       Mismatch = "cut"        // orders of several accession numbers have these 16 characters in common
)

// Mismatches are all of them.
var Mismatches = []Mismatch{
	MismatchPatients, MismatchPatient, MismatchBirthDate, MismatchName, MismatchSex, MismatchAccession, MismatchStudy, MismatchContested, MismatchCut,
}

// String returns the mismatch in words, without patient data.
func (m Mismatch) String() string {
	switch m {
	case MismatchPatients:
		return "images of two patients are in this study"
	case MismatchPatient:
		return "the images name another patient than the order"
	case MismatchBirthDate:
		return "the images have another birth date than the order's patient"
	case MismatchName:
		return "the images have a wholly different name than the order's patient"
	case MismatchSex:
		return "the images have another sex than the order's patient"
	case MismatchAccession:
		return "the order of this Study Instance UID has another accession number than the images"
	case MismatchStudy:
		return "the order of this accession number is for another Study Instance UID"
	case MismatchContested:
		return "orders of different patients have this accession number"
	case MismatchCut:
		return "the accession number of the images has 16 characters, as many as DICOM has room for, and those of several orders begin so"
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

// ofOthers says whether there is more than one patient.
func ofOthers(all []Mismatch) bool {
	return slices.Contains(all, MismatchPatient) || slices.Contains(all, MismatchPatients)
}

// claim is what an image says of itself.
type claim struct {
	Patient   Identifier `json:"patient"`
	Accession string     `json:"accession"`
	Name      string     `json:"name,omitempty"`
	BirthDate string     `json:"birth_date,omitempty"`
	Sex       string     `json:"sex,omitempty"`
}

func (t *tx) claimsOf(study int64) ([]claim, error) {
	rows, err := t.rows("SELECT patient_id, issuer, accession, name, birth_date, sex FROM claim WHERE study = ? ORDER BY 1, 2, 3, 4, 5, 6", study)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (c claim, err error) {
		return c, rows.Scan(&c.Patient.ID, &c.Patient.Authority, &c.Accession, &c.Name, &c.BirthDate, &c.Sex)
	})
}

// mismatches finds in what claims and order do not agree. What neither of two says decides nothing, and what a patient is called
// anew no name or sex of before is held against.
func (t *tx) mismatches(g gateRow, claims []claim, order Order, ordered bool, why judgedFor) ([]Mismatch, error) {
	all := []Mismatch{}
	add := func(m Mismatch, so bool) {
		if so && !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	for i, c := range claims {
		for _, before := range claims[:min(i, maxCompared)] {
			other, err := t.otherPatient(before, c)
			if err != nil {
				return nil, err
			}
			add(MismatchPatients, other)
		}
	}
	if g.policy == GateOff {
		return all, nil
	}
	byNumber := order.StudyInstanceUID != g.uid && !g.ordered // the order was, or was to be, found by the images' accession number
	for _, c := range claims {
		several, err := t.ambiguous(c.Accession)
		if err != nil {
			return nil, err
		}
		add(MismatchCut, several && byNumber)
	}
	if !ordered {
		return all, nil
	}
	for _, c := range claims {
		of, err := t.isOf(c.Patient, order.Patient)
		if err != nil {
			return nil, err
		}
		if c.Patient.ID == "" {
			add(MismatchPatient, !of || c.bornElse(order.Patient) || c.calledElse(order.Patient) || c.ofOtherSex(order.Patient))
		} else {
			add(MismatchPatient, !of)
			add(MismatchBirthDate, of && c.bornElse(order.Patient))
			// who was merged into the order's patient had a name of their own
			named := of && c.Patient.is(order.Patient.Identifier, true)
			told := func(m Mismatch) bool { return why != samePerson || slices.Contains(g.mismatches, m) }
			add(MismatchName, named && told(MismatchName) && c.calledElse(order.Patient))
			add(MismatchSex, named && told(MismatchSex) && c.ofOtherSex(order.Patient))
		}
		add(MismatchAccession, c.Accession != "" && order.Accession != "" && !order.Names(c.Accession))
	}
	if byNumber {
		contested, err := t.contested(order.Accession)
		if err != nil {
			return nil, err
		}
		add(MismatchContested, contested)
	}
	add(MismatchStudy, order.StudyInstanceUID != "" && order.StudyInstanceUID != g.uid)
	return all, nil
}

// contestedBy names orders that stand, are of another patient than the order %[1]s and have its accession number: what is
// found by it alone may be theirs. Orders of one patient have one identifier, whatever it was merged from.
const contestedBy = `SELECT 1 FROM imaging_order x WHERE x.accession = %[1]s.accession AND x.accession <> '' AND x.state <> 'cancelled' AND x.patient_id <> ''
	AND %[1]s.state <> 'cancelled' AND %[1]s.patient_id <> '' AND (x.patient_id <> %[1]s.patient_id
		OR x.patient_authority <> %[1]s.patient_authority AND x.patient_authority <> '' AND %[1]s.patient_authority <> '')`

// contested reports whether orders of different patients have one accession number.
func (t *tx) contested(accession string) (contested bool, err error) {
	return contested, t.row("SELECT EXISTS (SELECT 1 FROM imaging_order o WHERE o.accession = ? AND EXISTS ("+fmt.Sprintf(contestedBy, "o")+"))",
		[]any{accession}, &contested)
}

// maxCompared bounds with how many of a study's claims each is compared: a modality repeats itself.
const maxCompared = 16

// otherPatient says whether two images name two patients: by identifiers that nobody has said are one's, or, where these are alike
// or one has none, by birth date, sex or wholly different names. A number may be everybody's, as where a modality has none.
func (t *tx) otherPatient(a, b claim) (bool, error) {
	if a.Patient.ID != "" && b.Patient.ID != "" && !a.Patient.is(b.Patient, true) {
		same, err := t.same(a.Patient, b.Patient)
		return !same, err
	}
	p := Person{Name: b.Name, BirthDate: b.BirthDate, Sex: b.Sex}
	return a.bornElse(p) || a.calledElse(p) || a.ofOtherSex(p), nil
}

// bornElse says that an image has another birth date than p.
func (c claim) bornElse(p Person) bool {
	return birthDate(c.BirthDate) && birthDate(p.BirthDate) && c.BirthDate != p.BirthDate
}

// birthDate says whether s is one: 00000000 and the like say nothing.
func birthDate(s string) bool {
	at, err := time.Parse("20060102", s)
	return err == nil && at.Year() > 1800
}

// calledElse says that an image has a wholly different name than p.
func (c claim) calledElse(p Person) bool { return dicom.NamesDiffer(c.Name, p.Name) }

// ofOtherSex says that one of image and p is male, and the other female: O is what many write for what they do not know.
func (c claim) ofOtherSex(p Person) bool {
	return c.Sex == "M" && p.Sex == "F" || c.Sex == "F" && p.Sex == "M"
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
	who := slices.ContainsFunc(all, func(m Mismatch) bool {
		return m == MismatchPatients || m == MismatchBirthDate || m == MismatchName || m == MismatchSex
	})
	claims = slices.Clone(claims)
	for i, c := range claims {
		if !who && c.Patient.ID != "" { // then it is no matter how the images write whom they name
			claims[i] = claim{Patient: c.Patient, Accession: c.Accession}
		}
	}
	claims = slices.Compact(claims)
	b, _ := json.Marshal([]any{all, claims, order.Accession, order.StudyInstanceUID, order.Patient.Identifier, correct}) // no value of these can fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
