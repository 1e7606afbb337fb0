package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/audit"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// Operations is what who keeps the gateway running asks of it.
type Operations interface {
	// Accepts asks a destination which instances it takes. ErrNotFound for an unknown name, ErrUnsupported for one that is none of
	// DICOM; a peer that does not answer is a matrix with OK false.
	Accepts(ctx context.Context, destination string) (Matrix, error)
	// TryRoute says what would become of a DICOM file that calling sends; without calling, whom the file names as its source. Nothing
	// is stored or sent. ErrUnsupported of what is no DICOM file.
	TryRoute(ctx context.Context, file []byte, calling dicom.AETitle) (RouteTrial, error)
	// Dashboard counts what went through lately, and says how old the oldest is of what waits.
	Dashboard(ctx context.Context) (Dashboard, error)
	// Workers are those that answer within a second, here and on other machines.
	Workers(ctx context.Context) ([]Worker, error)
	// Associations are those that peers asked for lately, the last first; AssociationLog is one of them, with the steps behind a number,
	// or ErrNotFound.
	Associations() []Association
	AssociationLog(id uint64, after int) (AssociationLog, error)
	// AuditTrail is audit.Search of the gateway's.
	AuditTrail(f audit.Filter, behind int64, limit int) ([]audit.Entry, int64, error)
	// Configuration is what is in force, and how the file and the environment differ from it now.
	Configuration() Configuration
	// Reload has file and environment read again, checked as at a start with all that they name, and put in force, but for what needs a
	// restart; by is who asks. ErrRefused says why nothing has changed. PreviewReload says what would change, and loads nothing.
	Reload(ctx context.Context, by string) (Reload, error)
	PreviewReload(ctx context.Context) (Reload, error)
	// Loaded is how many networks are in memory for questions about a model; Warm loads those of its usual question. ErrNotFound for an
	// unknown name, ErrUnsupported for a model that is asked about no single frame.
	Loaded(model string) int
	Warm(ctx context.Context, model string) (Warmed, error)
	// Versions are those of a model whose bundles are there, the one in force first. ErrNotFound for an unknown name.
	Versions(ctx context.Context, model string) ([]ModelVersion, error)
	// PutInForce has a version loaded, tried as at a start, and take the place of the one in force; the configured one: all is as configured again.
	// The digest may be empty where one bundle alone has that version. by is who asks. ErrRefused says why nothing has changed.
	PutInForce(ctx context.Context, model, version, digest, by string) (ModelVersion, error)
	// Compare puts the last frames that are still here, so many at most, to two models, each question when turn returns, and calls what that
	// returned when it is answered. progress is called as it gets on. Errors as Warm.
	Compare(ctx context.Context, a, b string, frames int, turn func(context.Context) (done func(), err error), progress func(done, of int)) (Comparison, error)
}

// Dashboard is the gateway at a glance; queues, disk, destinations and models have answers of their own.
type Dashboard struct {
	At                time.Time          `json:"at"`
	Hour              ledger.Flow        `json:"hour"`                    // the last hour,
	Day               ledger.Flow        `json:"day"`                     // and the last 24
	OldestJobs        map[string]float64 `json:"oldest_job_seconds"`      // by model: for how long the oldest waits, 0 where none does
	OpenJobs          map[string]int     `json:"open_jobs"`               // by model
	OldestDeliveries  map[string]float64 `json:"oldest_delivery_seconds"` // by destination
	OldestExamSeconds float64            `json:"oldest_exam_seconds"`     // of an image or result that is in no report
	OldestHeldSeconds float64            `json:"oldest_held_seconds"`     // of results that wait until a person decides
	Certificates      []Certificate      `json:"certificates"`            // of ours
}

// Certificate is one of the gateway's.
type Certificate struct {
	Name      string    `json:"name"` // section of the configuration
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Reason    string    `json:"reason"` // why it cannot be read
}

// Worker is a process that analyses.
type Worker struct {
	Machine string   `json:"machine"`
	Slots   int      `json:"slots"` // jobs at once
	Models  []string `json:"models"`
}

// Association is what a peer asked for. It says nothing of patients.
type Association struct {
	ID        uint64        `json:"id"`
	CallingAE dicom.AETitle `json:"calling_ae"` // as the peer says
	CalledAE  dicom.AETitle `json:"called_ae"`
	Remote    string        `json:"remote"`
	TLS       bool          `json:"tls"`
	BeganAt   time.Time     `json:"began_at"`
	EndedAt   time.Time     `json:"ended_at,omitzero"`
	Ended     string        `json:"ended"` // how: released, rejected, peer, lost, protocol, refused, timeout, shutdown; empty while it stands
	Reason    string        `json:"reason"`
	Accepted  int           `json:"accepted"` // presentation contexts
	Refused   int           `json:"refused"`
	Requests  int           `json:"requests"` // that were answered,
	Failed    int           `json:"failed"`   // of them with neither success nor warning
	Bytes     int64         `json:"bytes"`    // of data sets
}

