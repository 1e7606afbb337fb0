package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"endogate/dicomnode/dicom"
)

// Priority is the lane of an order's jobs (HL7 table 0485, as DICOM has it in PS3.3 C.4.12).
type Priority string

// The priorities, most urgent first. STAT jobs begin before all others.
const (
	Stat    Priority = "STAT"
	High    Priority = "HIGH"
	Medium  Priority = "MEDIUM"
	Routine Priority = "ROUTINE"
)

// OrderState is what has become of an order.
type OrderState string

// The states of an order.
const (
	OrderOpen      OrderState = "open"
	OrderStarted   OrderState = "in-progress"
	OrderCompleted OrderState = "completed" // the examination is over: its report waits no longer
	OrderCancelled OrderState = "cancelled"
)

// Identifier is an identifier with who assigned it (HL7 EI, CX); the authority is empty where nobody says.
type Identifier struct {
	ID        string `json:"id"`
	Authority string `json:"authority,omitempty"`
}

// Person is a patient as orders and demographic updates say. Empty is unknown.
type Person struct {
	Identifier `json:"identifier"`
	Others     []Identifier `json:"others,omitempty"` // further repetitions of PID-3
	Name       string       `json:"name"`             // as PS3.5 6.2 PN writes it
	BirthDate  string       `json:"birth_date"`       // YYYYMMDD
	Sex        string       `json:"sex"`              // M, F, O or empty
}

// Order is an imaging order, as its last message left it. An order of several procedure steps (IPC) is one order with
// several steps.
type Order struct {
	Accession            string     `json:"accession"`
	StudyInstanceUID     dicom.UID  `json:"study_uid"`
	Placer               Identifier `json:"placer"`
	Filler               Identifier `json:"filler"`
	Patient              Person     `json:"patient"`
	RequestedProcedureID string     `json:"requested_procedure_id"`
	Service              dicom.Code `json:"service"` // OBR-4, as Scheme writes it there
	Reason               string     `json:"reason"`
	Requester            string     `json:"requester"` // OBR-16, as PN
	RequesterID          Identifier `json:"requester_id,omitzero"`
	Referrer             string     `json:"referrer"` // PV1-8, as PN
	ReferrerID           Identifier `json:"referrer_id,omitzero"`
	Priority             Priority   `json:"priority"`
	Steps                []Step     `json:"steps"`
	PatientClass         string     `json:"patient_class,omitempty"` // PV1-2
	AdmissionID          string     `json:"admission_id,omitempty"`  // PV1-19
	AdmissionAuthority   string     `json:"admission_authority,omitempty"`
	PregnancyStatus      int        `json:"pregnancy_status,omitempty"` // as PS3.3 C.2.3 writes it; 0: nobody says
	PatientState         string     `json:"patient_state,omitempty"`    // OBR-12
	MedicalAlerts        string     `json:"medical_alerts,omitempty"`   // OBR-13
	State                OrderState `json:"state"`
	Sender               string     `json:"sender"`  // MSH-3 of the last message
	Message              string     `json:"message"` // its spool entry
	ChangedAt            time.Time  `json:"changed_at"`
}

// Step is a scheduled procedure step of an order.
type Step struct {
	ID          string        `json:"id"`
	Modality    string        `json:"modality"`
	Protocol    dicom.Code    `json:"protocol"`
	StationName string        `json:"station_name"`
	StationAE   dicom.AETitle `json:"station_ae"`
	Performer   string        `json:"performer"` // OBR-34, as PN
	StartsAt    time.Time     `json:"starts_at,omitzero"`
}

// OrderChange is what a message says of one order.
type OrderChange struct {
	// Patch is what changes: a merge patch (RFC 7396) of the JSON of an Order. What it does not name stays, null takes away.
	// It names the order, too: by placer, filler or accession number.
	Patch json.RawMessage `json:"patch"`
	State OrderState      `json:"state,omitempty"` // that the order takes on; empty: it stays, or is open where it is new
	Known bool            `json:"known,omitempty"` // an order that is not there is not made, but refused
}

