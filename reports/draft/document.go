// Package draft is the report draft on a study: what it says, how it is made of analyses and an order, and how a person
// changes it.
//
// A [Document] is one version of it. The gateway makes the first of analyses; a person's [Edit]s and later analyses make the
// next ones, and none overwrites another. What a network may not say is [ToBeCompleted], and nothing claims absence or
// normality (CO-RADS, GIE 65:757; MST 3.0, Endoscopy 41:727).
package draft

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// Schema names the form of a document; docs/draft.schema.json describes it.
const Schema = "endogate.draft/1"

// ToBeCompleted stands where a person has to write: what a network may not say (and no template may say for it).
const ToBeCompleted = "[to be completed]"

// Standing is how far a draft has come.
type Standing string

// The standings. What is signed is never changed: an amendment is a version that names it.
const (
	Drafted   Standing = "draft"
	Signed    Standing = "signed"
	Amending  Standing = "amending" // a signed one that a person is changing
	Amended   Standing = "amended"  // signed again
	Withdrawn Standing = "withdrawn"
)

// Document is one version of the report on a study. Times are UTC, probabilities 0..1, lengths in millimetres.
type Document struct {
	Schema   string    `json:"schema"`
	Study    dicom.UID `json:"study"`
	Number   int       `json:"number"`  // of the draft among those of its study, from 1: what comes after a signature begins the next
	Version  int       `json:"version"` // of this draft, from 1
	Standing Standing  `json:"standing"`
	At       time.Time `json:"at"` // when this version was made
	Author   Author    `json:"author"`
	Language string    `json:"language"` // en, de, nb
	Template string    `json:"template"` // colonoscopy, upper-gi
	// Predecessor is the signed version that this one amends or withdraws, or the draft that was signed before it.
	Predecessor *Reference `json:"predecessor,omitempty"`

	Title       dicom.Code  `json:"title"`                     // LOINC
	Heading     string      `json:"heading,omitempty"`         // what the language calls it
	Warning     string      `json:"warning,omitempty"`         // the language's own line beside Unverified
	Todo        string      `json:"to_be_completed,omitempty"` // what the language says for ToBeCompleted, which stands in the texts
	TimeZone    string      `json:"time_zone,omitempty"`       // of the times in texts, as IANA names it; empty: UTC
	Patient     Patient     `json:"patient"`
	Order       *Order      `json:"order,omitempty"`
	Examination Examination `json:"examination"`
	Sections    []Section   `json:"sections"`   // in the order of the template
	Findings    []Finding   `json:"findings"`   // of all models, in the order in which they are shown
	KeyImages   []KeyImage  `json:"key_images"` // those chosen, in the order in which they are shown
	Disclosure  Disclosure  `json:"disclosure"`
	Videos      []Video     `json:"videos,omitempty"` // that models have looked at, in the order of exams and instances
	// Notices are what a reader has to know before anything else, such as images that came late. Events are those of them
	// that stay when the gateway makes the next version; the others are the gate's, of the moment.
	Notices   []string   `json:"notices"`
	Events    []string   `json:"events"`
	Reason    string     `json:"reason,omitempty"` // why a person amends or withdraws
	Signature *Signature `json:"signature,omitempty"`
}

// Reference names d, but for the reports that it was signed as.
func (d Document) Reference() Reference { return Reference{Number: d.Number, Version: d.Version} }

// ReportName names the structured report of a class that a version is signed as, the same whoever asks: its SOP Instance UID
// follows from all that is in it.
func ReportName(study dicom.UID, number, version int, sopClass dicom.UID) dicom.UID {
	return dicom.DerivedUID("report", string(sopClass), string(study), strconv.Itoa(number), strconv.Itoa(version))
}

// Said is a text of d as a reader of its language gets it.
func (d Document) Said(text string) string {
	return strings.ReplaceAll(text, ToBeCompleted, cmp.Or(d.Todo, ToBeCompleted))
}

// Location is where the times in d's texts are.
func (d Document) Location() *time.Location {
	if zone, err := time.LoadLocation(d.TimeZone); err == nil {
		return zone
	}
	return time.UTC
}

