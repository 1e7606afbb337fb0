package ledger

import (
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// Receipt is a data set that the spool has taken in, with what is to become of it.
type Receipt struct {
	ID                  string // spool entry
	Seq                 uint64
	Header              dicom.Header
	TransferSyntaxUID   dicom.UID
	CallingAE, CalledAE string
	At                  time.Time
	Size                int64  // bytes of the data set
	Digest              string // SHA-256 of the data set, hex

	Route   string
	Models  []string // one job each; with Skip, the exams in which it counts as not analysed
	Forward []string // destinations that get the data set itself
	Skip    string   // why it is not analysed; no job is made
	Gate    Gate     // of its route, for the results of its study; empty: warn

	// Destinations get what is made of it. The exam keeps those of its last arrival, whatever becomes of the route.
	Destinations []string
	// Kept says whether the spool still has another entry, when that is asked, and does so at once; nil: it has.
	Kept func(entry string) bool `json:"-"`
	// Lost is the entry that was found to have other bytes than it should: this one takes its place.
	Lost string
}

// Verdict is what Receive found a receipt to be.
type Verdict int

// The verdicts.
const (
	New       Verdict = iota
	Duplicate         // SOP Instance UID and digest of one that is kept: its entry is not needed
	Conflict          // SOP Instance UID of one that is kept, other bytes: kept, flagged, not analysed
	Restored          // SOP Instance UID and digest of one whose bytes are gone: kept in its place
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	switch v {
	case New:
		return "new"
	case Duplicate:
		return "duplicate"
	case Conflict:
		return "conflict"
	case Restored:
		return "restored"
	}
	return "unknown"
}

// InstanceState is what has become of a received instance; the package comment has the diagrams of all states.
type InstanceState string

// The states of an instance.
const (
	InstanceQueued      InstanceState = "queued"
	InstanceAnalysed    InstanceState = "analysed"
	InstanceFailed      InstanceState = "failed"
	InstanceNotAnalysed InstanceState = "not-analysed" // no model applies, or can
	InstanceConflict    InstanceState = "conflict"     // its UID was taken by other bytes
)

// JobState is the state of one analysis.
type JobState string

// The states of a job.
const (
	JobOpen      JobState = "open"
	JobDone      JobState = "done"
	JobSkipped   JobState = "skipped"
	JobParked    JobState = "parked"
	JobDiscarded JobState = "discarded"
)

// ExamState is the state of the report of an exam.
type ExamState string

// The states of an exam.
const (
	ExamOpen     ExamState = "open" // waits for frames, jobs or quiet
	ExamReported ExamState = "reported"
	ExamParked   ExamState = "parked"
)

// DeliveryState is the state of one delivery.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliverySent      DeliveryState = "sent" // the peer has yet to say that it keeps it
	DeliveryDone      DeliveryState = "done"
	DeliveryParked    DeliveryState = "parked"
	DeliveryDiscarded DeliveryState = "discarded"
)

// Job is the analysis of one instance by one model.
type Job struct {
	ID         string // JobID of Entry and Model: another one once the instance was restored as another entry
	Entry      string // in the spool
	Model      string
	Route      string
	Instance   dicom.SOPInstance
	State      JobState
	Attempts   int       // since the last retry
	Retries    int       // how often RetryJob opened it again
	InferredAt time.Time // start of the first attempt, microseconds, UTC; zero before
	EndedAt    time.Time
	Reason     string         // why it was parked or skipped; of one that is done, which frames were not analysed
	MadeBy     analysis.Model // of a job that is done; zero where it was not written down
	Retracted  string         // why a person took its results back; empty: they stand
	Again      bool           // it is done once more, for pictures of it that are lost: its results stand
	Priority   Priority       // of the order of its study, as long as it has not begun; Routine where there is none

	Bulk bool // of a screening: it waits behind all others

	Destinations []string  // of its exam
	Size         int64     // of its instance, in bytes
	ReceivedAt   time.Time // its instance

	tries int // of a job that is done once more: one more than its attempts
}

// JobID returns the ID of the job of model on a spool entry.
func JobID(entry, model string) string { return entry + "." + model }