// followed is what an order has changed.
type followed struct {
	studies []dicom.UID // in the ledger, whose order it is or was
	late    int         // of them, in which work was done or under way when the order was cancelled
}

// changeOrder makes or changes the order that c names. It returns the order, and what follows it.
func (t *tx) changeOrder(c OrderChange, by Message) (after Order, f followed, err error) {
	named, err := Order{}.patched(c.Patch)
	if err != nil {
		return Order{}, f, err
	}
	named.Sender = by.Application
	row, err := t.findOrder(named)
	if err != nil {
		return Order{}, f, err
	}
	if row.id == 0 && c.Known {
		return Order{}, f, &Refusal{"no order has this number; send the order first"}
	}
	if named.Patient.ID != "" && named.Patient.Identifier != row.Patient.Identifier {
		row.Patient = Person{} // nothing of the other one stays
	}
	if after, err = row.patched(c.Patch); err != nil {
		return Order{}, f, err
	}
	switch {
	case after.Accession == "":
		return Order{}, f, &Refusal{"the order has no accession number (OBR-18, IPC-1)"}
	case c.State != "":
		after.State = c.State
	case row.id == 0:
		after.State = OrderOpen
	}
	if after.Priority == "" {
		after.Priority = Routine
	}
	if after.Patient, err = t.orderedFor(row.Patient, after.Patient, by.sender(), by.At); err != nil {
		return Order{}, f, err
	}
	after.Sender, after.Message, after.ChangedAt = by.Application, by.Entry, by.At.UTC().Truncate(time.Microsecond)
	f, err = t.putOrder(row, after)
	return after, f, err
}

