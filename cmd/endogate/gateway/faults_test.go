package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pdu"
)

// An exam of which one instance is sound and one corrupt.
func TestGateway_poisonIsParkedAndReported(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	g.start()
	sound := drawn(dicomtest.Options{Instance: 1})
	corrupt := drawn(dicomtest.Options{
		Instance: 2, TransferSyntax: dicom.JPEGBaseline8Bit, JPEG: [][]byte{{0xFF, 0xD8, 0xFF, 0xDB, 0x00, 0x43, 0xFF, 0xFF}},
	})
	storeAll(t, g.scp, sound, corrupt)
	uid := g.studyOf(sound)
	g.waitFor("the report", func() bool { return deliveredReports(g.study(uid)) == 1 })

	report := reportsOf(g.study(uid))[0].SOPInstanceUID
	assert.Contains(t, reportText(t, scp.Files(t)[string(report)]), "Instances analysed: 1 (1 frames); skipped: 0; failed: 1.")

	assert.Equal(t, map[dicom.UID]ledger.InstanceState{
		sound.uid: ledger.InstanceAnalysed, corrupt.uid: ledger.InstanceFailed,
	}, statesOf(g.study(uid)))
	parked := g.parked()
	require.Len(t, parked, 1)
	assert.Equal(t, admin.ParkedJob, parked[0].Kind)
	assert.Equal(t, corrupt.uid, parked[0].SOPInstanceUID)
	assert.Contains(t, parked[0].Reason, "corrupt")
	assert.Equal(t, ledger.StudyParked, g.study(uid).Status)

	first := parked[0]
	require.Equal(t, http.StatusOK, g.post("/api/v1/parked/"+first.ID+"/retry"))
	g.waitFor("the retried job to be parked again", func() bool {
		parked = g.parked()
		return len(parked) == 1 && parked[0].ID == first.ID && parked[0].At.After(first.At)
	})
	assert.Equal(t, first.Reason, parked[0].Reason)
	require.Equal(t, http.StatusOK, g.post("/api/v1/parked/"+first.ID+"/discard"))
	assert.Empty(t, g.parked())
	assert.Equal(t, http.StatusConflict, g.post("/api/v1/parked/"+first.ID+"/retry"), "what is discarded stays so")
	g.waitFor("the study to be done", func() bool { return g.study(uid).Status == ledger.StudyPartlyAnalysed })
	assert.Equal(t, 1, g.study(uid).NotAnalysed)
}

func statesOf(s admin.Study) map[dicom.UID]ledger.InstanceState {
	states := map[dicom.UID]ledger.InstanceState{}
	for _, i := range s.Instances {
		states[i.SOPInstanceUID] = i.State
	}
	return states
}

// reportText returns an SR as readable text.
func reportText(t *testing.T, path string) string {
	t.Helper()
	return peers.Run(t, "dsrdump", "+Pl", path)
}

// studyOf returns the study that an instance lies in.
func (g *testGateway) studyOf(instance dicomBytes) (study dicom.UID) {
	g.t.Helper()
	g.waitFor("the ledger to know the instance", func() bool {
		for _, s := range g.studies() {
			for _, i := range g.study(s.StudyInstanceUID).Instances {
				if i.SOPInstanceUID == instance.uid {
					study = s.StudyInstanceUID
					return true
				}
			}
		}
		return false
	})
	return study
}

func deliveredReports(s admin.Study) int {
	n := 0
	for _, d := range s.Deliveries {
		if d.Purpose == "sr" && d.State == ledger.DeliveryDone {
			n++
		}
	}
	return n
}

func TestGateway_diskBelowReserveAtStart(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "")
	g.replace("reserve: 64MiB", "reserve: 1048576GiB")
	g.launch()
	status, answer := g.ready()
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.False(t, answer.Ready)
	for _, check := range answer.Checks {
		assert.Equal(t, check.Name != "disk above reserve", check.OK, "%s: %s", check.Name, check.Reason)
		if !check.OK {
			assert.Regexp(t, `disk.*\d+.*free.*reserve`, check.Reason)
		}
	}

	_, err := associationAs("SCOPE1", "ENDOGATE", g.scp)
	assertRejected(t, err, pdu.RejectedTransient, pdu.RejectProviderPresentation, pdu.LocalLimitExceeded)
}

// associationAs asks for Verification, and releases it when it gets it.
func associationAs(calling, called dicom.AETitle, address string) (dimse.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	assoc, err := (&dicomnode.Client{AETitle: calling}).Associate(ctx, address, called, dicomnode.VerificationContexts())
	if err != nil {
		return 0, err
	}
	status, err := assoc.Echo(ctx)
	if err != nil {
		return 0, err
	}
	return status, assoc.Release(ctx)
}

