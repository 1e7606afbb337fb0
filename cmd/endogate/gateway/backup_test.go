package gateway_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/installed"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

// TestGateway_backupUnderLoad backs up a gateway while modalities send and it delivers, and restores the backup elsewhere:
// nothing is lost that was acknowledged before the backup began, and nothing is delivered a second time that the backup knows
// to be delivered.
func TestGateway_backupUnderLoad(t *testing.T) {
	t.Parallel()
	_, address := newMoodyPACS(t)
	g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
	g.start()
	g.watched()
	studies, each := installed.Scaled(12, 100), 4
	var mu sync.Mutex
	acknowledged := map[dicom.UID]bool{}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, i := range polyps(t, 0, studies, each) {
			if store(t, g.scp, i) == dimse.Success {
				mu.Lock()
				acknowledged[i.uid] = true
				mu.Unlock()
			}
		}
	}()
	g.waitFor("a third of it to be sent, and some of it delivered", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) > studies*each/3 && g.destination("pacs").Counts.Done > 0
	})
	mu.Lock()
	before := make([]dicom.UID, 0, len(acknowledged))
	for uid := range acknowledged {
		before = append(before, uid)
	}
	mu.Unlock()
	to := filepath.Join(t.TempDir(), "backup")
	out := g.command("backup", to)
	<-sent
	assert.Contains(t, out, "to restore")
	out = g.commandFails("backup", to)
	assert.Contains(t, out, "not empty")
	g.Stop()

	var of gateway.BackupOf
	text, err := os.ReadFile(filepath.Join(to, gateway.BackupFile))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &of))
	require.True(t, of.Ledger)
	require.Len(t, of.Models, 1)
	require.NotEmpty(t, of.Models[0].Digest)
	require.FileExists(t, filepath.Join(to, filepath.Base(g.config)))

	for name, lose := range map[string]func(data string){
		"whole":          func(string) {},
		"without ledger": func(data string) { require.NoError(t, os.Remove(filepath.Join(data, "ledger.db"))) },
	} {
		t.Run(name, func(t *testing.T) {
			pacs, address := newMoodyPACS(t)
			heir := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
			heirs := filepath.Join(heir.dir, "data")
			require.NoError(t, os.CopyFS(heirs, os.DirFS(filepath.Join(to, "data"))))
			lose(heirs)
			known := deliveredIn(t, heir, filepath.Join(to, "data"))
			require.NotEmpty(t, known)
			heir.start()
			require.NotContains(t, heir.Log(), "spool is damaged")
			heir.waitFor("all to be delivered", func() bool {
				c := heir.destination("pacs").Counts
				return c.Pending+c.Parked == 0 && c.Done > 0 && allDone(heir.studies())
			})
			pacs.mu.Lock()
			defer pacs.mu.Unlock()
			for _, uid := range before {
				assert.True(t, known[uid] || pacs.stored[uid] > 0, "%s was acknowledged before the backup", uid)
			}
			for uid, n := range pacs.stored {
				assert.Equal(t, 1, n)
				assert.False(t, known[uid], "%s is delivered again", uid)
			}
		})
	}
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("a backup under load, restored elsewhere with and without its ledger; %d instances were acknowledged before it began", len(before)), Kept: len(before), Memory: g.watch.Memory(),
	})
}

// deliveredIn is what a data folder knows to be delivered, by its spool.
func deliveredIn(t *testing.T, g *testGateway, data string) map[dicom.UID]bool {
	t.Helper()
	cfg, err := configs.Load(g.config)
	require.NoError(t, err)
	cfg.DataDir = t.TempDir()
	require.NoError(t, os.CopyFS(cfg.SpoolDir(), os.DirFS(filepath.Join(data, "spool"))))
	_, err = gateway.RebuildLedger(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	l, err := ledger.OpenReadOnly(cfg.LedgerFile())
	require.NoError(t, err)
	defer l.Close()
	known := map[dicom.UID]bool{}
	for offset := 0; ; {
		page, total, err := l.Outbox(t.Context(), ledger.OutboxFilter{Limit: 100, Offset: offset})
		require.NoError(t, err)
		for _, d := range page {
			if d.State == ledger.DeliveryDone {
				known[d.Instance.SOPInstanceUID] = true
			}
		}
		if offset += len(page); offset >= total || len(page) == 0 {
			return known
		}
	}
}

// TestBackup_refuses says what is wrong before it writes anything.
func TestBackup_refuses(t *testing.T) {
	g := newGateway(t, "")
	out, err := exec.Command(shipped.path(t), "backup", filepath.Join(g.dir, "to"), "--config", g.config).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "data_dir", fmt.Sprint(err))
}
