package admin

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"endogate/cmd/endogate/access"
)

// forAll are the routes that anybody may ask for: they say nothing of patients, and the sign-in has to be reached.
var forAll = map[string]bool{
	"/healthz": true, "/readyz": true, "/assets/:file": true, "/api/v1/openapi.json": true, "/api/v1/me": true,
	"/signin": true, "/signout": true, "/setup": true, "/signin/provider": true, "/signin/callback": true,
}

// rightsOf is what each other route needs; a method and a path that are not in it are nobody's. docs/security.md shows it.
var rightsOf = map[string]access.Right{
	"GET /":                                        access.Look,
	"GET /metrics":                                 access.Measure,
	"GET /api/v1/status":                           access.Look,
	"GET /api/v1/version":                          access.Look,
	"GET /api/v1/models":                           access.Look,
	"GET /api/v1/models/:name/network":             access.Look,
	"GET /api/v1/studies":                          access.Look,
	"GET /api/v1/studies/:uid":                     access.Look,
	"GET /api/v1/instances/:instance/frames/:file": access.Look,

	"GET /api/v1/studies/:uid/instances/:sop/timeline.png": access.Look,

	"GET /api/v1/studies/:uid/instances/:sop/frames/:frame/explanation.png":   access.Look,
	"GET /api/v1/studies/:uid/instances/:sop/frames/:frame/explanation.json":  access.Look,
	"GET /api/v1/studies/:uid/instances/:sop/frames/:frame/faithfulness.json": access.Look,

	"GET /api/v1/outbox":       access.Look,
	"GET /api/v1/parked":       access.Look,
	"GET /api/v1/destinations": access.Look,
	"GET /api/v1/agreement":    access.Look,

	"GET /api/v1/screenings":     access.Look,
	"GET /api/v1/screenings/:id": access.Look,

	"GET /api/v1/live":                   access.Look,
	"GET /api/v1/live/:name/events":      access.Look,
	"GET /api/v1/live/:name/picture.jpg": access.Look,
	"POST /api/v1/live/:name/captures":   access.Report,

	"GET /api/v1/studies/:uid/draft":         access.Identify,
	"GET /api/v1/studies/:uid/draft/history": access.Identify,
	"GET /api/v1/studies/:uid/draft.pdf":     access.Identify,
	"GET /api/v1/orders":                     access.Identify,
	"GET /api/v1/messages":                   access.Identify,
	"GET /api/v1/messages/:id":               access.Identify,
	"GET /api/v1/reviews":                    access.Identify,
	"GET /api/v1/reviews/:id":                access.Identify,
	"GET /api/v1/reviews/physicians":         access.Identify,

	"POST /dicom-web/studies":                                                            access.Send,
	"POST /dicom-web/studies/:uid":                                                       access.Send,
	"GET /dicom-web/studies":                                                             access.Identify,
	"GET /dicom-web/series":                                                              access.Identify,
	"GET /dicom-web/instances":                                                           access.Identify,
	"GET /dicom-web/studies/:uid":                                                        access.Identify,
	"GET /dicom-web/studies/:uid/metadata":                                               access.Identify,
	"GET /dicom-web/studies/:uid/series":                                                 access.Identify,
	"GET /dicom-web/studies/:uid/instances":                                              access.Identify,
	"GET /dicom-web/studies/:uid/series/:series":                                         access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/metadata":                                access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/instances":                               access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop":                          access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/metadata":                 access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/frames/:frames":           access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/bulkdata/:path":           access.Identify,
	"GET /dicom-web/studies/:uid/rendered":                                               access.Identify,
	"GET /dicom-web/studies/:uid/thumbnail":                                              access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/rendered":                                access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/thumbnail":                               access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/rendered":                 access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/thumbnail":                access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/frames/:frames/rendered":  access.Identify,
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/frames/:frames/thumbnail": access.Identify,

	"POST /api/v1/studies/:uid/instances/:sop/frames/:frame/map": access.Report,

	"PATCH /api/v1/studies/:uid/draft":         access.Report,
	"POST /api/v1/studies/:uid/draft/sign":     access.Report,
	"POST /api/v1/studies/:uid/draft/amend":    access.Report,
	"POST /api/v1/studies/:uid/draft/withdraw": access.Report,
	"POST /api/v1/studies/:uid/gate/release":   access.Report,
	"POST /api/v1/studies/:uid/gate/correct":   access.Report,
	"POST /api/v1/parked/release":              access.Report,
	"POST /api/v1/reviews/:id/confirm":         access.Report,
	"POST /api/v1/reviews/:id/reject":          access.Report,
	"POST /api/v1/retract":                     access.Retract,

	"POST /api/v1/studies/:uid/draft/retry": access.Operate,
	"POST /api/v1/screenings":               access.Operate,
	"POST /api/v1/screenings/:id/cancel":    access.Operate,
	"POST /api/v1/parked/retry":             access.Operate,
	"POST /api/v1/parked/discard":           access.Operate,
	"POST /api/v1/parked/:id/retry":         access.Operate,
	"POST /api/v1/parked/:id/discard":       access.Operate,
	"POST /api/v1/destinations/:name/echo":  access.Operate,
	"POST /api/v1/destinations/:name/retry": access.Operate,

	"POST /api/v1/destinations/:name/accepts": access.Operate,
	"POST /api/v1/try/route":                  access.Operate,
	"GET /api/v1/dashboard":                   access.Look,
	"GET /api/v1/workers":                     access.Look,
	"GET /api/v1/associations":                access.Operate,
	"GET /api/v1/associations/:id":            access.Operate,
	"GET /api/v1/configuration":               access.Operate,
	"POST /api/v1/configuration/reload":       access.Operate,
	"POST /api/v1/models/:name/warm":          access.Operate,
	"GET /api/v1/models/:name/versions":       access.Operate,
	"POST /api/v1/models/:name/rollback":      access.Administer,
	"POST /api/v1/compare":                    access.Operate,
	"GET /api/v1/audit":                       access.Administer,
	"GET /api/v1/tasks":                       access.Operate,
	"GET /api/v1/tasks/:id":                   access.Operate,
	"POST /api/v1/tasks/:id/cancel":           access.Operate,

	"POST /api/v1/try/frame.png":        access.Look,
	"POST /api/v1/try/explanation.json": access.Look,

	"POST /api/v1/break-glass":      access.Look,
	"GET /api/v1/users":             access.Administer,
	"POST /api/v1/users":            access.Administer,
	"PATCH /api/v1/users/:name":     access.Administer,
	"DELETE /api/v1/users/:name":    access.Administer,
	"POST /api/v1/users/:name/link": access.Administer,
	"GET /api/v1/tokens":            access.Administer,
	"POST /api/v1/tokens":           access.Administer,
	"DELETE /api/v1/tokens/:id":     access.Administer,
	"GET /api/v1/sessions":          access.Administer,
	"DELETE /api/v1/sessions/:id":   access.Administer,
	"POST /api/v1/prove":            access.Look,
}

