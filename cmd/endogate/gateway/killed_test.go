package gateway_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
)

func there(path ...string) bool {
	_, err := os.Stat(filepath.Join(path...))
	return err == nil
}

// TestGateway_backupKilled kills backups of a gateway that takes in and delivers, each at another step. None that was cut off passes for a
// whole one: it has no backup.json, no second backup is mixed into it, and no gateway starts on its data, or the data is all there. The
// gateway does not notice, and the backup that is left alone has everything.
func TestGateway_backupKilled(t *testing.T) {
	t.Parallel()
	_, address := newMoodyPACS(t)
	g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
	g.replace("segment_size: 8MiB", "segment_size: 8MiB, inline_limit: 4KiB") // most are large
	g.start()
	g.watched()
	studies, each := installed.Scaled(4, 60), 2
	instances := polyps(t, 0, studies, each)
	storeAll(t, g.scp, instances[:each]...)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- sendUntilAcknowledged(ctx, g.scp, instances[each:]) }()

	random := rand.New(rand.NewPCG(3, 4))
	steps := []string{"data/unfinished-backup", "data/ledger.db", "data/spool/large", "data/spool/log", "data/node-id"}
	kills, cut := installed.Scaled(len(steps), 100), 0
	for n := range kills {
		to := filepath.Join(t.TempDir(), "backup")
		backup := peers.Start(t, exec.Command(shipped.path(t), "backup", to, "--config", g.config))
		for !there(to, steps[n%len(steps)]) && !backup.Exited() {
			time.Sleep(50 * time.Microsecond)
		}
		time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
		backup.Kill()
		if there(to, gateway.BackupFile) {
			continue // it was quicker
		}
		cut++
		assert.Regexp(t, "cut off: remove it|not empty", g.commandFails("backup", to))
		if !there(to, "data/unfinished-backup") {
			assert.True(t, !there(to, "data/ledger.db") || there(to, "data/node-id"), "nothing is in it, or everything")
			continue
		}
		heir := newGateway(t, routeTo("PACS", address, ""))
		require.NoError(t, os.Rename(filepath.Join(to, "data"), filepath.Join(heir.dir, "data")))
		use := [][]string{{"serve"}, {"ledger", "rebuild"}, {"backup", filepath.Join(heir.dir, "to")}}[n%3]
		assert.Contains(t, heir.commandFails(use...), "cut off")
	}
	require.NotZero(t, cut)
	require.NoError(t, <-sent)

	to := filepath.Join(t.TempDir(), "backup")
	g.command("backup", to)
	heir := newGateway(t, routeTo("PACS", address, ""))
	require.NoError(t, os.CopyFS(filepath.Join(heir.dir, "data"), os.DirFS(filepath.Join(to, "data"))))
	heir.start()
	has := instancesOf(heir)
	for _, i := range instances {
		assert.True(t, has[i.uid], "%s was acknowledged and is lost", i.uid)
	}
	g.waitFor("all to be analysed and delivered", func() bool { return len(g.studies()) == studies && allDone(g.studies()) })
	assert.Empty(t, g.parked())
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("kill -9 of a backup under load, %d times, %d of them before it was whole: none passes for one, and the next one has everything", kills, cut),
		Kept:  len(instances), Memory: g.watch.Memory(),
	})
}

// instancesOf are the instances that a gateway knows.
func instancesOf(g *testGateway) map[dicom.UID]bool {
	has := map[dicom.UID]bool{}
	for _, s := range g.studies() {
		for _, i := range g.study(s.StudyInstanceUID).Instances {
			has[i.SOPInstanceUID] = true
		}
	}
	return has
}

// TestGateway_killedWhileReloading kills a gateway that takes in and delivers while it reads its configuration again, asked by signal and by
// API in turns. Each start has what the file says, and nothing that was acknowledged is lost, or delivered twice.
func TestGateway_killedWhileReloading(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, "")+"jobs: {max_deliver: 100}\n")
	g.replace("quiet: 1s", "quiet: 3s")
	g.apart = true
	g.start()
	g.watched()
	const one = "models: [demo], destinations: [pacs]}]\ndestinations: ["
	two := strings.Replace(one, "pacs]}]", "pacs]}, {name: room2, match: {calling_ae: [SCOPE2]}, models: [], destinations: [archive], forward_source: true}]", 1) +
		fmt.Sprintf(`{name: archive, kind: dicom, ae_title: ARCHIVE, address: "127.0.0.1:%d"}, `, peers.FreePort(t))
	g.replace(one, two)
	begun := time.Now()
	g.reload()
	took := time.Since(begun)
	first := g.configuration()

	studies, each := installed.Scaled(3, 50), 2
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- sendUntilAcknowledged(ctx, g.scp, polyps(t, 0, studies, each)) }()
	random := rand.New(rand.NewPCG(5, 6))
	kills := installed.Scaled(3, 60)
	for n := range kills {
		if n%2 == 0 {
			g.replace(two, one)
			require.NoError(t, syscall.Kill(g.process.PID(), syscall.SIGHUP))
		} else {
			g.replace(one, two)
			g.post("/api/v1/configuration/reload")
		}
		time.Sleep(time.Duration(random.Int64N(int64(took))))
		g.process.Kill()
		g.start()
		is := g.configuration()
		assert.Nil(t, is.Reloaded)
		assert.Empty(t, is.Changed)
		assert.Equal(t, n%2 == 1, is.SHA256 == first.SHA256, "what the file says is in force")
	}
	require.NoError(t, <-sent)
	g.waitFor("every study to be delivered", func() bool { return len(g.studies()) == studies && allDone(g.studies()) })
	assert.Empty(t, g.parked())
	assert.Equal(t, map[string]int{"SC": studies * each, "SR3": studies, "KO": studies}, classesOf(t, scp), "distinct derived objects in the PACS, by storescp's abbreviation of the class")
	assert.Contains(t, g.command("audit", "verify"), "follow from each other")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("kill -9 of the gateway, %d times, while it reads its configuration again, by signal and by API, and a modality sends to it; kept are the instances, each with its heatmap", kills),
		Kept:  studies * each, Memory: g.watch.Memory(),
	})
}
