package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// ask sends one request as a local client would.
func ask(s http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:8080"
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func get(t *testing.T, s http.Handler, target string, into any) {
	t.Helper()
	w := ask(s, http.MethodGet, target)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), into))
}

func TestStudies_filtersAndPages(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	type answer struct {
		Studies              []StudySummary
		Total, Limit, Offset int
	}
	for _, tt := range []struct {
		query string
		want  string // study UIDs, then total, limit, offset
	}{
		{"", "2.25.1001 2.25.1002 2.25.1003 3 50 0"},
		{"?patient_id=7405121234", "2.25.1001 1 50 0"},
		{"?accession=ACC-2026-004711&status=working", "2.25.1001 1 50 0"},
		{"?accession=ACC-2026-004711&status=done", "0 50 0"},
		{"?study_uid=2.25.1003", "2.25.1003 1 50 0"},
		{"?status=done", "2.25.1002 1 50 0"},
		{"?status=not-analysed", "2.25.1003 1 50 0"},
		{"?limit=1&offset=1", "2.25.1002 3 1 1"},
		{"?limit=2&offset=9", "3 2 9"},
		{"?patient_id=", "2.25.1001 2.25.1002 2.25.1003 3 50 0"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			var a answer
			get(t, s, "/api/v1/studies"+tt.query, &a)
			var got strings.Builder
			for _, study := range a.Studies {
				fmt.Fprint(&got, study.StudyInstanceUID, " ")
			}
			fmt.Fprint(&got, a.Total, " ", a.Limit, " ", a.Offset)
			require.Equal(t, tt.want, got.String())
		})
	}
}

func TestStudy_tellsEverything(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	var study Study
	get(t, s, "/api/v1/studies/2.25.1001", &study)
	require.Equal(t, "Nováková^Jana^^MUDr.=", study.PatientName)
	require.Len(t, study.Instances, 7)
	require.Equal(t, "JPEG Baseline (Process 1)", study.Instances[0].TransferSyntaxName)
	finding := study.Instances[0].Analyses[0].Frames[0].Findings[0]
	require.Equal(t, dicom.Code{Value: "68496003", Scheme: "SCT", Meaning: "Polyp of colon"}, finding.Finding)
	require.InDelta(t, 0.94, finding.Probability, 1e-9)
	require.Len(t, study.Objects, 9)
	require.Len(t, study.Deliveries, 18)
	require.Equal(t, "A700", study.Deliveries[1].Status)
	require.NotEmpty(t, study.Timeline)
}