// AssociationLog is an association with what was negotiated and done.
type AssociationLog struct {
	Association
	Contexts []NegotiatedContext `json:"contexts"`
	Steps    []AssociationStep   `json:"steps"` // the last few hundred
}

// NegotiatedContext is a presentation context as it was answered.
type NegotiatedContext struct {
	ID                int       `json:"id"`
	SOPClassUID       dicom.UID `json:"sop_class_uid"`
	SOPClass          string    `json:"sop_class"`
	TransferSyntaxUID dicom.UID `json:"transfer_syntax_uid"` // that was agreed on; empty of a context that was refused
	TransferSyntax    string    `json:"transfer_syntax"`
	Result            string    `json:"result"` // as PS3.8 table 9-18 words it
}

// AssociationStep is a request that was answered.
type AssociationStep struct {
	Number         int       `json:"number"` // from 1
	At             time.Time `json:"at"`
	Command        string    `json:"command"`
	SOPClassUID    dicom.UID `json:"sop_class_uid"`
	SOPClass       string    `json:"sop_class"`
	SOPInstanceUID dicom.UID `json:"sop_instance_uid"`
	TransferSyntax string    `json:"transfer_syntax"`
	Status         string    `json:"status"` // four hexadecimal digits
	Bytes          int64     `json:"bytes"`
	Milliseconds   float64   `json:"milliseconds"`
}

// Configuration is what is in force.
type Configuration struct {
	File     string       `json:"file"`   // empty: none
	SHA256   string       `json:"sha256"` // of what is in force
	Settings []Setting    `json:"settings"`
	Changed  []Change     `json:"changed"`               // as they are by now in file and environment
	Faults   []string     `json:"faults"`                // for which that would not be taken over
	Reloaded *ReloadState `json:"last_reload,omitempty"` // none since the start
}

// ReloadState is what the last reload came to.
type ReloadState struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	OK     bool      `json:"ok"`
	Reason string    `json:"reason"` // why nothing has changed
}

// Reload is what a reload changes.
type Reload struct {
	Applied []Change `json:"applied"` // at once
	Restart []Change `json:"restart"` // from the next start on
}

// Change is a key whose value differs from that in force.
type Change struct {
	Setting
	Was     string `json:"was"`
	Restart string `json:"restart"` // why it counts from the next start on; empty: it counts from a reload on
}

// Setting is a key of the configuration. Nothing secret is in it.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`  // as the file writes it, lists as JSON
	Source string `json:"source"` // default, file, environment, person
	Where  string `json:"where"`  // the line, the variable, or who has put what in the place of what
}

// Warmed says what was loaded.
type Warmed struct {
	Model        string  `json:"model"`
	Loaded       int     `json:"loaded"` // networks in memory for questions about it
	Milliseconds float64 `json:"milliseconds"`
}

// ModelVersion is a version of a model, whose bundle is there.
type ModelVersion struct {
	Version    string    `json:"version"`
	Digest     string    `json:"digest"` // SHA-256 of the network
	Folder     string    `json:"folder"`
	InForce    bool      `json:"in_force"`
	Configured bool      `json:"configured"`     // the configuration names its folder
	Since      time.Time `json:"since,omitzero"` // it came in force last; none: it never was
	By         string    `json:"by"`             // whom it came in force by
	Reason     string    `json:"reason"`         // why it cannot be put in force
}

// ModelChoice says that a person has put a version in the place of the configured one.
type ModelChoice struct {
	Over string    `json:"over"` // the configured version
	At   time.Time `json:"at"`
	By   string    `json:"by"`
}

// Comparison is how two models see the same frames.
type Comparison struct {
	A           string            `json:"a"`
	B           string            `json:"b"`
	Frames      int               `json:"frames"`      // that both have seen
	Skipped     int               `json:"skipped"`     // that one could not see
	Classes     []ClassComparison `json:"classes"`     // of either
	Differences []Difference      `json:"differences"` // the first fifty
}

// ClassComparison counts the frames on which a class is at or above its threshold.
type ClassComparison struct {
	Class   string `json:"class"`
	Both    int    `json:"both"`
	OnlyA   int    `json:"only_a"`
	OnlyB   int    `json:"only_b"`
	Neither int    `json:"neither"`
}

// Difference is a frame that two models see differently.
type Difference struct {
	StudyInstanceUID dicom.UID          `json:"study_instance_uid"`
	SOPInstanceUID   dicom.UID          `json:"sop_instance_uid"`
	Frame            int                `json:"frame"`
	A                map[string]float64 `json:"a"` // probabilities of the classes in which they differ
	B                map[string]float64 `json:"b"`
}

