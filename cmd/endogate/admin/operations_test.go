package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/audit"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// Accepts implements Operations: an archive that takes heatmaps and no structured reports of the newer class.
func (h *hospital) Accepts(_ context.Context, name string) (Matrix, error) {
	switch name {
	case "pacs":
		return Matrix{OK: true, Milliseconds: 12.5, Classes: []MatrixClass{
			{SOPClassUID: dicom.SecondaryCaptureImageStorage, Name: "Secondary Capture Image Storage", MadeHere: true, Syntaxes: []MatrixSyntax{
				{dicom.ExplicitVRLittleEndian, "Explicit VR Little Endian", true, "accepted"}, {dicom.JPEGBaseline8Bit, "JPEG Baseline (Process 1)", true, "accepted"},
			}},
			{SOPClassUID: dicom.Comprehensive3DSRStorage, Name: "Comprehensive 3D SR Storage", MadeHere: true, Syntaxes: []MatrixSyntax{
				{dicom.ExplicitVRLittleEndian, "Explicit VR Little Endian", false, "abstract syntax not supported"},
			}},
			{SOPClassUID: dicom.VLEndoscopicImageStorage, Name: "VL Endoscopic Image Storage", Syntaxes: []MatrixSyntax{
				{dicom.ExplicitVRLittleEndian, "Explicit VR Little Endian", true, "accepted"}, {dicom.JPEGBaseline8Bit, "JPEG Baseline (Process 1)", false, "transfer syntaxes not supported"},
			}},
		}}, h.err
	case "his":
		return Matrix{Reason: "10.20.0.40:11112: connection refused: is the archive running?"}, h.err
	}
	return Matrix{}, fmt.Errorf("destination: %w", ErrNotFound)
}

// TryRoute implements Operations: the second of two routes takes it.
func (h *hospital) TryRoute(_ context.Context, file []byte, calling dicom.AETitle) (RouteTrial, error) {
	if string(file) == "tea" {
		return RouteTrial{}, fmt.Errorf("%w: dicom: no file meta information (PS3.10 7.1); give a DICOM file (PS3.10)", ErrUnsupported)
	}
	return RouteTrial{
		SOPClassUID: dicom.VLEndoscopicImageStorage, SOPClass: "VL Endoscopic Image Storage", TransferSyntaxUID: dicom.JPEGBaseline8Bit, TransferSyntax: "JPEG Baseline (Process 1)",
		Frames: 1, CallingAE: calling, Refusals: []string{`calling AE title "TROLLEY9" is none of dicom.peers: the association would be rejected; list it there with its address`},
		Route: "endoscopy", Gate: "warn",
		Routes:       []RouteMatch{{Name: "bronchoscopy", Unmet: []Condition{{Key: "station_name", Wants: []string{"BRONCHO1", evil}, Has: "ROOM2"}}}, {Name: "endoscopy", Matches: true}},
		Models:       []ModelTrial{{Name: "demo-colon", Analyses: true}, {Name: "old", Why: "pixeldata: no decoder"}},
		Destinations: []Delivered{{"pacs", "dicom", []string{"source", "heatmap", "sr", "kos"}}, {"his", "hl7", []string{"report"}}},
	}, h.err
}

// finds says whether a study is one that a search is for.
func (h *hospital) finds(f StudyFilter, s Study) bool {
	return f.Search == "" || f.Search == string(s.StudyInstanceUID) || f.Search == s.AccessionNumber ||
		slices.ContainsFunc(s.Instances, func(i Instance) bool { return string(i.SOPInstanceUID) == f.Search }) ||
		f.Patients && (f.Search == s.PatientID || strings.HasPrefix(strings.ToLower(s.PatientName), strings.ToLower(f.Search)))
}

