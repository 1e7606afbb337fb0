package oru

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/hl7"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

// scope is what the values of a segment are about.
type scope struct {
	*message
	n       int // of the OBX, from 1
	report  dicom.UID
	finding *draft.Finding
	group   int // of the finding, from 1
	section *draft.Section
	line    string
}

// Value is a name that a template can have in braces.
type Value struct {
	Name    string
	Meaning string
	rows    []string // kinds of OBX that have it; none: everything has
	of      func(scope) string
}

// Values are all of them. Text is escaped, and what has components stands with its delimiters.
var Values = []Value{
	{"institution", "reports.institution_name of the configuration", nil, func(s scope) string { return s.text(s.o.Institution) }},
	{"application", "application of the destination", nil, func(s scope) string { return s.text(s.o.Application) }},
	{"facility", "facility of the destination", nil, func(s scope) string { return s.text(s.o.Facility) }},
	{"control", "20 hexadecimal digits, the same for the same content of a version of a report and a destination", nil, func(s scope) string { return s.control }},
	{"at", "when this version was made", nil, func(s scope) string { return s.time(s.doc.At) }},
	{"status", "code for the standing, of the destination's statuses", nil, func(s scope) string { return s.status(s.o.Statuses) }},
	{"result", "code for the standing, of the destination's results", nil, func(s scope) string { return s.result() }},
	{"interpreter", "who signed; empty unless as verified", nil, func(s scope) string { return s.signer("&") }},
	{"observer", "who signed; empty unless as verified, and of a finding that nobody decided about", nil, func(s scope) string { return s.observer() }},
	{"study", "Study Instance UID", nil, func(s scope) string { return s.text(string(s.doc.Study)) }},
	{"title", "code of the report's title", nil, func(s scope) string { return s.code(s.doc.Title) }},

	{"patient", "patient's identifier as CX, of type MR; the one that the report was signed under behind it, where they were merged since", nil, func(s scope) string {
		now, former := s.cx(s.doc.Patient), s.cx(s.former)
		if s.former.ID == "" || former == now {
			return now
		}
		return now + "~" + former
	}},
	{"patient.id", "patient's identifier alone", nil, func(s scope) string { return s.text(s.doc.Patient.ID) }},
	{"patient.issuer", "its assigning authority", nil, func(s scope) string { return s.text(s.doc.Patient.Issuer) }},
	{"patient.name", "patient's name as XPN, a repetition for each writing", nil, func(s scope) string { return s.name(s.doc.Patient.Name, (*hl7.Segment).SetPN) }},
	{"patient.born", "date of birth", nil, func(s scope) string { return s.text(s.doc.Patient.BirthDate) }},
	{"patient.sex", "sex: M, F or O", nil, func(s scope) string { return s.text(s.doc.Patient.Sex) }},

	{"placer", "placer order number as the order had it", nil, func(s scope) string { return s.entity(s.order().Placer, s.order().PlacerAuthority) }},
	{"filler", "filler order number as the order had it", nil, func(s scope) string { return s.entity(s.order().Filler, s.order().FillerAuthority) }},
	{"accession", "accession number, of the order or else as all images have it", nil, func(s scope) string { return s.text(cmp.Or(s.order().Accession, s.doc.Examination.Accession)) }},
	{"procedure", "requested procedure ID", nil, func(s scope) string { return s.text(s.order().RequestedProcedureID) }},
	{"step", "scheduled procedure step ID", nil, func(s scope) string { return s.text(s.order().StepID) }},
	{"service", "ordered service; of a study without an order the code of the report's title", nil, func(s scope) string {
		if service := s.order().Service; service != (dicom.Code{}) {
			return s.code(service)
		}
		return s.code(s.doc.Title)
	}},
	{"reason", "reason for the study", nil, func(s scope) string { return s.text(s.order().Reason) }},
	{"requester", "who ordered, as XCN with identifier and authority", nil, func(s scope) string {
		return s.clinician(s.order().Requester, s.order().RequesterID, s.order().RequesterAuthority)
	}},
	{"referrer", "who referred the patient, as XCN with identifier and authority", nil, func(s scope) string {
		return s.clinician(s.order().Referrer, s.order().ReferrerID, s.order().ReferrerAuthority)
	}},
	{"class", "patient class (table 0004) of the order; U of an order that does not say it but names referrer or visit", nil, func(s scope) string {
		o := s.order()
		if o.PatientClass == "" && o.Referrer+o.ReferrerID+o.VisitNumber != "" {
			return "U" // PV1-2 is required (HL7 2.5.1 3.4.3)
		}
		return s.text(o.PatientClass)
	}},
	{"visit", "visit number as CX, of type VN", nil, func(s scope) string { return s.visit() }},
	{"started", "when the first image was taken", nil, func(s scope) string { return s.time(s.doc.Examination.StartedAt) }},
	{"ended", "when the last image was taken", nil, func(s scope) string { return s.time(s.doc.Examination.EndedAt) }},

	{"n", "number of the OBX, from 1", everyRow, func(s scope) string { return strconv.Itoa(s.n) }},
	{"report", "SOP Instance UID", []string{"report"}, func(s scope) string { return s.text(string(s.report)) }},
	{"predecessor", "SOP Instance UID", []string{"predecessor"}, func(s scope) string { return s.text(string(s.doc.Predecessor.Report)) }},
	{"group", "number of the finding: the OBX of one finding have the same", ofFinding, func(s scope) string { return strconv.Itoa(s.group) }},
	{"question", "what the finding answers: 121071^Finding^DCM, or that an image of a landmark was recorded, or the quality of images", ofFinding, func(s scope) string { return s.question() }},
	{"finding", "its code", ofFinding, func(s scope) string { return s.code(s.finding.Code) }},
	{"finding.id", "its UID, the same in all versions", ofFinding, func(s scope) string { return s.text(s.finding.ID) }},
	{"site", "code of its site, with what a person wrote of it as original text (CWE-9)", ofFinding, func(s scope) string { return s.site() }},
	{"probability", "the highest of its frames", ofFinding, func(s scope) string { return strconv.FormatFloat(s.finding.Probability, 'f', 4, 64) }},
	{"size", "in millimetres", ofFinding, func(s scope) string { return strconv.FormatFloat(s.finding.SizeMM, 'f', -1, 64) }},
	{"paris", "Paris class that a person gave it", ofFinding, func(s scope) string { return s.text(s.finding.Paris) }},
	{"method", "model and version, and whether nobody decided about the finding, as the text of a code", ofFinding, func(s scope) string { return join("", s.text(s.method())) }},
	{"device", "model and version, with the UID of the device as its universal ID", ofFinding, func(s scope) string { return s.device() }},
	{"text", "the report as text, with line breaks", []string{"text"}, func(s scope) string { return s.text(strings.TrimSpace(s.words)) }},
	{"line", "a line of it", []string{"line"}, func(s scope) string { return s.text(s.line) }},
	{"heading", "code and heading of a section", []string{"section"}, func(s scope) string {
		return join(s.text(s.section.Code.Value), s.text(s.section.Head), s.text(s.section.Code.Scheme))
	}},
	{"section", "its text", []string{"section"}, func(s scope) string { return s.text(s.prefix() + s.doc.Said(s.section.Text)) }},
	{"pdf", "the PDF in base64", []string{"pdf"}, func(s scope) string { return base64.StdEncoding.EncodeToString(s.pdf) }},
}

