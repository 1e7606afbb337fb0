package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode/ledger"
	"endogate/hl7"
	"endogate/hl7/mllp"
)

// reportMessage is a report of another system on the second sample study.
func reportMessage(id, status, text string) string {
	return strings.Join([]string{
		`MSH|^~\&|RIS|NORTH|GATE|ENDO|20260301080000||ORU^R01^ORU_R01|` + id + "|P|2.5.1", "PID|1||EG0002",
		"OBR|1|||73761001^Colonoscopy^SCT||||||||||||||A20260002|||||||" + status, "OBX|1|FT|59776-5^Findings^LN||" + text + "||||||" + status, "",
	}, "\r")
}

// report sends a report of another system on the second sample study, and holds that it is taken.
func (g *testGateway) report(client *mllp.Client, id, status, text string) {
	g.t.Helper()
	answer, err := client.Exchange(g.t.Context(), []byte(reportMessage(id, status, text)))
	require.NoError(g.t, err)
	m, err := hl7.Parse(answer, hl7.Options{})
	require.NoError(g.t, err)
	require.Equal(g.t, "AA", m.Get("MSA-1"), m.Get("ERR-8"))
}

// reviews is a page of what reports and models say differently.
func (g *testGateway) reviews(query string) (all reviewPage) {
	g.t.Helper()
	g.get("/api/v1/reviews"+query, &all)
	return all
}

type reviewPage struct {
	Reviews []ledger.Review
	Total   int
}