// Object is a SOP Instance that was made here and stands in the spool.
type Object struct {
	Entry             string
	Digest            string    // SHA-256 of the data set, hex
	Name              dicom.UID // the same of all objects that stand in for each other; empty: the SOP Instance UID
	Instance          dicom.SOPInstance
	TransferSyntaxUID dicom.UID // empty: Explicit VR Little Endian
	Purpose           string    // heatmap, sr, kos
	Model             string
	Source            dicom.UID     // SOP Instance UID it was made from
	Span              analysis.Span // of the source; zero for none
	Revision          int           // of the report, from 1; 0 for none
	Rank              int           // order of delivery within a destination, low first
	Destinations      []string
	Alternate         *Object // to send where the peer refuses this one's SOP class

	// Only in views.
	State      DeliveryState // of its deliveries, the one that asks for most attention; empty: it has none
	MadeAt     time.Time
	ReleasedAt time.Time // of its bytes; zero while they are kept
	TwinOf     dicom.UID // SOP Instance UID of the object that this is the alternate of
}

// Ranks of deliveries.
const (
	RankSource  = 0
	RankHeatmap = 10
	RankClip    = 15 // of heatmaps
	RankSR      = 20
	RankKOS     = 30
)

// Exam is what a report is about: the instances of a study on one route, seen by one model.
type Exam struct {
	ID               int64
	StudyInstanceUID dicom.UID
	Route, Model     string
	State            ExamState
	Reason           string    // why it was parked
	Revision         int       // of the report to be made, from 1; in views: of the last one made
	FirstAt, LastAt  time.Time // arrivals
	ReportedAt       time.Time // of the last revision
	OpenJobs         int
	Version          int64 // what ExamResults returns and FinishReport covers
	Again            bool  // its report is lost and made once more, for RemakeReport
	covered          int64
	Destinations     []string // where its results go
}

// ExamResult is what became of one instance of an exam.
type ExamResult struct {
	Entry             string
	Instance          dicom.SOPInstance
	Header            dicom.Header
	TransferSyntaxUID dicom.UID
	InferredAt        time.Time
	MadeBy            analysis.Model // zero where there is none
	Order             int64          // among the results of the exam, as they came
	Results           []analysis.Result
	Moving            *analysis.Moving    // of a video; else nil
	Heatmaps          []dicom.SOPInstance // that were made of it
	Failed            string              // why it has no result; empty: it has
	Lacks             string              // which of its frames have none, and why; empty: all have
	Skipped           bool                // it has none because it cannot be analysed here
	Released          bool                // its bytes are no longer in the spool
	Retracted         string              // why a person took its results back; empty: they stand
	RetractedAt       time.Time
}

// Frames is how many frames the instance has: of a video those of its stream, whatever Number of Frames says.
func (r ExamResult) Frames() int {
	if r.Moving != nil {
		return max(r.Moving.Frames, 1)
	}
	return max(r.Header.NumberOfFrames, 1)
}

// The kinds of what is handed over.
const (
	KindDICOM = "dicom" // a SOP Instance
	KindHL7   = "hl7"   // a message of HL7 v2
	KindFHIR  = "fhir"  // a bundle of FHIR resources
	// KindNotice is what a person is told, in whatever protocol: its entry is a Notice's ID.
	KindNotice = "notice"
)

// Answer is what a peer said when something was handed over to it. The zero value is no answer.
type Answer struct {
	Protocol string // dicom
	Code     string // as the protocol writes it: of dicom (0000,0900), four hexadecimal digits
	Text     string // may quote what was sent: for those who may see that, and never for a log
}

// why returns reason with what the peer said.
func (a Answer) why(reason string) string {
	switch {
	case a.Text == "":
		return reason
	case reason == "":
		return a.Text
	}
	return reason + ": " + a.Text
}

