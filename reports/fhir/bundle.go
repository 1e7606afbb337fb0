package fhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

// MediaType is that of a bundle.
const MediaType = "application/fhir+json"

// Options are what a server wants to know, and a report does not say.
type Options struct {
	Institution string // who performs; empty: unsaid
	// Systems are the URIs of assigning authorities. One that is an OID or URL is its own; one that is not in here is given
	// an OID of its name.
	Systems map[string]string
}

// Attachments are what was made of the report besides.
type Attachments struct {
	Report dicom.UID // SOP Instance UID of the structured report that a signed one was made into; empty: there is none
	PDF    []byte    // none: left out
	// Patient is whom the report is on by now, where that is another one than it was signed for. Nil: as the report says.
	Patient *draft.Patient
	Former  string // what is said of that
}

// Render writes doc. One that is being amended is none to send: what was signed stands.
func Render(doc draft.Document, with Attachments, o Options) ([]byte, error) {
	if doc.Standing == draft.Amending {
		return nil, errors.New("fhir: a report that is being amended is not sent; what was signed stands until it is signed again")
	}
	w := &writer{doc: doc, o: o, with: with, subject: reference{Display: "unknown"}}
	w.patient()
	w.order()
	w.study()
	w.devices()
	w.observations()
	w.report()
	w.provenance()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(Bundle{ResourceType: "Bundle", Type: "transaction", Timestamp: instant(doc.At), Entry: w.entries})
	return out.Bytes(), err
}

// writer collects the entries of a bundle.
type writer struct {
	doc     draft.Document
	o       Options
	with    Attachments
	entries []Entry

	subject, imaging reference
	basedOn          []reference
	models           []deviceOf
	results          []reference // observations that stand
	all              []reference // what the gateway says
}

type deviceOf struct {
	model analysis.Model
	ref   reference
}

// create adds a resource that others own: only where the server has none of that identifier.
func (w *writer) create(kind string, by identifier, resource any) reference {
	return w.add(kind, by, resource, Request{Method: "POST", URL: kind, IfNoneExist: "identifier=" + token(by.System, by.Value)})
}

// put adds a resource of the gateway's own: what the server has of that identifier is replaced.
func (w *writer) put(kind string, by identifier, resource any) reference {
	return w.add(kind, by, resource, Request{Method: "PUT", URL: kind + "?identifier=" + token(by.System, by.Value)})
}

func (w *writer) add(kind string, by identifier, resource any, request Request) reference {
	full := "urn:uuid:" + uuidOf(dicom.DerivedUID("fhir", kind, by.System, by.Value))
	w.entries = append(w.entries, Entry{FullURL: full, Resource: resource, Request: request})
	return reference{Reference: full}
}

