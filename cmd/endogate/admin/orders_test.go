package admin

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrders(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", []string{"ACC-2026-004711", "A2"}},
		{"?state=cancelled", []string{"A2"}},
		{"?limit=1&offset=1", []string{"A2"}},
		{"?mismatch=any", []string{"ACC-2026-004711"}},
		{"?mismatch=cut", []string{"ACC-2026-004711"}},
	} {
		w := ask(s, "GET", "/api/v1/orders"+c.query)
		require.Equal(t, http.StatusOK, w.Code)
		var got struct {
			Orders []struct{ Accession string }
			Total  int
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		var accessions []string
		for _, o := range got.Orders {
			accessions = append(accessions, o.Accession)
		}
		require.Equal(t, c.want, accessions)
	}
	require.Equal(t, http.StatusBadRequest, ask(s, "GET", "/api/v1/orders?mismatch=nonsense").Code)
	require.Contains(t, ask(s, "GET", "/api/v1/orders").Body.String(), `"contested":true,"studies":[{"study_uid":"2.25.1001","mismatches":["contested"],"held":true}]`)
}

// TestMessage holds that a message is given as it is and never shown as what it may contain.
func TestMessage(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	w := ask(s, "GET", "/api/v1/messages/m1")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "MSH|"+evil, w.Body.String())
	require.Equal(t, "x-application/hl7-v2+er7", w.Header().Get("Content-Type"))
	require.Equal(t, "attachment", w.Header().Get("Content-Disposition"))
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	gone := ask(s, "GET", "/api/v1/messages/gone")
	require.Equal(t, http.StatusGone, gone.Code)
	require.Contains(t, gone.Body.String(), "hl7.retention", "and nothing of pixels and archives")
	require.Contains(t, ask(s, "GET", "/api/v1/messages?answer=AE").Body.String(), `"error":"101 PID-3: a patient needs an identifier"`)
	require.Equal(t, http.StatusNotFound, ask(s, "GET", "/api/v1/messages/m2").Code)
}
