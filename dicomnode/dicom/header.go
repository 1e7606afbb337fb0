package dicom

import (
	"fmt"
	"strings"
)

// Header returns what the gateway files and routes the instance by. UIDs are as sent, less padding:
// Validate says whether they can be used. Text that is not of its character set is a [Reading].
func (a *Attributes) Header() Header {
	h := Header{
		SOPInstance: SOPInstance{
			SOPClassUID:       a.UID(SOPClassUID),
			SOPInstanceUID:    a.UID(SOPInstanceUID),
			SeriesInstanceUID: a.UID(SeriesInstanceUID),
			StudyInstanceUID:  a.UID(StudyInstanceUID),
		},
		PatientID:         a.Whole(PatientID),
		IssuerOfPatientID: a.Whole(IssuerOfPatientID),
		PatientName:       a.Whole(PatientName),
		PatientBirthDate:  a.moment(PatientBirthDate),
		PatientSex:        a.Text(PatientSex),
		AccessionNumber:   a.Whole(AccessionNumber),
		Modality:          a.Text(Modality),
		StationName:       a.Reading(StationName),
		ProcedureCode:     codeValue(a.Item(ProcedureCodeSequence, 0)),
		StudyDate:         a.moment(StudyDate),
		StudyTime:         a.moment(StudyTime),
		StudyDescription:  a.Whole(StudyDescription),
		NumberOfFrames:    1,
	}
	h.InstanceNumber, _ = a.Int(InstanceNumber)
	if n, ok := a.Int(NumberOfFrames); ok && n > 0 {
		h.NumberOfFrames = n
	}
	return h
}

// Completed returns h with what others say of patient and study, and h does not: a modality may send the first frame of an
// examination before its operator has chosen the patient. An instance that may be of another patient says nothing, and several
// accession numbers say none.
func (h Header) Completed(others []Header) Header {
	stated, several := h.AccessionNumber != "", false
	for _, o := range others {
		if h.ofAnother(o) {
			continue
		}
		if h.PatientID != "" && o.PatientID == "" {
			o.IssuerOfPatientID = "" // an issuer is that of an ID
		}
		for i, value := range h.shared() {
			if from := *o.shared()[i]; blank(*value) && !blank(from) {
				*value = from
			}
		}
		several = several || o.AccessionNumber != "" && o.AccessionNumber != h.AccessionNumber
	}
	if several && !stated {
		h.AccessionNumber = ""
	}
	return h
}

// Said counts what h says of what all instances of a study have alike.
func (h Header) Said() (n int) {
	for _, value := range h.shared() {
		if !blank(*value) {
			n++
		}
	}
	return n
}

// blank says that an attribute says nothing: a name of delimiters alone does not (PS3.5 6.2).
func blank(s string) bool { return strings.Trim(s, "^= ") == "" }

// ofAnother says that o may be of another patient than h.
func (h Header) ofAnother(o Header) bool {
	other := func(a, b string) bool { return a != "" && b != "" && a != b }
	return other(h.PatientID, o.PatientID) || h.PatientID == o.PatientID && other(h.IssuerOfPatientID, o.IssuerOfPatientID) ||
		other(h.PatientBirthDate, o.PatientBirthDate) || h.PatientName != o.PatientName && NamesDiffer(h.PatientName, o.PatientName)
}

// shared are the attributes that all instances of a study have alike.
func (h *Header) shared() []*string {
	return []*string{
		&h.PatientID, &h.IssuerOfPatientID, &h.PatientName, &h.PatientBirthDate, &h.PatientSex, &h.AccessionNumber, &h.StudyDate, &h.StudyTime,
		&h.StudyDescription,
	}
}

// UID returns the first value of t without padding; it may not be a valid UID.
func (a *Attributes) UID(t Tag) UID { return UID(strings.Trim(a.Text(t), " \x00")) }

// codeValue returns the code of a code sequence item in any of its three places (PS3.3 8.1).
func codeValue(item *Attributes) string {
	for _, t := range []Tag{CodeValue, LongCodeValue, URNCodeValue} {
		if code := item.Text(t); code != "" {
			return code
		}
	}
	return ""
}

// Validate reports which of the four UIDs that an instance is filed by are missing or cannot be kept.
// The error quotes no value: it may go to a log and to the peer.
func (h Header) Validate() error {
	bad := h.uids(func(u UID) string {
		switch {
		case u == "":
			return "is missing"
		case !u.Fileable():
			return fmt.Sprintf("is over %d characters or no UID", MaxFileable)
		}
		return ""
	})
	if len(bad) > 0 {
		return &UIDError{bad}
	}
	return nil
}

// UIDError says which UIDs of a data set it cannot be filed by, and why. It quotes no value.
type UIDError struct{ Faults []string }

// Error implements error.
func (e *UIDError) Error() string {
	return "dicom: data set cannot be filed: " + strings.Join(e.Faults, ", ")
}

// BadUIDs says which UIDs break PS3.5 9.1: the instance is kept under them, and nothing can be made that refers to them.
func (h Header) BadUIDs() []string {
	return h.uids(func(u UID) string {
		switch {
		case u == "" || u.Valid():
			return ""
		case len(u) > 64:
			return fmt.Sprintf("has %d characters, 64 are allowed", len(u))
		}
		return "is not digits and dots"
	})
}

// uids returns what wrong says of each UID, behind its name.
func (h Header) uids(wrong func(UID) string) (bad []string) {
	for _, u := range []struct {
		name string
		uid  UID
	}{
		{"SOP Class UID", h.SOPClassUID},
		{"SOP Instance UID", h.SOPInstanceUID},
		{"Study Instance UID", h.StudyInstanceUID},
		{"Series Instance UID", h.SeriesInstanceUID},
	} {
		if what := wrong(u.uid); what != "" {
			bad = append(bad, u.name+" "+what)
		}
	}
	return bad
}
