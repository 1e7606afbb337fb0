package admin

import (
	"context"
	"errors"
	"image"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"
)

// What a view or an action may answer besides a fault of its own. The text of an error that wraps
// one of them is shown to the user; the text of any other goes to the log only.
var (
	ErrNotFound    = errors.New("not found")    // 404
	ErrConflict    = errors.New("conflict")     // 409: the state does not allow it (any more)
	ErrForbidden   = errors.New("forbidden")    // 403: not for whoever asks
	ErrGone        = errors.New("gone")         // 410: the bytes have left the spool
	ErrUnsupported = errors.New("unsupported")  // 422: the frame cannot be rendered
	ErrBusy        = errors.New("out of slots") // 503: try again in a moment
)

// Studies are what the ledger knows, by study.
type Studies interface {
	// Studies returns one page of the studies that match f, latest arrival first, and how many match in all.
	Studies(ctx context.Context, f StudyFilter) (page []StudySummary, total int, err error)
	// Study returns everything about one study but its instances, of each of its lists a page, or ErrNotFound.
	Study(ctx context.Context, uid dicom.UID, p Page) (Study, error)
	// Instances returns a page of the instances of a study.
	Instances(ctx context.Context, uid dicom.UID, p Page) ([]Instance, error)
}

// Queue is the work that is not finished, and what an admin may do with parked work.
type Queue interface {
	// Outbox returns one page of the deliveries that match f, newest first, and how many match in all.
	Outbox(ctx context.Context, f DeliveryFilter) (page []Delivery, total int, err error)
	// Parked returns one page of the work that waits for a person, kind by kind, oldest first, and how much matches in all.
	Parked(ctx context.Context, f ParkedFilter) (page []Parked, total int, err error)
	// Retry puts parked work back in its queue; durable on return. ErrNotFound, or ErrConflict when it is not parked.
	Retry(ctx context.Context, kind ParkedKind, id string) error
	// Discard gives a parked job, delivery or instance up for good; durable on return. Errors as Retry.
	Discard(ctx context.Context, kind ParkedKind, id string) error
}

// Destinations are the peers that results go to.
type Destinations interface {
	// Destinations returns all of them in the order of the configuration.
	Destinations(ctx context.Context) ([]Destination, error)
	// Echo asks the peer by C-ECHO. The error is ErrNotFound for an unknown name or ErrUnsupported for a peer
	// that has no C-ECHO; a peer that does not answer is a result with OK false.
	Echo(ctx context.Context, name string) (EchoResult, error)
	// RetryParked puts the parked deliveries to the destination back in its queue, but those that are not Bulk, and
	// returns their number; durable on return. ErrNotFound for an unknown name.
	RetryParked(ctx context.Context, name string) (int, error)
}

// Frames renders what the spool holds.
type Frames interface {
	// Rendered returns frame number frame (from 1) of the instance, named by SOP Instance UID or spool entry, as a
	// viewer would show it. ErrNotFound, ErrGone or ErrUnsupported say why there is none.
	Rendered(ctx context.Context, instance string, frame int) (image.Image, error)
	// Timeline draws what a model said of a video over time, or the first that looked at it where none is named. ErrNotFound where
	// there is nothing to draw.
	Timeline(ctx context.Context, study, instance dicom.UID, model string) (image.Image, error)
}

// Check is one condition for accepting work. Probe returns nil when it holds; the error's text is shown,
// so it says what is wrong and what to do, without patient data. It may be called by several goroutines.
//
// An advisory check is shown and does not keep the gateway from being ready: work waits, nothing is refused.
type Check struct {
	Name     string
	Advisory bool
	Told     bool          // its changes are in the log without the watch of the checks
	Every    time.Duration // at most so often; an answer counts for so long
	Probe    func(ctx context.Context) error
}

var studyStatuses = []ledger.StudyStatus{ledger.StudyParked, ledger.StudyWorking, ledger.StudyNotAnalysed, ledger.StudyPartlyAnalysed, ledger.StudyDone, ledger.StudyConflict}

// StudyFilter narrows a list of studies; a zero field does not. PatientID and AccessionNumber match exactly.
type StudyFilter struct {
	PatientID, AccessionNumber string
	StudyInstanceUID           dicom.UID
	Search                     string // a UID of the study or of an instance in it, or its accession number,
	Patients                   bool   // or a Patient ID, or the beginning of a patient's name
	Status                     ledger.StudyStatus
	Limit, Offset              int
	After                      ledger.Cursor
}

