package admin

import (
	"context"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// Orders are what other systems have asked for, and the messages that say so.
type Orders interface {
	// Orders returns one page of the orders that match f, the one that was changed last first, and how many match in all.
	Orders(ctx context.Context, f OrderFilter) (page []ledger.Order, total int, err error)
	// Message returns the bytes of a message of another protocol as they were received or sent, and their media type.
	// ErrNotFound or ErrGone say why there are none.
	Message(ctx context.Context, id string) (message io.ReadCloser, mediaType string, err error)
}

// OrderFilter narrows a list of orders; a zero field does not. All match exactly.
type OrderFilter struct {
	AccessionNumber, PatientID string
	StudyInstanceUID           dicom.UID
	Placer, Filler             string // order numbers
	State                      ledger.OrderState
	Limit, Offset              int
}

var orderStates = []ledger.OrderState{ledger.OrderOpen, ledger.OrderStarted, ledger.OrderCompleted, ledger.OrderCancelled}

const (
	orderLimit    = 100
	maxOrderLimit = 1000
)

func parseOrderFilter(raw string) (OrderFilter, error) {
	q, err := parse(raw)
	if err != nil {
		return OrderFilter{}, err
	}
	f := OrderFilter{
		AccessionNumber:  q.text("accession"),
		PatientID:        q.text("patient_id"),
		StudyInstanceUID: q.uid("study_uid"),
		Placer:           q.text("placer"),
		Filler:           q.text("filler"),
		State:            oneOf(q, "state", orderStates),
		Limit:            q.number("limit", orderLimit, 1, maxOrderLimit),
		Offset:           q.number("offset", 0, 0, maxOffset),
	}
	return f, q.done()
}

func (s *Server) orders(c echo.Context) error {
	f, err := parseOrderFilter(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	page, total, err := s.Orders.Orders(c.Request().Context(), f)
	if err != nil {
		return faultOf("the orders were not read", err)
	}
	for i := range page {
		page[i].Steps = list(page[i].Steps)
	}
	return c.JSON(http.StatusOK, struct {
		Orders []ledger.Order `json:"orders"`
		paging
	}{list(page), paging{total, f.Limit, f.Offset}})
}

// message gives a message byte for byte. A browser saves it, and shows it as nothing that it might contain.
func (s *Server) message(c echo.Context) error {
	body, mediaType, err := s.Orders.Message(c.Request().Context(), param(c, "id"))
	if err != nil {
		return faultOf("the message was not read", err)
	}
	defer func() { _ = body.Close() }()
	c.Response().Header().Set(echo.HeaderContentDisposition, "attachment")
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.Stream(http.StatusOK, mediaType, body)
}
