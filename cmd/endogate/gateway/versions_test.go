package gateway_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode/clock"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// versionIn makes a bundle of the demo model, of another version, in a folder.
func versionIn(t *testing.T, dir, version string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	from := filepath.Join(peers.Root(t), "testdata/models/demo")
	manifest, err := os.ReadFile(filepath.Join(from, "model.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.yaml"), bytes.Replace(manifest, []byte("version: 1.0.0"), []byte("version: "+version), 1), 0o600))
	require.NoError(t, os.Symlink(filepath.Join(from, "model.onnx"), filepath.Join(dir, "model.onnx")))
}

// versions of the demo model, as the API has them.
func (g *testGateway) versions() (all []admin.ModelVersion) {
	g.t.Helper()
	var answer struct{ Versions []admin.ModelVersion }
	g.get("/api/v1/models/demo-colon/versions", &answer)
	return answer.Versions
}

// inForce is the version of the demo model that is in force; the card of the model says the same.
func (g *testGateway) inForce() admin.ModelVersion {
	g.t.Helper()
	is := g.versions()[0]
	require.True(g.t, is.InForce)
	var models struct{ Models []admin.Model }
	g.get("/api/v1/models", &models)
	require.Equal(g.t, is.Version, models.Models[0].Version)
	require.Equal(g.t, is.Configured, models.Models[0].Chosen == nil)
	return is
}

// putInForce asks for a version of the demo model, and returns what came of it.
func (g *testGateway) putInForce(version string) (task struct {
	admin.Task
	Result admin.ModelVersion `json:"result"`
},
) {
	g.t.Helper()
	require.Equal(g.t, http.StatusAccepted, g.postFor("/api/v1/models/demo-colon/rollback?version="+url.QueryEscape(version), &task))
	id := task.ID
	g.waitFor("the version to be put in force", func() bool {
		g.get("/api/v1/tasks/"+id, &task)
		return task.State != admin.TaskRunning
	})
	return task
}

// settingOf is a key of the configuration that is in force.
func (g *testGateway) settingOf(key string) admin.Setting {
	g.t.Helper()
	for _, s := range g.configuration().Settings {
		if s.Key == key {
			return s
		}
	}
	require.Fail(g.t, "no key "+key)
	return admin.Setting{}
}

// madeBy says by which version of the model each instance was analysed; none may be analysed twice.
func (g *testGateway) madeBy() map[dicom.UID]string {
	g.t.Helper()
	all := map[dicom.UID]string{}
	for _, s := range g.studies() {
		for _, i := range g.study(s.StudyInstanceUID).Instances {
			require.Len(g.t, i.Analyses, 1)
			all[i.SOPInstanceUID] = i.Analyses[0].MadeBy.Version
		}
	}
	return all
}