func assertRejected(t *testing.T, err error, result pdu.RejectResult, source pdu.RejectSource, reason pdu.RejectReason) {
	t.Helper()
	var rejected *dicomnode.RejectError
	require.ErrorAs(t, err, &rejected)
	assert.Equal(t, dicomnode.RejectError{Result: result, Source: source, Reason: reason}, *rejected)
}

// The disk fills while a modality is associated: what does not fit is refused, and taken once there is room.
func TestGateway_diskFillsUp(t *testing.T) {
	const margin = 1 << 30 // what others may write meanwhile
	g := newGateway(t, "")
	free := freeDisk(t, g.dir)
	if free < 4*margin {
		installed.Lacking(t, "needs %d GiB of free disk in %s", 4*margin>>30, g.dir)
	}
	g.replace("reserve: 64MiB", fmt.Sprintf("reserve: %dMiB", (free-margin)>>20))
	g.start()
	instances := polyps(t, 0, 1, 2)
	assoc := associateAs(t, "SCOPE1", g.scp, instances...)
	store := func(i dicomBytes) dimse.Status {
		t.Helper()
		status, err := assoc.Store(t.Context(), i.request())
		require.NoError(t, err, "the association stands")
		return status
	}
	require.Equal(t, dimse.Success, store(instances[0]))

	ballast := filepath.Join(g.dir, "ballast")
	f, err := os.Create(ballast)
	require.NoError(t, err)
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 2*margin); err != nil {
		installed.Lacking(t, "needs a file system with fallocate in %s: %v", g.dir, err)
	}
	require.Equal(t, dimse.OutOfResources, store(instances[1]))
	status, _ := g.ready()
	assert.Equal(t, http.StatusServiceUnavailable, status)
	require.NoError(t, f.Truncate(0))
	require.Equal(t, dimse.Success, store(instances[1]))
	g.waitFor("the gateway to be ready again", func() bool { status, _ := g.ready(); return status == http.StatusOK })
	require.NoError(t, assoc.Release(t.Context()))
}

func freeDisk(t *testing.T, dir string) int64 {
	t.Helper()
	var s unix.Statfs_t
	require.NoError(t, unix.Statfs(dir, &s))
	return int64(s.Bavail) * s.Bsize
}

func TestGateway_whoMayCome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, peers     string
		calling, called dicom.AETitle
		reason          pdu.RejectReason // 0: it may
	}{
		{"listed", `[{ae_title: SCOPE1, hosts: [127.0.0.1/32]}]`, "SCOPE1", "ENDOGATE", 0},
		{"unknown calling title", `[{ae_title: SCOPE1, hosts: [127.0.0.1/32]}]`, "SCOPE2", "ENDOGATE", pdu.CallingAETitleNotRecognized},
		{"wrong called title", `[{ae_title: SCOPE1, hosts: [127.0.0.1/32]}]`, "SCOPE1", "ENDOGAT", pdu.CalledAETitleNotRecognized},
		{"host not listed", `[{ae_title: SCOPE1, hosts: [10.1.2.0/24]}, {ae_title: SCOPE2, hosts: [127.0.0.0/8]}]`, "SCOPE1", "ENDOGATE", pdu.CallingAETitleNotRecognized},
		{"any title from a host not listed", `[{ae_title: "*", hosts: [192.0.2.1/32]}]`, "SCOPE1", "ENDOGATE", pdu.CallingAETitleNotRecognized},
		{"nobody listed", `[]`, "SCOPE1", "ENDOGATE", pdu.CallingAETitleNotRecognized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateway(t, "")
			g.replace(`peers: [{ae_title: "*", hosts: [127.0.0.0/8]}]`, "peers: "+tt.peers)
			g.replace("models: [", "# models: [") // who may come does not depend on them
			g.start()
			status, err := associationAs(tt.calling, tt.called, g.scp)
			exit, out := peers.Echoscu(t, peers.Called{AETitle: string(tt.called), Addr: g.scp, Calling: string(tt.calling)})
			if tt.reason == 0 {
				require.NoError(t, err)
				assert.Equal(t, dimse.Success, status)
				assert.Zero(t, exit, out)
				return
			}
			assertRejected(t, err, pdu.RejectedPermanent, pdu.RejectServiceUser, tt.reason)
			assert.NotZero(t, exit)
			assert.Contains(t, out, "Not Recognized")
			assert.Contains(t, g.Log(), "reject")
		})
	}
}
