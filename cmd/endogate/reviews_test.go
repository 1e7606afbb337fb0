package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

var aReview = ledger.Review{
	Name: "0123456789abcdef", Study: "1.2.3", State: ledger.ReviewOpen, Kind: "missed", Priority: 1, Model: "demo", ModelVersion: "1.0.0", Route: "endoscopy", Finding: "polyp", Class: "polyp",
	Site: dicom.Code{Meaning: "Colon"}, Message: "m1", Probability: 0.92, Threshold: 0.5, Frames: 2,
	Report:  ledger.ReportFinding{Finding: "polyp", Status: "negated", Sentence: "No polyps were seen.", Rule: "en/negation/no", Start: 3, End: 9},
	Sources: []ledger.ReviewFrame{{SOPInstanceUID: "1.2.3.4", Frame: 1, Probability: 0.92, Heatmap: "1.2.3.5"}, {SOPInstanceUID: "1.2.3.6", Frame: 7, Probability: 0.8}},
}

// TestReviews: each command asks the gateway one thing, says what it answers, and fails with its words.
func TestReviews(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(body)))
		answer := any(aReview)
		switch {
		case strings.HasPrefix(r.URL.Path, "/api/v1/reviews/none"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, `{"error":{"what":"the review was not read","why":"there is none","next":"list them"}}`)
			return
		case r.URL.Path == "/api/v1/reviews/physicians":
			answer = json.RawMessage(`{"counts": [{"physician": {"id": "4711", "authority": "HOSP", "name": "Meier^Anna"}, "model": "demo", "model_version": "1.0.0", "finding": "polyp", "threshold": 0.5, "compared": 10, "missed": 1,
				"agreement": {"none": "none"}, "confirmation": {"none": "nobody"}, "miss": {"value": 0.1, "low": 0.02, "high": 0.4, "n": 10}}, {"physician": {"id": ""}, "agreement": {}, "confirmation": {}, "miss": {}}]}`)
		case r.URL.Query().Get("list") == "counts":
			answer = json.RawMessage(`{"counts": [{"month": "2026-11", "model": "demo", "model_version": "1.0.0", "finding": "polyp", "threshold": 0.5, "compared": 10, "agreed": 7, "confirmed": 1, "rejected": 2, "missed": 1,
				"agreement": {"value": 0.7, "low": 0.4, "high": 0.89, "n": 10}, "confirmation": {"n": 0, "none": "nobody"}, "miss": {"value": 0.1, "low": 0.02, "high": 0.4, "n": 10}}]}`)
		case r.URL.Path == "/api/v1/reviews":
			answer = map[string]any{"reviews": []ledger.Review{aReview}, "total": 9}
		case r.Method == http.MethodPost:
			decided := aReview
			decided.State, decided.Author, decided.Suspicion, decided.DecidedAt = ledger.ReviewConfirmed, "Dr A", 4, time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
			answer = decided
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer s.Close()
	for _, tt := range []struct {
		name   string
		args   []string
		asks   string
		exit   int
		says   []string
		isJSON bool
	}{
		{name: "list", args: []string{"list"}, asks: "GET /api/v1/reviews?limit=100", says: []string{"0123456789abcdef  1  missed  polyp  open  1.2.3  demo 1.0.0  No polyps", "1 of 9 reviews"}},
		{name: "narrowed", args: []string{"list", "--state", "agreed", "--study", "1.2.3", "--limit", "5", "--after", "abc"}, asks: "GET /api/v1/reviews?after=abc&limit=5&state=agreed&study_uid=1.2.3"},
		{name: "list for programs", args: []string{"list", "--json"}, asks: "GET /api/v1/reviews?limit=100", says: []string{`"total":9`}, isJSON: true},
		{name: "show", args: []string{"show", "0123456789abcdef"}, asks: "GET /api/v1/reviews/0123456789abcdef", says: []string{
			"missed (the report denies what the model sees)", "polyp, Colon", "negated: No polyps", "en/negation/no, bytes 3 to 9 of message m1", "2 frames at or above 0.50, at most 0.92",
			"0.920  1.2.3.4 frame 1  heatmap 1.2.3.5", "1.2.3.6 frame 7  heatmap none",
		}},
		{name: "show for programs", args: []string{"show", "0123456789abcdef", "--json"}, asks: "GET /api/v1/reviews/0123456789abcdef", isJSON: true},
		{
			name: "confirm", args: []string{"confirm", "0123456789abcdef", "--author", "Dr A", "--suspicion", "4", "--comment", "look again"},
			asks: `POST /api/v1/reviews/0123456789abcdef/confirm {"author":"Dr A","comment":"look again","suspicion":4}`, says: []string{"0123456789abcdef confirmed: polyp of study 1.2.3"},
		},
		{name: "reject", args: []string{"reject", "a/b", "--author", "Dr A"}, asks: `POST /api/v1/reviews/a%2Fb/reject {"author":"Dr A","comment":"","suspicion":0}`},
		{name: "counts", args: []string{"counts", "--from", "2026-01-01"}, asks: "GET /api/v1/reviews?from=2026-01-01&list=counts", says: []string{"2026-11  demo 1.0.0  polyp", "7 (0.70 [0.40, 0.89])", "1 (–)", "1 (0.10 [0.02, 0.40])"}},
		{name: "counts by physician", args: []string{"counts", "--by-physician", "--before", "2026-12-01"}, asks: "GET /api/v1/reviews/physicians?before=2026-12-01", says: []string{"physician", "Meier^Anna, 4711  demo 1.0.0", "1 (0.10 [0.02, 0.40])", "not known"}},
		{name: "none such", args: []string{"show", "none"}, asks: "GET /api/v1/reviews/none", exit: exitFailure, says: []string{"the review was not read: there is none; list them"}},
		{name: "suspicion", args: []string{"confirm", "x", "--suspicion", "6"}, exit: exitUsage, says: []string{"from 1 (none) to 5"}},
		{name: "state", args: []string{"list", "--state", "lost"}, exit: exitUsage},
		{name: "too many", args: []string{"list", "--limit", "5000"}, exit: exitUsage},
		{name: "which", args: []string{"confirm"}, exit: exitUsage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked = nil
			args := append([]string{"--config", filepath.Join(peers.Root(t), "configs/local.yaml"), "reviews"}, tt.args...)
			code, out, complaints := endogate(append(args, "--to", strings.TrimPrefix(s.URL, "http://"))...)
			require.Equal(t, tt.exit, code, complaints)
			assert.Equal(t, tt.asks, strings.Join(asked, "\n"))
			for _, words := range tt.says {
				assert.Contains(t, out+complaints, words)
			}
			if tt.isJSON {
				assert.True(t, json.Valid([]byte(out)), out)
			}
		})
	}
}