// Matrix is what a peer accepts, by SOP class and transfer syntax, as it answered an association that proposed them.
type Matrix struct {
	OK           bool          `json:"ok"`           // it has answered
	Reason       string        `json:"reason"`       // why it has not
	Milliseconds float64       `json:"milliseconds"` // that all associations took
	Classes      []MatrixClass `json:"classes"`
}

// MatrixClass is a row of it.
type MatrixClass struct {
	SOPClassUID dicom.UID      `json:"sop_class_uid"`
	Name        string         `json:"name"`
	MadeHere    bool           `json:"made_here"` // else it is taken in, and sent on where a route forwards
	Syntaxes    []MatrixSyntax `json:"syntaxes"`  // that were proposed
}

// MatrixSyntax is a cell of it.
type MatrixSyntax struct {
	TransferSyntaxUID dicom.UID `json:"transfer_syntax_uid"`
	Name              string    `json:"name"`
	Accepted          bool      `json:"accepted"`
	Result            string    `json:"result"` // as PS3.8 table 9-18 words it
}

// RouteTrial says what would become of a DICOM file that is sent. It says nothing of its patient.
type RouteTrial struct {
	SOPClassUID       dicom.UID     `json:"sop_class_uid"`
	SOPClass          string        `json:"sop_class"`
	TransferSyntaxUID dicom.UID     `json:"transfer_syntax_uid"`
	TransferSyntax    string        `json:"transfer_syntax"`
	Frames            int           `json:"frames"`
	CallingAE         dicom.AETitle `json:"calling_ae"`
	Refusals          []string      `json:"refusals"` // why it would not be taken, and how to mend that; none: it would be answered with 0000
	Remarks           string        `json:"remarks"`  // what is wrong with it although it would be kept as it is
	Route             string        `json:"route"`    // that it takes: the first that matches; empty: none, it would be kept and not analysed
	Gate              string        `json:"gate"`     // of the route, where images, order and patient do not agree: off, warn or hold
	Routes            []RouteMatch  `json:"routes"`   // all, as configured
	Models            []ModelTrial  `json:"models"`   // of the route
	Destinations      []Delivered   `json:"destinations"`
}

// RouteMatch says whether a route matches.
type RouteMatch struct {
	Name    string      `json:"name"`
	Matches bool        `json:"matches"`
	Unmet   []Condition `json:"unmet"` // conditions that do not hold
}

// Condition is one of a route: its key in the configuration, what it wants and what the instance has.
type Condition struct {
	Key   string   `json:"key"`
	Wants []string `json:"wants"`
	Has   string   `json:"has"`
}

// ModelTrial says whether a model would analyse it.
type ModelTrial struct {
	Name     string `json:"name"`
	Analyses bool   `json:"analyses"`
	Why      string `json:"why"` // not
}

// Delivered says what a destination would get.
type Delivered struct {
	Name string   `json:"name"`
	Kind string   `json:"kind"`
	Gets []string `json:"gets"` // source, heatmap, sr, kos, pdf, report
}

func (s *Server) accepts(c echo.Context) error {
	matrix, err := s.Operations.Accepts(c.Request().Context(), param(c, "name"))
	if err != nil {
		return faultOf("the destination was not asked", err)
	}
	matrix.Classes = list(matrix.Classes)
	return c.JSON(http.StatusOK, matrix)
}

// tryRoute says what would become of the file in the body.
func (s *Server) tryRoute(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	calling := dicom.AETitle(q.text("calling_ae"))
	if err := q.done(); err != nil {
		return err
	}
	if calling != "" && !calling.Valid() {
		return badRequest(`parameter "calling_ae": `+dicom.AETitleRule, "correct the parameter")
	}
	return s.trying(c, func(ctx context.Context, file []byte) error {
		trial, err := s.Operations.TryRoute(ctx, file, calling)
		if err != nil {
			return faultOf("the file was not tried", err)
		}
		trial.Refusals, trial.Routes, trial.Models, trial.Destinations = list(trial.Refusals), list(trial.Routes), list(trial.Models), list(trial.Destinations)
		for i := range trial.Routes {
			trial.Routes[i].Unmet = list(trial.Routes[i].Unmet)
		}
		return c.JSON(http.StatusOK, trial)
	})
}

func (s *Server) dashboard(c echo.Context) error {
	d, err := s.Operations.Dashboard(c.Request().Context())
	if err != nil {
		return faultOf("the state was not read", err)
	}
	d.Certificates = list(d.Certificates)
	return c.JSON(http.StatusOK, d)
}

