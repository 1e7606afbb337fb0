package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unpaged are the answers that have no pages, with why they stay small however much was ever received.
var unpaged = map[string]string{
	"/healthz":                        "one word",
	"/readyz":                         "a line for each check",
	"/metrics":                        "series by model, destination and status",
	"/api/v1/status":                  "gauges",
	"/api/v1/version":                 "one build",
	"/api/v1/openapi.json":            "a file",
	"/api/v1/models":                  "the configuration",
	"/api/v1/destinations":            "the configuration",
	"/api/v1/studies/{uid}/draft":     "one version of one draft, which names no frame but those with findings and key images",
	"/api/v1/studies/{uid}/draft.pdf": "the same",
	"/api/v1/instances/{instance}/frames/{file}":                                         "one frame, scaled down as asked for",
	"/api/v1/studies/{uid}/instances/{sop}/frames/{frame}/explanation.png":               "one picture of one frame",
	"/api/v1/studies/{uid}/instances/{sop}/frames/{frame}/explanation.json":              "one map of one frame",
	"/api/v1/studies/{uid}/instances/{sop}/frames/{frame}/faithfulness.json":             "two curves of one frame",
	"/api/v1/models/{name}/network":                                                      "the layers of a network",
	"/api/v1/messages/{id}":                                                              "streams one message",
	"/api/v1/me":                                                                         "who asks",
	"/api/v1/users":                                                                      "as many as administrators made",
	"/api/v1/tokens":                                                                     "the same",
	"/api/v1/sessions":                                                                   "who has signed in, a thousand at most",
	"/dicom-web/studies/{uid}":                                                           "streams, an instance after the other",
	"/dicom-web/studies/{uid}/metadata":                                                  "the same",
	"/dicom-web/studies/{uid}/series/{series}":                                           "the same",
	"/dicom-web/studies/{uid}/series/{series}/metadata":                                  "the same",
	"/dicom-web/studies/{uid}/series/{series}/instances/{sop}":                           "the same",
	"/dicom-web/studies/{uid}/series/{series}/instances/{sop}/metadata":                  "one instance",
	"/dicom-web/studies/{uid}/series/{series}/instances/{sop}/frames/{frames}":           "a thousand frames at most, one in memory",
	"/dicom-web/studies/{uid}/series/{series}/instances/{sop}/bulkdata/{path}":           "streams one value",
	"/dicom-web/studies/{uid}/rendered":                                                  "a thousand pictures at most, one in memory",
	"/dicom-web/studies/{uid}/thumbnail":                                                 "one picture",
	"/dicom-web/studies/{uid}/series/{series}/rendered":                                  "a thousand pictures at most, one in memory",
	"/dicom-web/studies/{uid}/series/{series}/thumbnail":                                 "one picture",
	"/dicom-web/studies/{uid}/series/{series}/instances/{sop}/rendered":                  "a thousand pictures at most, one in memory",
	"/dicom-web/studies/{uid}/series/{series}/instances/{sop}/thumbnail":                 "one picture",
	"/dicom-web/studies/{uid}/series/{series}/instances/{sop}/frames/{frames}/rendered":  "a thousand pictures at most, one in memory",
	"/dicom-web/studies/{uid}/series/{series}/instances/{sop}/frames/{frames}/thumbnail": "one picture",
	"/api/v1/studies/{uid}/instances/{sop}/timeline.png":                                 "one picture, of lanes and key frames as many as there is room for",
	"/signin":                         "a form",
	"/signin/provider":                "the way to the provider",
	"/signin/callback":                "and back",
	"/setup":                          "a form",
	"/api/v1/reviews/{id}":            "one review, which names five frames at most",
	"/api/v1/screenings/{id}":         "one screening, in numbers",
	"/api/v1/reviews/physicians":      "as many as report, by what the models look for",
	"/api/v1/models/{name}/versions":  "the bundles beside one another in a folder",
	"/api/v1/dashboard":               "gauges",
	"/api/v1/workers":                 "the workers of a hospital",
	"/api/v1/associations":            "250 at most",
	"/api/v1/associations/{id}":       "128 contexts and 500 steps at most",
	"/api/v1/configuration":           "the configuration",
	"/api/v1/tasks":                   "fifty at most",
	"/api/v1/tasks/{id}":              "one task; of a comparison fifty frames",
	"/api/v1/audit":                   "fifty entries of a bounded part of the log, and where to go on",
	"/api/v1/live":                    "the configuration",
	"/api/v1/live/{name}/events":      "streams, a frame at a time",
	"/api/v1/live/{name}/picture.jpg": "one picture",
}

// TestBounds walks over what the API answers to, so that nothing is forgotten: what is read is a page with a bound, a total and
// a cursor, or it is named in unpaged.
func TestBounds(t *testing.T) {
	d := readDocument(t)
	var seen []string
	for path, operations := range d.Paths {
		op, ok := operations["get"]
		if !ok {
			continue
		}
		has := func(name string) bool {
			for _, p := range op.Parameters {
				if p.Name == name && p.In == "query" {
					if name == "limit" {
						assert.NotNil(t, p.Schema.Maximum, path)
						assert.LessOrEqual(t, *p.Schema.Maximum, 10_000.0, path)
					}
					return true
				}
			}
			return false
		}
		if _, small := unpaged[path]; small {
			seen = append(seen, path)
			assert.False(t, has("limit"), "%s has pages", path)
			continue
		}
		if !assert.True(t, has("limit") && has("offset"), "%s: give it pages, or say in unpaged why it needs none", path) || strings.HasPrefix(path, "/api/v1/studies/{uid}") || strings.HasPrefix(path, dicomweb+"/") {
			continue // what one study has is not so much that an offset takes long, and PS3.18 has no cursors
		}
		assert.True(t, has("after"), "%s has no cursor", path)
	}
	for path := range unpaged {
		assert.Contains(t, seen, path)
	}
}

// TestBounds_cursors gives each list its own next, and what is no cursor.
func TestBounds_cursors(t *testing.T) {
	s := newServer(t, newHospital(t))
	for _, path := range []string{"studies", "orders", "messages", "outbox", "parked", "agreement?list=decisions"} {
		base, sep := "/api/v1/"+path, "?"
		if strings.Contains(base, "?") {
			sep = "&"
		}
		get := func(query string) *httptest.ResponseRecorder {
			answer := httptest.NewRecorder()
			request := httptest.NewRequest(http.MethodGet, base+sep+query, nil)
			request.Host = "127.0.0.1"
			s.router().ServeHTTP(answer, request)
			return answer
		}
		for _, wrong := range []string{"x", ".", "0.", "!.7", "0." + strings.Repeat("7", maxCursor+1), "0.7&after=0.8"} {
			require.Equal(t, http.StatusBadRequest, get("after="+wrong).Code, "%s after=%s", path, wrong)
		}
		require.Equal(t, http.StatusOK, get("after=0.7").Code, path)
		require.Contains(t, get("limit=1").Body.String(), `"next":`, path)
	}
}
