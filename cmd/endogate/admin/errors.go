package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"endogate/dicomnode/ledger"
)

// fault is an answer that is not a success: what happened, why, and what to do next.
// Its text goes to the user; Err goes to the log only.
type fault struct {
	Code int    `json:"-"`
	What string `json:"what"`
	Why  string `json:"why"`
	Next string `json:"next"`
	Err  error  `json:"-"`
}

func (f *fault) Error() string { return f.What + ": " + f.Why }

// badRequest is the fault of a request that can never succeed as it is.
func badRequest(why, next string) *fault {
	return &fault{Code: http.StatusBadRequest, What: "the request was not understood", Why: why, Next: next}
}

// faultOf is the one place where an error becomes an HTTP answer. what says what was being done.
func faultOf(what string, err error) *fault {
	f := &fault{What: what, Why: err.Error(), Err: err}
	switch {
	case errors.Is(err, ErrNotFound):
		f.Code, f.Next = http.StatusNotFound, "check the identifier; what is finished long ago may have been removed"
	case errors.Is(err, ErrForbidden):
		f.Code, f.Next = http.StatusForbidden, "have somebody sign in who may, or have the configuration allow it"
	case errors.Is(err, ErrConflict), errors.Is(err, ledger.ErrPatient):
		f.Code, f.Next = http.StatusConflict, "reload: its state has changed since it was shown"
	case errors.Is(err, ErrRefused):
		f.Code, f.Next = http.StatusUnprocessableEntity, "change what is asked for and ask again"
	case errors.Is(err, ErrGone):
		f.Code, f.Next = http.StatusGone, "look in the archive: the gateway keeps pixels only until its work is done"
	case errors.Is(err, ErrUnsupported):
		f.Code, f.Next = http.StatusUnprocessableEntity, "use a viewer at the archive"
	case ledger.IsTrouble(err):
		f.Code, f.Next = http.StatusServiceUnavailable, "see /readyz and the log; what was accepted is kept"
	case errors.Is(err, ErrBusy):
		f.Code, f.Next = http.StatusServiceUnavailable, "try again in a moment"
	case errors.Is(err, context.DeadlineExceeded):
		f.Code, f.Why, f.Next = http.StatusGatewayTimeout, "it took too long", "try again; if it stays so, see the log"
	default:
		f.Code, f.Why, f.Next = http.StatusInternalServerError, "the gateway met a fault", "see the log under this answer's X-Request-Id"
	}
	return f
}

// faultOfEcho turns what the router and its middleware answer into a fault.
func faultOfEcho(err error) *fault {
	var f *fault
	var he *echo.HTTPError
	switch {
	case errors.As(err, &f):
		return f
	case !errors.As(err, &he):
		return faultOf("the request failed", err)
	}
	f = &fault{Code: he.Code, What: "the request was refused", Why: strings.ToLower(http.StatusText(he.Code)), Err: err}
	switch he.Code {
	case http.StatusNotFound:
		f.Next = "see /api/v1/openapi.json for the paths there are"
	case http.StatusMethodNotAllowed:
		f.Next = "see /api/v1/openapi.json for the methods of this path"
	case http.StatusRequestEntityTooLarge:
		f.Next = "send less: only what changes a draft needs a body, of 1 MiB at most"
	default:
		f.Next = "see the log under this answer's X-Request-Id"
	}
	return f
}

// answerFault writes err as {"error":{what,why,next}}.
func answerFault(log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		f := faultOfEcho(err)
		if f.Code >= http.StatusInternalServerError && f.Err != nil {
			log.Error("admin: request failed", "route", c.Path(), "request_id", requestID(c), "what", f.What, "error", f.Err)
		}
		if c.Response().Committed {
			return
		}
		h := c.Response().Header()
		h.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
		h.Set(echo.HeaderCacheControl, "no-store")
		c.Response().WriteHeader(f.Code)
		if c.Request().Method == http.MethodHead {
			return
		}
		if err := json.NewEncoder(c.Response()).Encode(map[string]*fault{"error": f}); err != nil {
			log.Debug("admin: answer not written", "route", c.Path(), "error", err)
		}
	}
}
