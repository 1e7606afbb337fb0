package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/ledger"
	"endogate/hl7/mllp"
	"endogate/reports/reading"
)

// otherModel is the demo model under another name.
func otherModel(t *testing.T, name string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	from := filepath.Join(peers.Root(t), "testdata/models/demo")
	manifest, err := os.ReadFile(filepath.Join(from, "model.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.yaml"), []byte(strings.Replace(string(manifest), "name: demo-colon", "name: "+name, 1)), 0o600))
	require.NoError(t, os.Symlink(filepath.Join(from, "model.onnx"), filepath.Join(dir, "model.onnx")))
	return dir
}

// TestGateway_screening: after a study was analysed and its report compared, its route gets a second model, and the department words of
// its own. A second look has that model see the study and the report read anew, and another one finds nothing left to do.
func TestGateway_screening(t *testing.T) {
	t.Parallel()
	listener := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo("STORESCP", scp.Addr, "")+fmt.Sprintf("hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}\n", listener))
	g.start()
	g.send(sample(t, "study2-0*")...)
	client := &mllp.Client{Address: listener}
	defer func() { _ = client.Close() }()
	g.report(client, "r1", "F", "A colonic buttonlet was seen in the sigmoid.")
	g.waitFor("the report to be compared", func() bool { return g.reviews("").Total == 1 })
	require.Equal(t, "not-mentioned", g.reviews("").Reviews[0].Kind, "no word of polyps that anybody knows")
	start := func() (s ledger.Screening) {
		answer, err := http.Post("http://"+g.web+"/api/v1/screenings", "application/json", strings.NewReader(`{"from": "2026-01-01", "before": "2100-01-01", "author": "Dr A"}`))
		require.NoError(t, err)
		defer answer.Body.Close()
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.NoError(t, json.NewDecoder(answer.Body).Decode(&s))
		return s
	}
	over := func(s ledger.Screening) ledger.Screening {
		g.waitFor("the second look", func() bool {
			g.get("/api/v1/screenings/"+s.Name, &s)
			return s.State == ledger.ScreeningDone && s.Open == 0
		})
		return s
	}
	s := over(start())
	assert.Equal(t, [2]int{1, 1}, [2]int{s.Studies, s.Compared})
	assert.Zero(t, s.Offered+s.Reread+s.Gone, "all is as it would be")
	g.Stop()

	words := t.TempDir()
	_, err := reading.Export(words)
	require.NoError(t, err)
	english, err := os.ReadFile(filepath.Join(words, "en.yaml"))
	require.NoError(t, err)
	own := strings.Replace(strings.Replace(string(english), `version: "2026-11"`, `version: "2026-11 North 1"`, 1), "terms: [polyp, ", "terms: [polyp, buttonlet, ", 1)
	require.NoError(t, os.WriteFile(filepath.Join(words, "en.yaml"), []byte(own), 0o600))
	demo := filepath.Join(peers.Root(t), "testdata/models/demo")
	g.replace(fmt.Sprintf("models: [{dir: %q}]", demo), fmt.Sprintf("models: [{dir: %q}, {dir: %q}]\nreading: {ontology: %q}", demo, otherModel(t, "second-colon"), words))
	g.replace(fmt.Sprintf("listen: %q", listener), `listen: ""`) // what came before is read anew all the same
	g.replace("models: [demo]", "models: [demo, second-colon]")
	g.start()
	s = over(start())
	assert.Equal(t, [2]int{1, 1}, [2]int{s.Studies, s.Compared})
	assert.Equal(t, [3]int{4, 4, 1}, [3]int{s.Offered, s.Done, s.Reread})
	agree := func() map[string]string {
		models := map[string]string{}
		for _, r := range g.reviews("?state=agreed").Reviews {
			if r.Finding == "polyp" {
				models[r.Model] = r.Ontology
			}
		}
		return models
	}
	g.waitFor("the report to be compared with both", func() bool { return len(agree()) == 2 && g.reviews("").Total == 0 })
	assert.Equal(t, map[string]string{"demo-colon": "en 2026-11 North 1", "second-colon": "en 2026-11 North 1"}, agree())

	before := g.reviews("?state=agreed")
	s = over(start())
	assert.Equal(t, [3]int{1, 0, 0}, [3]int{s.Studies, s.Offered, s.Reread}, "nothing is done twice")
	assert.Equal(t, before.Total, g.reviews("?state=agreed").Total)
	require.NotContains(t, g.Log(), "buttonlet")
}
