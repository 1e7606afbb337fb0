package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// Retractable implements Retractions.
func (h *hospital) Retractable(_ context.Context, r ledger.Retraction) ([]ledger.Retracted, error) {
	if r.Model == "unknown" {
		return nil, nil
	}
	return []ledger.Retracted{{StudyInstanceUID: "2.25.1001", Route: "endoscopy", Model: "demo-colon", Results: 3, Delivered: 5}, {StudyInstanceUID: "2.25.1002", Results: 1}}, nil
}

// Standing implements Retractions.
func (h *hospital) Standing(context.Context) ([]ledger.ModelVersion, error) {
	return []ledger.ModelVersion{{Model: "demo-colon", Version: "1.0.0"}}, nil
}

// Retract implements Retractions.
func (h *hospital) Retract(ctx context.Context, r ledger.Retraction, by draft.Author) ([]ledger.Retracted, error) {
	h.retracted = append(h.retracted, by.Name+": "+r.Model+" "+r.Version+": "+r.Reason)
	return h.Retractable(ctx, r)
}

func TestRetract(t *testing.T) {
	d := readDocument(t)
	h := newHospital(t)
	s := newServer(t, h).Handler()
	for _, c := range []struct {
		name, body string
		code       int
		says       string
		done       int
	}{
		{"dry run", `{"author":"Dr. A","model":"demo-colon","version":"1.0.0","reason":"wrong labels","dry_run":true}`, 200, `"reports":2,"results":4,"delivered":5`, 0},
		{"done", `{"author":"Dr. A","model":"demo-colon","version":"1.0.0","reason":"wrong labels"}`, 200, `"dry_run":false`, 1},
		{"nothing", `{"author":"Dr. A","model":"unknown","reason":"wrong labels","dry_run":true}`, 200, `"retracted":[],"standing":[{"model":"demo-colon","version":"1.0.0"}]`, 1},
		{"nobody", `{"model":"demo-colon","reason":"wrong labels"}`, 400, "nobody says who acts", 1},
		{"no reason", `{"author":"Dr. A","model":"demo-colon"}`, 400, "a reason is needed", 1},
		{"everything", `{"author":"Dr. A","reason":"wrong"}`, 400, "a study or a model has to be named", 1},
		{"version alone", `{"author":"Dr. A","study":"1.2","version":"1","reason":"wrong"}`, 400, "name it", 1},
		{"lines", `{"author":"Dr. A","model":"demo-colon","reason":"a\nb"}`, 400, "use one line", 1},
		{"more", `{"author":"Dr. A","model":"demo-colon","reason":"a","force":true}`, 400, "a field that is not known", 1},
		{"no JSON", `model`, 400, "cannot be read", 1},
	} {
		r := httptest.NewRequest("POST", "/api/v1/retract", strings.NewReader(c.body))
		r.Host = "localhost"
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		require.Equal(t, c.code, w.Code, c.name)
		require.Contains(t, w.Body.String(), c.says, c.name)
		require.Len(t, h.retracted, c.done, c.name)
		if c.code == http.StatusOK {
			var body any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
			require.NoError(t, d.check(&schema{Ref: "#/components/schemas/RetractionResult"}, body, "body"), c.name)
		}
	}
	require.Equal(t, []string{"Dr. A: demo-colon 1.0.0: wrong labels"}, h.retracted)
}
