package fhir

// The parts of R4 that are written, with the names that FHIR has for them.

// Bundle is a transaction (bundle.html).
type Bundle struct {
	ResourceType string  `json:"resourceType"`
	Type         string  `json:"type"`
	Timestamp    string  `json:"timestamp"`
	Entry        []Entry `json:"entry"`
}

// Entry is a resource and what is to be done with it.
type Entry struct {
	FullURL  string  `json:"fullUrl"`
	Resource any     `json:"resource"`
	Request  Request `json:"request"`
}

// Request says how an entry is created or updated.
type Request struct {
	Method      string `json:"method"`
	URL         string `json:"url"`
	IfNoneExist string `json:"ifNoneExist,omitempty"`
}

type coding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code,omitempty"`
	Display string `json:"display,omitempty"`
}

type concept struct {
	Coding []coding `json:"coding,omitempty"`
	Text   string   `json:"text,omitempty"`
}

type identifier struct {
	Use    string   `json:"use,omitempty"`
	Type   *concept `json:"type,omitempty"`
	System string   `json:"system"`
	Value  string   `json:"value"`
}

type reference struct {
	Reference  string      `json:"reference,omitempty"`
	Type       string      `json:"type,omitempty"` // of what an identifier names
	Identifier *identifier `json:"identifier,omitempty"`
	Display    string      `json:"display,omitempty"`
}

type narrative struct {
	Status string `json:"status"`
	Div    string `json:"div"`
}

type meta struct {
	Tag []coding `json:"tag"`
}

type annotation struct {
	Text string `json:"text"`
}

type quantity struct {
	Value  float64 `json:"value"`
	Unit   string  `json:"unit,omitempty"`
	System string  `json:"system"`
	Code   string  `json:"code"`
}

type period struct {
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
}

type humanName struct {
	Text   string   `json:"text,omitempty"`
	Family string   `json:"family,omitempty"`
	Given  []string `json:"given,omitempty"`
	Prefix []string `json:"prefix,omitempty"`
	Suffix []string `json:"suffix,omitempty"`
}

type patient struct {
	ResourceType string       `json:"resourceType"`
	Identifier   []identifier `json:"identifier"`
	Name         []humanName  `json:"name,omitempty"`
	Gender       string       `json:"gender,omitempty"`
	BirthDate    string       `json:"birthDate,omitempty"`
}

type serviceRequest struct {
	ResourceType string       `json:"resourceType"`
	Identifier   []identifier `json:"identifier"`
	Status       string       `json:"status"`
	Intent       string       `json:"intent"`
	Code         *concept     `json:"code,omitempty"`
	Subject      reference    `json:"subject"`
	Encounter    *reference   `json:"encounter,omitempty"`
	Requester    *reference   `json:"requester,omitempty"`
	ReasonCode   []concept    `json:"reasonCode,omitempty"`
}

type imagingStudy struct {
	ResourceType      string       `json:"resourceType"`
	Identifier        []identifier `json:"identifier"`
	Status            string       `json:"status"`
	Modality          []coding     `json:"modality,omitempty"`
	Subject           reference    `json:"subject"`
	Started           string       `json:"started,omitempty"`
	BasedOn           []reference  `json:"basedOn,omitempty"`
	NumberOfSeries    int          `json:"numberOfSeries,omitempty"`
	NumberOfInstances int          `json:"numberOfInstances,omitempty"`
	Description       string       `json:"description,omitempty"`
}

type device struct {
	ResourceType string          `json:"resourceType"`
	Identifier   []identifier    `json:"identifier"`
	Status       string          `json:"status"`
	Manufacturer string          `json:"manufacturer,omitempty"`
	DeviceName   []deviceName    `json:"deviceName"`
	Version      []deviceVersion `json:"version,omitempty"`
	Note         []annotation    `json:"note,omitempty"`
}

type deviceName struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type deviceVersion struct {
	Value string `json:"value"`
}

type observation struct {
	ResourceType         string       `json:"resourceType"`
	Identifier           []identifier `json:"identifier"`
	BasedOn              []reference  `json:"basedOn,omitempty"`
	Status               string       `json:"status"`
	Category             []concept    `json:"category"`
	Code                 concept      `json:"code"`
	Subject              reference    `json:"subject"`
	EffectiveDateTime    string       `json:"effectiveDateTime,omitempty"`
	Issued               string       `json:"issued"`
	ValueCodeableConcept *concept     `json:"valueCodeableConcept,omitempty"`
	Note                 []annotation `json:"note,omitempty"`
	BodySite             *concept     `json:"bodySite,omitempty"`
	Method               *concept     `json:"method,omitempty"`
	Device               *reference   `json:"device,omitempty"`
	DerivedFrom          []reference  `json:"derivedFrom,omitempty"`
	Component            []component  `json:"component,omitempty"`
}

type component struct {
	Code          concept   `json:"code"`
	ValueQuantity *quantity `json:"valueQuantity,omitempty"`
	ValueString   string    `json:"valueString,omitempty"`
}

type diagnosticReport struct {
	ResourceType       string       `json:"resourceType"`
	Text               narrative    `json:"text"`
	Identifier         []identifier `json:"identifier"`
	BasedOn            []reference  `json:"basedOn,omitempty"`
	Status             string       `json:"status"`
	Category           []concept    `json:"category"`
	Code               concept      `json:"code"`
	Subject            reference    `json:"subject"`
	EffectivePeriod    *period      `json:"effectivePeriod,omitempty"`
	Issued             string       `json:"issued"`
	Performer          []reference  `json:"performer,omitempty"`
	ResultsInterpreter []reference  `json:"resultsInterpreter,omitempty"`
	Result             []reference  `json:"result,omitempty"`
	ImagingStudy       []reference  `json:"imagingStudy"`
	Conclusion         string       `json:"conclusion"`
	ConclusionCode     []concept    `json:"conclusionCode,omitempty"`
	PresentedForm      []attachment `json:"presentedForm,omitempty"`
}

type attachment struct {
	ContentType string `json:"contentType"`
	Language    string `json:"language,omitempty"`
	Data        []byte `json:"data"` // base64, as JSON has bytes
	Title       string `json:"title,omitempty"`
	Creation    string `json:"creation,omitempty"`
}

type provenance struct {
	ResourceType string      `json:"resourceType"`
	Meta         meta        `json:"meta"`
	Target       []reference `json:"target"`
	Recorded     string      `json:"recorded"`
	Activity     *concept    `json:"activity,omitempty"`
	Agent        []agent     `json:"agent"`
	Entity       []entity    `json:"entity"`
}

type agent struct {
	Type *concept  `json:"type,omitempty"`
	Who  reference `json:"who"`
}

type entity struct {
	Role string    `json:"role"`
	What reference `json:"what"`
}