var (
	ofFinding = []string{"finding", "site", "probability", "size"}
	everyRow  = []string{"*"}
)

// visible reports whether a segment of the row, which is empty for those that are no OBX, can have v.
func (v Value) visible(row string) bool {
	return v.rows == nil || row != "" && v.rows[0] == "*" || slices.Contains(v.rows, row)
}

// join puts components together, without empty ones at the end.
func join(components ...string) string { return strings.TrimRight(strings.Join(components, "^"), "^") }

// text escapes what the report says.
func (m *message) text(s string) string {
	escaped, err := m.out.Escape(s)
	if err != nil {
		m.err = err
	}
	return escaped
}

// isOID tells an OID from a name that is a number.
func isOID(authority string) bool {
	return strings.Contains(authority, ".") && dicom.UID(authority).Valid()
}

// cx is a patient's identifier (CX, HL7 2.5.1 2.A.14).
func (m *message) cx(p draft.Patient) string {
	return join(m.text(p.ID), "", "", m.authority(p.Issuer), "MR")
}

// entity is an identifier with who assigned it, by name or OID (EI, HL7 2.5.1 2.A.28).
func (m *message) entity(id, authority string) string {
	if isOID(authority) {
		return join(m.text(id), "", authority, "ISO")
	}
	return join(m.text(id), m.text(authority))
}

// site is code and words (CWE, HL7 2.5.1 2.A.13): words alone stand as the text of no code.
func (s scope) site() string {
	site, words := s.finding.Site, s.text(s.finding.SiteText)
	switch {
	case words == "":
		return s.code(site)
	case site == (dicom.Code{}):
		return join("", words)
	}
	return join(s.text(site.Value), s.text(site.Meaning), s.text(site.Scheme), "", "", "", "", "", words)
}

func (m *message) code(c dicom.Code) string {
	return join(m.text(c.Value), m.text(c.Meaning), m.text(c.Scheme))
}

