package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// Gates lets results go that are held because images, order and patient of their study do not agree.
type Gates interface {
	// Release lets the results go as they are; durable on return. ErrNotFound, or ErrConflict when nothing is to be released.
	Release(ctx context.Context, uid dicom.UID, reason string, by draft.Author) (Gate, error)
	// Correct says whom the study is on, or which order it belongs to, and lets the results go; durable on return.
	// ErrNotFound, or ErrRefused when there is no such patient or order.
	Correct(ctx context.Context, uid dicom.UID, c ledger.Correction, by draft.Author) (Gate, error)
}

// Gate is how a study stands at the gate.
type Gate struct {
	Policy     ledger.Gate `json:"policy"` // the strictest of its routes
	Held       bool        `json:"held"`   // its results
	Since      time.Time   `json:"since,omitzero"`
	Mismatches []Mismatch  `json:"mismatches"`
	Released   bool        `json:"released"`  // a person has seen the mismatches and let the results go
	Corrected  bool        `json:"corrected"` // a person has said whom it is on, or which order it belongs to
}

// Mismatch is in what images, order and patient do not agree.
type Mismatch struct {
	Kind ledger.Mismatch `json:"kind"`
	Text string          `json:"text"`
}

// GateView is a gate as the API shows it.
func GateView(g ledger.GateState) Gate {
	out := Gate{Policy: g.Gate, Held: g.Held, Since: g.Since, Mismatches: []Mismatch{}, Released: g.Released, Corrected: g.Corrected}
	for _, m := range g.Mismatches {
		out.Mismatches = append(out.Mismatches, Mismatch{m, m.String()})
	}
	return out
}

// ErrRefused says that what was asked for cannot be done: 422.
var ErrRefused = errors.New("refused")

const maxReason = 1000

func (s *Server) releaseGate(c echo.Context) error {
	var body struct {
		Author string `json:"author"`
		Reason string `json:"reason"`
	}
	return s.atGate(c, "released", &body, &body.Author, &body.Reason, func(ctx context.Context, uid dicom.UID, by draft.Author) (Gate, error) {
		return s.Gate.Release(ctx, uid, body.Reason, by)
	})
}

func (s *Server) correctGate(c echo.Context) error {
	var body struct {
		Author string `json:"author"`
		ledger.Correction
	}
	return s.atGate(c, "corrected", &body, &body.Author, &body.Reason, func(ctx context.Context, uid dicom.UID, by draft.Author) (Gate, error) {
		return s.Gate.Correct(ctx, uid, body.Correction, by)
	})
}

// atGate reads a person's decision, with who it is and the reason, and does it. Past that the client may go away; it is done all the same.
func (s *Server) atGate(c echo.Context, done string, body any, author, reason *string, do func(context.Context, dicom.UID, draft.Author) (Gate, error)) error {
	uid := dicom.UID(param(c, "uid"))
	if !uid.Fileable() {
		return badRequest("the study is not named by a UID", "use a Study Instance UID from /api/v1/studies")
	}
	in := json.NewDecoder(c.Request().Body)
	in.DisallowUnknownFields()
	if err := in.Decode(body); err != nil || in.More() {
		return badRequest("the body is not what is described", "send JSON as /api/v1/openapi.json says")
	}
	if *reason == "" || len(*reason) > maxReason {
		return badRequest(fmt.Sprintf("a decision needs its reason, of at most %d bytes", maxReason), `send {"reason": "…"}: it is kept with who decided`)
	}
	by, err := s.authorOf(c, *author)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), requestTimeout)
	defer cancel()
	gate, err := do(ctx, uid, by)
	if err != nil {
		return faultOf("the results were not "+done, err)
	}
	s.Log.Info("admin: results "+done, "study_instance_uid", uid, "remote", c.RealIP(), "request_id", requestID(c))
	return c.JSON(http.StatusOK, gate)
}
