package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/dicom"
	"endogate/reports/draft"
)

// Maps send maps that a person has looked at.
type Maps interface {
	// SendMap makes the Secondary Capture of the answer to a question about a frame, 1 being the first, and puts it on the way to where
	// results of the study go; durable on return. Errors as Explain of Explanations, and ErrConflict: results of the study were taken back,
	// or go nowhere, or the model is another version than the question's.
	SendMap(ctx context.Context, study, sop dicom.UID, frame int, q Question, by draft.Author) (SentMap, error)
}

// SentMap is what became of a map that somebody sent.
type SentMap struct {
	SOPInstanceUID dicom.UID `json:"sop_instance_uid"`
	Made           bool      `json:"made"`         // false: one that shows the same was there already, and none was made
	Held           bool      `json:"held"`         // it waits for a person, as images, order and patient do not agree
	Destinations   []string  `json:"destinations"` // it is on the way to; empty where none was made, and where it is parked as none of them is configured any more
}

// sendMap sends the map of a frame as the question has it.
func (s *Server) sendMap(c echo.Context) error {
	study, sop := dicom.UID(param(c, "uid")), dicom.UID(param(c, "sop"))
	number, err := strconv.Atoi(param(c, "frame"))
	if err != nil || number < 1 {
		return badRequest("a frame is named by its number from 1", "POST to frames/1/map")
	}
	q, err := parseQuestion(c.Request().URL.RawQuery, nil)
	if err != nil {
		return err
	}
	var body struct {
		Author string `json:"author"`
		Digest string `json:"digest"` // of the model that the map was shown by
	}
	in := json.NewDecoder(c.Request().Body)
	in.DisallowUnknownFields()
	if err := in.Decode(&body); err != nil && !errors.Is(err, io.EOF) {
		return badRequest("the body is not the JSON that is needed: "+said(err), `send {"author": who sends it, "digest": the model's}, or nothing where somebody has signed in`)
	}
	q.Digest = body.Digest
	by, err := s.authorOf(c, body.Author)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), requestTimeout)
	defer cancel()
	release, err := s.slot(ctx)
	if err != nil {
		return faultOf("the map was not sent", err)
	}
	defer release()
	sent, err := s.Maps.SendMap(ctx, study, sop, number, q, by)
	if err != nil {
		return faultOf("the map was not sent", err)
	}
	return c.JSON(http.StatusOK, sent)
}
