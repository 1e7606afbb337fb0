package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/audit"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]*schema }
}

type operation struct {
	Parameters []struct {
		Name, In string
		Schema   *schema
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema *schema }
	}
}

// schema is the part of JSON Schema that the document uses.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 string
	Format, Pattern      string
	Enum                 []string
	Required             []string
	Properties           map[string]*schema
	Items                *schema
	AdditionalProperties json.RawMessage
	Minimum, Maximum     *float64
	MinItems, MaxItems   int
	MaxLength            int
}

func readDocument(t *testing.T) document {
	t.Helper()
	var d document
	require.NoError(t, json.Unmarshal(openAPIDocument, &d))
	require.Equal(t, "3.1.0", d.OpenAPI)
	return d
}

var echoParam = regexp.MustCompile(`:([a-z]+)`)

// Every route is described and every described operation is a route.
func TestOpenAPI_routes(t *testing.T) {
	var described, routed []string
	for path, operations := range readDocument(t).Paths {
		for method := range operations {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range newServer(t, newHospital(t)).router().Routes() {
		path := echoParam.ReplaceAllString(r.Path, "{$1}")
		if r.Method == http.MethodHead || path == "/" || strings.HasPrefix(path, "/assets/") {
			continue
		}
		routed = append(routed, r.Method+" "+path)
	}
	slices.Sort(described)
	slices.Sort(routed)
	require.Equal(t, routed, described)
}

// Every answer has the shape that is described, with no property more and none less.
func TestOpenAPI_answers(t *testing.T) {
	d := readDocument(t)
	for _, tt := range []struct{ operation, target string }{
		{"GET /healthz", "/healthz"},
		{"GET /readyz", "/readyz"},
		{"GET /api/v1/status", "/api/v1/status"},
		{"GET /api/v1/version", "/api/v1/version"},
		{"GET /api/v1/openapi.json", "/api/v1/openapi.json"},
		{"GET /api/v1/models", "/api/v1/models"},
		{"GET /api/v1/studies", "/api/v1/studies"},
		{"GET /api/v1/studies", "/api/v1/studies?patient_id=nobody"},
		{"GET /api/v1/studies", "/api/v1/studies?limit=none"},
		{"GET /api/v1/studies/{uid}", "/api/v1/studies/2.25.1001"},
		{"GET /api/v1/studies/{uid}", "/api/v1/studies/2.25.1003"},
		{"GET /api/v1/studies/{uid}", "/api/v1/studies/2.25.404"},
		{"GET /api/v1/studies/{uid}/draft", "/api/v1/studies/2.25.1001/draft"},
		{"GET /api/v1/studies/{uid}/draft", "/api/v1/studies/2.25.404/draft"},
		{"GET /api/v1/studies/{uid}/draft/history", "/api/v1/studies/2.25.1001/draft/history"},
		{"POST /api/v1/studies/{uid}/draft/retry", "/api/v1/studies/2.25.1001/draft/retry"},
		{"PATCH /api/v1/studies/{uid}/draft", "/api/v1/studies/2.25.1001/draft"},
		{"POST /api/v1/studies/{uid}/draft/sign", "/api/v1/studies/2.25.1001/draft/sign"},
		{"GET /api/v1/agreement", "/api/v1/agreement?model=demo"},
		{"GET /api/v1/agreement", "/api/v1/agreement?list=decisions&from=2026-03-01"},
		{"GET /api/v1/agreement", "/api/v1/agreement?format=xml"},
		{"POST /api/v1/studies/{uid}/gate/release", "/api/v1/studies/2.25.1003/gate/release"},
		{"POST /api/v1/studies/{uid}/gate/correct", "/api/v1/studies/2.25.1003/gate/correct"},
		{"GET /api/v1/orders", "/api/v1/orders"},
		{"GET /api/v1/orders", "/api/v1/orders?state=lost"},
		{"GET /api/v1/messages", "/api/v1/messages?answer=AE"},
		{"GET /api/v1/messages", "/api/v1/messages?answer=XX"},
		{"GET /api/v1/messages/{id}", "/api/v1/messages/none"},
		{"GET /api/v1/reviews/{id}", "/api/v1/reviews/0123456789abcdef"},
		{"GET /api/v1/reviews/{id}", "/api/v1/reviews/none"},
		{"GET /api/v1/live", "/api/v1/live"},
		{"GET /api/v1/screenings", "/api/v1/screenings"},
		{"GET /api/v1/screenings/{id}", "/api/v1/screenings/fedcba9876543210"},
		{"GET /api/v1/screenings/{id}", "/api/v1/screenings/none"},
		{"POST /api/v1/screenings", "/api/v1/screenings"},
		{"POST /api/v1/screenings/{id}/cancel", "/api/v1/screenings/fedcba9876543210/cancel"},
		{"POST /api/v1/screenings/{id}/cancel", "/api/v1/screenings/none/cancel"},
		{"GET /api/v1/outbox", "/api/v1/outbox"},
		{"GET /api/v1/parked", "/api/v1/parked"},
		{"POST /api/v1/parked/retry", "/api/v1/parked/retry?kind=delivery&dry_run=true"},
		{"POST /api/v1/parked/discard", "/api/v1/parked/discard?kind=delivery&dry_run=true"},
		{"POST /api/v1/parked/release", "/api/v1/parked/release?dry_run=true"},
		{"POST /api/v1/parked/release", "/api/v1/parked/release?mismatch=weather"},
		{"POST /api/v1/parked/{id}/retry", "/api/v1/parked/delivery-42/retry"},
		{"POST /api/v1/parked/{id}/retry", "/api/v1/parked/delivery-42/retry"},
		{"POST /api/v1/parked/{id}/discard", "/api/v1/parked/job-e7.demo-colon/discard"},
		{"POST /api/v1/parked/{id}/discard", "/api/v1/parked/instance-e9/discard"},
		{"POST /api/v1/parked/{id}/retry", "/api/v1/parked/instance-e9/retry"},
		{"GET /api/v1/destinations", "/api/v1/destinations"},
		{"POST /api/v1/destinations/{name}/echo", "/api/v1/destinations/pacs/echo"},
		{"POST /api/v1/destinations/{name}/echo", "/api/v1/destinations/none/echo"},
		{"POST /api/v1/destinations/{name}/retry", "/api/v1/destinations/his/retry"},
		{"POST /api/v1/destinations/{name}/retry", "/api/v1/destinations/none/retry"},
		{"GET /api/v1/instances/{instance}/frames/{file}", "/api/v1/instances/e-video/frames/1.png"},
		{"GET /api/v1/studies/{uid}/instances/{sop}/frames/{frame}/explanation.json", "/api/v1/studies/2.25.1001/instances/2.25.1001.1/frames/1/explanation.json"},
		{"GET /api/v1/studies/{uid}/instances/{sop}/frames/{frame}/explanation.json", "/api/v1/studies/2.25.1001/instances/2.25.1001.1/frames/0/explanation.json"},
		{"GET /api/v1/studies/{uid}/instances/{sop}/frames/{frame}/explanation.png", "/api/v1/studies/2.25.1001/instances/2.25.1001.1/frames/1/explanation.png?class=tea"},
		{"GET /api/v1/studies/{uid}/instances/{sop}/frames/{frame}/explanation.json", "/api/v1/studies/2.25.1001/instances/2.25.1001.1/frames/1/explanation.json?as=map&black=1,2,3,4"},
		{"GET /api/v1/studies/{uid}/instances/{sop}/frames/{frame}/faithfulness.json", "/api/v1/studies/2.25.1001/instances/2.25.1001.1/frames/1/faithfulness.json"},
		{"GET /api/v1/models/{name}/network", "/api/v1/models/demo-colon/network"},
		{"GET /api/v1/models/{name}/network", "/api/v1/models/none/network"},
		{"POST /api/v1/destinations/{name}/accepts", "/api/v1/destinations/pacs/accepts"},
		{"POST /api/v1/destinations/{name}/accepts", "/api/v1/destinations/none/accepts"},
		{"POST /api/v1/try/route", "/api/v1/try/route?calling_ae=SCOPE1"},
		{"GET /api/v1/dashboard", "/api/v1/dashboard"},
		{"GET /api/v1/workers", "/api/v1/workers"},
		{"GET /api/v1/associations", "/api/v1/associations"},
		{"GET /api/v1/associations/{id}", "/api/v1/associations/7?behind=1"},
		{"GET /api/v1/associations/{id}", "/api/v1/associations/99"},
		{"GET /api/v1/associations/{id}", "/api/v1/associations/none"},
		{"GET /api/v1/configuration", "/api/v1/configuration"},
		{"POST /api/v1/configuration/reload", "/api/v1/configuration/reload?dry_run=true"},
		{"POST /api/v1/configuration/reload", "/api/v1/configuration/reload"},
		{"POST /api/v1/configuration/reload", "/api/v1/configuration/reload?dry_run=perhaps"},
		{"POST /api/v1/models/{name}/warm", "/api/v1/models/demo-colon/warm"},
		{"POST /api/v1/models/{name}/warm", "/api/v1/models/none/warm"},
		{"GET /api/v1/models/{name}/versions", "/api/v1/models/demo-colon/versions"},
		{"GET /api/v1/models/{name}/versions", "/api/v1/models/none/versions"},
		{"POST /api/v1/models/{name}/rollback", "/api/v1/models/demo-colon/rollback?version=0.9.0"},
		{"POST /api/v1/models/{name}/rollback", "/api/v1/models/demo-colon/rollback"},
		{"POST /api/v1/models/{name}/rollback", "/api/v1/models/none/rollback?version=0.9.0"},
		{"POST /api/v1/compare", "/api/v1/compare?a=demo-colon&b=none"},
		{"POST /api/v1/parked/retry", "/api/v1/parked/retry?kind=delivery&task=true"},
		{"GET /api/v1/tasks", "/api/v1/tasks"},
		{"GET /api/v1/audit", "/api/v1/audit?text=anna&from=2026-01-01"},
		{"GET /api/v1/audit", "/api/v1/audit?after=the+end"},
		{"GET /api/v1/tasks/{id}", "/api/v1/tasks/none"},
		{"POST /api/v1/tasks/{id}/cancel", "/api/v1/tasks/none/cancel"},
		{"POST /api/v1/try/route", "/api/v1/try/route?calling_ae=far+too+long+a+title"},
		{"GET /api/v1/me", "/api/v1/me"},
		{"GET /api/v1/users", "/api/v1/users"},
		{"POST /api/v1/break-glass", "/api/v1/break-glass"},
	} {
		t.Run(tt.target, func(t *testing.T) {
			method, path, _ := strings.Cut(tt.operation, " ")
			w := ask(newServer(t, newHospital(t)).Handler(), method, tt.target, ActionHeader, "1")
			responses := d.Paths[path][strings.ToLower(method)].Responses
			response, ok := responses[fmt.Sprint(w.Code)]
			if !ok {
				response = responses["default"]
			}
			require.NotNil(t, response.Content["application/json"].Schema)
			var body any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
			require.NoError(t, d.check(response.Content["application/json"].Schema, body, "body"))
		})
	}
}

// The described query parameters are those that are understood: each is accepted alone, any other refused.
func TestOpenAPI_parameters(t *testing.T) {
	d := readDocument(t)
	s := newServer(t, newHospital(t)).Handler()
	value := map[string]string{"limit": "1", "offset": "1", "width": "64", "study_uid": "1.2.3", "status": "done", "state": "done", "number": "1", "version": "1", "from": "2026-03-01", "before": "2026-03-01", "list": "counts", "answer": "AA", "format": "csv", "class": "polyp", "opacity": "40", "black": "1,2,3,4", "border": "crop", "as": "map", "search": "1.2.3"}
	for path, target := range map[string]string{
		"/api/v1/agreement": "/api/v1/agreement", "/api/v1/studies/{uid}/draft": draftPath, "/api/v1/studies/{uid}/draft/history": draftPath + "/history", "/api/v1/studies/{uid}/draft.pdf": draftPath + ".pdf",
		"/api/v1/studies": "/api/v1/studies", "/api/v1/outbox": "/api/v1/outbox", "/api/v1/orders": "/api/v1/orders", "/api/v1/messages": "/api/v1/messages",
		"/api/v1/instances/{instance}/frames/{file}":                             "/api/v1/instances/2.25.1001.1/frames/1.jpg",
		"/api/v1/studies/{uid}/instances/{sop}/frames/{frame}/explanation.png":   explanationPath + ".png",
		"/api/v1/studies/{uid}/instances/{sop}/frames/{frame}/explanation.json":  explanationPath + ".json",
		"/api/v1/studies/{uid}/instances/{sop}/frames/{frame}/faithfulness.json": strings.Replace(explanationPath, "explanation", "faithfulness.json", 1),
	} {
		for _, p := range d.Paths[path]["get"].Parameters {
			if value := value; p.In == "query" {
				if p.Name == "state" && path == "/api/v1/orders" {
					value = map[string]string{"state": "cancelled"}
				}
				require.Equal(t, http.StatusOK, ask(s, "GET", target+"?"+p.Name+"="+value[p.Name]).Code, p.Name)
			}
		}
		require.Equal(t, http.StatusBadRequest, ask(s, "GET", target+"?other=1").Code)
	}
}

// The schemas name the fields of the Go types, so that neither grows alone.
func TestOpenAPI_fields(t *testing.T) {
	d := readDocument(t)
	for name, v := range map[string]any{
		"StudySummary": StudySummary{}, "Study": Study{}, "Instance": Instance{}, "Analysis": Analysis{}, "FrameResult": FrameResult{}, "Result": analysis.Result{}, "Span": analysis.Span{}, "MadeBy": analysis.Model{}, "Finding": analysis.Finding{},
		"Code": dicom.Code{}, "Order": ledger.OrderView{}, "OrderStudy": ledger.OrderStudy{}, "Message": Message{}, "Step": ledger.Step{}, "Person": ledger.Person{}, "Identifier": ledger.Identifier{}, "Explanation": Explanation{}, "ClassProbability": ClassProbability{}, "Grid": Grid{}, "Laid": Laid{}, "Faithfulness": Faithfulness{}, "Curve": Curve{}, "Network": Network{}, "NetworkLayer": NetworkLayer{}, "NetworkMethod": NetworkMethod{}, "Gate": Gate{}, "Mismatch": Mismatch{}, "Exam": Exam{}, "Object": Object{}, "Delivery": Delivery{}, "DeliveryCounts": ledger.DeliveryCounts{}, "Event": Event{}, "Parked": parkedView{}, "DraftVersion": DraftVersion{}, "DraftEdit": draft.Edit{}, "AgreementCount": ledger.AgreementCount{}, "AgreementDecision": ledger.Agreement{},
		"Model": Model{}, "Class": analysis.Class{}, "Destination": Destination{}, "EchoResult": EchoResult{}, "RetryResult": RetryResult{}, "Gauges": Gauges{}, "Matrix": Matrix{}, "MatrixClass": MatrixClass{}, "MatrixSyntax": MatrixSyntax{}, "RouteTrial": RouteTrial{}, "RouteMatch": RouteMatch{}, "Condition": Condition{}, "ModelTrial": ModelTrial{}, "Delivered": Delivered{}, "Flow": ledger.Flow{}, "Dashboard": Dashboard{}, "Certificate": Certificate{}, "Worker": Worker{}, "Association": Association{}, "AssociationLog": AssociationLog{}, "NegotiatedContext": NegotiatedContext{}, "AssociationStep": AssociationStep{}, "Configuration": Configuration{}, "Setting": Setting{}, "Change": Change{}, "Reload": Reload{}, "ReloadState": ReloadState{}, "Warmed": Warmed{}, "ModelVersion": ModelVersion{}, "ModelChoice": ModelChoice{}, "Comparison": Comparison{}, "ClassComparison": ClassComparison{}, "Difference": Difference{}, "Task": Task{}, "AuditEntry": audit.Entry{}, "Version": Version{}, "Check": CheckResult{},
	} {
		var described []string
		for field := range d.Components.Schemas[name].Properties {
			described = append(described, field)
		}
		require.ElementsMatch(t, jsonNames(reflect.TypeOf(v)), described, name)
	}
}

func jsonNames(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-":
		case f.Anonymous && tag == "":
			names = append(names, jsonNames(f.Type)...)
		default:
			names = append(names, tag)
		}
	}
	return names
}

