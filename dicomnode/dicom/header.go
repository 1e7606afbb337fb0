package dicom

import (
	"fmt"
	"strings"
)

// Header returns what the gateway files and routes the instance by. UIDs are as sent, less padding:
// Validate says whether they can be used.
func (a *Attributes) Header() Header {
	h := Header{
		SOPInstance: SOPInstance{
			SOPClassUID:       a.UID(SOPClassUID),
			SOPInstanceUID:    a.UID(SOPInstanceUID),
			SeriesInstanceUID: a.UID(SeriesInstanceUID),
			StudyInstanceUID:  a.UID(StudyInstanceUID),
		},
		PatientID:         a.Text(PatientID),
		IssuerOfPatientID: a.Text(IssuerOfPatientID),
		PatientName:       a.Text(PatientName),
		PatientBirthDate:  a.Text(PatientBirthDate),
		PatientSex:        a.Text(PatientSex),
		AccessionNumber:   a.Text(AccessionNumber),
		Modality:          a.Text(Modality),
		StationName:       a.Text(StationName),
		ProcedureCode:     codeValue(a.Item(ProcedureCodeSequence, 0)),
		StudyDate:         a.Text(StudyDate),
		StudyTime:         a.Text(StudyTime),
		StudyDescription:  a.Text(StudyDescription),
		NumberOfFrames:    1,
	}
	h.InstanceNumber, _ = a.Int(InstanceNumber)
	if n, ok := a.Int(NumberOfFrames); ok && n > 0 {
		h.NumberOfFrames = n
	}
	return h
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

// Validate reports which of the four UIDs that an instance is filed by are missing or malformed.
// The error quotes no value: it may go to a log and to the peer.
func (h Header) Validate() error {
	var bad []string
	for _, u := range []struct {
		name string
		uid  UID
	}{
		{"SOP Class UID", h.SOPClassUID},
		{"SOP Instance UID", h.SOPInstanceUID},
		{"Study Instance UID", h.StudyInstanceUID},
		{"Series Instance UID", h.SeriesInstanceUID},
	} {
		switch {
		case u.uid == "":
			bad = append(bad, u.name+" is missing")
		case !u.uid.Valid():
			bad = append(bad, u.name+" is not a UID")
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("dicom: data set cannot be filed: %s", strings.Join(bad, ", "))
	}
	return nil
}
