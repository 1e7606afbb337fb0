package dicomweb

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"endogate/dicomnode/dicom"
)

// Bounds of a search.
const (
	maxResults = 500
	maxOffset  = 1_000_000
	maxKeys    = 64
	maxValue   = 4096     // bytes of a key's value; a list of UIDs is one
	maxLooked  = 20_000   // data sets that are read
	maxFound   = 16 << 20 // bytes of results in one answer: more is another page
	maxRows    = 1 << 20  // rows that are looked at
	maxFields  = 256      // of includefield
	maxQuery   = 64 << 10 // bytes
)

// attribute is one that searches know by name.
type attribute struct {
	keyword string
	tag     dicom.Tag
}

// What is returned at each level unless more is asked for (PS3.18 tables 10.6.3-3 to 10.6.3-5).
var (
	studyAttributes = []attribute{
		{"StudyDate", 0x00080020},
		{"StudyTime", 0x00080030},
		{"AccessionNumber", 0x00080050},
		{"ModalitiesInStudy", modalitiesInStudy},
		{"ReferringPhysicianName", 0x00080090},
		{"TimezoneOffsetFromUTC", 0x00080201},
		{"StudyDescription", 0x00081030},
		{"PatientName", 0x00100010},
		{"PatientID", 0x00100020},
		{"PatientBirthDate", 0x00100030},
		{"PatientSex", 0x00100040},
		{"StudyInstanceUID", 0x0020000D},
		{"StudyID", 0x00200010},
		{"NumberOfStudyRelatedSeries", numberOfStudySeries},
		{"NumberOfStudyRelatedInstances", numberOfStudyInstances},
	}
	seriesAttributes = []attribute{
		{"Modality", 0x00080060},
		{"TimezoneOffsetFromUTC", 0x00080201},
		{"SeriesDescription", 0x0008103E},
		{"SeriesInstanceUID", 0x0020000E},
		{"SeriesNumber", 0x00200011},
		{"NumberOfSeriesRelatedInstances", numberOfSeriesInstances},
		{"SeriesDate", 0x00080021},
		{"SeriesTime", 0x00080031},
		{"BodyPartExamined", 0x00180015},
		{"PerformedProcedureStepStartDate", 0x00400244},
		{"PerformedProcedureStepStartTime", 0x00400245},
		{"RequestAttributesSequence", 0x00400275},
	}
	instanceAttributes = []attribute{
		{"SOPClassUID", 0x00080016},
		{"SOPInstanceUID", 0x00080018},
		{"TimezoneOffsetFromUTC", 0x00080201},
		{"AvailableTransferSyntaxUID", availableTransferSyntax},
		{"InstanceNumber", 0x00200013},
		{"Rows", 0x00280010},
		{"Columns", 0x00280011},
		{"BitsAllocated", 0x00280100},
		{"NumberOfFrames", 0x00280008},
	}
)

// Attributes that no data set has: a search works them out.
const (
	instanceAvailability    dicom.Tag = 0x00080056
	modalitiesInStudy       dicom.Tag = 0x00080061
	retrieveURL             dicom.Tag = 0x00081190
	availableTransferSyntax dicom.Tag = 0x00083002
	numberOfStudySeries     dicom.Tag = 0x00201206
	numberOfStudyInstances  dicom.Tag = 0x00201208
	numberOfSeriesInstances dicom.Tag = 0x00201209
)

// tagOf finds an attribute by keyword or by its eight hexadecimal digits.
func tagOf(name string) (dicom.Tag, bool) {
	if t, known := dicom.TagOf(name); known {
		return t, true
	}
	n, err := strconv.ParseUint(name, 16, 32)
	return dicom.Tag(n), err == nil && len(name) == 8
}

// key is an attribute that results have to match.
type key struct {
	tag     dicom.Tag
	pattern string
}

// search is what is asked for (PS3.18 8.3.4).
type search struct {
	keys          []key
	fields        []dicom.Tag
	all           bool // includefield=all
	limit, offset int
	warnings      []string
}

// parseSearch reads a query. A name that nobody knows is a fault: a search must not answer with everything because a key was
// misspelt.
func parseSearch(r *http.Request) (search, error) {
	q := search{limit: maxResults}
	if len(r.URL.RawQuery) > maxQuery {
		return q, badRequest("the query is too long", "ask for fewer at once")
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, badRequest("the query string is malformed", "encode it as application/x-www-form-urlencoded")
	}
	for name, given := range values {
		if err := q.parameter(name, given); err != nil {
			return q, err
		}
	}
	slices.SortFunc(q.keys, func(a, b key) int { return int(int64(a.tag) - int64(b.tag)) })
	slices.Sort(q.warnings)
	return q, nil
}