// Dashboard implements Operations.
func (h *hospital) Dashboard(context.Context) (Dashboard, error) {
	return Dashboard{
		At: sampleTime, Hour: ledger.Flow{Received: 84, Analysed: 80, Delivered: 171}, Day: ledger.Flow{Received: 1412, Analysed: 1409, Delivered: 3005},
		OldestJobs: map[string]float64{"demo-colon": 12}, OpenJobs: map[string]int{"demo-colon": 4}, OldestDeliveries: map[string]float64{"pacs": 0, "his": 7260},
		OldestExamSeconds: 45, OldestHeldSeconds: 0,
		Certificates: []Certificate{{Name: "http.tls", ExpiresAt: sampleTime.AddDate(0, 0, 9)}, {Name: "destination his", Reason: "certificate and key: permission denied"}},
	}, h.err
}

// Workers implements Operations.
func (h *hospital) Workers(context.Context) ([]Worker, error) {
	return []Worker{{Machine: "endo-gw", Slots: 2, Models: []string{"demo-colon 1.0.0"}}, {Machine: "gpu-1", Slots: 4, Models: []string{"demo-colon 1.0.0"}}}, h.err
}

// sampleAssociations are a room that sends, and a trolley that nobody knows.
var sampleAssociations = []Association{
	{ID: 8, CallingAE: "TROLLEY9", CalledAE: "ENDOGATE", Remote: "10.20.0.9:51000", BeganAt: sampleTime, EndedAt: sampleTime, Ended: "rejected", Reason: "calling AE title not recognised"},
	{ID: 7, CallingAE: "SCOPE1", CalledAE: "ENDOGATE", Remote: "10.20.0.11:50412", TLS: true, BeganAt: sampleTime, Accepted: 2, Refused: 1, Requests: 2, Failed: 1, Bytes: 84231},
}

// Associations implements Operations.
func (h *hospital) Associations() []Association { return sampleAssociations }

// AssociationLog implements Operations.
func (h *hospital) AssociationLog(id uint64, after int) (AssociationLog, error) {
	if id != 7 {
		return AssociationLog{}, ErrNotFound
	}
	step := AssociationStep{
		Number: 1, At: sampleTime, Command: "C-STORE-RQ", SOPClassUID: dicom.VLEndoscopicImageStorage, SOPClass: "VL Endoscopic Image Storage", SOPInstanceUID: "2.25.1001.1",
		TransferSyntax: "JPEG Baseline (Process 1)", Status: "0000", Bytes: 84231, Milliseconds: 3.5,
	}
	refused := step
	refused.Number, refused.Status, refused.Bytes = 2, "C000", 0
	return AssociationLog{
		Association: sampleAssociations[1], Steps: []AssociationStep{step, refused}[min(after, 2):],
		Contexts: []NegotiatedContext{
			{1, dicom.VLEndoscopicImageStorage, "VL Endoscopic Image Storage", dicom.JPEGBaseline8Bit, "JPEG Baseline (Process 1)", "accepted"},
			{3, dicom.Verification, "Verification SOP Class", dicom.ImplicitVRLittleEndian, "Implicit VR Little Endian", "accepted"},
			{5, "1.2.840.10008.5.1.4.1.1.2", "CT Image Storage", "", "", "abstract syntax not supported"},
		},
	}, nil
}

// AuditTrail implements Operations: two entries, of which a search for nobody's finds none.
func (h *hospital) AuditTrail(f audit.Filter, behind int64, limit int) ([]audit.Entry, int64, error) {
	all := []audit.Entry{
		{Sequence: 2, At: sampleTime, Event: "Security Alert", Action: audit.Update, Outcome: audit.Minor, Why: "answered with 409", Who: []string{"anna 10.20.0.5"}, About: []string{"URI /api/v1/users/:name " + evil}},
		{Sequence: 1, At: sampleTime, Event: "User Authentication", Type: "Login", Action: audit.Execute, Outcome: audit.Success, Who: []string{"anna 10.20.0.5"}, About: []string{}},
	}
	if f.Patients {
		all[0].About = append(all[0].About, "Patient Number 7405121234")
	}
	switch {
	case f.Text == "nobody":
		return nil, 0, h.err
	case behind > 0:
		return all[1:], 0, h.err
	}
	return all[:1], 4711, h.err
}