// token is a search value (search.html#token), escaped for itself and for a URL.
func token(system, value string) string {
	escape := strings.NewReplacer(`\`, `\\`, `|`, `\|`, `,`, `\,`, `$`, `\$`).Replace
	return url.QueryEscape(escape(system) + "|" + escape(value))
}

func (w *writer) patient() {
	p := w.doc.Patient
	if w.with.Patient != nil {
		p = *w.with.Patient
	}
	if p.ID == "" {
		return
	}
	record := func(p draft.Patient) identifier {
		return identifier{Type: v2("0203", "MR", "Medical record number"), System: w.system(p.Issuer), Value: p.ID}
	}
	by := record(p)
	ids := []identifier{by}
	if former := record(w.doc.Patient); former.Value != "" && (former.System != by.System || former.Value != by.Value) {
		former.Use = "old" // it was merged since (valueset-identifier-use.html)
		ids = append(ids, former)
	}
	w.subject = w.create("Patient", by, patient{
		ResourceType: "Patient", Identifier: ids, Name: names(p.Name),
		Gender: map[string]string{"M": "male", "F": "female", "O": "other"}[p.Sex], BirthDate: date(p.BirthDate),
	})
}

// system is the URI of an assigning authority.
func (w *writer) system(authority string) string {
	if uri, ok := w.o.Systems[authority]; ok {
		return uri
	}
	switch {
	case authority == "":
		authority = w.o.Institution
	case strings.Contains(authority, ".") && dicom.UID(authority).Valid():
		return "urn:oid:" + authority
	case strings.Contains(authority, "://"), strings.HasPrefix(authority, "urn:"):
		return authority
	}
	return "urn:oid:" + string(dicom.DerivedUID("authority", authority))
}

func (w *writer) order() {
	o := w.doc.Order
	if o == nil {
		return
	}
	var ids []identifier
	for _, id := range []struct{ kind, meaning, authority, value string }{
		{"ACSN", "Accession ID", "", o.Accession},
		{"PLAC", "Placer Identifier", o.PlacerAuthority, o.Placer},
		{"FILL", "Filler Identifier", o.FillerAuthority, o.Filler},
	} {
		if id.value != "" {
			ids = append(ids, identifier{Type: v2("0203", id.kind, id.meaning), System: w.system(id.authority), Value: id.value})
		}
	}
	if len(ids) == 0 {
		return
	}
	request := serviceRequest{
		ResourceType: "ServiceRequest", Identifier: ids, Status: "active", Intent: "order", Code: coded(o.Service), Subject: w.subject,
	}
	request.Requester = w.clinician(o.Requester, o.RequesterID, o.RequesterAuthority)
	if o.VisitNumber != "" {
		// A logical reference (references.html#logical): the visit is not the gateway's to make.
		request.Encounter = &reference{Type: "Encounter", Identifier: &identifier{
			Type: v2("0203", "VN", "Visit number"), System: w.system(o.VisitAuthority), Value: o.VisitNumber,
		}}
	}
	if o.Reason != "" {
		request.ReasonCode = []concept{{Text: o.Reason}}
	}
	w.basedOn = []reference{w.create("ServiceRequest", ids[0], request)}
}

// clinician is a person whom others know (a logical reference, references.html#logical); nil where nobody says who.
func (w *writer) clinician(pn, id, authority string) *reference {
	if pn == "" && id == "" {
		return nil
	}
	r := &reference{Display: plain(pn)}
	if id != "" {
		r.Type, r.Identifier = "Practitioner", &identifier{System: w.system(authority), Value: id}
	}
	return r
}

func (w *writer) study() {
	e, by := w.doc.Examination, uidIdentifier(w.doc.Study)
	study := imagingStudy{
		ResourceType: "ImagingStudy", Identifier: []identifier{by}, Status: "available", Subject: w.subject,
		Started: instant(e.StartedAt), BasedOn: w.basedOn, NumberOfSeries: series(e), NumberOfInstances: e.Images, Description: e.Description,
	}
	if o := w.doc.Order; o != nil && o.Accession != "" {
		study.Identifier = append(study.Identifier, identifier{Type: v2("0203", "ACSN", "Accession ID"), System: w.system(""), Value: o.Accession})
	}
	if slices.ContainsFunc(e.Instances, func(i draft.Image) bool { return endoscopic[i.Instance.SOPClassUID] }) {
		study.Modality = []coding{{dcmSystem, "ES", "Endoscopy"}}
	}
	w.imaging = w.create("ImagingStudy", by, study)
}

// series counts those that the images are in.
func series(e draft.Examination) int {
	all := map[dicom.UID]bool{}
	for _, i := range e.Instances {
		all[i.Instance.SeriesInstanceUID] = true
	}
	return len(all)
}

var endoscopic = map[dicom.UID]bool{
	"1.2.840.10008.5.1.4.1.1.77.1.1": true, "1.2.840.10008.5.1.4.1.1.77.1.1.1": true, // VL, Video Endoscopic Image Storage
}

func (w *writer) devices() {
	for _, use := range w.doc.Disclosure.Models {
		if _, ok := w.device(use.Model); ok {
			continue
		}
		m := use.Model
		by := uidIdentifier(dicom.DerivedUID("device", m.Name, m.Version, m.Digest)) // as the objects say (standards of DICOM: Device UID)
		d := device{
			ResourceType: "Device", Identifier: []identifier{by}, Status: "active", Manufacturer: m.Manufacturer,
			DeviceName: []deviceName{{Name: m.Name, Type: "model-name"}},
		}
		if m.Version != "" {
			d.Version = []deviceVersion{{m.Version}}
		}
		if use.IntendedUse != "" {
			d.Note = []annotation{{"Intended use: " + use.IntendedUse}}
		}
		w.models = append(w.models, deviceOf{m, w.create("Device", by, d)})
	}
}

func (w *writer) device(m analysis.Model) (reference, bool) {
	for _, d := range w.models {
		if d.model == m {
			return d.ref, true
		}
	}
	return reference{}, false
}

func (w *writer) observations() {
	for _, f := range w.doc.Findings {
		o := observation{
			ResourceType: "Observation", BasedOn: w.basedOn, Status: w.observed(f),
			Category: []concept{imagingCategory}, Code: question(f.Role), Subject: w.subject,
			EffectiveDateTime: instant(w.doc.Examination.StartedAt), Issued: instant(w.doc.At),
			ValueCodeableConcept: coded(f.Code), BodySite: site(f), DerivedFrom: []reference{w.imaging}, Component: components(f),
		}
		for _, words := range []string{f.Why, f.Text, undecided(f), retracted(f)} {
			if words != "" {
				o.Note = append(o.Note, annotation{words})
			}
		}
		if ref, ok := w.device(f.Model); ok {
			o.Device = &ref
		}
		if f.Model.Name != "" {
			o.Method = &concept{Text: strings.TrimSpace(f.Model.Name + " " + f.Model.Version)}
		}
		ref := w.observe(f, w.doc.Number, o)
		if f.Stands() {
			w.results = append(w.results, ref)
		}
		for n := 1; n < w.doc.Number && f.TakenBack(); n++ { // what a person takes back does not stand in an earlier report either
			w.observe(f, n, o)
		}
	}
}

// observe puts what the draft of a number says of a finding. Each has its own: a later draft never changes what was signed.
func (w *writer) observe(f draft.Finding, number int, o observation) reference {
	by := uidIdentifier(dicom.DerivedUID("observation", f.ID, strconv.Itoa(number)))
	o.Identifier = []identifier{by, uidIdentifier(dicom.UID(f.ID))}
	ref := w.put("Observation", by, o)
	w.all = append(w.all, ref)
	return ref
}

// observed is the status of a finding: one that nobody decided about is preliminary in a final report too.
func (w *writer) observed(f draft.Finding) string {
	switch status := w.status(observationStatuses); {
	case !f.Stands():
		return observationStatuses[4]
	case !f.Decided() && w.verified():
		return observationStatuses[1]
	default:
		return status
	}
}

func undecided(f draft.Finding) string {
	if f.Decided() {
		return ""
	}
	return "Proposed by AI, not decided by a person."
}

// retracted says why a person took the result back.
func retracted(f draft.Finding) string {
	if f.Retracted == "" {
		return ""
	}
	return "The AI result was retracted: " + f.Retracted
}

func question(role analysis.Role) concept {
	switch role {
	case analysis.RoleLandmark:
		return *coded(dicom.Code{Value: "LANDMARK", Scheme: "99ENDOGATE", Meaning: "Landmark, image recorded"})
	case analysis.RoleQuality:
		return *coded(dicom.Code{Value: "QUALITY", Scheme: "99ENDOGATE", Meaning: "Image quality"})
	}
	return *coded(dicom.Code{Value: "121071", Scheme: "DCM", Meaning: "Finding"})
}

func site(f draft.Finding) *concept {
	if c := coded(f.Site); c != nil {
		c.Text = f.SiteText
		return c
	}
	if f.SiteText == "" {
		return nil
	}
	return &concept{Text: f.SiteText}
}

func components(f draft.Finding) (all []component) {
	if f.Probability > 0 {
		all = append(all, component{
			Code:          *coded(dicom.Code{Value: "122157", Scheme: "DCM", Meaning: "Probability"}),
			ValueQuantity: &quantity{Value: f.Probability, System: ucum, Code: "1"},
		})
	}
	if f.SizeMM > 0 {
		all = append(all, component{
			Code:          *coded(dicom.Code{Value: "410668003", Scheme: "SCT", Meaning: "Length"}),
			ValueQuantity: &quantity{Value: f.SizeMM, Unit: "mm", System: ucum, Code: "mm"},
		})
	}
	if f.Paris != "" {
		all = append(all, component{Code: concept{Text: "Paris classification"}, ValueString: f.Paris})
	}
	return all
}

func (w *writer) report() {
	doc := w.doc
	by := uidIdentifier(dicom.DerivedUID("diagnostic-report", string(doc.Study), fmt.Sprint(doc.Number)))
	text := strings.TrimSpace(w.words())
	r := diagnosticReport{
		ResourceType: "DiagnosticReport", Identifier: []identifier{by}, BasedOn: w.basedOn, Status: w.status(reportStatuses),
		Category: []concept{radiology}, Code: *coded(doc.Title), Subject: w.subject, Issued: instant(doc.At),
		Result: w.results, ImagingStudy: []reference{w.imaging}, Conclusion: text,
		Text: narrative{Status: "generated", Div: `<div xmlns="http://www.w3.org/1999/xhtml"><pre>` + html.EscapeString(text) + `</pre></div>`},
	}
	for _, m := range doc.Disclosure.Models {
		if m.Report != "" {
			r.Identifier = append(r.Identifier, uidIdentifier(m.Report))
		}
	}
	if w.with.Report != "" {
		r.Identifier = append(r.Identifier, uidIdentifier(w.with.Report))
	}
	if start := instant(doc.Examination.StartedAt); start != "" {
		r.EffectivePeriod = &period{start, instant(doc.Examination.EndedAt)}
	}
	if w.o.Institution != "" {
		r.Performer = []reference{{Display: w.o.Institution}}
	}
	if w.verified() {
		r.ResultsInterpreter = []reference{{Display: doc.Signature.By.Name}}
	}
	for _, f := range doc.Shown() { // a conclusion is a person's
		if c := coded(f.Code); c != nil && f.Decided() && f.Role == analysis.RoleFinding {
			r.ConclusionCode = append(r.ConclusionCode, *c)
		}
	}
	if len(w.with.PDF) > 0 {
		r.PresentedForm = []attachment{{ContentType: "application/pdf", Language: doc.Language, Data: w.with.PDF, Title: doc.Title.Meaning, Creation: instant(doc.At)}}
	}
	w.all = append(w.all, w.put("DiagnosticReport", by, r))
}

// words is the text of the report, which says first whether it is verified.
func (w *writer) words() string {
	text := draft.Text(w.doc)
	if p := w.with.Patient; p != nil && *p != w.doc.Patient {
		text += "\n" + w.with.Former + "\n"
	}
	if !w.verified() && !strings.HasPrefix(text, draft.Unverified) {
		return draft.Unverified + "\n\n" + text
	}
	return text
}

// verified reports whether a person has signed the report as one that the reporting system knows.
func (w *writer) verified() bool {
	return w.doc.Signature != nil && w.doc.Signature.Verified && w.doc.Standing != draft.Withdrawn
}

// statuses are those of a draft, what was signed and not verified, what was, its correction, and what was withdrawn.
type statuses [5]string

// Partial may be unverified; preliminary has been looked at (diagnosticreport-definitions.html, status).
var (
	reportStatuses      = statuses{"partial", "preliminary", "final", "corrected", "entered-in-error"}
	observationStatuses = statuses{"preliminary", "preliminary", "final", "corrected", "entered-in-error"}
)

func (w *writer) status(s statuses) string {
	switch {
	case w.doc.Standing == draft.Withdrawn:
		return s[4]
	case w.verified() && w.doc.Standing == draft.Amended:
		return s[3]
	case w.verified():
		return s[2]
	case w.doc.Signature != nil:
		return s[1]
	}
	return s[0]
}

// provenance says who and what made this version. It has no identifier in R4: a tag tells whether the server has it.
func (w *writer) provenance() {
	version := fmt.Sprintf("%s.%d.%d", w.doc.Study, w.doc.Number, w.doc.Version)
	p := provenance{
		ResourceType: "Provenance", Meta: meta{Tag: []coding{{System: versionSystem, Code: version}}}, Target: w.all,
		Recorded: instant(w.doc.At), Entity: []entity{{"source", w.imaging}},
	}
	for _, d := range w.models {
		p.Agent = append(p.Agent, agent{participant("author", "Author"), d.ref})
	}
	p.Agent = append(p.Agent, agent{participant("assembler", "Assembler"), reference{Display: "endogate"}})
	if s := w.doc.Signature; s != nil {
		role := participant("author", "Author")
		if w.verified() {
			role = participant("legal", "Legal Authenticator")
		}
		p.Agent = append(p.Agent, agent{role, reference{Display: s.By.Name}})
	}
	if before := w.doc.Predecessor; before != nil && before.Report != "" {
		id := uidIdentifier(before.Report)
		p.Entity = append(p.Entity, entity{"revision", reference{Identifier: &id}})
	}
	w.add("Provenance", identifier{System: versionSystem, Value: version}, p,
		Request{Method: "POST", URL: "Provenance", IfNoneExist: "_tag=" + token(versionSystem, version)})
}

// instant writes a time; empty for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