func TestRequest_refused(t *testing.T) {
	long := strings.Repeat("x", 65)
	for _, tt := range []struct {
		method, target string
		header         []string
		code           int
		why            string
	}{
		{"GET", "/api/v1/studies?patient=1", nil, 400, `parameter "patient": not known here`},
		{"GET", "/api/v1/studies?status=lost", nil, 400, "not one of"},
		{"GET", "/api/v1/studies?limit=0", nil, 400, "1 to 500"},
		{"GET", "/api/v1/studies?limit=501", nil, 400, "1 to 500"},
		{"GET", "/api/v1/studies?offset=-1", nil, 400, "0 to"},
		{"GET", "/api/v1/studies?study_uid=..2", nil, 400, "not a UID"},
		{"GET", "/api/v1/studies?patient_id=1&patient_id=2", nil, 400, "more than once"},
		{"GET", "/api/v1/studies?patient_id=%00", nil, 400, "not printable"},
		{"GET", "/api/v1/studies?patient_id=%ff", nil, 400, "not printable"},
		{"GET", "/api/v1/studies?patient_id=" + long, nil, 400, "longer than 64"},
		{"GET", "/api/v1/studies?%zz", nil, 400, "malformed"},
		{"GET", "/api/v1/studies/.abc", nil, 400, "not named by a UID"},
		{"GET", "/api/v1/studies/1.2.3", nil, 404, "study 1.2.3: not found"},
		{"GET", "/api/v1/outbox?state=gone", nil, 400, "not one of"},
		{"GET", "/api/v1/parked?kind=mail", nil, 400, "not one of"},
		{"GET", "/api/v1/parked?limit=501", nil, 400, "1 to 500"},
		{"GET", "/api/v1/studies/2.25.1001?limit=5001", nil, 400, "1 to 5000"},
		{"GET", "/api/v1/nothing", nil, 404, "not found"},
		{"DELETE", "/api/v1/studies/1.2.3", []string{ActionHeader, "1"}, 405, "method not allowed"},
		{"GET", "/api/v1/instances/e2.25.1001-1/frames/0.png", nil, 400, "number from 1"},
		{"GET", "/api/v1/instances/e2.25.1001-1/frames/01.png", nil, 400, "number from 1"},
		{"GET", "/api/v1/instances/e2.25.1001-1/frames/1.gif", nil, 400, "number from 1"},
		{"GET", "/api/v1/instances/e2.25.1001-1/frames/1.png?width=4", nil, 400, "16 to 4096"},
		{"GET", "/api/v1/instances/e2.25.1001-1/frames/2.png", nil, 404, "not found"},
		{"GET", "/api/v1/instances/..%2f..%2fetc%2fpasswd/frames/1.png", nil, 404, "not found"},
		{"GET", "/api/v1/instances/e-video/frames/1.png", nil, 422, "unsupported: video"},
		{"POST", "/api/v1/parked/job-nope/retry", []string{ActionHeader, "1"}, 409, "conflict"},
		{"POST", "/api/v1/parked/mail-1/retry", []string{ActionHeader, "1"}, 400, "job-"},
		{"POST", "/api/v1/parked/exam-3/discard", []string{ActionHeader, "1"}, 409, "a report is owed"},
		{"POST", "/api/v1/parked/draft-1.2/discard", []string{ActionHeader, "1"}, 409, "a report is owed"},
		{"POST", "/api/v1/parked/instance-e9/retry", []string{ActionHeader, "1"}, 409, "fix the route and send it again"},
		{"POST", "/api/v1/parked/delivery-42/retry", nil, 403, "does not say that it is meant"},
		{"POST", "/api/v1/parked/delivery-42/retry", []string{"Content-Type", "text/plain"}, 403, "does not say that it is meant"},
		{"POST", "/api/v1/parked/delivery-42/retry", []string{ActionHeader, "1", "Sec-Fetch-Site", "cross-site"}, 403, "another origin"},
		{"POST", "/api/v1/parked/delivery-42/retry", []string{ActionHeader, "1", "Origin", "https://evil.example"}, 403, "another origin"},
		{"POST", "/api/v1/destinations/nowhere/echo", []string{ActionHeader, "1"}, 404, "not found"},
		{"GET", "/api/v1/studies", []string{"Host", "evil.example"}, 421, "host name"},
		{"GET", "/", []string{"Host", "evil.example:8080"}, 421, "host name"},
	} {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			h := newHospital(t)
			w := ask(newServer(t, h).Handler(), tt.method, tt.target, tt.header...)
			require.Equal(t, tt.code, w.Code, w.Body)
			var body struct{ Error fault }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
			require.NotEmpty(t, body.Error.What)
			require.Contains(t, body.Error.Why, tt.why)
			require.NotEmpty(t, body.Error.Next)
			require.Empty(t, h.acted)
		})
	}
}