// sampleReload is of a file in which a wait was changed, and a port.
var sampleReload = Reload{
	Applied: []Change{{Setting: Setting{"exam.quiet", "90s", "file", "line 41"}, Was: "60s"}},
	Restart: []Change{{Setting: Setting{"dicom.listen", ":104", "file", "line 8"}, Was: ":11112", Restart: "the listener is opened at the start"}},
}

// Reload implements Operations.
func (h *hospital) Reload(context.Context, string) (Reload, error) {
	h.reloads.Add(1)
	return sampleReload, h.err
}

// PreviewReload implements Operations. What was reloaded once is a file with a fault.
func (h *hospital) PreviewReload(context.Context) (Reload, error) {
	if h.reloads.Load() > 0 {
		return sampleReload, fmt.Errorf("%w: configs: /etc/endogate/endogate.yaml: line 44: exam.quite: unknown key", ErrRefused)
	}
	return sampleReload, h.err
}

// Configuration implements Operations.
func (h *hospital) Configuration() Configuration {
	return Configuration{
		File: "/etc/endogate/endogate.yaml", SHA256: strings.Repeat("0123456789abcdef", 4),
		Settings: []Setting{
			{"dicom.ae_title", "ENDOGATE", "default", ""},
			{"dicom.peers", `[{"ae_title":"SCOPE1","hosts":["10.20.0.0/16"]}]`, "file", "line 12"},
			{"log.level", "debug", "environment", "ENDOGATE_LOG_LEVEL"},
			{"nats.url", "tls://***@nats.hospital:4222", "file", "line 20"},
		},
		Changed:  append(sampleReload.Applied, sampleReload.Restart...),
		Reloaded: &ReloadState{At: sampleTime, By: "anna", Reason: "refused: nothing has changed: configs: /etc/endogate/endogate.yaml: line 44: exam.quite: unknown key; exam.quiet is the nearest name"},
		Faults:   []string{"configs: /etc/endogate/endogate.yaml: line 44: exam.quite: unknown key; exam.quiet is the nearest name"},
	}
}

// Loaded implements Operations.
func (h *hospital) Loaded(string) int { return 1 }

// Warm implements Operations.
func (h *hospital) Warm(_ context.Context, model string) (Warmed, error) {
	if model == "none" {
		return Warmed{}, ErrNotFound
	}
	return Warmed{Model: model, Loaded: 2, Milliseconds: 412}, h.err
}

// sampleVersions are those of the model of the hospital: as configured, one that was in force before, one that is damaged.
func (h *hospital) sampleVersions() []ModelVersion {
	all := []ModelVersion{
		{Version: "1.0.0", Digest: sampleModel.Digest, Folder: "/opt/models/demo", Configured: true, Since: sampleTime, By: "system configuration"},
		{Version: "0.9.0", Digest: strings.Repeat("9", 64), Folder: "/opt/models/demo-0.9", Since: sampleTime.Add(-24 * time.Hour), By: "system configuration"},
		{Version: "0.8.0" + evil, Digest: strings.Repeat("8", 64), Folder: "/opt/models/demo-0.8", Reason: "the network's digest is not the one that the manifest states"},
	}
	for i := range all {
		if all[i].InForce = all[i].Version == cmp.Or(h.version, "1.0.0"); all[i].InForce && h.version != "" {
			all[i].Since, all[i].By = sampleTime.Add(time.Hour), "person anna"
		}
	}
	return all
}

// Versions implements Operations.
func (h *hospital) Versions(_ context.Context, model string) ([]ModelVersion, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if model == "none" {
		return nil, ErrNotFound
	}
	return h.sampleVersions(), h.err
}