func (q *search) parameter(name string, given []string) error {
	switch name {
	case "limit", "offset":
		n, err := strconv.Atoi(given[0])
		if errors.Is(err, strconv.ErrRange) && n > 0 || name == "limit" && n > maxOffset {
			n, err = maxOffset, nil // as many as there may be
		}
		if err != nil || n < 0 || n > maxOffset || len(given) > 1 {
			return badRequest(fmt.Sprintf("%s is not a whole number from 0 to %d", name, maxOffset), "correct the parameter")
		}
		if name == "offset" {
			q.offset = n
		} else if n > 0 {
			q.limit = min(n, maxResults)
		}
		return nil
	case "fuzzymatching":
		if strings.EqualFold(given[0], "true") {
			q.warn("The fuzzymatching parameter is not supported. Only literal matching has been performed.")
		}
		return nil
	case "emptyvaluematching", "multiplevaluematching":
		if strings.EqualFold(given[0], "true") {
			q.warn("The " + name + " parameter is not supported.")
		}
		return nil
	case "includefield":
		return q.include(given)
	case "accept", "charset":
		return nil
	}
	if strings.Contains(name, ".") {
		q.warn("Matching of attributes within sequences is not supported.")
		return nil
	}
	t, known := tagOf(name)
	vr := dicom.VROf(t)
	if vr == "UI" || vr == "CS" {
		given = []string{strings.Join(given, ",")} // a list, however it is written
	}
	switch {
	case !known && !unicode.IsUpper([]rune(name + "_")[0]) && !unicode.IsDigit([]rune(name + "_")[0]): // no keyword is like that: it is another service's, such as orderby
		q.warn("Parameters that are no attributes are not supported and were ignored.")
		return nil
	case !known:
		return badRequest("the query has a parameter that is no attribute known here", "use keywords of PS3.6 or eight hexadecimal digits")
	case len(given) > 1 || len(q.keys) == maxKeys || len(given[0]) > maxValue || !utf8.ValidString(given[0]):
		return badRequest("an attribute is given more than once, too long, or there are too many", "give each attribute once")
	case vr == "SQ":
		q.warn("Matching of sequences is not supported.")
		return nil
	}
	value := strings.TrimSpace(given[0])
	if vr == "DA" || vr == "TM" || vr == "DT" {
		value = strings.NewReplacer(" ", "", ":", "").Replace(value) // PS3.4 C.2.2.2.5 writes ranges with spaces, and older peers times with colons
	}
	q.keys = append(q.keys, key{t, value})
	return nil
}

func (q *search) include(given []string) error {
	for _, list := range given {
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.TrimSpace(name); name == "all" {
				q.all = true
				continue
			}
			t, known := tagOf(name)
			if len(q.fields) == maxFields {
				return badRequest("includefield names too many attributes", "ask for includefield=all")
			}
			if !known {
				q.warn("Some attributes of includefield are not known by name here: name them by eight hexadecimal digits.")
				continue
			}
			q.fields = append(q.fields, t)
		}
	}
	return nil
}

// drop leaves out keys of levels below the one that is searched: they are of many values there.
func (q *search) drop(below [][]attribute) {
	q.keys = slices.DeleteFunc(q.keys, func(k key) bool {
		for _, level := range below {
			for _, a := range level {
				if a.tag == k.tag && a.keyword != "TimezoneOffsetFromUTC" {
					q.warn("Matching of attributes of a lower level is not supported: search that level.")
					return true
				}
			}
		}
		return false
	})
}

func (q *search) warn(text string) {
	if !slices.Contains(q.warnings, text) {
		q.warnings = append(q.warnings, text)
	}
}

// pattern is the value that an attribute has to match, empty where it need not.
func (q *search) pattern(t dicom.Tag) string {
	for _, k := range q.keys {
		if k.tag == t {
			return k.pattern
		}
	}
	return ""
}

// exact is the pattern of an attribute that has to be a value and no other; empty where it is none.
func (q *search) exact(t dicom.Tag) string {
	if p := q.pattern(t); !strings.ContainsAny(p, `*?\,`) {
		return p
	}
	return ""
}

// uids are the values of a key that is a list of UIDs (PS3.18 8.3.4.1).
func (q *search) uids(t dicom.Tag) (uids []dicom.UID) {
	if q.pattern(t) == "*" {
		return nil
	}
	for _, uid := range splitUIDs(q.pattern(t)) {
		uids = append(uids, dicom.UID(uid))
	}
	return uids
}

func splitUIDs(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == '\\' })
}
