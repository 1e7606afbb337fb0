package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// Release implements Gates: 2.25.1003 is held.
func (h *hospital) Release(_ context.Context, uid dicom.UID, reason string, by draft.Author) (Gate, error) {
	return h.decide(uid, "released by "+by.Name+" for: "+reason, Gate{Policy: ledger.GateHold, Released: true})
}

func (h *hospital) Correct(_ context.Context, uid dicom.UID, c ledger.Correction, by draft.Author) (Gate, error) {
	if c.Accession == "none" {
		return Gate{}, fmt.Errorf("%w: no order has this accession number", ErrRefused)
	}
	return h.decide(uid, "corrected by "+by.Name+" to "+c.Patient.ID+c.Accession, Gate{Policy: ledger.GateHold, Corrected: true})
}

func (h *hospital) decide(uid dicom.UID, what string, g Gate) (Gate, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch uid {
	case "2.25.1003":
		h.acted = append(h.acted, what)
		g.Mismatches = []Mismatch{{ledger.MismatchPatient, ledger.MismatchPatient.String()}}
		return g, h.err
	case "2.25.1001":
		return Gate{}, fmt.Errorf("%w: images, order and patient agree", ErrConflict)
	}
	return Gate{}, ErrNotFound
}

func TestGate(t *testing.T) {
	for _, tt := range []struct {
		name, target, body string
		code               int
		acted              []string
	}{
		{"release", "2.25.1003/gate/release", `{"author": "Dr. A", "reason": "looked at"}`, http.StatusOK, []string{"released by Dr. A for: looked at"}},
		{"correct", "2.25.1003/gate/correct", `{"author": "Dr. A", "reason": "wrong worklist entry", "patient": {"identifier": {"id": "P7", "authority": "HOSP"}, "name": "A^B"}}`, http.StatusOK, []string{"corrected by Dr. A to P7"}},
		{"correct the order", "2.25.1003/gate/correct", `{"author": "Dr. A", "reason": "wrong worklist entry", "accession": "A7"}`, http.StatusOK, []string{"corrected by Dr. A to A7"}},
		{"no such order", "2.25.1003/gate/correct", `{"author": "Dr. A", "reason": "x", "accession": "none"}`, http.StatusUnprocessableEntity, nil},
		{"nothing to release", "2.25.1001/gate/release", `{"author": "Dr. A", "reason": "x"}`, http.StatusConflict, nil},
		{"no such study", "2.25.404/gate/release", `{"author": "Dr. A", "reason": "x"}`, http.StatusNotFound, nil},
		{"nobody", "2.25.1003/gate/release", `{"reason": "x"}`, http.StatusBadRequest, nil},
		{"no reason", "2.25.1003/gate/release", `{}`, http.StatusBadRequest, nil},
		{"a reason without end", "2.25.1003/gate/release", `{"author": "Dr. A", "reason": "` + strings.Repeat("x", maxReason+1) + `"}`, http.StatusBadRequest, nil},
		{"no body", "2.25.1003/gate/release", ``, http.StatusBadRequest, nil},
		{"another body", "2.25.1003/gate/release", `{"author": "Dr. A", "reason": "x", "why": "y"}`, http.StatusBadRequest, nil},
		{"more than a body", "2.25.1003/gate/release", `{"author": "Dr. A", "reason": "x"} {}`, http.StatusBadRequest, nil},
		{"no study", "_x/gate/release", `{"author": "Dr. A", "reason": "x"}`, http.StatusBadRequest, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHospital(t)
			r := httptest.NewRequest(http.MethodPost, "/api/v1/studies/"+tt.target, strings.NewReader(tt.body))
			r.Host = "127.0.0.1:8080"
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			newServer(t, h).Handler().ServeHTTP(w, r)
			require.Equal(t, tt.code, w.Code, w.Body)
			require.Equal(t, tt.acted, h.acted)
			if tt.code != http.StatusOK {
				return
			}
			d := readDocument(t)
			var body any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
			require.NoError(t, d.check(&schema{Ref: "#/components/schemas/Gate"}, body, "gate"))
		})
	}
}

// TestGate_atParked sends whoever would retry or discard what is held to the gate.
func TestGate_atParked(t *testing.T) {
	for _, what := range []string{"retry", "discard"} {
		w := ask(newServer(t, newHospital(t)).Handler(), "POST", "/api/v1/parked/gate-2.25.1003/"+what, ActionHeader, "1")
		require.Equal(t, http.StatusConflict, w.Code)
		require.Contains(t, w.Body.String(), "gate/release")
	}
}
