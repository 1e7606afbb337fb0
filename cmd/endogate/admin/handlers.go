package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"

	"github.com/labstack/echo/v4"
)

// healthz says that the process answers, no more.
func (s *Server) healthz(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "up"})
}

// readyz says whether work would be accepted now, and which check says no.
func (s *Server) readyz(c echo.Context) error {
	checks, ready := s.probes.run(c.Request().Context())
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	if !s.who(c).May(access.Look) {
		return c.JSON(status, map[string]bool{"ready": ready}) // why is for those who sign in
	}
	return c.JSON(status, readiness{Ready: ready, Checks: checks})
}

type readiness struct {
	Ready  bool          `json:"ready"`
	Checks []CheckResult `json:"checks"`
}

// status is the strip at the top of the page: readyz's answer (always as 200) and the gauges.
func (s *Server) status(c echo.Context) error {
	ctx := c.Request().Context()
	checks, ready := s.probes.run(ctx)
	gauges, err := s.Gauges(ctx)
	if err != nil && ready { // else the checks say why
		return faultOf("the state was not read", err)
	}
	if gauges.PendingByPeer == nil {
		gauges.PendingByPeer = map[string]int{}
	}
	gauges.TurnedAway = list(gauges.TurnedAway)
	return c.JSON(http.StatusOK, struct {
		readiness
		Gauges Gauges    `json:"gauges"`
		Time   time.Time `json:"time"`
	}{readiness{ready, checks}, gauges, time.Now().UTC()})
}

func (s *Server) version(c echo.Context) error { return c.JSON(http.StatusOK, s.Version) }

func (s *Server) models(c echo.Context) error {
	var unserved []string
	if s.Unserved != nil {
		var err error
		if unserved, err = s.Unserved(c.Request().Context()); err != nil {
			return faultOf("the workers were not asked", err)
		}
	}
	is := s.Settings()
	models := slices.Clone(is.Models)
	for i := range models {
		models[i].Served = !slices.Contains(unserved, models[i].Name)
		models[i].Loaded = s.Operations.Loaded(models[i].Name)
	}
	return c.JSON(http.StatusOK, struct {
		Models  []Model `json:"models"`
		Palette Palette `json:"palette"`
	}{list(models), is.Palette})
}