// time writes a time with its zone (HL7 2.5.1 2.A.22).
func (m *message) time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(m.o.location()).Format("20060102150405-0700")
}

// visit is the visit number (CX, HL7 2.5.1 2.A.14).
func (m *message) visit() string {
	o := m.order()
	if o.VisitNumber == "" {
		return ""
	}
	return join(m.text(o.VisitNumber), "", "", m.authority(o.VisitAuthority), "VN")
}

// authority is who assigned an identifier (HD as a component, HL7 2.5.1 2.A.36).
func (m *message) authority(name string) string {
	if isOID(name) {
		return "&" + m.text(name) + "&ISO"
	}
	return m.text(name)
}

// clinician is a person behind an identifier (XCN, HL7 2.5.1 2.A.88). Either may be unknown.
func (m *message) clinician(pn, id, authority string) string {
	return m.name(pn, func(s *hl7.Segment, field int, pn string) error {
		if err := s.SetXCN(field, id, pn); err != nil || id == "" || authority == "" {
			return err
		}
		for n := range s.Repetitions(field) {
			path := fmt.Sprintf("%d[%d].9.1", field, n+1)
			if isOID(authority) {
				if err := s.Set(fmt.Sprintf("%d[%d].9.3", field, n+1), "ISO"); err != nil {
					return err
				}
				path = fmt.Sprintf("%d[%d].9.2", field, n+1)
			}
			if err := s.Set(path, authority); err != nil {
				return err
			}
		}
		return nil
	})
}

// name writes a DICOM name as set does.
func (m *message) name(pn string, set func(*hl7.Segment, int, string) error) string {
	if err := set(m.scratch, 1, pn); err != nil {
		m.err = err
		return ""
	}
	defer func() { _ = m.scratch.SetEncoded(1, "") }()
	return m.scratch.Encoded(1)
}

// order is empty where there is none.
func (m *message) order() draft.Order {
	if m.doc.Order == nil {
		return draft.Order{}
	}
	return *m.doc.Order
}

// verified reports whether a person has signed the report as one that the reporting system knows.
func (m *message) verified() bool {
	return m.doc.Signature != nil && m.doc.Signature.Verified && m.doc.Standing != draft.Withdrawn
}

// status is the code for the standing (HL7 tables 0123 and 0085).
func (m *message) status(c Codes) string {
	switch {
	case m.doc.Standing == draft.Withdrawn:
		return c.Withdrawn
	case m.verified() && m.doc.Standing == draft.Amended:
		return c.Correction
	case m.verified():
		return c.Final
	case m.doc.Signature != nil:
		return c.Preliminary
	}
	return c.Draft
}

// result is the status of an observation. That of a finding which was taken back is withdrawn, whatever the report is, and
// that of one which nobody decided about preliminary, in a final report too.
func (s scope) result() string {
	switch f := s.finding; {
	case f != nil && f.TakenBack():
		return s.o.Results.Withdrawn
	case s.undecided() && s.verified():
		return s.o.Results.Preliminary
	}
	return s.status(s.o.Results)
}

func (s scope) undecided() bool { return s.finding != nil && !s.finding.Decided() }

// observer is who vouches for an observation; nobody for what is undecided.
func (s scope) observer() string {
	if s.undecided() {
		return ""
	}
	return s.signer("^")
}

// method says how the finding was come by.
func (s scope) method() string {
	if model := s.model(); model != "" && s.undecided() {
		return model + ", proposed by AI, not decided by a person"
	}
	return s.model()
}

// signer names who signed as verified, as the family name of CNN or XCN behind an identifier that nobody knows.
func (m *message) signer(sep string) string {
	if !m.verified() {
		return ""
	}
	return sep + m.text(m.doc.Signature.By.Name)
}

// prefix begins every text.
func (m *message) prefix() string {
	prefix := ""
	if !m.verified() {
		prefix = draft.Unverified + ". "
	}
	if m.doc.Standing == draft.Withdrawn {
		prefix += "WITHDRAWN. "
	}
	return prefix
}

func (s scope) question() string {
	switch s.finding.Role {
	case analysis.RoleLandmark:
		return "LANDMARK^Landmark, image recorded^99ENDOGATE"
	case analysis.RoleQuality:
		return "QUALITY^Image quality^99ENDOGATE"
	}
	return "121071^Finding^DCM"
}

// model names who said it; nobody where a person has added it.
func (s scope) model() string {
	return strings.TrimSpace(s.finding.Model.Name + " " + s.finding.Model.Version)
}

func (s scope) device() string {
	if s.model() == "" {
		return ""
	}
	m := s.finding.Model
	return join(s.text(s.model()), "ENDOGATE", string(dicom.DerivedUID("device", m.Name, m.Version, m.Digest)), "ISO")
}