// PutInForce implements Operations.
func (h *hospital) PutInForce(_ context.Context, _, version, digest, by string) (ModelVersion, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acted = append(h.acted, fmt.Sprintf("version %s (%.1s) by %s", version, digest, by))
	if h.err != nil {
		return ModelVersion{}, h.err
	}
	h.version = version
	return h.sampleVersions()[slices.IndexFunc(h.sampleVersions(), func(v ModelVersion) bool { return v.Version == version })], nil
}

// Compare implements Operations: as many frames as are asked for, of the most until it is ended; 4999 are a fault.
func (h *hospital) Compare(ctx context.Context, a, b string, frames int, turn func(context.Context) (func(), error), progress func(done, of int)) (Comparison, error) {
	if frames == 4999 {
		panic("a picture of Jane Doe")
	}
	c := Comparison{A: a, B: b, Classes: []ClassComparison{{Class: "polyp", Both: 3, OnlyA: 1, OnlyB: 2, Neither: 4}}, Differences: []Difference{
		{StudyInstanceUID: "2.25.1001", SOPInstanceUID: "2.25.1001.1", Frame: 1, A: map[string]float64{"polyp": 0.7}, B: map[string]float64{"polyp": 0.2}},
	}}
	for c.Frames < frames || frames == maxCompared {
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-time.After(time.Millisecond):
		}
		done, err := turn(ctx)
		if err != nil {
			return c, err
		}
		done()
		c.Frames++
		progress(c.Frames, frames)
	}
	return c, h.err
}

// sampleSuccessor is another version of the model of the hospital.
func sampleSuccessor() Model {
	m := sampleModel
	m.Name, m.Version = "demo-colon-2", "2.0.0"
	return m
}

// await asks for a task until it has ended.
func await(t *testing.T, s http.Handler, id string) (task Task) {
	t.Helper()
	require.Eventually(t, func() bool {
		get(t, s, "/api/v1/tasks/"+id, &task)
		return task.State != TaskRunning
	}, time.Minute, 5*time.Millisecond)
	return task
}

// A comparison takes its turn among the questions that somebody asks, and waits where as many are being answered as may.
func TestTasks_turns(t *testing.T) {
	server := newServer(t, newHospital(t))
	server.Settings = func() Settings { return Settings{Models: []Model{sampleModel, sampleSuccessor()}} }
	s := server.Handler()
	var release []func()
	for range maxAsked {
		done, err := server.slot(t.Context())
		require.NoError(t, err)
		release = append(release, done)
	}
	w := ask(s, http.MethodPost, "/api/v1/compare?a=demo-colon&b=demo-colon-2&frames=3", ActionHeader, "1")
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	var task Task
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &task))
	time.Sleep(20 * time.Millisecond) // longer than three frames take
	get(t, s, "/api/v1/tasks/"+task.ID, &task)
	require.Equal(t, TaskRunning, task.State)
	require.Zero(t, task.Done)
	release[0]()
	require.Equal(t, TaskDone, await(t, s, task.ID).State)
	release[1]()
}

