package admin

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/audit"
)

// auditPage is how many entries an answer has at most.
const auditPage = 50

// auditTrail searches the audit trail, the last entry first. The log is read in bounded parts: no entry with a next is no end.
func (s *Server) auditTrail(c echo.Context) error {
	q, err := parse(c.Request().URL.RawQuery)
	if err != nil {
		return err
	}
	f := audit.Filter{Text: q.text("text"), From: q.time("from"), Before: q.time("before"), Patients: s.identifies(c)}
	var behind int64
	if after := q.textOf("after", maxText); after != "" {
		if behind, err = strconv.ParseInt(after, 10, 64); err != nil || behind < 1 {
			q.fail("after", "not what an answer had as next")
		}
	}
	if err := q.done(); err != nil {
		return err
	}
	found, next, err := s.Operations.AuditTrail(f, behind, auditPage)
	if err != nil {
		return faultOf("the audit trail was not read", err)
	}
	answer := struct {
		Entries []audit.Entry `json:"entries"`
		Next    string        `json:"next"` // what after is given to go on; empty: there is nothing more
	}{list(found), ""}
	if next > 0 {
		answer.Next = strconv.FormatInt(next, 10)
	}
	return c.JSON(http.StatusOK, answer)
}