// The shape test must be able to fail.
func TestOpenAPI_checkFinds(t *testing.T) {
	d := readDocument(t)
	for _, bad := range []string{
		`{"ready":true}`, `{"ready":"yes","checks":[]}`, `{"ready":true,"checks":null}`, `{"ready":true,"checks":[],"more":1}`, `{"ready":true,"checks":[{"name":"a","ok":true}]}`,
	} {
		var body any
		require.NoError(t, json.Unmarshal([]byte(bad), &body))
		require.Error(t, d.check(&schema{Ref: "#/components/schemas/Readiness"}, body, "body"), bad)
	}
}

// check says where v does not have the shape of s.
func (d document) check(s *schema, v any, at string) error {
	if s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		if s == nil {
			return fmt.Errorf("%s: schema is not there", at)
		}
	}
	wrong := func() error { return fmt.Errorf("%s: %v is not %s", at, v, s.Type) }
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			return wrong()
		}
		return d.checkObject(s, v, at)
	case []any:
		if s.Type != "array" || len(v) < s.MinItems || s.MaxItems > 0 && len(v) > s.MaxItems {
			return wrong()
		}
		for i, item := range v {
			if err := d.check(s.Items, item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case string:
		if s.Type != "string" {
			return wrong()
		}
		return checkText(s, v, at)
	case float64:
		whole := v == float64(int64(v))
		if s.Type != "number" && (s.Type != "integer" || !whole) || s.Minimum != nil && v < *s.Minimum || s.Maximum != nil && v > *s.Maximum {
			return wrong()
		}
	case bool:
		if s.Type != "boolean" {
			return wrong()
		}
	default:
		return wrong()
	}
	return nil
}

func (d document) checkObject(s *schema, v map[string]any, at string) error {
	for _, key := range s.Required {
		if _, ok := v[key]; !ok {
			return fmt.Errorf("%s: no %s", at, key)
		}
	}
	for key, value := range v {
		property := s.Properties[key]
		if property == nil {
			if string(s.AdditionalProperties) == "false" {
				return fmt.Errorf("%s: %s is not described", at, key)
			}
			if len(s.AdditionalProperties) == 0 {
				continue
			}
			property = &schema{}
			if err := json.Unmarshal(s.AdditionalProperties, property); err != nil {
				return err
			}
		}
		if err := d.check(property, value, at+"."+key); err != nil {
			return err
		}
	}
	return nil
}

func checkText(s *schema, v, at string) error {
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		return fmt.Errorf("%s: %q is none of %q", at, v, s.Enum)
	}
	if s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(v) {
		return fmt.Errorf("%s: %q does not match %s", at, v, s.Pattern)
	}
	if s.Format == "date-time" {
		if _, err := time.Parse(time.RFC3339, v); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}