// StudySummary is a study as one row of a list. Text is UTF-8 as decoded, StudyDate and StudyTime
// are the DICOM strings (PS3.5 6.2, DA and TM), PatientName is a PN value.
type StudySummary struct {
	StudyInstanceUID dicom.UID             `json:"study_instance_uid"`
	PatientID        string                `json:"patient_id"` // of whom it is on: as the order says, or the images, after merges and corrections
	PatientName      string                `json:"patient_name"`
	AccessionNumber  string                `json:"accession_number"`
	StudyDate        string                `json:"study_date"`
	StudyTime        string                `json:"study_time"`
	StudyDescription string                `json:"study_description"`
	Modality         string                `json:"modality"`
	Status           ledger.StudyStatus    `json:"status"`
	FirstAt          time.Time             `json:"first_at"`           // first arrival
	LastAt           time.Time             `json:"last_at"`            // last arrival
	InstanceCount    int                   `json:"instance_count"`     // received, not made here
	ConflictCount    int                   `json:"conflict_count"`     // of them, those whose UID was taken by other bytes
	NotAnalysed      int                   `json:"not_analysed_count"` // of them, those that no model applies to, or could read
	NotAnalysedWhy   []string              `json:"not_analysed_why"`   // a few of the reasons
	FrameCount       int                   `json:"frame_count"`        // of the received instances
	FindingCount     int                   `json:"finding_count"`      // frames with something of role finding at or above its threshold, by whatever model
	OpenCount        int                   `json:"open_count"`         // jobs, reports and deliveries with work to do
	ParkedCount      int                   `json:"parked_count"`       // jobs, reports, deliveries and instances that wait for a person
	DeliveryCounts   ledger.DeliveryCounts `json:"delivery_counts"`
	Urgent           bool                  `json:"urgent"` // a model found in it what goes before others
	StandsAt         time.Time             `json:"-"`      // what the list is sorted by
}

// Study is everything the ledger knows about a study.
type Study struct {
	StudySummary
	Gate       Gate       `json:"gate"`                // whether images, order and patient agree, and what becomes of the results
	Instances  []Instance `json:"instances,omitempty"` // received, by instance number, then arrival; always there, at the end: see answerStudy
	Exams      []Exam     `json:"exams"`               // reports made of it or to be made
	Segments   []Segment  `json:"segments"`            // of its videos, where a class persists
	Videos     []Video    `json:"videos"`              // what was looked at of each, or how far that is
	Objects    []Object   `json:"objects"`             // made here, newest revision last
	Deliveries []Delivery `json:"deliveries"`          // of objects and of forwarded instances
	Timeline   []Event    `json:"timeline"`            // in the order in which it happened

	Page
	ViewerURL string `json:"viewer_url,omitempty"` // where another viewer opens it

	Totals StudyTotals `json:"totals"` // of the lists above that grow with the instances: of each, one page is given
}

// Segment is where a class persists in a video.
type Segment struct {
	SOPInstanceUID dicom.UID `json:"sop_instance_uid"`
	Model          string    `json:"model"`
	analysis.Segment
}

// Video is what a model has looked at of a video, and the frames to look at.
type Video struct {
	SOPInstanceUID dicom.UID           `json:"sop_instance_uid"`
	Model          string              `json:"model"`
	State          string              `json:"state"`  // working, or done
	Frames         int                 `json:"frames"` // of the video; 0 before it is known
	Analysed       int                 `json:"analysed"`
	ToAnalyse      int                 `json:"to_analyse"`
	Skipped        int                 `json:"skipped"`
	Discounted     int                 `json:"discounted"`
	DiscountedWhy  map[string]int      `json:"discounted_why"`
	Selected       string              `json:"selected"`
	Rule           string              `json:"rule"`
	Scores         map[string]float64  `json:"scores"`
	KeyFrames      []analysis.KeyFrame `json:"key_frames"`
	Length         float64             `json:"length_s"` // when the last frame begins, in seconds since the first; 0 before it is known
	Poor           []analysis.Stretch  `json:"poor"`     // where frames are discounted
	Weights        []analysis.Weight   `json:"weights"`  // of a model that looks across time: how much frames count
	Course         *analysis.Course    `json:"course"`   // null before it is known, and where no frame counts
	Timeline       *TimelineEdges      `json:"timeline"` // null before there is one
}

// TimelineEdges are where time begins and ends in the picture of a timeline, as parts of its width.
type TimelineEdges struct {
	Left  float64 `json:"left"`
	Right float64 `json:"right"`
}

// Page is the part of a list that is asked for.
type Page struct {
	Limit  int `json:"limit"`
	Offset int `json:"offset"`
}

// StudyTotals says how long the lists of a study are.
type StudyTotals struct {
	Instances  int `json:"instances"`
	Objects    int `json:"objects"`
	Deliveries int `json:"deliveries"`
	Timeline   int `json:"timeline"`
}

