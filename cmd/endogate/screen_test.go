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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/ledger"
)

// TestScreen: each command asks the gateway one thing; --wait looks until nothing is open, and fails where something has.
func TestScreen(t *testing.T) {
	var asked []string
	failed := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(body)))
		one := ledger.Screening{Name: "abc", State: ledger.ScreeningRunning, Of: 9, Studies: 2, Compared: 1, Offered: 4, Open: 3, Done: 1}
		switch {
		case strings.HasSuffix(r.URL.Path, "/none"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, `{"error":{"what":"the second look was not read","why":"there is none","next":"list them"}}`)
			return
		case r.Method == http.MethodGet && r.URL.Path == "/api/v1/screenings":
			_ = json.NewEncoder(w).Encode(map[string]any{"screenings": []ledger.Screening{one}, "total": 3})
			return
		case strings.HasSuffix(r.URL.Path, "/cancel"):
			one.State = ledger.ScreeningCancelled
		case r.Method == http.MethodGet:
			one.State, one.Open, one.Done, one.Studies, one.Failed = ledger.ScreeningDone, 0, 4-failed, 9, failed
		}
		_ = json.NewEncoder(w).Encode(one)
	}))
	defer s.Close()
	start := `POST /api/v1/screenings {"author":"Dr A","before":"2026-02-01","from":"2026-01-01"}`
	span := []string{"--from", "2026-01-01", "--to", "2026-02-01", "--author", "Dr A"}
	for _, tt := range []struct {
		name   string
		args   []string
		failed int
		asks   string
		exit   int
		says   string
	}{
		{name: "start", args: span, asks: start, says: "abc running: 2 of 9 studies looked at, 1 compared again, 0 reports read anew; 4 analyses offered, 3 open, 1 done, 0 failed"},
		{name: "wait", args: append(span[:len(span):len(span)], "--wait"), asks: start + "\nGET /api/v1/screenings/abc", says: "abc done: 9 of 9 studies"},
		{name: "wait for what fails", args: append(span[:len(span):len(span)], "--wait"), failed: 1, asks: start + "\nGET /api/v1/screenings/abc", exit: exitFailure, says: "not all was looked at"},
		{name: "wait for JSON", args: append(span[:len(span):len(span)], "--wait", "--json"), failed: 1, asks: start + "\nGET /api/v1/screenings/abc\nGET /api/v1/screenings/abc", exit: exitFailure, says: `"state":"done"`},
		{name: "JSON", args: append(span[:len(span):len(span)], "--json"), asks: start, says: `"state":"running"`},
		{name: "list", args: []string{"list"}, asks: "GET /api/v1/screenings", says: "1 of 3 second looks"},
		{name: "show", args: []string{"show", "abc"}, asks: "GET /api/v1/screenings/abc", says: "abc done"},
		{name: "cancel", args: []string{"cancel", "abc"}, asks: "POST /api/v1/screenings/abc/cancel", says: "abc cancelled"},
		{name: "none such", args: []string{"show", "none"}, asks: "GET /api/v1/screenings/none", exit: exitFailure, says: "there is none; list them"},
		{name: "no span", args: []string{"--from", "2026-01-01"}, exit: exitUsage, says: "--to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, failed = nil, tt.failed
			args := append([]string{"--config", filepath.Join(peers.Root(t), "configs/local.yaml"), "screen"}, tt.args...)
			code, out, complaints := endogate(append(args, "--gateway", strings.TrimPrefix(s.URL, "http://"))...)
			require.Equal(t, tt.exit, code, complaints)
			assert.Equal(t, tt.asks, strings.Join(asked, "\n"))
			assert.Contains(t, out+complaints, tt.says)
		})
	}
}
