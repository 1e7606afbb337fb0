package gateway_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

// books is all that a ledger shows.
type books struct {
	Studies    []ledger.StudyDetail
	Drafts     []ledger.Draft
	Agreements []ledger.Agreement
	Outbox     []ledger.Delivery
	Parked     ledger.ParkedWork
	Counts     ledger.Counts
}

func (g *testGateway) books() books {
	g.t.Helper()
	l, err := ledger.OpenReadOnly(filepath.Join(g.dir, "data/ledger.db"))
	require.NoError(g.t, err)
	defer l.Close()
	ctx := context.Background()
	var all books
	studies, _, err := l.Studies(ctx, ledger.StudyFilter{})
	require.NoError(g.t, err)
	for _, s := range studies {
		detail, err := l.Study(ctx, s.StudyInstanceUID, ledger.Page{})
		require.NoError(g.t, err)
		all.Studies = append(all.Studies, detail)
		drafts, err := l.Drafts(ctx, s.StudyInstanceUID, ledger.Page{})
		require.NoError(g.t, err)
		for _, d := range drafts {
			whole, err := l.Draft(ctx, s.StudyInstanceUID, d.Number, d.Version)
			require.NoError(g.t, err)
			all.Drafts = append(all.Drafts, whole)
		}
	}
	all.Agreements, _, err = l.Agreements(ctx, ledger.AgreementFilter{})
	require.NoError(g.t, err)
	all.Outbox, _, err = l.Outbox(ctx, ledger.OutboxFilter{})
	require.NoError(g.t, err)
	all.Parked, _, err = l.Parked(ctx, ledger.ParkedFilter{})
	require.NoError(g.t, err)
	all.Counts, err = l.Counts(ctx)
	require.NoError(g.t, err)
	return all
}

// TestGateway_ledgerRebuilt loses the ledger of a gateway that has received, analysed, delivered, parked, discarded and
// retried: the spool says all of it.
func TestGateway_ledgerRebuilt(t *testing.T) {
	t.Parallel()
	pacs := &moodyPACS{stored: map[dicom.UID]int{}, refused: map[dicom.UID]int{}, answers: map[dicom.UID]dimse.Status{
		dicom.KeyObjectSelectionDocumentStorage: dimse.CannotUnderstand,
	}}
	address := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	serveHandler(t, "PACS", address, pacs)
	g := newGateway(t, routeTo("PACS", address, ""))
	g.start()
	instances := polyps(t, 0, 3, 2)
	storeAll(t, g.scp, instances[:4]...)
	storeAll(t, g.scp, instances[0])
	g.waitFor("the key images of both studies to be parked", func() bool { return len(g.parked()) == 2 })
	parked := g.parked()
	require.Equal(t, http.StatusOK, g.post("/api/v1/parked/"+parked[0].ID+"/discard"))
	require.Equal(t, http.StatusOK, g.post("/api/v1/parked/"+parked[1].ID+"/retry"))
	g.waitFor("one to be parked again", func() bool {
		return len(g.parked()) == 1 && pacs.timesRefused(dicom.KeyObjectSelectionDocumentStorage) == 3
	})
	pacs.answer(dicom.SecondaryCaptureImageStorage, dimse.OutOfResources)
	storeAll(t, g.scp, instances[4:]...)
	g.waitFor("the PACS to be full", func() bool { return pacs.timesRefused(dicom.SecondaryCaptureImageStorage) > 1 })
	g.Stop()
	want := g.books()
	require.Len(t, want.Studies, 3)
	require.Len(t, want.Parked.Deliveries, 1)
	require.NotZero(t, want.Counts.Deliveries["pacs"][ledger.DeliveryPending])
	require.NotZero(t, want.Counts.Deliveries["pacs"][ledger.DeliveryDone])
	require.NotZero(t, want.Counts.Deliveries["pacs"][ledger.DeliveryDiscarded])
	by := map[ledger.ActorKind]bool{}
	for _, s := range want.Studies {
		for _, e := range s.Events {
			by[e.By.Kind] = true
		}
	}
	require.Equal(t, map[ledger.ActorKind]bool{ledger.ActorPeer: true, ledger.ActorRoute: true, ledger.ActorSystem: true, ledger.ActorPerson: true}, by)

	rebuild := func() gateway.Rebuilt {
		cfg, err := configs.Load(g.config)
		require.NoError(t, err)
		done, err := gateway.RebuildLedger(t.Context(), cfg, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.Empty(t, done.Damaged)
		return done
	}
	require.NotEmpty(t, rebuild().Before, "beside the one that was there")
	require.Equal(t, want, g.books())
	ledgers, err := filepath.Glob(filepath.Join(g.dir, "data/ledger.db*"))
	require.NoError(t, err)
	for _, file := range ledgers {
		require.NoError(t, os.Remove(file))
	}
	require.Empty(t, rebuild().Before)
	require.Equal(t, want, g.books())

	pacs.answer(dicom.SecondaryCaptureImageStorage, dimse.Success)
	pacs.answer(dicom.KeyObjectSelectionDocumentStorage, dimse.Success)
	g.start()
	require.Equal(t, http.StatusOK, g.post("/api/v1/parked/"+g.parked()[0].ID+"/retry"))
	g.waitFor("all to be delivered that nobody has discarded", func() bool {
		c := g.destination("pacs").Counts
		return c.Pending == 0 && c.Parked == 0 && c.Discarded == 1 && allDone(g.studies())
	})
	stored, once := pacs.storedOnce()
	assert.True(t, once, "what was delivered before is not delivered again")
	assert.Equal(t, g.destination("pacs").Counts.Done, stored)
}

// A rebuild by root leaves nothing that the gateway's own user cannot write.
func TestRebuildLedger_ownerOfTheFolder(t *testing.T) {
	cfg := configs.Default()
	cfg.DataDir = t.TempDir()
	require.NoError(t, os.Mkdir(cfg.SpoolDir(), 0o700))
	owner := os.Geteuid()
	if owner == 0 {
		owner = 65532
		require.NoError(t, os.Chown(cfg.DataDir, owner, owner))
	}
	_, err := gateway.RebuildLedger(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.FileExists(t, cfg.LedgerFile())
	require.NoError(t, filepath.WalkDir(cfg.DataDir, func(path string, _ os.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := os.Lstat(path)
		require.NoError(t, err)
		assert.EqualValues(t, owner, info.Sys().(*syscall.Stat_t).Uid, path)
		return nil
	}))
}