func TestParked_retryAndDiscard(t *testing.T) {
	h := newHospital(t)
	s := newServer(t, h).Handler()
	var list struct{ Parked []parkedView }
	get(t, s, "/api/v1/parked", &list)
	require.Equal(t, "delivery-42", list.Parked[0].ID)
	require.Equal(t, "job-e7.demo-colon", list.Parked[1].ID)

	w := ask(s, "POST", "/api/v1/parked/delivery-42/retry", ActionHeader, "1", "Origin", "http://127.0.0.1:8080")
	require.JSONEq(t, `{"id":"delivery-42","result":"retried"}`, w.Body.String())
	w = ask(s, "POST", "/api/v1/parked/job-e7.demo-colon/discard", "Content-Type", "application/json; charset=utf-8")
	require.JSONEq(t, `{"id":"job-e7.demo-colon","result":"discarded"}`, w.Body.String())
	w = ask(s, "POST", "/api/v1/parked/instance-e9/discard", ActionHeader, "1")
	require.JSONEq(t, `{"id":"instance-e9","result":"discarded"}`, w.Body.String())
	require.Equal(t, []string{"retry delivery 42", "discard job e7.demo-colon", "discard instance e9"}, h.acted)

	w = ask(s, "POST", "/api/v1/parked/delivery-42/retry", ActionHeader, "1")
	require.Equal(t, http.StatusConflict, w.Code)
}

func TestParked_pages(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	var list struct {
		Parked               []parkedView
		Total, Limit, Offset int
	}
	get(t, s, "/api/v1/parked?limit=1&offset=1", &list)
	require.Len(t, list.Parked, 1)
	require.Equal(t, "job-e7.demo-colon", list.Parked[0].ID)
	require.Greater(t, list.Total, 2)
	require.Equal(t, []int{1, 1}, []int{list.Limit, list.Offset})
	get(t, s, "/api/v1/parked?kind=instance", &list)
	require.Equal(t, 1, list.Total)
	require.Equal(t, "instance-e9", list.Parked[0].ID)
}

func TestStudy_pages(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	var whole, part Study
	get(t, s, "/api/v1/studies/2.25.1001", &whole)
	require.Equal(t, StudyTotals{len(whole.Instances), len(whole.Objects), len(whole.Deliveries), len(whole.Timeline)}, whole.Totals)
	require.Equal(t, Page{Limit: studyLimit}, whole.Page)
	get(t, s, "/api/v1/studies/2.25.1001?limit=2&offset=3", &part)
	require.Equal(t, whole.Totals, part.Totals)
	require.Equal(t, whole.Instances[3:5], part.Instances)
	require.Equal(t, whole.Objects[3:5], part.Objects)
	require.Equal(t, whole.Deliveries[3:5], part.Deliveries)
	require.Equal(t, whole.Timeline[3:5], part.Timeline)
}

func TestOutbox_filters(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	var list struct {
		Deliveries []Delivery
		Total      int
	}
	get(t, s, "/api/v1/outbox?destination=his&state=pending&limit=2", &list)
	require.Equal(t, 9, list.Total)
	require.Len(t, list.Deliveries, 2)
	require.Equal(t, ledger.DeliveryPending, list.Deliveries[0].State)
}

func TestEcho_saysMilliseconds(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	w := ask(s, "POST", "/api/v1/destinations/pacs/echo", ActionHeader, "1")
	require.JSONEq(t, `{"ok":true,"status":"0000","reason":"","milliseconds":3.217}`, w.Body.String())
	w = ask(s, "POST", "/api/v1/destinations/his/echo", ActionHeader, "1")
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), "connection refused")
}

func TestRetryParked_saysHowMany(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	w := ask(s, "POST", "/api/v1/destinations/his/retry", ActionHeader, "1")
	require.JSONEq(t, `{"retried":3}`, w.Body.String())
	require.Equal(t, http.StatusForbidden, ask(s, "POST", "/api/v1/destinations/his/retry").Code, "not without being meant")
}

