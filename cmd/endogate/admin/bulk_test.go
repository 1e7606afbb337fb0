package admin

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
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
	for path, code := range map[string]int{"retry?kind=mail": 400, "retry?colour=red": 400, "discard?dry_run=perhaps": 400} {
		h := fresh()
		require.Equal(t, code, ask(newServer(t, h).Handler(), "POST", "/api/v1/parked/"+path, ActionHeader, "1").Code)
		require.Empty(t, h.acted)
	}
	require.Equal(t, 403, ask(newServer(t, fresh()).Handler(), "POST", "/api/v1/parked/discard").Code, "not by a link")
}