// TestGateway_rollback: while instances come over one association, and their jobs are done, another version of the model is put in force. None is
// lost, none analysed or delivered twice, and each result names the version that made it. What does not load changes nothing. The choice outlives
// a restart and a ledger that is made anew, is taken back as easily, and ends where the configuration has another version.
func TestGateway_rollback(t *testing.T) {
	t.Parallel()
	pacs := &moodyPACS{stored: map[dicom.UID]int{}, refused: map[dicom.UID]int{}}
	address := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	serveHandler(t, "PACS", address, pacs)
	g := newGateway(t, routeTo("PACS", address, ""))
	models := filepath.Join(g.dir, "models")
	dir := func(name string) string { return filepath.Join(models, name) }
	versionIn(t, dir("demo"), "1.0.0") // routes name it by its folder
	versionIn(t, dir("demo-0.9"), "0.9.0")
	versionIn(t, dir("empty"), "0.8.0")
	require.NoError(t, os.Remove(filepath.Join(dir("empty"), "model.onnx")))
	versionIn(t, dir("broken"), "0.7.0")
	require.NoError(t, os.Remove(filepath.Join(dir("broken"), "model.onnx")))
	require.NoError(t, os.WriteFile(filepath.Join(dir("broken"), "model.onnx"), []byte("no network"), 0o600))
	require.NoError(t, os.Rename(otherModel(t, "another"), dir("another")))
	g.replace(filepath.Join(peers.Root(t), "testdata/models/demo"), dir("demo"))
	g.start()

	all := g.versions()
	require.Len(t, all, 4, "another model is none of its versions")
	require.Equal(t, "1.0.0", all[0].Version)
	require.True(t, all[0].InForce && all[0].Configured)
	require.Equal(t, "system configuration", all[0].By)
	require.Equal(t, "0.9.0", all[1].Version)
	require.Zero(t, all[1].Since)
	require.NotEmpty(t, all[2].Reason, "it has no network")
	require.Equal(t, admin.Setting{Key: "models", Value: `[{"dir":"` + dir("demo") + `"}]`, Source: "file", Where: g.settingOf("models").Where}, g.settingOf("models"))

	instances := polyps(t, 0, 3, 8)
	standing := associateAs(t, "SCOPE1", g.scp, instances...)
	store := func(some []dicomBytes) {
		t.Helper()
		for _, i := range some {
			status, err := standing.Store(t.Context(), i.request())
			require.NoError(t, err)
			require.Equal(t, dimse.Success, status)
		}
	}
	store(instances[:16])
	g.waitFor("the first to be analysed", func() bool { done, _ := g.analysed(); return done > 0 })
	task := g.putInForce("0.9.0")
	require.Equal(t, admin.TaskDone, task.State, task.Reason)
	require.Equal(t, []any{"0.9.0", dir("demo-0.9"), true, "a person (no sign-in)"}, []any{task.Result.Version, task.Result.Folder, task.Result.InForce, task.Result.By})
	store(instances[16:])
	require.NoError(t, standing.Release(t.Context()), "it was not dropped")
	g.waitDelivered(3)
	made := g.madeBy()
	require.Len(t, made, len(instances), "none is lost")
	count := map[string]int{}
	for i, one := range instances {
		count[made[one.uid]]++
		if i >= 16 {
			require.Equal(t, "0.9.0", made[one.uid], "it came afterwards")
		}
	}
	require.Positive(t, count["1.0.0"])
	require.Equal(t, len(instances), count["1.0.0"]+count["0.9.0"])
	_, once := pacs.storedOnce()
	require.True(t, once, "none is delivered twice")
	is := g.inForce()
	require.Equal(t, "0.9.0", is.Version)
	require.False(t, is.Configured)
	now := g.settingOf("models")
	require.Equal(t, []string{`[{"dir":"` + dir("demo-0.9") + `"}]`, "person"}, []string{now.Value, now.Source})
	require.Contains(t, now.Where, "demo-colon 0.9.0 in place of 1.0.0: a person (no sign-in)")
	require.Empty(t, g.configuration().Changed, "a reload would change nothing")
	require.Nil(t, g.configuration().Reloaded)
	require.Equal(t, admin.TaskDone, g.reload().State)
	require.Equal(t, is, g.inForce(), "a reload of the same configuration leaves it")
	var trail struct{ Entries []struct{ About []string } }
	g.get("/api/v1/audit?text=demo-colon+0.9.0", &trail)
	require.NotEmpty(t, trail.Entries, "who did it is in the audit trail")

	// What cannot be put in force changes nothing, and says why.
	for version, why := range map[string]string{"0.7.0": "not an ONNX model", "0.8.0": "model.onnx", "0.9.0": "it is in force", "3.0.0": "no bundle of it is there"} {
		task := g.putInForce(version)
		require.Equal(t, admin.TaskFailed, task.State, version)
		require.Contains(t, task.Reason, "nothing has changed", version)
		require.Contains(t, task.Reason, why, version)
		require.Equal(t, is, g.inForce(), version)
	}
	require.NotContains(t, g.text("/metrics"), "endogate_config_last_reload_successful 0", "the configuration is as good as before")
	var fault any
	require.Equal(t, http.StatusNotFound, g.postFor("/api/v1/models/none/rollback?version=1", &fault))
	require.Equal(t, http.StatusBadRequest, g.postFor("/api/v1/models/demo-colon/rollback", &fault))
	after := polyps(t, 10, 1, 1)
	storeAll(t, g.scp, after...)
	g.waitDelivered(4)
	require.Equal(t, "0.9.0", g.madeBy()[after[0].uid])

	// It holds after a restart, and where the ledger is made anew of the spool.
	g.Stop()
	g.start()
	require.Equal(t, is, g.inForce())
	require.Equal(t, "person", g.settingOf("models").Source)
	g.Stop()
	ledgers, err := filepath.Glob(filepath.Join(g.dir, "data/ledger.db*"))
	require.NoError(t, err)
	for _, file := range ledgers {
		require.NoError(t, os.Remove(file))
	}
	g.start()
	require.Equal(t, is, g.inForce())

	// It is taken back, and put in force again.
	require.Equal(t, admin.TaskDone, g.putInForce("1.0.0").State)
	back := g.inForce()
	require.Equal(t, []any{"1.0.0", true, "a person (no sign-in)"}, []any{back.Version, back.Configured, back.By})
	require.Equal(t, "file", g.settingOf("models").Source)
	last := polyps(t, 20, 1, 1)
	storeAll(t, g.scp, last...)
	g.waitDelivered(5)
	require.Equal(t, "1.0.0", g.madeBy()[last[0].uid])
	require.Equal(t, admin.TaskDone, g.putInForce("0.9.0").State)

	// What has changed on the disk since the configuration was read does not come in force with it.
	versionIn(t, dir("moved"), "1.1.0")
	require.NoError(t, os.Rename(dir("demo"), dir("demo-1.0")))
	require.NoError(t, os.Rename(dir("moved"), dir("demo")))
	task = g.putInForce("1.0.0")
	require.Equal(t, admin.TaskDone, task.State, task.Reason)
	require.Equal(t, "1.0.0", g.inForce().Version, "from where it is by now")
	require.Equal(t, "person", g.settingOf("models").Source, "the configured folder has another one")
	require.Equal(t, "1.1.0", g.configuredVersion())

	// A configuration with another version is a newer decision; that of before does not bring the choice back.
	versionIn(t, dir("demo-2"), "2.0.0")
	g.replace(`"`+dir("demo")+`"`, `"`+dir("demo-2")+`"`)
	g.replace("models: [demo]", "models: [demo-2]")
	require.Equal(t, []string{"models", "routes"}, keysOf(g.configuration().Changed))
	require.Equal(t, admin.TaskDone, g.reload().State)
	require.Equal(t, []any{"2.0.0", true, "system configuration"}, []any{g.inForce().Version, g.inForce().Configured, g.inForce().By})
	require.Contains(t, g.Log(), "had put in the place of the configured one is not in force any more")
	g.replace(`"`+dir("demo-2")+`"`, `"`+dir("demo")+`"`)
	g.replace("models: [demo-2]", "models: [demo]")
	require.Equal(t, admin.TaskDone, g.reload().State)
	require.Equal(t, "1.1.0", g.inForce().Version)

	// Where its bundle has gone, a start is refused, as where a configured one has; it can be taken back all the same.
	require.Equal(t, admin.TaskDone, g.putInForce("0.9.0").State)
	require.NoError(t, os.Rename(dir("demo-0.9"), filepath.Join(g.dir, "elsewhere")))
	require.Equal(t, "0.9.0", g.inForce().Version)
	require.Contains(t, g.inForce().Reason, "a start would be refused")
	g.Stop()
	cfg, err := configs.Load(g.config)
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	err = gateway.RunBy(t.Context(), cfg, gateway.Build{Version: "test", Config: g.config}, clock.System(), log)
	require.ErrorContains(t, err, "endogate model rollback demo-colon --as-configured")
	require.ErrorContains(t, err, "models[0].dir")
	choices, err := gateway.Chosen(t.Context(), cfg)
	require.NoError(t, err)
	require.Len(t, choices, 1)
	require.NoError(t, gateway.AsConfigured(t.Context(), cfg, "demo-colon", log))
	require.ErrorContains(t, gateway.AsConfigured(t.Context(), cfg, "demo-colon", log), "as configured")
	choices, err = gateway.Chosen(t.Context(), cfg)
	require.NoError(t, err)
	require.Empty(t, choices)
	g.start()
	assert.Equal(t, []any{"1.1.0", true}, []any{g.inForce().Version, g.inForce().Configured})
}

// configuredVersion is the version whose folder the configuration names.
func (g *testGateway) configuredVersion() string {
	g.t.Helper()
	for _, v := range g.versions() {
		if v.Configured {
			return v.Version
		}
	}
	return ""
}
