package gateway_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode/clock"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

// reload has the configuration read again over the API, and returns what came of it.
func (g *testGateway) reload() (task struct {
	admin.Task
	Result admin.Reload
},
) {
	g.t.Helper()
	status := 0
	g.waitFor("a task to be begun", func() bool { // where as many go on as may, it is asked again
		status = g.postFor("/api/v1/configuration/reload", &task)
		return status != http.StatusServiceUnavailable
	})
	assert.Equal(g.t, http.StatusAccepted, status)
	id := task.ID
	g.waitFor("the reload", func() bool {
		g.get("/api/v1/tasks/"+id, &task)
		return task.State != admin.TaskRunning
	})
	return task
}

func (g *testGateway) configuration() (c admin.Configuration) {
	g.t.Helper()
	g.get("/api/v1/configuration", &c)
	return c
}

func keysOf(all []admin.Change) (keys []string) {
	for _, c := range all {
		keys = append(keys, c.Key)
	}
	return keys
}

// TestGateway_reload: while DCMTK sends over one association and another one stands, the configuration is read again, and again. Both go
// on to their end. What comes takes the new routes; what waits for a destination that is gone is kept until it is there again; a file or
// a model that is wrong changes nothing; and a start finds what the reload has left.
func TestGateway_reload(t *testing.T) {
	t.Parallel()
	scp, archive := peers.StartStoreSCP(t, peers.StoreSCPOptions{Fork: true}), peers.StartStoreSCP(t, peers.StoreSCPOptions{Fork: true})
	nobody := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	pacs := fmt.Sprintf(`{name: pacs, kind: dicom, ae_title: %s, address: %q}`, scp.AETitle, scp.Addr)
	g := newGateway(t, `routes: [{name: plain, match: {calling_ae: [SCOPE1]}, models: [], destinations: [pacs], forward_source: true}, {name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs], forward_source: true}]
destinations: [`+pacs+`]
exam: {quiet: 1s}
`)
	g.start()
	before := g.configuration()
	require.Empty(t, before.Changed)

	const sent = 150
	files := t.TempDir()
	for n := range sent {
		drawn(dicomtest.Options{Study: "many", Series: "many", Instance: n + 1, Rows: 64, Columns: 64}).file(t, filepath.Join(files, fmt.Sprintf("%03d.dcm", n)))
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		status, out := peers.Storescu(t, peers.Called{Addr: g.scp, AETitle: "ENDOGATE", Calling: "SCOPE1"}, nil, files)
		assert.Zero(t, status, out)
	})
	defer sending.Wait()
	late := []dicomBytes{drawn(dicomtest.Options{Study: "late", Instance: 1}), drawn(dicomtest.Options{Study: "late", Instance: 2})}
	standing := associateAs(t, "SCOPE2", g.scp, late...)
	store := func(i dicomBytes) (route string) {
		t.Helper()
		status, err := standing.Store(t.Context(), i.request())
		require.NoError(t, err)
		require.Equal(t, dimse.Success, status)
		g.waitFor("the route of an instance", func() bool {
			for _, s := range g.studies() {
				for _, one := range g.study(s.StudyInstanceUID).Instances {
					if one.SOPInstanceUID == i.uid {
						route = one.Route
					}
				}
			}
			return route != ""
		})
		return route
	}
	g.waitFor("DCMTK to send", func() bool { return len(g.studies()) > 0 })

	// A route is added, with a destination that does not answer; what is kept free of the disk is not changed so.
	room := `{name: room2, match: {calling_ae: [SCOPE2]}, models: [], destinations: [archive], forward_source: true}, `
	gone := fmt.Sprintf(`, {name: archive, kind: dicom, ae_title: %s, address: %q}`, archive.AETitle, nobody)
	g.replace("routes: [", "routes: ["+room)
	g.replace("destinations: ["+pacs, "destinations: ["+pacs+gone)
	g.replace("reserve: 64MiB", "reserve: 65MiB")
	g.running.(*inProcess).again <- syscall.SIGHUP
	var is admin.Configuration
	g.waitFor("the configuration to be read again", func() bool { is = g.configuration(); return is.Reloaded != nil })
	require.True(t, is.Reloaded.OK, is.Reloaded.Reason)
	require.NotEqual(t, before.SHA256, is.SHA256)
	require.Equal(t, []string{"spool.reserve"}, keysOf(is.Changed), "it is still to come")
	require.Contains(t, is.Changed[0].Restart, "at the start")
	require.Equal(t, "room2", store(late[0]), "over an association from before")
	require.Contains(t, g.text("/metrics"), `endogate_config_info{sha256="`+is.SHA256+`"} 1`)

	// What is wrong changes nothing, and says why.
	good, err := os.ReadFile(g.config)
	require.NoError(t, err)
	broken := otherModel(t, "broken")
	require.NoError(t, os.Remove(filepath.Join(broken, "model.onnx")))
	require.NoError(t, os.WriteFile(filepath.Join(broken, "model.onnx"), []byte("no network"), 0o600))
	for _, tt := range []struct{ name, old, new, why string }{
		{"a key that is none", "exam: {quiet: 1s}", "exam: {quite: 1s}", "exam.quite"},
		{"a route to nowhere", "destinations: [archive]", "destinations: [nowhere]", "nowhere"},
		{"a model that does not load", "models: [{dir: ", "models: [{dir: \"" + broken + "\"}, {dir: ", "broken"},
		{"a live signal without its model", "exam: {quiet: 1s}", "exam: {quiet: 1s}\nlive: [{name: room1, source: room1.mp4, model: tea, calling_ae: ROOM1}]", "live[0].model"},
		{"a class that is none", "exam: {quiet: 1s}", "exam: {quiet: 2s}\nurgent: [{class: tea, threshold: 0.5}]", "tea"},
	} {
		g.replace("name: room2", "name: room3")
		g.replace(tt.old, tt.new)
		task := g.reload()
		require.Equal(t, admin.TaskFailed, task.State, tt.name)
		require.Contains(t, task.Reason, tt.why, tt.name)
		now := g.configuration()
		require.Equal(t, is.SHA256, now.SHA256, tt.name)
		require.False(t, now.Reloaded.OK)
		require.NoError(t, os.WriteFile(g.config, good, 0o600))
	}
	require.Contains(t, g.text("/metrics"), "endogate_config_last_reload_successful 0")
	require.Equal(t, "room2", store(late[1]))
	require.NoError(t, standing.Release(t.Context()))
	sending.Wait()

	// The destination goes, and what waits for it is kept; it comes back elsewhere, and gets it.
	require.Equal(t, 2, g.destination("archive").Counts.Pending)
	g.replace(room, "")
	g.replace(gone, "")
	require.Equal(t, admin.TaskDone, g.reload().State)
	parked := g.parked()
	require.Len(t, parked, 2)
	require.Equal(t, "destination archive is not configured any more; configure it again or discard", parked[0].Reason)
	require.Equal(t, http.StatusConflict, g.post("/api/v1/parked/"+parked[0].ID+"/retry"), "there is nobody to take it")
	g.replace("destinations: ["+pacs, "destinations: ["+pacs+strings.Replace(gone, nobody, archive.Addr, 1))
	require.Equal(t, admin.TaskDone, g.reload().State)
	g.waitFor("what was kept to be delivered", func() bool { return g.destination("archive").Counts.Done == 2 })
	require.Empty(t, g.parked())
	require.Len(t, archive.Files(t), 2)

	// Several at once come one after the other, and the work goes on.
	g.replace("exam: {quiet: 1s}", "exam: {quiet: 2s}")
	var reloads sync.WaitGroup
	for range 2 {
		reloads.Go(func() { assert.Equal(t, admin.TaskDone, g.reload().State) })
	}
	polyp := readPart10(t, sample(t, "study1-01*")[0])
	room3 := associateAs(t, "SCOPE3", g.scp, polyp)
	status, err := room3.Store(t.Context(), polyp.request())
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	reloads.Wait()
	require.NoError(t, room3.Release(t.Context()))
	g.waitFor("what came meanwhile to be analysed and delivered", func() bool { return g.study(g.studyOf(polyp)).Status == ledger.StudyDone })
	is = g.configuration()
	require.Equal(t, []string{"spool.reserve"}, keysOf(is.Changed))
	instances := 0
	for _, s := range g.studies() {
		instances += s.InstanceCount
	}
	require.Equal(t, sent+len(late)+1, instances, "none is lost, and none is there twice")

	// A start finds the same, and what needed one.
	g.Stop()
	g.start()
	again := g.configuration()
	require.Empty(t, again.Changed)
	require.Nil(t, again.Reloaded)
	require.Equal(t, settingsBut(is.Settings, "spool.reserve"), settingsBut(again.Settings, "spool.reserve"))
	require.Empty(t, g.parked())
}

// settingsBut are the values of all keys but one.
func settingsBut(all []admin.Setting, key string) map[string]string {
	values := map[string]string{}
	for _, s := range all {
		if s.Key != key {
			values[s.Key] = s.Value
		}
	}
	return values
}

// Who asks for a reload while the gateway starts is heard when all that it changes is there: a start that fails has not begun one.
func TestGateway_reloadAtStart(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "")
	taken, err := net.Listen("tcp", g.web)
	require.NoError(t, err)
	defer taken.Close()
	cfg, err := configs.Load(g.config)
	require.NoError(t, err)
	again := make(chan os.Signal, 1)
	again <- syscall.SIGHUP
	err = gateway.RunBy(t.Context(), cfg, gateway.Build{Version: "test", Config: g.config, Reload: again}, clock.System(), slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "http.listen")
	require.Len(t, again, 1)
}