// open counts the sections in which something is still to be completed.
func (d Document) open() (n int) {
	for _, s := range d.Sections {
		if strings.Contains(s.Text, ToBeCompleted) {
			n++
		}
	}
	return n
}

// Editable reports whether a person may change d: it is not signed, nor withdrawn.
func (d Document) Editable() bool { return d.Standing == Drafted || d.Standing == Amending }

// NotSent is why nobody gets a draft that is [Document.Withheld], in the timeline of its study.
const NotSent = "the order of this examination was cancelled before anything was analysed: the draft is not sent"

// FormerName is what a reader of d is told once its patient has been renamed or merged.
func (t *Templates) FormerName(d Document) string { return t.formerName(d.Language, d.Reference()) }

func (t *Templates) formerName(language string, signed Reference) string {
	return t.language(language).say("former-name", "version", fmt.Sprintf("%d.%d", signed.Number, signed.Version))
}

// Renamed has d be on p, as its patient is known by now. Where a person has signed it, or what it corrects, under another name
// or identifier, it says so.
func (t *Templates) Renamed(d *Document, p Patient) {
	signed := d.Predecessor
	if !d.Editable() {
		ref := d.Reference()
		signed = &ref
	}
	if d.Patient != p && signed != nil {
		d.say(t.formerName(d.Language, *signed))
	}
	d.Patient = p
}

// Withheld reports whether d stays here though it is made: a draft for an order that was cancelled before anything was
// analysed. What a person signs goes out.
func (d Document) Withheld() bool {
	return d.Standing == Drafted && d.Order != nil && d.Order.Cancelled && d.Disclosure.Frames.begun() == 0
}

// Author is who made a version: the gateway itself, a person who signed in, or whom a client named.
type Author struct {
	Name            string `json:"name"`
	Unauthenticated bool   `json:"unauthenticated,omitempty"` // named by the client and checked by nobody
	System          bool   `json:"system,omitempty"`          // the gateway
}

// Signature is a person's under a version.
type Signature struct {
	By       Author    `json:"by"`
	At       time.Time `json:"at"`
	Verified bool      `json:"verified"`                // by a person whom the reporting system knows; else the report stays unverified
	Reason   string    `json:"reason,omitempty"`        // of an amendment or a withdrawal
	Open     int       `json:"open_sections,omitempty"` // in which something was still to be completed
}

// Reference names a version of a draft.
type Reference struct {
	Number  int       `json:"number"`
	Version int       `json:"version"`
	Report  dicom.UID `json:"report,omitempty"` // SOP Instance UID of the structured report that it was signed as
	// Alternate is that of the report of another SOP class that went in its place to whoever refuses it.
	Alternate dicom.UID `json:"alternate,omitempty"`
}

// Patient is whom the report is on, as the order or else the images say.
type Patient struct {
	ID        string `json:"id"`
	Issuer    string `json:"issuer"`     // assigning authority
	Name      string `json:"name"`       // as PS3.5 6.2 PN writes it
	BirthDate string `json:"birth_date"` // YYYYMMDD
	Sex       string `json:"sex"`        // M, F, O or empty
}

// Order is what was asked for.
type Order struct {
	Accession            string     `json:"accession"`
	Placer               string     `json:"placer"`
	Filler               string     `json:"filler"`
	PlacerAuthority      string     `json:"placer_authority,omitempty"` // who assigned it, where the order says
	FillerAuthority      string     `json:"filler_authority,omitempty"`
	RequestedProcedureID string     `json:"requested_procedure_id"`
	StepID               string     `json:"step_id,omitempty"` // scheduled procedure step, the first
	Service              dicom.Code `json:"service"`           // OBR-4
	Reason               string     `json:"reason"`
	Requester            string     `json:"requester"` // OBR-16, as PN
	Referrer             string     `json:"referrer"`  // PV1-8, as PN

	RequesterID        string `json:"requester_id,omitempty"` // OBR-16.1
	RequesterAuthority string `json:"requester_authority,omitempty"`
	ReferrerID         string `json:"referrer_id,omitempty"` // PV1-8.1
	ReferrerAuthority  string `json:"referrer_authority,omitempty"`
	PatientClass       string `json:"patient_class,omitempty"` // PV1-2
	VisitNumber        string `json:"visit_number,omitempty"`  // PV1-19
	VisitAuthority     string `json:"visit_authority,omitempty"`

	Cancelled bool `json:"cancelled,omitempty"` // nobody waits for its report
}