func TestFrame_formatsAndWidths(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	for _, tt := range []struct {
		target, format string
		width, height  int
	}{
		{"e2.25.1001-1/frames/1.png", "png", 626, 546},
		{"2.25.1001.1/frames/1.jpg", "jpeg", 626, 546},
		{"2.25.1001.51/frames/1.jpeg?width=313", "jpeg", 313, 273},
		{"2.25.1001.51/frames/1.png?width=4000", "png", 626, 546},
	} {
		t.Run(tt.target, func(t *testing.T) {
			w := ask(s, "GET", "/api/v1/instances/"+tt.target)
			require.Equal(t, "image/"+tt.format, w.Header().Get("Content-Type"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			img, format, err := image.DecodeConfig(w.Body)
			require.NoError(t, err)
			require.Equal(t, tt.format, format)
			require.Equal(t, [2]int{tt.width, tt.height}, [2]int{img.Width, img.Height})
		})
	}
}

func TestFault_ofAView(t *testing.T) {
	h := newHospital(t)
	h.err = errors.New("disk I/O error near PatientName=Doe")
	var log bytes.Buffer
	srv := newServer(t, h)
	srv.Log = slog.New(slog.NewTextHandler(&log, nil))
	s := srv.Handler()
	for _, target := range []string{"/api/v1/studies", "/api/v1/studies/2.25.1001", "/api/v1/outbox", "/api/v1/parked", "/api/v1/destinations", "/api/v1/status"} {
		w := ask(s, "GET", target)
		require.Equal(t, http.StatusInternalServerError, w.Code, target)
		require.NotContains(t, w.Body.String(), "disk I/O", "a fault's text stays in the log")
		require.Contains(t, log.String(), w.Header().Get("X-Request-Id"))
	}
}

func TestFaultOf_everyKind(t *testing.T) {
	for err, code := range map[error]int{
		ErrNotFound: 404, ErrConflict: 409, ErrGone: 410, ErrUnsupported: 422, ErrBusy: 503, context.DeadlineExceeded: 504, errors.New("x"): 500,
	} {
		require.Equal(t, code, faultOf("it was not done", fmt.Errorf("view: %w", err)).Code)
	}
}

func TestHandler_survivesPanic(t *testing.T) {
	srv := newServer(t, newHospital(t))
	srv.Gauges = func(context.Context) (Gauges, error) { panic("a fault in a view") }
	w := ask(srv.Handler(), "GET", "/api/v1/status")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.NotContains(t, w.Body.String(), "a fault in a view")
}

func TestAnswer_secureHeaders(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	for _, target := range []string{"/", "/assets/app.js", "/api/v1/studies", "/api/v1/none", "/healthz"} {
		h := ask(s, "GET", target).Header()
		require.Equal(t, contentSecurityPolicy, h.Get("Content-Security-Policy"), target)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), target)
		require.Equal(t, "no-referrer", h.Get("Referrer-Policy"), target)
		if strings.HasPrefix(target, "/api/") {
			require.Equal(t, "no-store", h.Get("Cache-Control"), target)
		}
	}
}

func TestLog_holdsNoPatientData(t *testing.T) {
	var log bytes.Buffer
	srv := newServer(t, newHospital(t))
	srv.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := srv.Handler()
	ask(s, "GET", "/api/v1/studies?patient_id=7405121234&accession=ACC-2026-004711")
	ask(s, "GET", "/api/v1/studies/7405121234")
	ask(s, "GET", "/7405121234")
	ask(s, "POST", "/api/v1/parked/delivery-42/retry", ActionHeader, "1")
	require.Contains(t, log.String(), `"route":"/api/v1/studies"`)
	require.Contains(t, log.String(), "parked work retried")
	require.NotContains(t, log.String(), "7405121234")
	require.NotContains(t, log.String(), "ACC-2026")
}

func TestBody_bounded(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	r := httptest.NewRequest("POST", "/api/v1/parked/delivery-42/retry", strings.NewReader(strings.Repeat("x", 5000)))
	r.Host = "localhost"
	r.Header.Set(ActionHeader, "1")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
}

func TestAsset_conditional(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	w := ask(s, "GET", "/assets/app.js")
	require.Contains(t, w.Header().Get("Content-Type"), "javascript")
	again := ask(s, "GET", "/assets/app.js", "If-None-Match", w.Header().Get("ETag"))
	require.Equal(t, http.StatusNotModified, again.Code)
	require.Equal(t, http.StatusNotFound, ask(s, "GET", "/assets/..%2fopenapi.json").Code)
}
