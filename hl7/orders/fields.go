package orders

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/hl7"
)

// Field says where a value of an order, a step or a patient is read from.
type Field struct {
	Name  string   // in the JSON of ledger.Order, Step or Person
	From  []string // the first that has a value counts; "" in one of them, and no value in the others, takes the value away
	DICOM string   // the attribute that it is, as dcm4chee and IHE map it
	Note  string
	read  func(p place) (any, error) // nil: it says nothing
}

// OrderFields are read once for an order.
var OrderFields = []Field{
	{"accession", []string{"OBR-18", "IPC-1"}, "AccessionNumber", "OBR-3 after these where the sender has filler_is_accession", text},
	{"study_uid", []string{"IPC-3", "ZDS-1"}, "StudyInstanceUID", "all IPC of an order must agree", uid},
	{"placer", []string{"ORC-2", "OBR-2"}, "PlacerOrderNumberImagingServiceRequest", "", entity},
	{"filler", []string{"ORC-3", "OBR-3"}, "FillerOrderNumberImagingServiceRequest", "", entity},
	{"requested_procedure_id", []string{"OBR-19", "IPC-2"}, "RequestedProcedureID", "", text},
	{"service", []string{"OBR-4", "OBR-44"}, "RequestedProcedureCodeSequence", "components 1 to 3", code(1)},
	{"reason", []string{"OBR-31"}, "ReasonForTheRequestedProcedure", "text, else the code", reason},
	{"requester", []string{"OBR-16", "ORC-12"}, "RequestingPhysician", "", clinician},
	{"requester_id", []string{"OBR-16", "ORC-12"}, "RequestingPhysicianIdentificationSequence", "the identifier before the name, and who assigned it", clinicianID},
	{"referrer", []string{"PV1-8"}, "ReferringPhysicianName", "", clinician},
	{"referrer_id", []string{"PV1-8"}, "ReferringPhysicianIdentificationSequence", "as that of the requester", clinicianID},
	{"patient_class", []string{"PV1-2"}, "", "table 0004", text},
	{"priority", []string{"TQ1-9", "ORC-7.6", "OBR-27.6", "OBR-5"}, "RequestedProcedurePriority", "S: STAT; A, P, C: HIGH; T: MEDIUM; else ROUTINE", priority},
	{"admission_id", []string{"PV1-19"}, "AdmissionID", "", text},
	{"admission_authority", []string{"PV1-19.4"}, "IssuerOfAdmissionIDSequence", "namespace, else universal ID", authority},
	{"pregnancy_status", []string{"PV1-15"}, "PregnancyStatus", "B6: 3 (definitely pregnant)", pregnancy},
	{"patient_state", []string{"OBR-12"}, "PatientState", "", text},
	{"medical_alerts", []string{"OBR-13"}, "MedicalAlerts", "", text},
}

// StepFields are read for each IPC, or once where there is none.
var StepFields = []Field{
	{"id", []string{"OBR-20", "IPC-4"}, "ScheduledProcedureStepID", "IPC-4 first where there are several IPC", text},
	{"modality", []string{"IPC-5", "OBR-24"}, "Modality", "", text},
	{"protocol", []string{"IPC-6", "OBR-4.4"}, "ScheduledProtocolCodeSequence", "of OBR-4 components 4 to 6", protocol},
	{"station_name", []string{"IPC-7"}, "ScheduledStationName", "", text},
	{"station_ae", []string{"IPC-9"}, "ScheduledStationAETitle", "", text},
	{"performer", []string{"OBR-34"}, "ScheduledPerformingPhysicianName", "", clinician},
	{"starts_at", []string{"TQ1-7", "ORC-7.4", "OBR-27.4"}, "ScheduledProcedureStepStartDate, …Time", "the gateway's time zone where none is stated; one that cannot be read is as one that is not stated", start},
}

// PatientFields are read of the patient of an order.
var PatientFields = []Field{
	{"identifier", []string{"PID-3"}, "PatientID, IssuerOfPatientID", "the first repetition, or the one of the sender's authority; others are kept beside it", nil},
	{"name", []string{"PID-5"}, "PatientName", "suffix and prefix change places; repetitions of other representations are its ideographic and phonetic groups", person},
	{"birth_date", []string{"PID-7"}, "PatientBirthDate", "the first 8 digits", date},
	{"sex", []string{"PID-8"}, "PatientSex", "M, F, O; A and N: O; else unknown", sex},
}

// maxValue bounds a value, in bytes. It is never cut: a longer one is a fault.
const maxValue = 8 << 10

// place is a field in a segment that is there, or a component of it.
type place struct {
	segment   *hl7.Segment
	path      string // in the segment: 18, 4.4
	field     int
	component int // 0: not stated
	zone      *time.Location
}

func (p place) get() string { return p.segment.Get(p.path) }

// value reads f. It is nil where the message says nothing; null says that it is taken away.
func (f Field) value(g group, zone *time.Location) (v any, null bool, err error) {
	places := f.From
	if g.further { // its ORC is that of another one
		places = slices.Clone(places)
		slices.SortStableFunc(places, func(a, b string) int { return cmp.Compare(orc(a), orc(b)) })
	}
	for _, from := range places {
		name, path, _ := strings.Cut(from, "-")
		s := g.segments[name]
		if s == nil {
			continue
		}
		p := place{segment: s, path: path, zone: zone}
		_, _ = fmt.Sscanf(path, "%d.%d", &p.field, &p.component) // as ours have it: a component or none
		v, err := f.read(p)
		switch {
		case err != nil:
			return nil, false, err
		case v != nil:
			return v, false, nil
		}
		if _, state := s.Lookup(path); state == hl7.Null {
			null = true
		}
	}
	return nil, null, nil
}