// Examination is what the images say about themselves.
type Examination struct {
	StartedAt   time.Time `json:"started_at"` // first image; zero where no image says when
	EndedAt     time.Time `json:"ended_at"`   // last image
	Description string    `json:"description"`
	Station     string    `json:"station"`
	Performer   string    `json:"performer"`
	Accession   string    `json:"accession,omitempty"` // as the images have it
	Images      int       `json:"images"`              // instances received
	Instances   []Image   `json:"instances"`
}

// Image is an instance that was received: what a person may choose as a key image.
type Image struct {
	Instance dicom.SOPInstance `json:"instance"`
	Number   int               `json:"instance_number"`
	Frames   int               `json:"frames"`
	Rows     int               `json:"rows"` // 0: nobody has decoded it
	Columns  int               `json:"columns"`
}

// Video is a video as one model has looked at it.
type Video struct {
	Instance dicom.SOPInstance `json:"instance"`
	Number   int               `json:"instance_number"`
	Model    analysis.Model    `json:"model"`
	Analysed int               `json:"analysed"`         // frames
	Course   *analysis.Course  `json:"course,omitempty"` // how the examination went, as far as frames tell; nil where none counts
}

// Section is a heading with its text.
type Section struct {
	Name string     `json:"name"` // in the template, such as indication: the same in all languages
	Code dicom.Code `json:"code"` // LOINC; zero where there is none
	Head string     `json:"heading"`
	Text string     `json:"text"` // paragraphs; ToBeCompleted where nobody has written yet
	By   Author     `json:"by"`   // of the text
	Fill Fill       `json:"fill"`
}

// Fill says who may write a section.
type Fill string

// The fills of a section.
const (
	FillPerson Fill = "person" // a person alone
	FillOrder  Fill = "order"  // copied from the order, where there is one
	FillAI     Fill = "ai"     // the gateway proposes
	// FillGateway is the gateway's alone: whom the report is on, and what the machine did. No person writes over it.
	FillGateway Fill = "gateway"
)

// Decision is a person's on a finding.
type Decision string

// The decisions.
const (
	Proposed Decision = "proposed" // nobody has decided yet
	Accepted Decision = "accepted"
	Rejected Decision = "rejected" // stays in the document, and out of what is sent as findings
	Changed  Decision = "changed"  // accepted with another code or site
)

// Finding is something seen: by a model (one for each model and class), or by the person who added it.
type Finding struct {
	ID    string         `json:"id"`              // the same in all versions: a UID
	Model analysis.Model `json:"model,omitzero"`  // zero of one that a person added
	Route string         `json:"route,omitempty"` // that the model was asked by
	Class string         `json:"class,omitempty"`
	Role  analysis.Role  `json:"role"` // finding, landmark or quality
	// Code is what it is now. Of a landmark it is the site that was recorded: the "Normal" that manifests have for one is
	// no finding of this study.
	Code         dicom.Code  `json:"code"`
	Site         dicom.Code  `json:"site"` // where; zero: unknown
	SiteText     string      `json:"site_text,omitempty"`
	SiteProposal *dicom.Code `json:"site_proposal,omitempty"` // the model's site, where a person changed it
	Decision     Decision    `json:"decision"`
	By           Author      `json:"by"`                    // of the decision, or who added it
	Proposal     *dicom.Code `json:"proposal,omitempty"`    // the model's code, where a person changed it
	Probability  float64     `json:"probability,omitempty"` // the highest; 0 of one that a person added
	Threshold    float64     `json:"threshold,omitempty"`
	Frames       []Frame     `json:"frames"`   // in which it was flagged, the highest probability first
	Flagged      int         `json:"flagged"`  // frames; Frames may hold fewer
	Analysed     int         `json:"analysed"` // frames in which it was looked for
	Why          string      `json:"why"`      // one sentence
	SizeMM       float64     `json:"size_mm,omitempty"`
	Paris        string      `json:"paris,omitempty"`     // 0-Ip, 0-Is, …: a person's alone
	Text         string      `json:"text,omitempty"`      // a person's
	ImagesBy     *Author     `json:"images_by,omitempty"` // the person who chose its key images, or took one out; nil: they are the gateway's
	Retracted    string      `json:"retracted,omitempty"` // why its result was taken back: see Stands
}

