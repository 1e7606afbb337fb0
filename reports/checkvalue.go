package reports

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
)

// copied are attributes that must equal those of the study's other instances: a value that breaks the limit of its VR
// is the study's, and stays.
var copied = map[tag.Tag]bool{
	tag.PatientName: true, tag.PatientID: true, tag.IssuerOfPatientID: true, tag.StudyID: true, tag.AccessionNumber: true,
	tag.ReferringPhysicianName: true, tag.StudyDescription: true, tag.OtherPatientIDsSequence: true,
	tag.IssuerOfPatientIDQualifiersSequence: true, tag.IssuerOfAccessionNumberSequence: true,
	tag.ProcedureCodeSequence: true, tag.PerformedProcedureCodeSequence: true, tag.ReferencedRequestSequence: true,
}

// values holds every value to its value representation, and the data set to standard attributes.
func (f *faults) values(ds dataset, strict bool) {
	for _, t := range ds.tags() {
		if tag.IsPrivate(t.Group) || vr(t) == "" {
			f.add("%s is private or unknown", t)
			continue
		}
		bounded := strict && !copied[t]
		for _, item := range ds.sequence(t) {
			f.values(item, bounded)
		}
		for _, v := range ds.strings(t) {
			f.value(t, v, bounded)
		}
	}
}

func (f *faults) value(t tag.Tag, v string, bounded bool) {
	switch kind := vr(t); {
	case v == "":
	case !utf8.ValidString(v):
		f.add("%s is not UTF-8", keyword(t))
	case bounded && strings.ContainsFunc(v, func(r rune) bool { return unicode.IsControl(r) && (kind != "UT" || r != '\r' && r != '\n') }):
		f.add("%s has a control character in a value", keyword(t))
	case bounded || kind == "UI":
		if err := dicom.CheckText(kind, v); err != nil {
			f.add("%s: %v", keyword(t), err)
		}
	}
}

func integer(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
