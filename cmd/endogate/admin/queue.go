package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"

	"github.com/labstack/echo/v4"
)

func (s *Server) outbox(c echo.Context) error {
	f, err := parseDeliveryFilter(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	page, total, err := s.Queue.Outbox(c.Request().Context(), f)
	if err != nil {
		return faultOf("the outbox was not read", err)
	}
	if !s.identifies(c) {
		hideDeliveries(page)
	}
	return c.JSON(http.StatusOK, struct {
		Deliveries []Delivery `json:"deliveries"`
		paging
	}{list(page), paging{total, f.Limit, f.Offset, next(page, f.Limit, func(d Delivery) ledger.Cursor { return ledger.Cursor{ID: d.ID} })}})
}

// parkedView is Parked as the API shows it: ID says the kind, so that one path serves both.
type parkedView struct {
	ID               string     `json:"id"`
	Kind             ParkedKind `json:"kind"`
	StudyInstanceUID dicom.UID  `json:"study_instance_uid"`
	SOPInstanceUID   dicom.UID  `json:"sop_instance_uid"`
	Purpose          string     `json:"purpose"`
	Destination      string     `json:"destination"`
	Model            string     `json:"model"`
	Attempts         int        `json:"attempts"`
	Status           string     `json:"status"`
	Reason           string     `json:"reason"`
	At               time.Time  `json:"at,omitzero"`
	Conflict         bool       `json:"conflict"`
	Bulk             bool       `json:"bulk"`
	PatientName      string     `json:"patient_name"`
	PatientID        string     `json:"patient_id"`
	AccessionNumber  string     `json:"accession_number"`
}

func (s *Server) parked(c echo.Context) error {
	f, err := parseParkedFilter(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	all, total, err := s.Queue.Parked(c.Request().Context(), f)
	if err != nil {
		return faultOf("the parked work was not read", err)
	}
	if !s.identifies(c) {
		for i := range all {
			all[i].PatientID, all[i].PatientName = hidden, hidden
			if all[i].Kind == ParkedDelivery {
				hideWords(&all[i].Reason, all[i].Nameless)
			}
		}
	}
	return c.JSON(http.StatusOK, struct {
		Parked any `json:"parked"`
		paging
	}{ParkedViews(all), paging{total, f.Limit, f.Offset, next(all, f.Limit, func(Parked) ledger.Cursor {
		return ledger.Cursor{ID: strconv.Itoa(f.Offset + len(all))}
	})}})
}

// ParkedViews is parked work as the API shows it.
func ParkedViews(all []Parked) any {
	views := make([]parkedView, len(all))
	for i, p := range all {
		views[i] = parkedView{
			ID: string(p.Kind) + "-" + p.ID, Kind: p.Kind, StudyInstanceUID: p.StudyInstanceUID, SOPInstanceUID: p.SOPInstanceUID,
			Purpose: p.Purpose, Destination: p.Destination, Model: p.Model, Attempts: p.Attempts, Status: p.Status, Reason: p.Reason, At: p.At,
			Conflict: p.Conflict, Bulk: p.Bulk, PatientName: p.PatientName, PatientID: p.PatientID, AccessionNumber: p.AccessionNumber,
		}
	}
	return views
}

// One does an action on one item of parked work, named as the API names it.
func One(ctx context.Context, q Queue, id string, action Action) error {
	kind, id, ok := splitParkedID(id)
	switch {
	case !ok:
		return badRequest("parked work is named job-…, exam-…, delivery-…, instance-…, draft-… or gate-…", "use an id from /api/v1/parked")
	case kind == ParkedGate:
		return errAtGate
	case action == ActionDiscard && (kind == ParkedExam || kind == ParkedDraft):
		return fmt.Errorf("%w: a report is owed for every exam that has results; retry it", ErrConflict)
	case action == ActionDiscard:
		return q.Discard(ctx, kind, id)
	case kind == ParkedInstance:
		return fmt.Errorf("%w: an instance is taken up when it is sent again: fix the route and send it again, or discard it", ErrConflict)
	}
	return q.Retry(ctx, kind, id)
}

func (s *Server) retry(c echo.Context) error   { return s.act(c, ActionRetry, "retried") }
func (s *Server) discard(c echo.Context) error { return s.act(c, ActionDiscard, "discarded") }

// act does one action on parked work. Past this point the client may go away; the action is finished all the same.
func (s *Server) act(c echo.Context, action Action, done string) error {
	kind, id, ok := splitParkedID(param(c, "id"))
	if !ok {
		return badRequest("parked work is named job-…, exam-…, delivery-…, instance-…, draft-… or gate-…", "use an id from /api/v1/parked")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), requestTimeout)
	defer cancel()
	if err := One(ctx, s.Queue, string(kind)+"-"+id, action); err != nil {
		return faultOf("the parked work was not "+done, err)
	}
	s.Log.Info("admin: parked work "+done, "kind", string(kind), "id", id, "remote", c.RealIP(), "request_id", requestID(c))
	return c.JSON(http.StatusOK, map[string]string{"id": string(kind) + "-" + id, "result": done})
}

var errAtGate = fmt.Errorf("%w: results are released, or their study is corrected: POST /api/v1/studies/{uid}/gate/release or …/correct", ErrConflict)

func splitParkedID(s string) (ParkedKind, string, bool) {
	kind, id, ok := strings.Cut(s, "-")
	known := slices.Contains(parkedKinds, ParkedKind(kind))
	return ParkedKind(kind), id, ok && known && id != "" && len(id) <= 256
}

func (s *Server) destinations(c echo.Context) error {
	all, err := s.Destinations.Destinations(c.Request().Context())
	if err != nil {
		return faultOf("the destinations were not read", err)
	}
	return c.JSON(http.StatusOK, map[string][]Destination{"destinations": list(all)})
}

// retryParked sends again what is parked for a destination, after a fault of the peer was mended. What is a decision
// of its own stays.
func (s *Server) retryParked(c echo.Context) error {
	name := param(c, "name")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), requestTimeout)
	defer cancel()
	n, err := s.Destinations.RetryParked(ctx, name)
	if err != nil {
		return faultOf("the parked deliveries were not put back", err)
	}
	s.Log.Info("admin: parked deliveries retried", "destination", name, "count", n, "remote", c.RealIP(), "request_id", requestID(c))
	return c.JSON(http.StatusOK, RetryResult{Retried: n})
}

// echo asks a destination by C-ECHO; a peer that says no is a successful answer to the question.
func (s *Server) echo(c echo.Context) error {
	result, err := s.Destinations.Echo(c.Request().Context(), param(c, "name"))
	if err != nil {
		return faultOf("the destination was not asked", err)
	}
	result.Milliseconds = float64(result.Took.Microseconds()) / 1000
	return c.JSON(http.StatusOK, result)
}
