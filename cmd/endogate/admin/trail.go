package admin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/audit"
)

// trail is what a route leaves in the audit trail when it has been answered: which event, what was done, and to what.
type trail struct {
	id     audit.Code
	action audit.Action
}

// trails are those of the routes at which somebody sees or changes what is a patient's, or what the gateway does. To look at
// a study again within a while is no new event (PS3.15 A.5 wants studies, not instances).
var trails = map[string]trail{
	"GET /api/v1/studies/:uid":                     {audit.InstancesAccessed, audit.Read},
	"GET /api/v1/instances/:instance/frames/:file": {audit.InstancesAccessed, audit.Read},

	"GET /api/v1/studies/:uid/instances/:sop/frames/:frame/explanation.png":   {audit.InstancesAccessed, audit.Read},
	"GET /api/v1/studies/:uid/instances/:sop/frames/:frame/explanation.json":  {audit.InstancesAccessed, audit.Read},
	"GET /api/v1/studies/:uid/instances/:sop/frames/:frame/faithfulness.json": {audit.InstancesAccessed, audit.Read},

	"POST /api/v1/studies/:uid/instances/:sop/frames/:frame/map": {audit.InstancesTransferred, audit.Create},

	"POST /dicom-web/studies":                                                            {audit.InstancesTransferred, audit.Create},
	"POST /dicom-web/studies/:uid":                                                       {audit.InstancesTransferred, audit.Create},
	"GET /dicom-web/studies":                                                             {audit.Query, audit.Execute},
	"GET /dicom-web/series":                                                              {audit.Query, audit.Execute},
	"GET /dicom-web/instances":                                                           {audit.Query, audit.Execute},
	"GET /dicom-web/studies/:uid":                                                        {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/metadata":                                               {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series":                                                 {audit.Query, audit.Execute},
	"GET /dicom-web/studies/:uid/instances":                                              {audit.Query, audit.Execute},
	"GET /dicom-web/studies/:uid/series/:series":                                         {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/metadata":                                {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/instances":                               {audit.Query, audit.Execute},
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop":                          {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/metadata":                 {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/frames/:frames":           {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/bulkdata/:path":           {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/rendered":                                               {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/thumbnail":                                              {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/rendered":                                {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/thumbnail":                               {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/rendered":                 {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/thumbnail":                {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/frames/:frames/rendered":  {audit.InstancesAccessed, audit.Read},
	"GET /dicom-web/studies/:uid/series/:series/instances/:sop/frames/:frames/thumbnail": {audit.InstancesAccessed, audit.Read},

	"POST /api/v1/live/:name/captures":         {audit.InstancesAccessed, audit.Create},
	"GET /api/v1/live/:name/picture.jpg":       {audit.InstancesAccessed, audit.Read},
	"GET /api/v1/live/:name/events":            {audit.InstancesAccessed, audit.Read},
	"GET /api/v1/studies":                      {audit.Query, audit.Execute},
	"GET /api/v1/orders":                       {audit.Query, audit.Execute},
	"GET /api/v1/messages":                     {audit.Query, audit.Execute},
	"GET /api/v1/messages/:id":                 {audit.OrderRecord, audit.Read},
	"GET /api/v1/reviews":                      {audit.Query, audit.Execute},
	"GET /api/v1/reviews/:id":                  {audit.ProcedureRecord, audit.Read},
	"GET /api/v1/reviews/physicians":           {audit.Query, audit.Execute},
	"POST /api/v1/reviews/:id/confirm":         {audit.ProcedureRecord, audit.Update},
	"POST /api/v1/reviews/:id/reject":          {audit.ProcedureRecord, audit.Update},
	"GET /api/v1/studies/:uid/draft":           {audit.ProcedureRecord, audit.Read},
	"GET /api/v1/studies/:uid/draft/history":   {audit.ProcedureRecord, audit.Read},
	"GET /api/v1/studies/:uid/draft.pdf":       {audit.Export, audit.Read},
	"PATCH /api/v1/studies/:uid/draft":         {audit.ProcedureRecord, audit.Update},
	"POST /api/v1/studies/:uid/draft/sign":     {audit.ProcedureRecord, audit.Create},
	"POST /api/v1/studies/:uid/draft/amend":    {audit.ProcedureRecord, audit.Update},
	"POST /api/v1/studies/:uid/draft/withdraw": {audit.ProcedureRecord, audit.Delete},
	"POST /api/v1/studies/:uid/draft/retry":    {audit.ProcedureRecord, audit.Update},
	"POST /api/v1/studies/:uid/gate/release":   {audit.ProcedureRecord, audit.Update},
	"POST /api/v1/studies/:uid/gate/correct":   {audit.PatientRecord, audit.Update},
	"POST /api/v1/retract":                     {audit.ProcedureRecord, audit.Delete},
	"POST /api/v1/screenings":                  {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/screenings/:id/cancel":       {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/parked/retry":                {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/parked/discard":              {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/parked/release":              {audit.ProcedureRecord, audit.Update},
	"POST /api/v1/parked/:id/retry":            {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/parked/:id/discard":          {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/destinations/:name/retry":    {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/compare":                     {audit.ApplicationActivity, audit.Execute},
	"GET /api/v1/audit":                        {audit.LogUsed, audit.Read},
	"POST /api/v1/try/frame.png":               {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/try/explanation.json":        {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/try/route":                   {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/tasks/:id/cancel":            {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/configuration/reload":        {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/models/:name/warm":           {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/models/:name/rollback":       {audit.ApplicationActivity, audit.Execute},
	"POST /api/v1/users":                       {audit.SecurityAlert, audit.Create},
	"PATCH /api/v1/users/:name":                {audit.SecurityAlert, audit.Update},
	"DELETE /api/v1/users/:name":               {audit.SecurityAlert, audit.Delete},
	"POST /api/v1/users/:name/link":            {audit.SecurityAlert, audit.Update},
	"DELETE /api/v1/sessions/:id":              {audit.SecurityAlert, audit.Delete},
	"POST /api/v1/tokens":                      {audit.SecurityAlert, audit.Create},
	"DELETE /api/v1/tokens/:id":                {audit.SecurityAlert, audit.Delete},
}

// seenAgain is how long one who looks at the same thing again leaves nothing new; mostSeen bounds how much is remembered.
const (
	seenAgain = 10 * time.Minute
	mostSeen  = 10_000
)

// seen remembers who looked at what.
type seen struct {
	mu sync.Mutex
	at map[string]time.Time
}

// again says whether key was remembered within a while.
func (s *seen) again(key string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.at[key]
	return ok && now.Sub(last) < seenAgain
}

// remember is for what has been recorded.
func (s *seen) remember(key string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil || len(s.at) >= mostSeen {
		s.at = map[string]time.Time{}
	}
	s.at[key] = now
}

// trailed records what was done. Of what changes something the intent is recorded first, so that nothing is done of which
// there is no word; of what is read the answer waits for the record.
func (s *Server) trailed(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		method := c.Request().Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		t, ok := trails[method+" "+c.Path()]
		if s.SignIn == nil || !ok {
			return next(c)
		}
		who := s.who(c)
		e := s.event(c, who, t.id, audit.Code{}, t.action)
		if study := param(c, "uid"); study != "" {
			e.Objects = append(e.Objects, audit.Object{Kind: audit.Study, ID: study})
		}
		e.Objects = append(e.Objects, audit.Object{Kind: audit.URI, ID: c.Path(), Detail: named(c)})
		reads := method == http.MethodGet
		key := who.Name + " " + c.Request().URL.RequestURI()
		switch study := param(c, "uid"); {
		case study != "" && ofDICOMweb(c):
			key = strings.Join([]string{who.Name, dicomweb, t.id.Value, study}, " ") // a viewer asks for every frame; to find a study is not to have read it
		case study != "" && strings.Contains(c.Path(), "/frames/"):
			key = strings.Join([]string{who.Name, c.Path(), study}, " ") // the same question about every frame
		}
		if reads && s.seen.again(key, s.SignIn.Now()) {
			return next(c)
		}
		switch err := s.SignIn.Record(c.Request().Context(), e); {
		case err == nil:
			s.SignIn.settle(c.Request().Context())
			if reads {
				s.seen.remember(key, s.SignIn.Now())
			}
		case err != nil && reads && who.Role == access.Administrator && who.Method != access.ByToken && !who.Glass:
			s.Log.Error("admin: what an administrator looks at is not in the audit trail", "name", who.Name, "route", c.Path(), "err", err) // who mends it has to see what is wrong, and sees no names
			s.owe(e)
			s.seen.remember(key, s.SignIn.Now())
		case err != nil && reads && who.Name == "":
			s.Log.Error("admin: what somebody who is not known looks at is not in the audit trail", "err", err) // who keeps it running has to see why
		case err != nil:
			return faultOf("the request was not answered: it cannot be recorded in the audit trail", err)
		}
		err := next(c)
		status := c.Response().Status
		if !reads && (err != nil || status >= http.StatusBadRequest) { // DICOMweb answers refusals by itself
			e.Outcome, e.Why = audit.Minor, fmt.Sprintf("answered with %d", status)
			if err != nil {
				e.Why = faultOfEcho(err).Why
			}
			if failed := s.SignIn.Record(context.WithoutCancel(c.Request().Context()), e); failed != nil {
				s.Log.Error("admin: a failure is not in the audit trail", "err", failed)
			}
		}
		return err
	}
}

// owed are events that could not be recorded when they were, and are when that can be done again. The log of the system has them
// meanwhile.
type owed struct {
	mu     sync.Mutex
	events []audit.Event
}

// mostOwed bounds them.
const mostOwed = 1000

// owe keeps an event until it can be recorded. That there is no room for it is said.
func (s *Server) owe(e audit.Event) {
	e.At = s.SignIn.Now()
	o := &s.SignIn.owed
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.events) >= mostOwed {
		s.Log.Error("admin: an event will not be in the audit trail: too many wait for it", "waiting", mostOwed)
		return
	}
	o.events = append(o.events, e)
}

// settle records what is owed, now that something could be recorded.
func (in *SignIn) settle(ctx context.Context) {
	in.owed.mu.Lock()
	defer in.owed.mu.Unlock()
	for len(in.owed.events) > 0 && in.Record(ctx, in.owed.events[0]) == nil {
		in.owed.events = in.owed.events[1:]
	}
}

// named are the parameters of a route's path.
func named(c echo.Context) map[string]string {
	all := map[string]string{}
	for _, name := range c.ParamNames() {
		if name != "uid" {
			all[name] = param(c, name)
		}
	}
	if keys := searchedBy(c); keys != "" {
		all["keys"] = keys
	}
	return all
}

// attribute is a name or a tag of one, as searches have it.
var attribute = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// searchedBy are the attributes by which DICOMweb is searched, and not what is searched for: that may be a patient's.
func searchedBy(c echo.Context) string {
	if !ofDICOMweb(c) {
		return ""
	}
	keys := slices.Sorted(maps.Keys(c.QueryParams()))
	keys = slices.DeleteFunc(keys, func(k string) bool { return !attribute.MatchString(k) })
	return strings.Join(keys[:min(len(keys), 32)], " ")
}

// event is one of the audit trail about a request.
func (s *Server) event(c echo.Context, who access.Identity, id, kind audit.Code, action audit.Action) audit.Event {
	name := who.Name
	if name == "" {
		name = "not known"
	}
	return audit.Event{
		ID: id, Type: kind, Action: action,
		Participants: []audit.Participant{
			{ID: name, Requested: true, Address: s.address(c)},
			{ID: "endogate", Role: audit.Application},
		},
	}
}

// failed records that somebody could not prove who it is. Many in a row, of one place, are one now and then.
func (s *Server) failed(c echo.Context, name string, method access.Method) {
	s.alert(c, access.Identity{Name: name, Method: method}, audit.UserAuthentication, audit.Login, "it was not proved who it is")
}

// denied records that somebody asked for what the role may not.
func (s *Server) denied(c echo.Context, who access.Identity, needs access.Right) {
	s.alert(c, who, audit.SecurityAlert, audit.UseOfRestricted, "without the right "+string(needs))
}

func (s *Server) alert(c echo.Context, who access.Identity, id, kind audit.Code, why string) {
	if s.SignIn == nil {
		return
	}
	key := why + " " + who.Name + " " + c.RealIP()
	if s.seen.again(key, s.SignIn.Now()) {
		return
	}
	e := s.event(c, who, id, kind, audit.Execute)
	e.Outcome, e.Why = audit.Minor, why
	e.Objects = []audit.Object{{Kind: audit.URI, ID: c.Path()}}
	if err := s.SignIn.Record(c.Request().Context(), e); err != nil {
		s.Log.Error("admin: a refusal is not in the audit trail", "err", err)
		return
	}
	s.seen.remember(key, s.SignIn.Now())
}
