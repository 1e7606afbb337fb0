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

// phi looks for the patient in the texts that we write; what a person writes into a report is the person's. One word alone may be a coincidence (patients are called Frame
// or Colon); the Patient ID, or family and given name together, are none.
func (f *faults) phi(ds dataset) {
	var names []string
	for _, group := range strings.Split(ds.text(tag.PatientName), "=") {
		if parts := strings.Split(group, "^"); len(parts) > 1 && parts[0] != "" && parts[1] != "" {
			names = append(names, parts[0], parts[1])
		}
	}
	id := ds.text(tag.PatientID)
	ds.walk(func(item dataset) {
		for _, t := range []tag.Tag{
			tag.DerivationDescription, tag.SeriesDescription, tag.ImageComments, tag.TextValue, tag.ContributionDescription,
		} {
			text := words(item.text(t))
			if utf8.RuneCountInString(id) >= 6 && strings.Contains(text, words(id)) {
				f.add("%s holds the Patient ID", keyword(t))
			}
			for i := 0; i < len(names); i += 2 {
				if strings.Contains(text, words(names[i])) && strings.Contains(text, words(names[i+1])) {
					f.add("%s holds the patient's name", keyword(t))
				}
			}
		}
	})
}

// words sets single spaces around and between the words of s, in lower case: whole words are then substrings.
func words(s string) string {
	return " " + strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), " ") + " "
}

func integer(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