func (s *Server) studies(c echo.Context) error {
	f, err := parseStudyFilter(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	if f.PatientID != "" && !s.identifies(c) {
		return nameless()
	}
	f.Patients = s.identifies(c)
	page, total, err := s.Studies.Studies(c.Request().Context(), f)
	if err != nil {
		return faultOf("the studies were not read", err)
	}
	if !s.identifies(c) {
		for i := range page {
			hide(&page[i])
		}
	}
	return c.JSON(http.StatusOK, struct {
		Studies []StudySummary `json:"studies"`
		paging
	}{list(page), paging{total, f.Limit, f.Offset, next(page, f.Limit, func(s StudySummary) ledger.Cursor {
		return ledger.Cursor{At: s.StandsAt, ID: string(s.StudyInstanceUID)}
	})}})
}

// paging says which part of a list an answer holds.
type paging struct {
	Total  int    `json:"total"`
	Limit  int    `json:"limit"`
	Offset int    `json:"offset"`
	Next   string `json:"next"` // what after is given for the page that follows; empty: there is none
}

// next is the cursor of what follows page, empty where page is the last one.
func next[T any](page []T, limit int, cursor func(T) ledger.Cursor) string {
	if len(page) == 0 || len(page) < limit {
		return ""
	}
	c := cursor(page[len(page)-1])
	at := int64(0)
	if !c.At.IsZero() {
		at = c.At.UnixMicro()
	}
	return strconv.FormatInt(at, 36) + "." + c.ID
}

func (s *Server) study(c echo.Context) error {
	uid := dicom.UID(param(c, "uid"))
	if !uid.Fileable() {
		return badRequest("the study is not named by a UID", "use a Study Instance UID from /api/v1/studies")
	}
	p, err := parseStudyPage(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	study, err := s.Studies.Study(c.Request().Context(), uid, p)
	if err != nil {
		return faultOf("the study was not read", err)
	}
	study.Page = p
	if study.ViewerURL, err = s.viewerURL(c.Request().Context(), uid); err != nil {
		return faultOf("the study was not read", err)
	}
	complete(&study)
	if !s.identifies(c) {
		hide(&study.StudySummary)
		hideDeliveries(study.Deliveries)
		for i := range study.Timeline {
			hideWords(&study.Timeline[i].Detail, study.Timeline[i].Nameless)
		}
	}
	return s.answerStudy(c, study)
}

// viewerURL is where another viewer opens a study, at its first instance where the URL names one.
func (s *Server) viewerURL(ctx context.Context, study dicom.UID) (string, error) {
	first, viewer := "", s.Settings().Viewer
	if strings.Contains(viewer, "{instance}") {
		some, err := s.Studies.Instances(ctx, study, Page{Limit: 1})
		if err != nil || len(some) == 0 {
			return "", err
		}
		first = string(some[0].SOPInstanceUID)
	}
	return strings.NewReplacer("{study}", url.QueryEscape(string(study)), "{instance}", url.QueryEscape(first)).Replace(viewer), nil
}

// instancePart is how many instances of a study, with all their contours, are in memory at once for each who reads it.
const instancePart = 50

// answerStudy answers with a study, of which the instances come a few at a time.
func (s *Server) answerStudy(c echo.Context, study Study) error {
	done := 0
	next := func() ([]Instance, error) {
		p := Page{Limit: min(instancePart, study.Limit-done), Offset: study.Offset + done}
		if p.Limit == 0 {
			return nil, nil
		}
		return s.Studies.Instances(c.Request().Context(), study.StudyInstanceUID, p)
	}
	some, err := next()
	if err != nil {
		return faultOf("the study was not read", err)
	}
	study.Instances = nil
	head, err := json.Marshal(study)
	if err != nil {
		return err
	}
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	w.WriteHeader(http.StatusOK)
	write := func(b []byte) {
		if err == nil {
			_, err = w.Write(b)
		}
	}
	write(append(head[:len(head)-1], `,"instances":[`...))
	for len(some) > 0 && err == nil {
		for i := range some {
			completeInstance(&some[i])
			b, marshalErr := json.Marshal(some[i])
			if err = cmp.Or(err, marshalErr); done > 0 {
				write([]byte{','})
			}
			write(b)
			done++
		}
		if err == nil {
			some, err = next()
		}
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the client must not take what it has for all
	}
	write([]byte("]}\n"))
	return err
}

// complete fills what the JSON promises: lists that are lists, and names beside UIDs.
func complete(s *Study) {
	s.Gate.Mismatches = list(s.Gate.Mismatches)
	s.Objects = list(s.Objects)
	s.Deliveries, s.Timeline, s.Exams = list(s.Deliveries), list(s.Timeline), list(s.Exams)
	s.Segments, s.Videos = list(s.Segments), list(s.Videos)
}

func completeInstance(in *Instance) {
	if ts, ok := dicom.LookupTransferSyntax(in.TransferSyntaxUID); ok && in.TransferSyntaxName == "" {
		in.TransferSyntaxName = ts.Name
	}
	in.Analyses = list(in.Analyses)
	for i := range in.Analyses {
		a := &in.Analyses[i]
		a.Frames, a.Segments = list(a.Frames), list(a.Segments)
		for k := range a.Frames {
			completeResult(&a.Frames[k].Result)
		}
		for k := range a.Segments {
			completeResult(&a.Segments[k])
		}
	}
}

func completeResult(r *analysis.Result) {
	if r.Scores == nil {
		r.Scores = map[string]float64{}
	}
	r.Findings, r.Notes = list(r.Findings), list(r.Notes)
	for i := range r.Findings {
		r.Findings[i].Contours = list(r.Findings[i].Contours)
	}
}

// list is s, and never JSON's null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// param returns a path parameter decoded; echo leaves it as it was sent when the path has escapes.
func param(c echo.Context, name string) string {
	v := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return v
	}
	decoded, err := url.PathUnescape(v)
	if err != nil {
		return ""
	}
	return decoded
}