// Instance is a received SOP Instance and what the models saw in it.
type Instance struct {
	dicom.SOPInstance
	Entry              string               `json:"entry"` // name in the spool
	State              ledger.InstanceState `json:"state"`
	Reason             string               `json:"reason"`  // why it is not analysed, or failed
	Remarks            string               `json:"remarks"` // what is wrong with its data set, which is kept as it came
	Route              string               `json:"route"`
	Modality           string               `json:"modality"`
	StationName        string               `json:"station_name"`
	InstanceNumber     int                  `json:"instance_number"`
	NumberOfFrames     int                  `json:"number_of_frames"`
	TransferSyntaxUID  dicom.UID            `json:"transfer_syntax_uid"`
	TransferSyntaxName string               `json:"transfer_syntax_name"` // filled by this package when empty
	CallingAE          string               `json:"calling_ae"`
	CalledAE           string               `json:"called_ae"`
	ReceivedAt         time.Time            `json:"received_at"`
	Size               int64                `json:"size"`     // bytes of the data set
	Digest             string               `json:"digest"`   // SHA-256 of those bytes, hexadecimal
	Released           bool                 `json:"released"` // its bytes have left the spool: no frame can be shown
	Analyses           []Analysis           `json:"analyses"` // one per model
}

// Analysis is what one model made of one instance.
type Analysis struct {
	Job        string            `json:"job"`
	Model      string            `json:"model"`
	State      ledger.JobState   `json:"state"`
	Attempts   int               `json:"attempts"`
	InferredAt time.Time         `json:"inferred_at,omitzero"`
	Reason     string            `json:"reason"`    // why it is parked or skipped, or which frames of it were not analysed
	Retracted  string            `json:"retracted"` // why a person took its results back; empty: they stand
	MadeBy     analysis.Model    `json:"made_by"`   // the model as it was then; empty names before it has ended
	Frames     []FrameResult     `json:"frames"`
	Segments   []analysis.Result `json:"segments"` // about several frames at once
}

// Exam is what a report is about: the instances of a study on one route, seen by one model.
type Exam struct {
	ID         string           `json:"id"`
	Route      string           `json:"route"`
	Model      string           `json:"model"`
	State      ledger.ExamState `json:"state"`
	Reason     string           `json:"reason"`   // why it is parked
	Revision   int              `json:"revision"` // of the last report made; 0 before one
	OpenJobs   int              `json:"open_jobs"`
	LastAt     time.Time        `json:"last_at"` // last arrival
	ReportedAt time.Time        `json:"reported_at,omitzero"`
}

// FrameResult is what a model saw in one frame.
type FrameResult struct {
	Frame int `json:"frame"` // from 1
	analysis.Result
	Note string `json:"note"` // the notes as one text
}

// Add sorts results into frames and segments.
func (a *Analysis) Add(results []analysis.Result) {
	for _, r := range results {
		if frame := r.Span.Frame(); frame > 0 {
			a.Frames = append(a.Frames, FrameResult{Frame: frame, Result: r, Note: strings.Join(r.Notes, "; ")})
		} else {
			a.Segments = append(a.Segments, r)
		}
	}
}

// Object is a SOP Instance that was made here.
type Object struct {
	dicom.SOPInstance
	Entry    string        `json:"entry"`
	Purpose  string        `json:"purpose"` // heatmap, clip, sr or kos
	Model    string        `json:"model"`
	Source   dicom.UID     `json:"source"` // SOP Instance UID of the source; empty for exam-wide objects
	Frame    int           `json:"frame"`  // of the source, from 1; 0 for exam-wide objects
	Span     analysis.Span `json:"span"`   // of the source; of no frames for exam-wide objects
	Revision int           `json:"revision"`
	TwinOf   dicom.UID     `json:"twin_of"` // SOP Instance UID of the object that this stands in for at a peer that refuses its SOP class
	MadeAt   time.Time     `json:"made_at,omitzero"`
	Released bool          `json:"released"`
}

var deliveryStates = []ledger.DeliveryState{ledger.DeliveryPending, ledger.DeliverySent, ledger.DeliveryDone, ledger.DeliveryParked, ledger.DeliveryDiscarded}

// DeliveryFilter narrows a list of deliveries; a zero field does not.
type DeliveryFilter struct {
	Destination   string
	State         ledger.DeliveryState
	Limit, Offset int
	After         ledger.Cursor
}

