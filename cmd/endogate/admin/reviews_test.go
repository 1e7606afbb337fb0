package admin

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/audit"
)

// TestPhysicians: misses are counted by who reported where that is allowed, for whom may identify patients, and that somebody asked stands in
// the trail under a route of its own; else asking says what does not allow it.
func TestPhysicians(t *testing.T) {
	const route = "/api/v1/reviews/physicians"
	h := newHouse(t)
	clinician, viewer := h.signedIn(t, string(access.Clinician)), h.signedIn(t, string(access.Viewer))
	status, text, _ := h.ask(t, clinician, http.MethodGet, route, nil)
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, text, "reading.by_physician")
	_, text, _ = h.ask(t, clinician, http.MethodGet, "/api/v1/reviews?list=counts", nil)
	require.Contains(t, text, `"by_physician":false`)
	require.NotContains(t, text, "Meier")

	h.server.Reviews.(*hospital).byPhysician = true
	status, text, _ = h.ask(t, clinician, http.MethodGet, route+"?from=2026-11-01", nil)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, `"physician":{"id":"4711","authority":"HOSP"`)
	require.Contains(t, text, `"by_physician":true`)
	_, text, _ = h.ask(t, clinician, http.MethodGet, route+"?format=csv", nil)
	require.Contains(t, text, "4711,HOSP,Meier^<b>Anna,demo-colon,1.0.0,polyp,")
	status, _, _ = h.ask(t, clinician, http.MethodGet, route+"?by=name", nil)
	require.Equal(t, http.StatusBadRequest, status)
	status, _, _ = h.ask(t, viewer, http.MethodGet, route, nil)
	require.Equal(t, http.StatusForbidden, status)
	h.mu.Lock()
	defer h.mu.Unlock()
	require.True(t, slices.ContainsFunc(h.events, func(e audit.Event) bool {
		return e.ID == audit.Query && e.Participants[0].ID == string(access.Clinician) && slices.ContainsFunc(e.Objects, func(o audit.Object) bool { return o.ID == route })
	}))
}