func (s *Server) workers(c echo.Context) error {
	all, err := s.Operations.Workers(c.Request().Context())
	if err != nil {
		return faultOf("the workers were not asked", err)
	}
	return c.JSON(http.StatusOK, map[string][]Worker{"workers": list(all)})
}

func (s *Server) associations(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string][]Association{"associations": list(s.Operations.Associations())})
}

// association is one, with the steps behind a number, so that who looks on asks for what is new.
func (s *Server) association(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	behind := q.number("behind", 0, 0, maxOffset)
	if err := q.done(); err != nil {
		return err
	}
	id, err := strconv.ParseUint(param(c, "id"), 10, 64)
	if err != nil {
		return badRequest("the association is not named by a number", "use an id from /api/v1/associations")
	}
	log, err := s.Operations.AssociationLog(id, behind)
	if err != nil {
		return faultOf("the association was not read", err)
	}
	return c.JSON(http.StatusOK, log)
}

func (s *Server) configuration(c echo.Context) error {
	conf := s.Operations.Configuration()
	conf.Settings, conf.Changed, conf.Faults = list(conf.Settings), list(conf.Changed), list(conf.Faults)
	return c.JSON(http.StatusOK, conf)
}

// reload has the configuration read again, as a task; as a dry run it says what would change.
func (s *Server) reload(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	dry := oneOf(q, "dry_run", []string{"true", "false"}) == "true"
	if err := q.done(); err != nil {
		return err
	}
	if dry {
		r, err := s.Operations.PreviewReload(c.Request().Context())
		if err != nil {
			return faultOf("the configuration would not be taken over", err)
		}
		return c.JSON(http.StatusOK, r)
	}
	by := cmp.Or(s.who(c).Name, "not known")
	task, err := s.tasks.begin(c.Request().Context(), "reload", "", func(ctx context.Context, _ func(done, of int)) (any, error) {
		return s.Operations.Reload(ctx, by)
	})
	return answerTask(c, task, err)
}

func (s *Server) warm(c echo.Context) error {
	release, err := s.slot(c.Request().Context())
	if err != nil {
		return faultOf("the model was not loaded", err)
	}
	defer release()
	warmed, err := s.Operations.Warm(c.Request().Context(), param(c, "name"))
	if err != nil {
		return faultOf("the model was not loaded", err)
	}
	return c.JSON(http.StatusOK, warmed)
}

func (s *Server) versions(c echo.Context) error {
	release, err := s.slot(c.Request().Context()) // all networks are read, for their digests
	if err != nil {
		return faultOf("the versions were not read", err)
	}
	defer release()
	all, err := s.Operations.Versions(c.Request().Context(), param(c, "name"))
	if err != nil {
		return faultOf("the versions were not read", err)
	}
	return c.JSON(http.StatusOK, map[string][]ModelVersion{"versions": list(all)})
}

// rollback has another version of a model put in force, as a task.
func (s *Server) rollback(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	model, version, digest := param(c, "name"), q.text("version"), q.text("digest")
	if version == "" {
		q.fail("version", "not given")
	}
	if err := q.done(); err != nil {
		return err
	}
	if !slices.ContainsFunc(s.Settings().Models, func(m Model) bool { return m.Name == model }) {
		return faultOf("nothing was put in force", fmt.Errorf("%w: there is no model %q; use a name from /api/v1/models", ErrNotFound, model))
	}
	by := cmp.Or(s.who(c).Name, "not known")
	task, err := s.tasks.begin(c.Request().Context(), "rollback", model+" "+version, func(ctx context.Context, _ func(done, of int)) (any, error) {
		return s.Operations.PutInForce(ctx, model, version, digest, by)
	})
	return answerTask(c, task, err)
}

// compare begins to put past frames to two models; it goes on as a task.
func (s *Server) compare(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	a, b := q.textOf("a", maxName), q.textOf("b", maxName)
	frames := q.number("frames", defaultCompared, 1, maxCompared)
	if err := q.done(); err != nil {
		return err
	}
	for _, name := range []string{a, b} {
		if !slices.ContainsFunc(s.Settings().Models, func(m Model) bool { return m.Name == name }) {
			return faultOf("the models were not compared", fmt.Errorf("%w: there is no model %q; use two names from /api/v1/models", ErrNotFound, name))
		}
	}
	if a == b {
		return badRequest("a model was to be compared with itself", "give two: another version is a bundle with another name")
	}
	task, err := s.tasks.begin(c.Request().Context(), "compare", a+", "+b, func(ctx context.Context, progress func(done, of int)) (any, error) {
		return s.Operations.Compare(ctx, a, b, frames, s.slot, progress)
	})
	return answerTask(c, task, err)
}

// How many frames two models are compared on.
const (
	defaultCompared = 100
	maxCompared     = 5000
)
