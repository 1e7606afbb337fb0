package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

func TestGateway_storescpKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true"))
	g.start()
	g.watched()
	const studies, each = 3, 10
	for study := range studies {
		storeAll(t, g.scp, polyps(t, study, 1, each)...)
		g.waitFor("deliveries to run", func() bool { return len(scp.Files(t)) > study*each })
		scp.Kill()
		storeAll(t, g.scp, polyps(t, studies+study, 1, 1)...) // so that something is open for sure
		g.waitFor("the gateway to notice", func() bool { return g.destination("pacs").LastError != "" })
		d := g.destination("pacs")
		assert.Contains(t, d.LastError, "STORESCP")
		assert.Positive(t, d.Counts.Pending)
		assert.Zero(t, d.Counts.Parked, "a peer that is down is no reason to park")
		awaitOutage(g.t)
		scp.Start(t)
	}
	g.waitDelivered(2 * studies)
	assert.Empty(t, g.destination("pacs").LastError)
	assertEachOnce(t, g, scp, studies*each+studies)
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("the PACS (storescp) killed %d times amid deliveries and away for %v", studies, installed.Scaled(time.Duration(0), time.Minute)), Kept: studies*each + studies, Memory: g.watch.Memory(),
	})
}

// awaitOutage is how long a destination stays away: as long as it takes to notice, or a minute in a drill.
func awaitOutage(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(installed.Scaled(time.Duration(0), time.Minute)):
	case <-t.Context().Done():
	}
}

func TestGateway_orthancKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	orthanc := peers.StartOrthanc(t)
	g := newGateway(t, routeTo(orthanc.AETitle, orthanc.Addr, ", forward_source: true"))
	g.start()
	g.watched()
	const each = 10
	storeAll(t, g.scp, polyps(t, 0, 1, each)...)
	g.waitFor("deliveries to run", func() bool { return orthanc.Count(t) > 0 })
	require.NoError(t, syscall.Kill(orthanc.PID(), syscall.SIGKILL))
	orthanc.Stop() // waits for its end
	storeAll(t, g.scp, polyps(t, 1, 1, 1)...)
	g.waitFor("the gateway to notice", func() bool { return g.destination("pacs").LastError != "" })
	awaitOutage(t)
	orthanc.Start(t)
	g.waitDelivered(2)

	want := 0
	for _, s := range g.studies() {
		study := g.study(s.StudyInstanceUID)
		want += len(study.Instances) + expected(study)
		for _, d := range study.Deliveries {
			assert.Equal(t, ledger.DeliveryDone, d.State, d.Reason)
		}
	}
	assert.Equal(t, want, orthanc.Count(t), "what is acknowledged is there, and once")
	installed.Tried(t, installed.Drill{Tried: "the PACS (Orthanc) killed amid deliveries; kept are sources and what was made of them", Kept: want, Memory: g.watch.Memory()})
}

// An AE title that the PACS does not know concerns the configuration, not the objects: they wait and name the reason.
func TestGateway_pacsRejectsAssociation(t *testing.T) {
	t.Parallel()
	orthanc := peers.StartOrthanc(t, peers.OrthancOptions{Setting: map[string]any{"DicomCheckCalledAet": true}})
	g := newGateway(t, routeTo("NOBODY", orthanc.Addr, ", forward_source: true"))
	g.start()
	storeAll(t, g.scp, polyps(t, 0, 1, 1)...)
	g.waitFor("the reject to be seen", func() bool { return g.destination("pacs").LastError != "" })
	assert.Contains(t, g.destination("pacs").LastError, "rejects the association")
	assert.Contains(t, strings.ToLower(g.destination("pacs").LastError), "called ae title not recogni")
	g.waitFor("all to be made", func() bool { study := onlyStudy(g); return study != nil && len(reportsOf(*study)) == 1 })
	for _, d := range onlyStudy(g).Deliveries {
		assert.Equal(t, ledger.DeliveryPending, d.State, "%s: %s", d.Purpose, d.Reason)
	}

	g.Stop()
	g.replace("ae_title: NOBODY", "ae_title: "+orthanc.AETitle)
	g.start()
	g.waitDelivered(1)
}

