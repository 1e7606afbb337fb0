package admin

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// TestBulk: all that matches is acted on, also what no page shows; a dry run says how much that is; what is a decision of its
// own stays.
func TestBulk(t *testing.T) {
	const many = 2*maxLimit + 100
	fresh := func() *hospital {
		h := newHospital(t)
		for i := range many {
			h.parked = append(h.parked, Parked{Kind: ParkedDelivery, ID: fmt.Sprint(1000 + i), StudyInstanceUID: "2.25.7", Destination: []string{"pacs", "his"}[i%2], Bulk: true})
		}
		h.parked = append(h.parked, Parked{Kind: ParkedDelivery, ID: "9999", StudyInstanceUID: "2.25.7", Destination: "pacs", Conflict: true})
		return h
	}
	for _, row := range []struct {
		path string
		want BulkResult
		left int
	}{
		{"retry?dry_run=true", BulkResult{Matched: many + 5, Done: many + 3, Kept: 2, DryRun: true}, many + 5},
		{"retry", BulkResult{Matched: many + 5, Done: many + 3, Kept: 2}, 2},
		{"retry?destination=pacs", BulkResult{Matched: many/2 + 1, Done: many / 2, Kept: 1}, many/2 + 5},
		{"retry?study_uid=2.25.7&destination=his", BulkResult{Matched: many / 2, Done: many / 2}, many/2 + 5},
		{"retry?kind=job", BulkResult{Matched: 1, Done: 1}, many + 4},
		{"retry?model=demo-colon", BulkResult{Matched: 2, Done: 2}, many + 3},
		{"retry?study_uid=2.25.404", BulkResult{}, many + 5},
		{"discard?dry_run=true", BulkResult{Matched: many + 5, Done: many + 4, Kept: 1, DryRun: true}, many + 5},
		{"discard", BulkResult{Matched: many + 5, Done: many + 4, Kept: 1}, 1},
		{"discard?study_uid=2.25.1003", BulkResult{Matched: 1, Done: 1}, many + 4},
		{"discard?kind=exam", BulkResult{Matched: 1, Kept: 1}, many + 5},
	} {
		t.Run(row.path, func(t *testing.T) {
			h := fresh()
			w := ask(newServer(t, h).Handler(), "POST", "/api/v1/parked/"+row.path, ActionHeader, "1")
			require.Equal(t, 200, w.Code, w.Body)
			var got BulkResult
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
			require.Equal(t, row.want, got)
			require.Len(t, h.parked, row.left)
		})
	}
	held := func() *hospital {
		h := fresh()
		for i, uid := range []dicom.UID{"2.25.1003", "2.25.1001", "2.25.404"} {
			h.parked = append(h.parked, Parked{Kind: ParkedGate, ID: string(uid), StudyInstanceUID: uid, Reason: "sex", Mismatches: []ledger.Mismatch{ledger.MismatchSex, ledger.MismatchName}[:1+i%2]})
		}
		return h
	}
	for _, row := range []struct {
		path, body string
		code       int
		want       BulkResult
		acted      []string
	}{
		{"release?dry_run=true", "", 200, BulkResult{Matched: 3, Done: 3, DryRun: true, Reasons: map[string]int{"sex": 3}}, nil},
		{"release?dry_run=true&mismatch=sex", "", 200, BulkResult{Matched: 2, Done: 2, DryRun: true, Reasons: map[string]int{"sex": 2}}, nil},
		{"release", `{"reason": "seen by the ward", "author": "Dr. Weiß"}`, 200, BulkResult{Matched: 3, Done: 1, Failed: 2, Reasons: map[string]int{"sex": 3}}, []string{"released by Dr. Weiß for: seen by the ward"}},
		{"release?study_uid=2.25.404", `{"reason": "seen", "author": "Dr. Weiß"}`, 200, BulkResult{Matched: 1, Failed: 1, Reasons: map[string]int{"sex": 1}}, nil},
		{"release", `{"author": "Dr. Weiß"}`, 400, BulkResult{}, nil},
		{"release", `{"reason": "seen"}`, 400, BulkResult{}, nil},
		{"release?kind=job", `{"reason": "seen", "author": "Dr. Weiß"}`, 400, BulkResult{}, nil},
		{"release?mismatch=weather", `{"reason": "seen", "author": "Dr. Weiß"}`, 400, BulkResult{}, nil},
	} {
		h := held()
		r := httptest.NewRequest("POST", "/api/v1/parked/"+row.path, strings.NewReader(row.body))
		r.Host = "127.0.0.1:8080"
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		newServer(t, h).Handler().ServeHTTP(w, r)
		require.Equal(t, row.code, w.Code, w.Body)
		if row.code == 200 {
			var got BulkResult
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
			require.Equal(t, row.want, got, row.path)
		}
		require.Equal(t, row.acted, h.acted, row.path)
	}
	for path, code := range map[string]int{"retry?kind=mail": 400, "retry?colour=red": 400, "discard?dry_run=perhaps": 400} {
		h := fresh()
		require.Equal(t, code, ask(newServer(t, h).Handler(), "POST", "/api/v1/parked/"+path, ActionHeader, "1").Code)
		require.Empty(t, h.acted)
	}
	require.Equal(t, 403, ask(newServer(t, fresh()).Handler(), "POST", "/api/v1/parked/discard").Code, "not by a link")
}