// putOrder writes an order and has the reports of its studies tell of it.
func (t *tx) putOrder(row orderRow, after Order) (f followed, err error) {
	before := row.Order
	if err := t.writeOrder(row.id, after); err != nil {
		return f, err
	}
	for i, o := range []Order{before, after} {
		studies, err := t.studiesOf(Subject{StudyInstanceUID: o.StudyInstanceUID, Accession: o.Accession})
		if err == nil && i == 0 && row.id != 0 {
			var corrected []studyName
			corrected, err = t.correctedTo(row.id)
			studies = append(studies, corrected...)
		}
		if err != nil {
			return f, err
		}
		for _, s := range studies {
			if slices.Contains(f.studies, s.uid) {
				continue
			}
			f.studies = append(f.studies, s.uid)
			if err := t.judge(s.id, newEvidence, after.ChangedAt); err != nil {
				return f, err
			}
			if err := t.hurry(s); err != nil {
				return f, err
			}
			late, err := t.follow(s, aMessage, after.ChangedAt)
			if err != nil {
				return f, err
			}
			if late {
				f.late++
			}
			if row.id != 0 && before.reported() == after.reported() && reflect.DeepEqual(before.Patient, after.Patient) {
				continue
			}
			if err := t.retarget(s.id, after.ChangedAt); err != nil { // also where the images are gone, and none is reported once more
				return f, err
			}
			if row.id != 0 && before.reported() == after.reported() {
				continue
			}
			if err := t.reportAgain(s.id, after.ChangedAt); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

// reported is what a report says of an order.
func (o Order) reported() any {
	return struct {
		study                       dicom.UID
		accession, procedure        string
		placer, filler              Identifier
		service                     dicom.Code
		reason, requester, referrer string
		requesterID, referrerID     Identifier
		class, visit, visitOf       string
	}{
		o.StudyInstanceUID, o.Accession, o.RequestedProcedureID, o.Placer, o.Filler, o.Service, o.Reason, o.Requester, o.Referrer,
		o.RequesterID, o.ReferrerID, o.PatientClass, o.AdmissionID, o.AdmissionAuthority,
	}
}

// reportAgain has the exams of a study reported once more, as far as the spool has what a report is made of: what a
// report copies from elsewhere has changed. One that is being made now is made again.
func (t *tx) reportAgain(study int64, at time.Time) error {
	_, err := t.exec(`UPDATE exam SET version = version + 1, since = iif(state = 'open', since, ?2), state = 'open', reason = ''
		WHERE study = ?1 AND EXISTS (SELECT 1 FROM job j JOIN instance i ON i.id = j.instance
			WHERE j.exam = exam.id AND i.released_at IS NULL)`, study, micros(at))
	return err
}

// orderRow is an order with its row; zero where there is none.
type orderRow struct {
	id int64
	Order
}

const selectOrder = `SELECT id, patient, state, document FROM imaging_order o `

func scanOrderRow(rows *sql.Rows) (orderRow, error) {
	var r orderRow
	var state OrderState
	var patient Person
	err := rows.Scan(&r.id, jsonColumn{&patient}, &state, jsonColumn{&r.Order})
	r.Patient, r.State = patient, state
	return r, err
}

func scanOrder(rows *sql.Rows) (Order, error) {
	r, err := scanOrderRow(rows)
	return r.Order, err
}

const namedOrders = selectOrder + `WHERE o.id IN (SELECT id FROM imaging_order WHERE placer = ?1 AND placer <> ''
	UNION SELECT id FROM imaging_order WHERE filler = ?2 AND filler <> '' UNION SELECT id FROM imaging_order WHERE accession = ?3) ORDER BY o.id DESC`

// findOrder returns the order that a message names: by placer number, else by filler number, else by accession number. What
// only one of the two has decides nothing.
func (t *tx) findOrder(named Order) (orderRow, error) {
	rows, err := t.rows(namedOrders, named.Placer.ID, named.Filler.ID, named.Accession)
	if err != nil {
		return orderRow{}, err
	}
	all, err := scanAll(rows, scanOrderRow)
	if err != nil {
		return orderRow{}, err
	}
	for _, o := range all {
		if o.is(named) {
			return o, nil
		}
	}
	return orderRow{}, nil
}

// is says whether a message that names an order so means o. Numbers without an authority are those of their sender, unless
// the accession numbers agree. Placers give the orders of a group one number: the same placer number is the same order as
// long as filler numbers, or else accession numbers, do not say otherwise.
func (o Order) is(named Order) bool {
	within := o.Sender == named.Sender || o.Accession == named.Accession
	if o.Placer.ID != "" && named.Placer.ID != "" && !o.Placer.is(named.Placer, within) {
		return false
	}
	if o.Filler.ID != "" && named.Filler.ID != "" {
		return o.Filler.is(named.Filler, within)
	}
	if o.Accession != "" && named.Accession != "" {
		return o.Accession == named.Accession
	}
	return o.Placer.ID != "" && named.Placer.ID != ""
}

// is says whether i and j are the same. An authority that only one of them has decides nothing; where neither has one,
// numbers are the same within one place only.
func (i Identifier) is(j Identifier, within bool) bool {
	if i.Authority == "" || j.Authority == "" {
		return i.ID == j.ID && (within || i.Authority != j.Authority)
	}
	return i == j
}

// patched returns o with a merge patch applied.
func (o Order) patched(patch json.RawMessage) (Order, error) {
	var changes map[string]any
	if err := json.Unmarshal(patch, &changes); err != nil {
		return Order{}, fmt.Errorf("order: %w", err)
	}
	before, err := json.Marshal(o)
	if err != nil {
		return Order{}, err
	}
	var document map[string]any
	if err := json.Unmarshal(before, &document); err != nil {
		return Order{}, err
	}
	merge(document, changes)
	text, err := json.Marshal(document)
	if err != nil {
		return Order{}, err
	}
	after := Order{}
	if err := json.Unmarshal(text, &after); err != nil {
		return Order{}, fmt.Errorf("order: %w", err)
	}
	return after, nil
}

// merge is RFC 7396.
func merge(into, patch map[string]any) {
	for name, value := range patch {
		object, isObject := value.(map[string]any)
		switch old, wasObject := into[name].(map[string]any); {
		case value == nil:
			delete(into, name)
		case isObject && wasObject:
			merge(old, object)
		case isObject:
			fresh := map[string]any{}
			merge(fresh, object)
			into[name] = fresh
		default:
			into[name] = value
		}
	}
}

func (t *tx) writeOrder(id int64, o Order) error {
	patient, err := json.Marshal(o.Patient)
	if err != nil {
		return err
	}
	rest := o
	rest.Patient = Person{}
	document, err := json.Marshal(rest)
	if err != nil {
		return err
	}
	at := micros(o.ChangedAt)
	values := []any{
		o.Accession, o.StudyInstanceUID, o.Placer.ID, o.Placer.Authority, o.Filler.ID, o.Filler.Authority,
		o.Patient.ID, o.Patient.Authority, string(patient), o.State, string(document), at,
	}
	if id == 0 {
		_, err = t.insert(`INSERT INTO imaging_order (accession, study_instance_uid, placer, placer_authority, filler, filler_authority,
			patient_id, patient_authority, patient, state, document, changed_at, made_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?12, ?12)`, values...)
		return err
	}
	_, err = t.exec(`UPDATE imaging_order SET accession = ?, study_instance_uid = ?, placer = ?, placer_authority = ?, filler = ?,
		filler_authority = ?, patient_id = ?, patient_authority = ?, patient = ?, state = ?, document = ?, changed_at = ? WHERE id = ?`,
		append(values, id)...)
	return err
}

var orderOfStudy = selectOrder + `WHERE o.id IN (SELECT id FROM imaging_order WHERE study_instance_uid = ?1 AND study_instance_uid <> ''
	UNION SELECT i.id FROM study s JOIN imaging_order i ON i.accession = s.accession_number
		WHERE s.study_instance_uid = ?1 AND s.accession_number <> '' AND NOT (` + otherwise + `)
	UNION SELECT i.id FROM study s JOIN imaging_order i ON ` + fmt.Sprintf(beginsAs, "i", "s.accession_number") + `
		WHERE s.study_instance_uid = ?1 AND NOT (` + otherwise + `)
	UNION SELECT g.correct_order FROM study s JOIN gate g ON g.study = s.id WHERE s.study_instance_uid = ?1)
	ORDER BY o.id = (SELECT g.correct_order FROM study s JOIN gate g ON g.study = s.id WHERE s.study_instance_uid = ?1) DESC,
	o.study_instance_uid = ?1 DESC, o.state = 'cancelled', o.changed_at DESC, o.id DESC LIMIT 1`

// OrderOf returns the order of a study, false where there is none: the one that a person has said it belongs to, else one
// that names its Study Instance UID, else one that has the accession number of its images, which may name another UID. Of
// several it is the last that was changed and is not cancelled. An accession number that is cut, and could be that of several
// orders, is that of none.
func (l *Ledger) OrderOf(ctx context.Context, study dicom.UID) (Order, bool, error) {
	found, err := query(ctx, l.readDB, scanOrder, orderOfStudy, study)
	if err != nil || len(found) == 0 {
		if err != nil {
			err = fmt.Errorf("ledger: order of study %s: %w", study, err)
		}
		return Order{}, false, err
	}
	return found[0], true, nil
}

// orderOf is OrderOf inside a transaction.
func (t *tx) orderOf(study dicom.UID) (Order, bool, error) {
	rows, err := t.rows(orderOfStudy, study)
	if err != nil {
		return Order{}, false, err
	}
	found, err := scanAll(rows, scanOrder)
	if err != nil || len(found) == 0 {
		return Order{}, false, err
	}
	return found[0], true, nil
}