// Delivery is one SOP Instance on its way to one destination.
type Delivery struct {
	dicom.SOPInstance
	ID          string               `json:"id"`
	Destination string               `json:"destination"`
	Purpose     string               `json:"purpose"` // source, heatmap, clip, sr or kos
	State       ledger.DeliveryState `json:"state"`
	Attempts    int                  `json:"attempts"`
	NextAt      time.Time            `json:"next_at,omitzero"`  // when it is tried again, while pending or sent
	EndedAt     time.Time            `json:"ended_at,omitzero"` // when it was done, parked or discarded
	Held        bool                 `json:"held"`              // its study waits at the gate: it is not due
	Alternate   bool                 `json:"alternate"`         // the peer took the object's twin
	Status      string               `json:"status"`            // the peer's last answer, as its protocol writes it: of DICOM four hexadecimal digits; empty before one
	Reason      string               `json:"reason"`            // why it is not done, with what the peer said
	Nameless    string               `json:"-"`                 // Reason without that, which may name a patient
}

// Event is a step in the life of a SOP Instance. Steps that repeat are one event.
type Event struct {
	At             time.Time `json:"at"`               // first time
	LastAt         time.Time `json:"last_at,omitzero"` // last time
	Count          int       `json:"count"`
	SOPInstanceUID dicom.UID `json:"sop_instance_uid"` // empty: the exam as a whole
	Step           string    `json:"step"`
	Destination    string    `json:"destination"`
	Status         string    `json:"status"`  // the peer's, four hexadecimal digits
	Detail         string    `json:"detail"`  // with what the peer said
	Nameless       string    `json:"-"`       // Detail without that
	Message        string    `json:"message"` // ID of the message of another protocol that it is about, in /api/v1/messages; empty for others
	By             string    `json:"by"`      // who did it, in words; empty before that was kept
	ByKind         string    `json:"by_kind"` // system, route, peer, person or token
}

// ParkedKind says what kind of work is parked.
type ParkedKind string

// The kinds of parked work.
const (
	ParkedJob      ParkedKind = "job"
	ParkedExam     ParkedKind = "exam" // its report; can be retried, not discarded
	ParkedDelivery ParkedKind = "delivery"
	ParkedInstance ParkedKind = "instance" // kept because nobody else has its bytes; can be discarded, not retried
	ParkedDraft    ParkedKind = "draft"    // of a study, that cannot be made; can be retried, not discarded
	ParkedGate     ParkedKind = "gate"     // results of a study, until they are released or the study is corrected
)

var parkedKinds = []ParkedKind{ParkedJob, ParkedExam, ParkedDelivery, ParkedInstance, ParkedDraft, ParkedGate}

// ParkedFilter narrows the list of parked work; a zero Kind does not.
type ParkedFilter struct {
	Kind ParkedKind
	Page
}

// Parked is work that waits for a person. ID is unique within its kind; the API's id is kind-ID.
type Parked struct {
	Kind             ParkedKind
	ID               string
	StudyInstanceUID dicom.UID
	SOPInstanceUID   dicom.UID // empty for an exam
	Purpose          string    // of a delivery
	Destination      string    // of a delivery
	Model            string    // of a job or an exam
	Attempts         int
	Status           string            // the peer's, four hexadecimal digits
	Reason           string            // with what the peer said
	Nameless         string            // of a delivery, Reason without that
	At               time.Time         // zero when unknown
	Conflict         bool              // its SOP Instance UID was taken by other bytes: to send it is a decision of its own
	Bulk             bool              // a retry of many may put it back
	Mismatches       []ledger.Mismatch // of held results

	PatientName, PatientID, AccessionNumber string // of its study
}

// Destination is a peer that results go to.
type Destination struct {
	Name      string                `json:"name"`
	Kind      string                `json:"kind"` // dicom, hl7, fhir
	AETitle   string                `json:"ae_title"`
	Address   string                `json:"address"`
	Counts    ledger.DeliveryCounts `json:"counts"`
	LastAt    time.Time             `json:"last_at,omitzero"`    // last delivery it confirmed
	LastError string                `json:"last_error"`          // why the next pending delivery waits; empty when it does not
	Up        bool                  `json:"up"`                  // false: what is for it waits
	Since     time.Time             `json:"since,omitzero"`      // of that, since the start
	NextAt    time.Time             `json:"next_at,omitzero"`    // when one that is not up is tried again
	Expires   time.Time             `json:"expires_at,omitzero"` // the certificate that is shown to it
	Retriable int                   `json:"retriable_count"`     // parked deliveries that RetryParked puts back
}