// Frame is where something was flagged.
type Frame struct {
	Instance    dicom.SOPInstance `json:"instance"`
	Number      int               `json:"instance_number"`
	Span        analysis.Span     `json:"span"`
	Rows        int               `json:"rows"`
	Columns     int               `json:"columns"`
	Probability float64           `json:"probability"`
	Heatmap     dicom.SOPInstance `json:"heatmap,omitzero"`    // zero: it has none
	Sheet       dicom.SOPInstance `json:"sheet,omitzero"`      // of the clip of a video that it is in: attention, frames, maps; zero: there is none
	Explained   string            `json:"explained,omitempty"` // how the heatmap was made, and at which layer, and why not as was asked for
	Hatched     bool              `json:"hatched,omitempty"`   // part of it is: what was masked, and not seen by the network
	Contours    [][][2]float64    `json:"contours,omitempty"`
	Outline     analysis.Outline  `json:"outline,omitempty"`  // what contours enclose: empty for a hot region, box or mask for what the network itself gives
	Boxes       []float64         `json:"boxes,omitempty"`    // the probabilities of the boxes that contours are, the highest first
	Position    string            `json:"position,omitempty"` // of what the largest of the contours encloses, such as "upper right, 2 o'clock"
}

// KeyImage is a frame that stands for a finding.
type KeyImage struct {
	Finding string `json:"finding"` // its ID; empty of one that stands for none
	Frame   Frame  `json:"frame"`
	Why     string `json:"why"`     // class, probability, where in the picture, what the map shows and what it does not
	By      Author `json:"by"`      // a person's choice stays whatever comes later
	Caption string `json:"caption"` // one line
}

// Disclosure is what has to be said about the machine's part (LOINC has no code).
type Disclosure struct {
	Models  []ModelUse `json:"models"`
	Frames  Extent     `json:"frames"`
	Masked  []string   `json:"masked"`  // regions left out of the analysis, in words
	Skipped []string   `json:"skipped"` // reasons with their numbers
	Failed  []string   `json:"failed"`
	// TakenBack are results that a person retracted: nothing failed there.
	TakenBack []string `json:"taken_back,omitempty"`
	// Contradicting are landmarks that were left out: two in one picture, or one of another organ.
	Contradicting []dicom.Code `json:"contradicting"`
	Text          string       `json:"text"`
}

// ModelUse is a model that looked at the study.
type ModelUse struct {
	analysis.Model
	Route       string             `json:"route"`
	IntendedUse string             `json:"intended_use"`
	Explanation string             `json:"explanation,omitempty"` // how its maps are made, and why not as was asked for
	Thresholds  map[string]float64 `json:"thresholds"`            // by class
	NotFlagged  []dicom.Code       `json:"not_flagged"`           // findings that it looked for and flagged in none of them
	Analysed    int                `json:"analysed"`              // frames
	Report      dicom.UID          `json:"report,omitempty"`      // SOP Instance UID of its AI-result SR
	Retracted   string             `json:"retracted,omitempty"`   // why a person took its result back
}

// Nothing is why no frame's result stands: the phrase that says so. It is empty where one does.
func (d Disclosure) Nothing() string {
	switch {
	case d.Frames.Frames > 0:
		return ""
	case d.Frames.TakenBack > 0:
		return "all-retracted"
	case d.Frames.Failed > 0:
		return "failed"
	}
	return "not-analysed"
}

// Extent counts instances, and frames of those analysed.
type Extent struct {
	Instances int `json:"instances"`
	Analysed  int `json:"analysed"`
	Skipped   int `json:"skipped"`
	Failed    int `json:"failed"`
	TakenBack int `json:"taken_back,omitempty"` // analysed, and every result retracted
	Frames    int `json:"frames"`
}

// begun counts instances that work was done on.
func (e Extent) begun() int { return e.Analysed + e.Failed + e.TakenBack }