// allowed lets a request through when who asks may ask that, and says why not else: 401 of nobody, 403 of somebody.
func (s *Server) allowed(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Path() == "" || forAll[c.Path()] {
			return next(c) // "": no such route; the router says so
		}
		method := c.Request().Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		who := s.who(c)
		needs, known := rightsOf[method+" "+c.Path()]
		switch {
		case known && who.May(needs) && needs == access.Administer && method != http.MethodGet:
			if err := s.proved(c, who); err != nil {
				return err
			}
			return next(c)
		case known && who.May(needs):
			return next(c)
		case !known:
			return echo.ErrMethodNotAllowed // there is such a path, and it has no such method
		case who.Role == "" && c.Path() == "/":
			return c.Redirect(http.StatusSeeOther, "/signin")
		case who.Role == "":
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, "Bearer")
			return &fault{
				Code: http.StatusUnauthorized, What: "the request was refused", Why: "nobody has signed in, or the sign-in has ended",
				Next: "sign in at /signin, or send a token as Authorization: Bearer",
			}
		}
		s.denied(c, who, needs)
		return &fault{
			Code: http.StatusForbidden, What: "the request was refused", Why: "the role " + string(who.Role) + " does not have the right " + string(needs),
			Next: "have somebody do it who may, or an administrator give the role",
		}
	}
}

// identifies says whether who asks may see whose a study is.
func (s *Server) identifies(c echo.Context) bool { return s.who(c).May(access.Identify) }

// hidden is what stands where who asks may not see whose a study is.
const hidden = "hidden"

func hide(s *StudySummary) { s.PatientID, s.PatientName = hidden, hidden }

// hideWords takes what a peer said out of reason: it may quote what it was sent. What is ours of it stays.
func hideWords(reason *string, nameless string) {
	if *reason != nameless {
		*reason = strings.TrimPrefix(nameless+"; what the peer said is "+hidden+", as it may name a patient", "; ")
	}
}

func hideDeliveries(all []Delivery) {
	for i := range all {
		hideWords(&all[i].Reason, all[i].Nameless)
	}
}

// nameless is the fault of who asks for patients by what it may not see.
func nameless() *fault {
	return &fault{
		Code: http.StatusForbidden, What: "the request was refused", Why: "it asks by a patient's identifier, which this role may not see",
		Next: "ask by accession or UID, or break the glass: POST /api/v1/break-glass with a reason",
	}
}