// Long work says how far it is, can be ended, and keeps what it did; few go on at once; the gateway's end is theirs.
func TestTasks(t *testing.T) {
	h := newHospital(t)
	server := newServer(t, h)
	server.Settings = func() Settings {
		return Settings{Models: []Model{sampleModel, sampleSuccessor()}, Palette: samplePalette()}
	}
	s := server.Handler()
	begin := func(target string) (task Task) {
		w := ask(s, "POST", target, ActionHeader, "1")
		require.Equal(t, http.StatusAccepted, w.Code, w.Body)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &task))
		require.Equal(t, TaskRunning, task.State)
		return task
	}
	done := await(t, s, begin("/api/v1/parked/retry?kind=delivery&task=true").ID)
	require.Equal(t, TaskDone, done.State)
	require.Equal(t, []int{1, 1}, []int{done.Done, done.Of})
	require.Equal(t, map[string]any{"matched": 1.0, "done": 1.0, "kept": 0.0, "failed": 0.0, "dry_run": false}, done.Result)
	require.Equal(t, []string{"retry delivery 42"}, h.acted)

	const compare = "/api/v1/compare?a=demo-colon&b=demo-colon-2"
	require.Equal(t, 10.0, await(t, s, begin(compare+"&frames=10").ID).Result.(map[string]any)["frames"])
	long := begin(compare + "&frames=5000")
	require.Equal(t, http.StatusOK, ask(s, "POST", "/api/v1/tasks/"+long.ID+"/cancel", ActionHeader, "1").Code)
	require.Equal(t, TaskCancelled, await(t, s, long.ID).State)
	h.err = errors.New("disk I/O error near PatientName=Doe")
	failed := await(t, s, begin(compare+"&frames=1").ID)
	require.Equal(t, TaskFailed, failed.State)
	require.NotContains(t, failed.Reason, "Doe")
	h.err = nil
	panicked := await(t, s, begin(compare+"&frames=4999").ID)
	require.Equal(t, TaskFailed, panicked.State, "and the gateway goes on")
	require.NotContains(t, panicked.Reason, "Doe")

	oldest := begin(compare + "&frames=5000")
	for range mostTasks {
		await(t, s, begin(compare+"&frames=1").ID)
	}
	var running Task
	get(t, s, "/api/v1/tasks/"+oldest.ID, &running)
	require.Equal(t, TaskRunning, running.State, "what goes on is not forgotten")
	for range mostRunning - 1 {
		begin(compare + "&frames=5000")
	}
	require.Equal(t, http.StatusServiceUnavailable, ask(s, "POST", compare, ActionHeader, "1").Code)
	require.Equal(t, http.StatusBadRequest, ask(s, "POST", "/api/v1/compare?a=demo-colon&b=demo-colon", ActionHeader, "1").Code)
	require.Equal(t, http.StatusForbidden, ask(s, "POST", compare).Code, "not by a link")
	require.NoError(t, server.Shutdown(context.Background()))
	var list struct{ Tasks []Task }
	get(t, s, "/api/v1/tasks", &list)
	for _, task := range list.Tasks[:mostRunning-1] {
		require.Equal(t, TaskCancelled, task.State)
	}
	require.False(t, slices.ContainsFunc(list.Tasks, func(task Task) bool { return task.State == TaskRunning }), "Shutdown has waited for all")
}

// A search finds a study by what an operator has in hand, and by whose it is only for who may see that.
func TestStudies_search(t *testing.T) {
	h := newHospital(t)
	s := newServer(t, h).Handler()
	for search, want := range map[string]int{"2.25.1001": 1, "ACC-2026-004711": 1, "2.25.1001.3": 1, "7405121234": 1, "nováková": 1, "nothing": 0} {
		var list struct{ Total int }
		get(t, s, "/api/v1/studies?search="+url.QueryEscape(search), &list)
		require.Equal(t, want, list.Total, search)
	}
}

// A file is tried with the bound and the meaning of pictures that somebody tries.
func TestTryRoute(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	put := func(target, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
		r.Host = "127.0.0.1"
		r.Header.Set(ActionHeader, "1")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	var trial RouteTrial
	w := put("/api/v1/try/route?calling_ae=TROLLEY9", "a file")
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &trial), w.Body)
	require.Equal(t, "endoscopy", trial.Route)
	require.Equal(t, dicom.AETitle("TROLLEY9"), trial.CallingAE)
	require.Equal(t, http.StatusUnprocessableEntity, put("/api/v1/try/route", "tea").Code)
	require.Equal(t, http.StatusRequestEntityTooLarge, put("/api/v1/try/route", strings.Repeat("x", 32<<20+1)).Code)
	require.Equal(t, http.StatusBadRequest, put("/api/v1/try/route?calling_ae=a%5Cb", "a file").Code)
}