// TestGateway_secondLook: a final report of another system denies what the model saw: a person is asked, first of all, and decides. A
// preliminary one asks nobody, a correction withdraws the question, and a ledger made of the spool has the same.
func TestGateway_secondLook(t *testing.T) {
	t.Parallel()
	listener := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo("STORESCP", scp.Addr, "")+fmt.Sprintf("hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}\n", listener))
	g.start()
	client := &mllp.Client{Address: listener}
	defer func() { _ = client.Close() }()
	report := func(id, status, text string) { g.report(client, id, status, text) }
	open := g.reviews
	report("r0", "P", "No polyps, no ulcers.") // before the images, and not final
	g.send(sample(t, "study2-0*")...)
	g.waitFor("the study to be reported", func() bool {
		all := g.studies()
		return len(all) == 1 && all[0].Status == ledger.StudyDone
	})
	report("r1", "F", "No polyps were seen.")
	g.waitFor("a review", func() bool { return open("").Total > 0 })
	all := open("")
	require.Len(t, all.Reviews, 1)
	r := all.Reviews[0]
	assert.Equal(t, "missed", r.Kind)
	assert.Equal(t, "polyp", r.Finding)
	assert.Equal(t, "No polyps were seen.", r.Report.Sentence)
	assert.Equal(t, 2, r.Frames)
	require.NotEmpty(t, r.Sources)
	assert.NotEmpty(t, r.Sources[0].Heatmap)
	assert.Contains(t, g.text("/api/v1/messages/"+r.Message), "No polyps were seen.")
	decide := func(what, body string) int {
		answer, err := http.Post("http://"+g.web+"/api/v1/reviews/"+r.Name+"/"+what, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	require.Equal(t, http.StatusBadRequest, decide("confirm", `{"author": "Dr A", "suspicion": 9}`))
	require.Equal(t, http.StatusOK, decide("confirm", `{"author": "Dr A", "suspicion": 4, "comment": "look again"}`))
	require.Zero(t, open("").Total)
	report("r2", "C", "A sessile polyp was removed.")
	g.waitFor("the correction to be compared", func() bool { return open("?state=agreed").Total == 1+1 })
	require.Equal(t, 1, open("?state=confirmed").Total, "what a person decided stands")
	var steps []string
	for _, e := range g.study(r.Study).Timeline {
		if e.Step == string(ledger.EventReviewed) {
			steps = append(steps, e.By)
		}
	}
	require.Equal(t, []string{"person Dr A (unauthenticated)"}, steps)
	require.NotContains(t, g.Log(), "polyps were")

	before := open("?study_uid=" + string(r.Study))
	g.Stop()
	cfg, err := configs.Load(g.config)
	require.NoError(t, err)
	_, err = gateway.RebuildLedger(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	g.start()
	require.Equal(t, before, open("?study_uid="+string(r.Study)))

	g.Stop()
	require.NotEmpty(t, g.having("polyps were seen", "sessile polyp"))
	erased, err := gateway.ErasePatient(t.Context(), cfg, ledger.Identifier{ID: "EG0002"}, false, ledger.Actor{Kind: ledger.ActorPerson, Name: "Dr A"}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Len(t, erased.Left, 1, "what the rebuild put aside")
	require.Equal(t, erased.Left, g.having("polyps were seen", "sessile polyp", "look again"), "neither in messages nor in the journal nor in rows")
	g.start()
	require.Zero(t, open("").Total)
}

// having are the files of the data folder that have any of these words.
func (g *testGateway) having(words ...string) (files []string) {
	g.t.Helper()
	require.NoError(g.t, filepath.WalkDir(filepath.Join(g.dir, "data"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(b, []byte(w)) }) {
			files = append(files, path)
		}
		return err
	}))
	return files
}

// TestGateway_physicians: who reported is kept, and confirmed misses are counted by that, of what comes while the configuration allows it, and
// asking for it is refused else. At the next start without it nothing of it is left, in a ledger made anew neither.
func TestGateway_physicians(t *testing.T) {
	t.Parallel()
	listener := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo("STORESCP", scp.Addr, "")+fmt.Sprintf("hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}\n", listener))
	allow := func(yes bool) configs.Config {
		text, err := os.ReadFile(g.config)
		require.NoError(t, err)
		before, _, _ := strings.Cut(string(text), "reading:")
		require.NoError(t, os.WriteFile(g.config, fmt.Appendf([]byte(before), "reading: {by_physician: %t}\n", yes), 0o600))
		cfg, err := configs.Load(g.config)
		require.NoError(t, err)
		return cfg
	}
	client := &mllp.Client{Address: listener}
	defer func() { _ = client.Close() }()
	report := func(id, status, text, by string) {
		g.report(client, id, status+strings.Repeat("|", 7)+by, text) // OBR-32
	}
	counted := func() (out struct {
		Counts      []ledger.ReviewCount
		ByPhysician bool `json:"by_physician"`
	},
	) {
		g.get("/api/v1/reviews/physicians", &out)
		return out
	}
	refused := func() {
		t.Helper()
		answer, err := http.Get("http://" + g.web + "/api/v1/reviews/physicians")
		require.NoError(t, err)
		defer answer.Body.Close()
		require.Equal(t, http.StatusForbidden, answer.StatusCode)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), "reading.by_physician")
	}
	g.start()
	g.send(sample(t, "study2-0*")...)
	report("r1", "F", "No polyps were seen.", "4711&Meier&Anna")
	g.waitFor("a review", func() bool { return g.reviews("").Total > 0 })
	refused()
	g.Stop()

	allow(true)
	g.start()
	require.Equal(t, ledger.Physician{}, *counted().Counts[0].Physician, "what came before is of nobody")
	report("r2", "C", "No polyp was seen.", "4712&Other&One")
	g.waitFor("the correction to be compared", func() bool {
		return slices.ContainsFunc(counted().Counts, func(n ledger.ReviewCount) bool { return n.Physician.ID == "4712" && n.Open == 1 })
	})
	r := g.reviews("").Reviews[0]
	require.Empty(t, r.Reporter)
	answer, err := http.Post("http://"+g.web+"/api/v1/reviews/"+r.Name+"/confirm", "application/json", strings.NewReader(`{"author": "Dr A"}`))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	missed := func() (n int) {
		all := counted()
		require.True(t, all.ByPhysician)
		for _, c := range all.Counts {
			if c.Physician.Name == "Other^One" {
				n += c.Missed
			}
		}
		return n
	}
	require.Equal(t, 1, missed())
	require.Contains(t, g.text("/api/v1/reviews/physicians?format=csv"), "4712,RIS|NORTH,Other^One,demo")
	before := counted()
	g.Stop()
	_, err = gateway.RebuildLedger(t.Context(), allow(true), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	g.start()
	require.Equal(t, before, counted())
	g.Stop()

	cfg := allow(false)
	g.start()
	refused()
	g.Stop()
	_, err = gateway.RebuildLedger(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	allow(true)
	g.start()
	for _, c := range counted().Counts {
		require.Equal(t, ledger.Physician{}, *c.Physician, "what was kept before is gone")
	}
	require.NotContains(t, g.Log(), "4712")
}

// TestGateway_secondLookPeer: python3-hl7 sends a final report, a correction and a withdrawal, and the reviews follow.
func TestGateway_secondLookPeer(t *testing.T) {
	t.Parallel()
	port := peers.FreePort(t)
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo("STORESCP", scp.Addr, "")+fmt.Sprintf("hl7: {listen: \"127.0.0.1:%d\", senders: [{application: RIS, hosts: [127.0.0.0/8]}]}\n", port))
	g.start()
	g.send(sample(t, "study2-0*")...)
	send := func(id, status, text string) {
		file := filepath.Join(t.TempDir(), id)
		require.NoError(t, os.WriteFile(file, []byte(reportMessage(id, status, text)), 0o600))
		out, err := peers.PythonHL7(t, "client.py", "blocking", strconv.Itoa(port), file).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, "AA|"+id+"\n", string(out))
	}
	kinds := func(state string) string {
		var all []string
		for _, r := range g.reviews("?state=" + state).Reviews {
			all = append(all, r.Kind+" "+r.Finding)
		}
		slices.Sort(all)
		return strings.Join(all, ", ")
	}
	send("p1", "F", "No polyps were seen.")
	g.waitFor("the final report to be compared", func() bool { return kinds("open") == "missed polyp" })
	send("p2", "C", "The colon was seen to the cecum.")
	g.waitFor("the correction to be compared", func() bool {
		return kinds("open") == "not-mentioned polyp" && strings.Contains(kinds("withdrawn"), "missed polyp")
	})
	send("p3", "X", "The colon was seen to the cecum.")
	g.waitFor("the withdrawal to be followed", func() bool { return g.reviews("").Total == 0 && g.reviews("?state=agreed").Total == 0 })
	send("p4", "F", "No polyps were seen.")
	g.waitFor("a new report to be compared", func() bool { return kinds("open") == "missed polyp" })
}
