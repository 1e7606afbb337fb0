package admin

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// Orders are what other systems have asked for, and the messages that say so.
type Orders interface {
	// Orders returns one page of the orders that match f, the one that was changed last first, and how many match in all.
	Orders(ctx context.Context, f OrderFilter) (page []ledger.OrderView, total int, err error)
	// Messages returns one page of the messages that were received and match f, the last first, and how many match in all.
	Messages(ctx context.Context, f MessageFilter) (page []Message, total int, err error)
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
	Mismatch                   ledger.Mismatch
	Limit, Offset              int
	After                      ledger.Cursor
}

// Message is a message that was received, without its bytes.
type Message struct {
	ID          string           `json:"id"` // in /api/v1/messages/{id}
	Type        string           `json:"type"`
	Application string           `json:"application"` // of the sender (MSH-3)
	Facility    string           `json:"facility"`    // MSH-4
	ControlID   string           `json:"control_id"`  // MSH-10
	At          time.Time        `json:"at"`
	LastAt      time.Time        `json:"last_at"` // it came again
	Count       int              `json:"count"`
	Answer      string           `json:"answer"` // acknowledgement code (table 0008)
	Error       string           `json:"error"`  // of a refused one: code of table 0357, field, what to do
	Note        string           `json:"note"`   // what it was about
	About       []ledger.Subject `json:"about"`  // studies as it names them
	Size        int64            `json:"size"`
	Kept        bool             `json:"kept"` // its bytes
}

// MessageFilter narrows a list of messages; a zero field does not. All match exactly.
type MessageFilter = ledger.MessageFilter

var messageAnswers = []string{"AA", "AE", "AR", "CA", "CE", "CR"}

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
		Mismatch:         oneOf(q, "mismatch", append([]ledger.Mismatch{ledger.AnyMismatch}, ledger.Mismatches...)),
		Limit:            q.number("limit", orderLimit, 1, maxOrderLimit),
		Offset:           q.number("offset", 0, 0, maxOffset),
		After:            q.cursor(),
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
		page[i].Steps, page[i].Studies = list(page[i].Steps), list(page[i].Studies)
	}
	return c.JSON(http.StatusOK, struct {
		Orders []ledger.OrderView `json:"orders"`
		paging
	}{list(page), paging{total, f.Limit, f.Offset, next(page, f.Limit, func(o ledger.OrderView) ledger.Cursor {
		return ledger.Cursor{At: o.ChangedAt, ID: strconv.FormatInt(o.ID, 10)}
	})}})
}

func parseMessageFilter(raw string) (MessageFilter, error) {
	q, err := parse(raw)
	if err != nil {
		return MessageFilter{}, err
	}
	f := MessageFilter{
		StudyUID: q.uid("study_uid"), Accession: q.text("accession"), Type: q.text("type"), Answer: oneOf(q, "answer", messageAnswers),
		Limit: q.number("limit", orderLimit, 1, maxOrderLimit), Offset: q.number("offset", 0, 0, maxOffset), After: q.cursor(),
	}
	return f, q.done()
}

func (s *Server) messages(c echo.Context) error {
	f, err := parseMessageFilter(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	page, total, err := s.Orders.Messages(c.Request().Context(), f)
	if err != nil {
		return faultOf("the messages were not read", err)
	}
	for i := range page {
		page[i].About = list(page[i].About)
	}
	return c.JSON(http.StatusOK, struct {
		Messages []Message `json:"messages"`
		paging
	}{list(page), paging{total, f.Limit, f.Offset, next(page, f.Limit, func(m Message) ledger.Cursor { return ledger.Cursor{ID: m.ID} })}})
}

// message gives a message byte for byte. A browser saves it, and shows it as nothing that it might contain.
func (s *Server) message(c echo.Context) error {
	body, mediaType, err := s.Orders.Message(c.Request().Context(), param(c, "id"))
	if err != nil {
		f := faultOf("the message was not read", err)
		if f.Code == http.StatusGone {
			f.Next = "have it sent again, or look in the log of the sender: messages are kept as long as hl7.retention says; /api/v1/messages has what is known of it"
		}
		return f
	}
	defer func() { _ = body.Close() }()
	c.Response().Header().Set(echo.HeaderContentDisposition, "attachment")
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.Stream(http.StatusOK, mediaType, body)
}
