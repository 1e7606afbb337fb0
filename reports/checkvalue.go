package reports

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
)

// limits are the most characters of a value (PS3.5 table 6.2-1). PN is limited by component group.
var limits = map[string]int{
	"AE": 16, "CS": 16, "DS": 16, "IS": 12, "LO": 64, "LT": 10240, "SH": 16, "ST": 1024, "UI": 64,
}

var patterns = map[string]*regexp.Regexp{
	"AS": ageValue,
	"CS": codeString,
	"DA": dateValue,
	"DS": decimalValue,
	"DT": regexp.MustCompile(`^\d{4,14}(\.\d{1,6})?([+-]\d{4})?$`),
	"IS": regexp.MustCompile(`^[+-]?\d+$`),
	"TM": timeValue,
}

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
	kind := vr(t)
	switch {
	case v == "":
		return
	case !utf8.ValidString(v):
		f.add("%s is not UTF-8", keyword(t))
	case kind == "UI" && !dicom.UID(v).Valid():
		f.add("%s %q is not a UID", keyword(t), v)
	case !bounded:
		return
	case len(v) > 65534 && kind != "UT" && kind != "UC":
		f.add("%s has %d bytes, more than a 16-bit length holds", keyword(t), len(v))
	case limits[kind] > 0 && utf8.RuneCountInString(v) > limits[kind]:
		f.add("%s has %d characters, %s allows %d", keyword(t), utf8.RuneCountInString(v), kind, limits[kind])
	case patterns[kind] != nil && !patterns[kind].MatchString(v):
		f.add("%s %q is no value of %s", keyword(t), v, kind)
	case strings.ContainsFunc(v, unicode.IsControl), multiValued(kind) && strings.Contains(v, `\`):
		f.add("%s has a control character or a backslash in a value", keyword(t))
	}
}

// multiValued VRs take the backslash as delimiter (PS3.5 6.4).
func multiValued(vr string) bool {
	switch vr {
	case "LT", "ST", "UT", "UR":
		return false
	}
	return true
}

// phi looks for the patient in the texts that we write. One word alone may be a coincidence (patients are called Frame
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
