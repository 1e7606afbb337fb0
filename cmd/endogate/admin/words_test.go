package admin

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a peer says with a refusal may name a patient: who may not see whose a study is sees the status and what it means, in all
// places, and that something is left out; after the glass is broken, the words too.
func TestSignIn_wordsOfPeers(t *testing.T) {
	h := newHouse(t)
	all := h.server.Studies.(*hospital)
	const words, ours, uid = "no patient Novakova Jana", "peer refuses the object", "2.25.1001"
	study := &all.studies[0]
	study.Deliveries[0].Reason, study.Deliveries[0].Nameless = ours+": "+words, ours
	study.Timeline[0].Detail, study.Timeline[0].Nameless = words, ""
	study.Timeline[1].Detail, study.Timeline[1].Nameless = "nothing was said", "nothing was said"
	all.parked[0].Reason, all.parked[0].Nameless = ours+": "+words, ours
	places := map[string][]string{
		"/api/v1/studies/" + uid: {ours + "; what the peer said is hidden", `"detail":"what the peer said is hidden`, "nothing was said"},
		"/api/v1/outbox":         {ours + "; what the peer said is hidden"},
		"/api/v1/parked":         {ours + "; what the peer said is hidden", "no route matches"},
	}
	for _, role := range []string{"viewer", "operator", "administrator"} {
		client := h.signedIn(t, role)
		for place, says := range places {
			status, text, _ := h.ask(t, client, http.MethodGet, place, nil)
			require.Equal(t, http.StatusOK, status)
			assert.NotContains(t, text, "Novakova", "%s %s", role, place)
			for _, said := range says {
				assert.Contains(t, text, said, "%s %s", role, place)
			}
		}
	}
	operator := h.signedIn(t, "operator")
	status, text, _ := h.ask(t, operator, http.MethodPost, "/api/v1/break-glass", map[string]any{"reason": "the PACS refuses a study"})
	require.Equal(t, http.StatusOK, status, text)
	for _, client := range []*http.Client{h.signedIn(t, "clinician"), operator} {
		for place := range places {
			_, text, _ := h.ask(t, client, http.MethodGet, place, nil)
			assert.Contains(t, text, words, place)
		}
	}
}