// orc is 1 for a place in ORC, which then comes after the others.
func orc(path string) int {
	if strings.HasPrefix(path, "ORC-") {
		return 1
	}
	return 0
}

// bounded is s, nothing where it is empty, or the fault of a value that is too long.
func (p place) bounded(s string) (any, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return nil, nil
	case len(s) > maxValue:
		return nil, &hl7.Error{Code: hl7.DataType, Path: p.at(), Text: fmt.Sprintf("the value has more than %d bytes", maxValue)}
	}
	return s, nil
}

func (p place) at() string { return p.segment.Name + "-" + p.path }

func text(p place) (any, error) { return p.bounded(p.get()) }

func uid(p place) (any, error) {
	v, err := studyUID(p.segment, p.field)
	if v == "" || err != nil {
		return nil, err
	}
	return v, nil
}

// studyUID reads a UID; one that is none is a fault.
func studyUID(s *hl7.Segment, field int) (dicom.UID, error) {
	v := dicom.UID(strings.TrimSpace(s.Get(fmt.Sprint(field))))
	if v != "" && !v.Valid() {
		return "", &hl7.Error{Code: hl7.DataType, Path: fmt.Sprintf("%s-%d", s.Name, field), Text: "not a UID (PS3.5 9)"}
	}
	return v, nil
}

func entity(p place) (any, error) {
	i := p.segment.EI(p.field)
	if v, err := p.bounded(i.ID); v == nil || err != nil {
		return nil, err
	}
	return identifier(i), nil
}

func identifier(i hl7.Identifier) ledger.Identifier {
	return ledger.Identifier{ID: strings.TrimSpace(i.ID), Authority: strings.TrimSpace(i.Authority())}
}

// code reads the coded entry that begins at a component: code, meaning, scheme (CE, CWE; HL7 2.5.1 2.A.3).
func code(first int) func(place) (any, error) {
	return func(p place) (any, error) {
		at := func(n int) string { return strings.TrimSpace(p.segment.Get(fmt.Sprintf("%d.%d", p.field, first+n))) }
		c := dicom.Code{Value: at(0), Meaning: at(1), Scheme: at(2)}
		if v, err := p.bounded(c.Value + c.Meaning + c.Scheme); v == nil || err != nil {
			return nil, err
		}
		return c, nil
	}
}

func protocol(p place) (any, error) { return code(max(p.component, 1))(p) }

func reason(p place) (any, error) {
	if v := p.segment.Get(fmt.Sprintf("%d.2", p.field)); strings.TrimSpace(v) != "" {
		return p.bounded(v)
	}
	return text(p)
}

func person(p place) (any, error) {
	return p.bounded(hl7.PN(p.segment.Repetitions(p.field)))
}

func clinician(p place) (any, error) {
	return p.bounded(hl7.PNOfXCN(p.segment.Repetitions(p.field)))
}

func clinicianID(p place) (any, error) {
	for _, r := range p.segment.Repetitions(p.field) {
		return bothBounded(p, r.XCN())
	}
	return nil, nil
}

func bothBounded(p place, i hl7.Identifier) (any, error) {
	if v, err := p.bounded(i.ID); v == nil || err != nil {
		return nil, err
	}
	if _, err := p.bounded(i.Authority()); err != nil {
		return nil, err
	}
	return identifier(i), nil
}

func authority(p place) (any, error) {
	for _, r := range p.segment.Repetitions(p.field) {
		return p.bounded(r.CX().Authority())
	}
	return nil, nil
}

var priorities = map[string]ledger.Priority{
	"S": ledger.Stat, "STAT": ledger.Stat, "A": ledger.High, "ASAP": ledger.High, "P": ledger.High, "C": ledger.High,
	"T": ledger.Medium, "R": ledger.Routine, "ROUTINE": ledger.Routine,
}

func priority(p place) (any, error) {
	if v, ok := priorities[strings.ToUpper(strings.TrimSpace(p.get()))]; ok {
		return v, nil
	}
	return nil, nil
}

func pregnancy(p place) (any, error) {
	for _, r := range p.segment.Repetitions(p.field) {
		if r.Get("1") == "B6" {
			return 3, nil
		}
	}
	return nil, nil
}

func date(p place) (any, error) {
	v := strings.TrimSpace(p.get())
	if len(v) < 8 {
		return nil, nil
	}
	if _, err := time.Parse("20060102", v[:8]); err != nil {
		return nil, nil
	}
	return v[:8], nil
}

func sex(p place) (any, error) {
	v, ok := map[string]string{"M": "M", "F": "F", "O": "O", "A": "O", "N": "O"}[strings.ToUpper(strings.TrimSpace(p.get()))]
	if !ok {
		return nil, nil
	}
	return v, nil
}

func start(p place) (any, error) {
	text := strings.TrimSpace(p.get())
	if t, err := hl7.ParseTime(text, p.zone); err == nil && t.Precision >= hl7.Day {
		return t.UTC(), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, p.zone); err == nil { // ISO 8601, which says the same
			return t.UTC(), nil
		}
	}
	return nil, nil // when it was to begin is no reason to refuse an order
}
