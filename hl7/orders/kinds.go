package orders

import (
	"slices"

	"endogate/dicomnode/ledger"
	"endogate/hl7"
)

// Kind is a kind of message that is read.
type Kind struct {
	Type    string   // MSH-9.1
	Events  []string // MSH-9.2; the first is meant where a sender names none, as before version 2.2
	Purpose string
	read    func(m *hl7.Message, s Sender) (asked, error)
}

// asked is what a message asks for.
type asked struct {
	patients []ledger.PatientChange
	orders   []ledger.OrderChange
	subjects []ledger.Subject
	note     string // what it is about, in words without patient data
}

// Kinds are the messages that are read. Others are answered AR 200 or 201.
var Kinds = []Kind{
	{"ORM", []string{"O01"}, "orders: new, changed, cancelled, status", readOrders},
	{"OMG", []string{"O19"}, "as ORM^O01", readOrders},
	{"OMI", []string{"O23"}, "as ORM^O01, with the scheduled steps (IPC)", readOrders},
	{"ADT", []string{"A08", "A31", "A01", "A04"}, "patient: what is known of it", readPatientChange},
	{"ADT", []string{"A40", "A34", "A18"}, "patients that are the same person: prior identifiers name the surviving one for ever", readMerges},
	{"ORU", []string{"R01"}, "a report of another system: kept, filed to its study, and held against what the networks saw; who wrote it (OBR-32, else OBX-16) with reading.by_physician alone", readReport},
}

// kindOf returns the kind of a message, or the fault of one that is not read (table 0357).
func kindOf(m *hl7.Message) (Kind, error) {
	event := m.Get("MSH-9.2")
	i := slices.IndexFunc(Kinds, func(k Kind) bool {
		return k.Type == m.Get("MSH-9.1") && (event == "" || slices.Contains(k.Events, event))
	})
	switch {
	case i < 0 && !slices.ContainsFunc(Kinds, func(k Kind) bool { return k.Type == m.Get("MSH-9.1") }):
		return Kind{}, &hl7.Error{Code: hl7.UnsupportedMessageType, Path: "MSH-9", Text: "this gateway does not read messages of this type"}
	case i < 0:
		return Kind{}, &hl7.Error{Code: hl7.UnsupportedEventCode, Path: "MSH-9", Text: "this gateway does not read this event of the message type"}
	}
	return Kinds[i], nil
}

// name is the kind as MSH-9 has it.
func (k Kind) name(m *hl7.Message) string {
	event := m.Get("MSH-9.2")
	if event == "" {
		event = k.Events[0]
	}
	return k.Type + "^" + event
}

// readReport finds the studies that a report is about: by the study's UID in an OBX, as IHE and DICOM's own codes name it, by
// accession number, or by the numbers of its order.
func readReport(m *hl7.Message, s Sender) (asked, error) {
	out := asked{note: "report of another system"}
	for _, g := range groupsOf(m) {
		pid, err := g.patient(s)
		if err == nil {
			_, err = readPatient(pid, s)
		}
		if err != nil {
			return asked{}, err
		}
		subject, err := g.subject(s)
		if err != nil {
			return asked{}, err
		}
		if subject != (ledger.Subject{}) && !slices.Contains(out.subjects, subject) {
			out.subjects = append(out.subjects, subject)
		}
	}
	if len(out.subjects) == 0 {
		return asked{}, missing("OBR-18", "the report has neither accession number nor study UID, and no number of its order: nobody can tell what it is about")
	}
	return out, nil
}

// subject is the study that the report of a group is about, as the message names it.
func (g group) subject(s Sender) (ledger.Subject, error) {
	subject := ledger.Subject{Accession: g.accession(s)}
	for _, obx := range g.all["OBX"] {
		if slices.Contains(studyCodes, obx.Get("3.1")) {
			if uid, err := studyUID(obx, 5); err == nil {
				subject.StudyInstanceUID = uid
			}
		}
	}
	for _, number := range []struct {
		into  *ledger.Identifier
		field string
	}{{&subject.Placer, "placer"}, {&subject.Filler, "filler"}} {
		v, err := g.named(number.field, s)
		if err != nil {
			return ledger.Subject{}, err
		}
		*number.into, _ = v.(ledger.Identifier)
	}
	return subject, nil
}

// studyCodes say in OBX-3 that OBX-5 is a Study Instance UID: (110180,DCM) and (113014,DCM).
var studyCodes = []string{"110180", "113014"}

func missing(path, text string) error {
	return &hl7.Error{Code: hl7.RequiredFieldMissing, Path: path, Text: text}
}