// EchoResult is a peer's answer to C-ECHO, or to what its protocol has for that.
type EchoResult struct {
	OK           bool          `json:"ok"`
	Status       string        `json:"status"` // as the peer's protocol writes it: of DICOM four hexadecimal digits; empty without an answer
	Reason       string        `json:"reason"` // why it is not OK, and what to do
	Took         time.Duration `json:"-"`
	Milliseconds float64       `json:"milliseconds"` // filled by this package from Took
}

// RetryResult says how many deliveries were put back in their queue.
type RetryResult struct {
	Retried int `json:"retried"`
}

// Model is a loaded model bundle.
type Model struct {
	Name         string           `json:"name"`
	Version      string           `json:"version"`
	Kind         string           `json:"kind"`
	Manufacturer string           `json:"manufacturer"`
	IntendedUse  string           `json:"intended_use"`
	Digest       string           `json:"digest"` // SHA-256 of the network, hexadecimal
	Rows         int              `json:"rows"`
	Columns      int              `json:"columns"`
	Method       string           `json:"method"` // of explanation; none where there is none
	Layer        string           `json:"layer"`
	Fallback     string           `json:"fallback"` // why they are not those that were asked for; empty: they are
	Served       bool             `json:"served"`   // a worker has it; jobs for a model that nobody has wait
	Loaded       int              `json:"loaded"`   // networks in memory for questions about it, besides that which classifies
	Classes      []analysis.Class `json:"classes"`
	Chosen       *ModelChoice     `json:"chosen,omitempty"` // none: it is the configured one
}

// Palette is how maps are drawn over frames.
type Palette struct {
	Colours []string            `json:"colours"` // from no weight to the most, as #rrggbb
	Opacity float64             `json:"opacity"` // of the pictures that leave, 0..1
	Named   map[string][]string `json:"named"`   // colour maps that can be chosen, by name
}

// Gauges are the numbers that say how much is waiting and how much room is left.
type Gauges struct {
	QueueLag         int            `json:"queue_lag"`          // jobs on the stream that no worker has taken
	OldestJobSeconds float64        `json:"oldest_job_seconds"` // age of the oldest open job, 0 without one
	OpenJobs         int            `json:"open_jobs"`          // in the ledger
	LedgerSound      bool           `json:"ledger_sound"`       // false: nothing is taken over, readyz says why
	SpoolLag         int            `json:"spool_lag"`          // spool entries that the ledger has not taken yet
	PendingByPeer    map[string]int `json:"pending_by_destination"`
	ParkedJobs       int            `json:"parked_jobs"`
	ParkedExams      int            `json:"parked_exams"`
	ParkedDeliveries int            `json:"parked_deliveries"`
	HeldStudies      int            `json:"held_studies"`         // whose results wait at the gate
	Mismatches       int            `json:"mismatches"`           // studies whose images, order and patient do not agree
	HeldInstances    int            `json:"held_instances"`       // kept until they are analysed or discarded
	Unanalysed       int            `json:"unanalysed_instances"` // that no model has seen
	RefusedEntries   int            `json:"refused_entries"`      // in the spool, and the ledger cannot take them in
	SpoolEntries     int            `json:"spool_entries"`
	SpoolBytes       int64          `json:"spool_bytes"`      // of the data sets and messages in it
	SpoolDisk        int64          `json:"spool_disk_bytes"` // that its files take
	DiskFree         int64          `json:"disk_free_bytes"`
	InodesFree       int64          `json:"inodes_free"`        // 0 where the file system does not count them
	DiskReserve      int64          `json:"disk_reserve_bytes"` // below it nothing is accepted
	TurnedAway       []TurnedAway   `json:"turned_away"`        // who called and is no peer, the last first

	Sessions SessionGauges `json:"-"` // on /metrics alone
	Ages     Ages          `json:"-"`
}

// Ages are for how many seconds the oldest of what is to be done has waited, 0 where nothing waits, and how the clock fares.
type Ages struct {
	Jobs          map[string]float64 // by model
	OpenJobs      map[string]int     // by model
	Destinations  []DestinationAge
	Exam, Held    float64 // without a report; until a person decides
	ClockSteps    int64   // since the start
	ClockUnproven float64 // how far the clock is ahead of what is proven
	ParkedDrafts  int
}

// DestinationAge is how a destination fares.
type DestinationAge struct {
	Name, Kind string
	Up         bool
	Oldest     float64
}

// SessionGauges are the numbers of the explanation sessions that all models share.
type SessionGauges struct {
	Loaded                 int
	Bytes                  int64
	Loads, Hits, Evictions uint64 // since the start
}

// Version names the build and the node.
type Version struct {
	Version string    `json:"version"`
	Commit  string    `json:"commit"`
	Go      string    `json:"go"`
	AETitle string    `json:"ae_title"`
	Started time.Time `json:"started"`
}
