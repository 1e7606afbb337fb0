package oru

// Field is a field of a segment and what it holds unless a receiver wants something else.
type Field struct {
	Number int
	Name   string // in HL7 2.5.1
	Value  string // template
	fixed  bool   // no receiver's template may change it: other things hang on it
}

// Segment is a segment before the observations. One that is optional is left out when none of its values is known.
type Segment struct {
	Name     string
	Optional bool
	Fields   []Field
}

// Segments are those before the observations, in their order (HL7 2.5.1 7.3.1).
var Segments = []Segment{
	{Name: "MSH", Fields: []Field{
		{3, "Sending Application", "ENDOGATE", false},
		{4, "Sending Facility", "{institution}", false},
		{5, "Receiving Application", "{application}", false},
		{6, "Receiving Facility", "{facility}", false},
		{7, "Date/Time of Message", "{at}", true},
		{9, "Message Type", "ORU^R01^ORU_R01", true},
		{10, "Message Control ID", "{control}", true},
		{11, "Processing ID", "P", false},
		{12, "Version ID", "2.5.1", false},
		{15, "Accept Acknowledgment Type", "NE", true},
		{16, "Application Acknowledgment Type", "AL", true},
		{18, "Character Set", "UNICODE UTF-8", true},
	}},
	{Name: "PID", Fields: []Field{
		{1, "Set ID", "1", false},
		{3, "Patient Identifier List", "{patient}", false},
		{5, "Patient Name", "{patient.name}", false},
		{7, "Date/Time of Birth", "{patient.born}", false},
		{8, "Administrative Sex", "{patient.sex}", false},
	}},
	{Name: "PV1", Optional: true, Fields: []Field{
		{1, "Set ID", "1", false},
		{2, "Patient Class", "{class}", false},
		{8, "Referring Doctor", "{referrer}", false},
		{19, "Visit Number", "{visit}", false},
	}},
	{Name: "ORC", Fields: []Field{
		{1, "Order Control", "RE", false},
		{2, "Placer Order Number", "{placer}", false},
		{3, "Filler Order Number", "{filler}", false},
		{12, "Ordering Provider", "{requester}", false},
	}},
	{Name: "OBR", Fields: []Field{
		{1, "Set ID", "1", false},
		{2, "Placer Order Number", "{placer}", false},
		{3, "Filler Order Number", "{filler}", false},
		{4, "Universal Service Identifier", "{service}", false},
		{7, "Observation Date/Time", "{started}", false},
		{8, "Observation End Date/Time", "{ended}", false},
		{16, "Ordering Provider", "{requester}", false},
		{18, "Placer Field 1", "{accession}", false},
		{19, "Placer Field 2", "{procedure}", false},
		{20, "Filler Field 1", "{step}", false},
		{22, "Results Rpt/Status Chng - Date/Time", "{at}", true},
		{24, "Diagnostic Serv Sect ID", "ES", false},
		{25, "Result Status", "{status}", true},
		{31, "Reason for Study", "^{reason}", false},
		{32, "Principal Result Interpreter", "{interpreter}", true},
	}},
}

// Row is a kind of OBX segment: as many as the report has of what it is about.
type Row struct {
	Name   string
	About  string // what there is one for
	Fields []Field
	each   func(*scope) []scope
}

// Rows are the kinds of OBX, in the order in which they are sent unless a receiver names others.
var Rows = []Row{
	{"study", "the study", obx("ST", "113014^DICOM Study^DCM", "{study}"), once},
	{"report", "each structured report in the archive: those of the models, and the signed one", obx("ST", "^SOP Instance UID^", "{report}"), reports},
	{"predecessor", "the signed report that this one takes the place of", obx("ST", "^SOP Instance UID of predecessor^", "{predecessor}"), predecessor},
	{"finding", "each finding that stands; as withdrawn, each that was retracted before a person decided about it", obx("CWE", "{question}", "{finding}", of("{group}"), producer("{method}", "{device}")), findings},
	{"site", "each finding whose site is known", obx("CWE", "363698007^Finding Site^SCT", "{site}", of("{group}")), sites},
	{"probability", "each finding of a model", obx("NM", "122157^Probability^DCM", "{probability}", of("{group}"), in("1^no units^UCUM"), producer("{method}", "{device}")), probabilities},
	{"size", "each finding that a person measured", obx("NM", "410668003^Length^SCT", "{size}", of("{group}"), in("mm^millimeter^UCUM")), sizes},
	{"text", "the whole report as text", obx("TX", "59776-5^Procedure Findings^LN", "{text}", fixedValue), once},
	{"pdf", "the report as PDF", obx("ED", "{title}", "ENDOGATE^Application^PDF^Base64^{pdf}"), pdfs},
	// Only for those who name them:
	{"line", "each line of the text, for receivers that show no line breaks", obx("TX", "59776-5^Procedure Findings^LN", "{line}", fixedValue), lines},
	{"section", "each section, with its own code", obx("TX", "{heading}", "{section}", fixedValue), sections},
}

// defaultRows is how many of Rows are sent to a receiver that names none.
const defaultRows = 9

// obx is what all kinds of OBX have in common.
func obx(kind, question, value string, more ...func([]Field) []Field) []Field {
	fields := []Field{
		{1, "Set ID", "{n}", true},
		{2, "Value Type", kind, false},
		{3, "Observation Identifier", question, false},
		{4, "Observation Sub-ID", "", false},
		{5, "Observation Value", value, false},
		{6, "Units", "", false},
		{11, "Observation Result Status", "{result}", true},
		{14, "Date/Time of the Observation", "{started}", false},
		{16, "Responsible Observer", "{observer}", true},
		{17, "Observation Method", "", false},
		{18, "Equipment Instance Identifier", "", false},
	}
	for _, f := range more {
		fields = f(fields)
	}
	return fields
}

func with(number int, value string) func([]Field) []Field {
	return func(fields []Field) []Field {
		for i := range fields {
			if fields[i].Number == number {
				fields[i].Value = value
			}
		}
		return fields
	}
}

func of(group string) func([]Field) []Field { return with(4, group) }
func in(units string) func([]Field) []Field { return with(6, units) }

func producer(method, device string) func([]Field) []Field {
	return func(fields []Field) []Field { return with(18, device)(with(17, method)(fields)) }
}

// fixedValue is of texts, which begin with what they are not.
func fixedValue(fields []Field) []Field {
	for i := range fields {
		if fields[i].Number == 5 {
			fields[i].fixed = true
		}
	}
	return fields
}