// Delivery is one entry on its way to one destination.
type Delivery struct {
	ID                int64
	Kind              string // of what is handed over; which protocol does it is up to the destination
	Destination       string
	Entry             string            // in the spool
	Alternate         string            // entry to send where the peer refuses this one; may be empty
	Instance          dicom.SOPInstance // of other kinds the study alone
	TransferSyntaxUID dicom.UID
	Purpose           string // source, heatmap, sr, kos
	Rank              int
	State             DeliveryState
	Attempts          int
	NextAt            time.Time // when it is tried; of one that is sent, until when the peer is to commit to it
	EndedAt           time.Time
	Used              string // entry that the peer took
	Answer            Answer // the last
	Reason            string // no patient data
	After             string // entry that is to be delivered before, until NextAt at most; empty: it waits for none
	Conflict          bool   // of an instance whose SOP Instance UID was taken by other bytes
	Held              bool   // of a result of a study that waits at the gate: it is not due
	Number, Version   int    // of the draft that a message was made of; 0: of none
	Behind            bool   // others go first: it was deferred behind them, or one of its series was
	Source            string // with the others of it it takes turns with those of other sources

	screening string // that it was made for, among whose it waits for its turn; empty: for none
}

// Stat says whether d is in the STAT lane: four of each source there have their turn with one of each other.
func (d Delivery) Stat() bool { return strings.HasPrefix(d.Source, "\x01") }

// Why is the reason with what the peer said: it may have patient data.
func (d Delivery) Why() string { return d.Answer.why(d.Reason) }

// Bulk says whether RetryDeliveries puts d back.
func (d Delivery) Bulk() bool {
	return d.State == DeliveryParked && !d.Conflict && !strings.Contains(d.Reason, LostBytes)
}

// What names a step in the timeline.
type What string

// The steps.
const (
	EventReceived          What = "received"
	EventDuplicate         What = "duplicate"
	EventConflict          What = "conflict"
	EventRemarked          What = "remarked"
	EventRestored          What = "restored"
	EventQueued            What = "queued"
	EventNotAnalysed       What = "not-analysed"
	EventAnalysed          What = "analysed"
	EventParked            What = "parked"
	EventRetried           What = "retried"
	EventDiscarded         What = "discarded"
	EventMade              What = "made"
	EventReported          What = "reported"
	EventReportParked      What = "report-parked"
	EventDelivered         What = "delivered"
	EventSent              What = "sent"
	EventDeferred          What = "deferred"
	EventDeliveryParked    What = "delivery-parked"
	EventDeliveryUnparked  What = "delivery-unparked"
	EventDeliveryDiscarded What = "delivery-discarded"
	EventRetracted         What = "results-retracted" // by a person
	EventDraftParked       What = "draft-parked"
	EventReleased          What = "released"
	EventForgotten         What = "forgotten"
	EventClockBack         What = "clock-set-back"
	EventErased            What = "erased"           // the patient's data, as a person wanted
	EventPatient           What = "patient"          // whose the study is has another name, or other data, than before
	EventMismatch          What = "mismatch"         // images, order and patient do not agree, or do again
	EventHeld              What = "results-held"     // until a person decides
	EventUnheld            What = "results-unheld"   // as they agree again
	EventGateReleased      What = "results-released" // by a person
	EventCorrected         What = "corrected"        // a person has said whose the study is, or which order it belongs to
	EventOrderCancelled    What = "order-cancelled"  // work not begun is left out
	EventOrderCompleted    What = "order-completed"  // the examination is over
	EventMessage           What = "message"          // of another protocol, about the study
	EventReviewed          What = "reviewed"         // a person has decided who is right, a report or a network
	EventUrgent            What = "urgent"           // for what a model found, the study goes before others
	EventNotice            What = "notice"           // a person is told of the study
)

// Event is a step of a SOP Instance, or of an exam as a whole. Steps that repeat are one event.
type Event struct {
	At             time.Time // first time
	LastAt         time.Time
	Count          int
	SOPInstanceUID dicom.UID // empty: the exam as a whole
	Entry          string
	What           What
	Destination    string
	Answer         Answer
	Detail         string // no patient data
	By             Actor  // zero: before actors were kept
}

// Why is the detail with what the peer said: it may have patient data.
func (e Event) Why() string { return e.Answer.why(e.Detail) }