// onlyStudy returns the study once there is one.
func onlyStudy(g *testGateway) *admin.Study {
	studies := g.studies()
	if len(studies) != 1 {
		return nil
	}
	study := g.study(studies[0].StudyInstanceUID)
	return &study
}

// moodyPACS answers C-STORE with a status for each SOP class.
type moodyPACS struct {
	mu      sync.Mutex
	answers map[dicom.UID]dimse.Status // success where there is none
	refused map[dicom.UID]int          // how often, by SOP class
	stored  map[dicom.UID]int          // by SOP Instance UID
}

func (p *moodyPACS) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	if _, err := io.Copy(io.Discard, req.Dataset); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if status := p.answers[req.SOPClassUID]; status != dimse.Success {
		p.refused[req.SOPClassUID]++
		return &dimse.Error{Status: status, Comment: "of a bad mood"}
	}
	p.stored[req.SOPInstanceUID]++
	return nil
}

func (p *moodyPACS) answer(class dicom.UID, s dimse.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[class] = s
}

func (p *moodyPACS) timesRefused(class dicom.UID) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[class]
}

func (p *moodyPACS) storedOnce() (instances int, once bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	once = true
	for _, n := range p.stored {
		once = once && n == 1
	}
	return len(p.stored), once
}

// A full disk at the PACS passes: its objects wait. What it cannot understand is parked until a person has seen to it.
// Neither holds up what it takes.
func TestGateway_statusesOfPACS(t *testing.T) {
	t.Parallel()
	pacs := &moodyPACS{stored: map[dicom.UID]int{}, refused: map[dicom.UID]int{}, answers: map[dicom.UID]dimse.Status{
		dicom.SecondaryCaptureImageStorage:      dimse.OutOfResources,
		dicom.KeyObjectSelectionDocumentStorage: dimse.CannotUnderstand,
	}}
	address := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	serveHandler(t, "PACS", address, pacs)
	g := newGateway(t, routeTo("PACS", address, ""))
	g.start()
	storeAll(t, g.scp, polyps(t, 0, 1, 1)...)

	delivery := func(purpose string) admin.Delivery {
		t.Helper()
		if study := onlyStudy(g); study != nil {
			for _, d := range study.Deliveries {
				if d.Purpose == purpose {
					return d
				}
			}
		}
		return admin.Delivery{}
	}
	g.waitFor("the heatmap to be refused twice", func() bool { return delivery("heatmap").Attempts >= 2 })
	heatmap := delivery("heatmap")
	assert.Equal(t, ledger.DeliveryPending, heatmap.State)
	assert.Equal(t, "A700", heatmap.Status)
	assert.Contains(t, heatmap.Reason, "PACS answered A700")
	g.waitFor("the key images to be parked", func() bool { return delivery("kos").State == ledger.DeliveryParked })
	g.waitFor("the report to be delivered", func() bool { return delivery("sr").State == ledger.DeliveryDone })
	parked := g.parked()
	require.Len(t, parked, 1)
	assert.Equal(t, admin.ParkedDelivery, parked[0].Kind)
	assert.Equal(t, "kos", parked[0].Purpose)
	assert.Equal(t, "pacs", parked[0].Destination)
	assert.Equal(t, "C000", parked[0].Status)
	assert.Contains(t, parked[0].Reason, "PACS answered C000")
	assert.False(t, parked[0].At.IsZero())

	require.Equal(t, http.StatusOK, g.post("/api/v1/parked/"+parked[0].ID+"/retry"))
	g.waitFor("it to be parked again", func() bool {
		again := g.parked()
		return len(again) == 1 && again[0].ID == parked[0].ID && pacs.timesRefused(dicom.KeyObjectSelectionDocumentStorage) == 2
	})
	pacs.answer(dicom.SecondaryCaptureImageStorage, dimse.Success)
	pacs.answer(dicom.KeyObjectSelectionDocumentStorage, dimse.Success)
	require.Equal(t, http.StatusOK, g.post("/api/v1/parked/"+parked[0].ID+"/retry"))
	g.waitDelivered(1)
	instances, once := pacs.storedOnce()
	assert.Equal(t, 3, instances)
	assert.True(t, once, "nothing arrived twice")
	assert.Equal(t, http.StatusConflict, g.post("/api/v1/parked/"+parked[0].ID+"/discard"), "what is delivered cannot be discarded")
}
