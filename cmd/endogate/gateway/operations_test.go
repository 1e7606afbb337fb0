package gateway_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

// accepted is what a peer answered to a pair.
func accepted(t *testing.T, m admin.Matrix, class, syntax dicom.UID) bool {
	t.Helper()
	for _, c := range m.Classes {
		for _, s := range c.Syntaxes {
			if c.SOPClassUID == class && s.TransferSyntaxUID == syntax {
				return s.Accepted
			}
		}
	}
	require.Fail(t, "not proposed", "%s in %s", class, syntax)
	return false
}

// What real peers accept: Orthanc takes what is stored in any syntax it knows, a storescp what its profile lists, and nobody answers
// at a port where nobody is.
func TestAccepts_peers(t *testing.T) {
	t.Parallel()
	client := &dicomnode.Client{AETitle: "ENDOGATE"}
	ask := func(addr string, called string) admin.Matrix {
		m, err := gateway.Accepts(t.Context(), client, addr, dicom.AETitle(called), dicom.DefaultStorageGroups)
		require.NoError(t, err)
		return m
	}
	orthanc := peers.StartOrthanc(t)
	m := ask(orthanc.Addr, orthanc.AETitle)
	require.True(t, m.OK, m.Reason)
	assert.True(t, accepted(t, m, dicom.VLEndoscopicImageStorage, dicom.JPEGBaseline8Bit))
	assert.True(t, accepted(t, m, dicom.Comprehensive3DSRStorage, dicom.ExplicitVRLittleEndian))
	assert.False(t, accepted(t, m, dicom.VLEndoscopicImageStorage, "1.2.840.10008.1.2.4.112"), "JPEG XL is younger than this Orthanc")

	scp := peers.StartStoreSCP(t, peers.StoreSCPOptions{Accept: []dicom.UID{dicom.SecondaryCaptureImageStorage}})
	m = ask(scp.Addr, scp.AETitle)
	require.True(t, m.OK, m.Reason)
	assert.True(t, accepted(t, m, dicom.SecondaryCaptureImageStorage, dicom.ExplicitVRLittleEndian))
	assert.False(t, accepted(t, m, dicom.Comprehensive3DSRStorage, dicom.ExplicitVRLittleEndian))
	assert.Positive(t, m.Milliseconds)
	assert.Empty(t, scp.Files(t), "nothing is sent")

	m = ask("127.0.0.1:1", "NOBODY")
	assert.False(t, m.OK)
	assert.Contains(t, m.Reason, "refused")
}

// What an administrator asks of a gateway that works, over its API.
func TestGateway_operations(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t, peers.StoreSCPOptions{Fork: true})
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true"))
	demo := filepath.Join(peers.Root(t), "testdata/models/demo")
	next := otherModel(t, "demo-next")
	g.replace(`models: [{dir: "`+demo+`"}]`, `models: [{dir: "`+demo+`"}, {dir: "`+next+`"}]`)
	g.start()
	storeAll(t, g.scp, polyps(t, 0, 1, 3)...)
	g.waitDelivered(1)
	post := func(path string, body []byte, code int, into any) {
		t.Helper()
		request, err := http.NewRequest(http.MethodPost, "http://"+g.web+path, bytes.NewReader(body))
		require.NoError(t, err)
		request.Header.Set(admin.ActionHeader, "test")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		require.Equal(t, code, response.StatusCode, path)
		require.NoError(t, json.NewDecoder(response.Body).Decode(into))
	}

	var d admin.Dashboard
	g.get("/api/v1/dashboard", &d)
	study := g.studies()[0]
	assert.Equal(t, 3, d.Hour.Received)
	assert.Equal(t, 3, d.Hour.Analysed)
	assert.Equal(t, study.DeliveryCounts.Done, d.Hour.Delivered)
	assert.Equal(t, d.Hour, d.Day)
	var there struct{ Workers []admin.Worker }
	g.get("/api/v1/workers", &there)
	require.Len(t, there.Workers, 1)
	assert.Equal(t, []string{"demo-colon 1.0.0", "demo-next 1.0.0"}, there.Workers[0].Models)
	assert.True(t, g.destination("pacs").Up)

	var m admin.Matrix
	post("/api/v1/destinations/pacs/accepts", nil, http.StatusOK, &m)
	require.True(t, m.OK, m.Reason)
	assert.True(t, accepted(t, m, dicom.VLEndoscopicImageStorage, dicom.ExplicitVRLittleEndian))

	var list struct{ Associations []admin.Association }
	g.get("/api/v1/associations", &list)
	require.NotEmpty(t, list.Associations)
	sent := list.Associations[len(list.Associations)-1]
	assert.Equal(t, dicom.AETitle("SCOPE1"), sent.CallingAE)
	assert.Equal(t, []int{3, 0}, []int{sent.Requests, sent.Failed})
	assert.Equal(t, "released", sent.Ended)
	_, err := tryAssociate(t, "SCOPE1", g.scp)
	require.Error(t, err, "no context is proposed")
	client := &dicomnode.Client{AETitle: "SCOPE1"}
	_, err = client.Associate(t.Context(), g.scp, "ELSEWHERE", dicomnode.VerificationContexts())
	require.Error(t, err)
	g.get("/api/v1/associations", &list)
	assert.Equal(t, "rejected", list.Associations[0].Ended)
	assert.Contains(t, list.Associations[0].Reason, "called AE title")
	var log admin.AssociationLog
	g.get("/api/v1/associations/"+jsonOf(t, sent.ID)+"?behind=1", &log)
	require.Len(t, log.Steps, 2)
	assert.Equal(t, []string{"C-STORE-RQ", "0000"}, []string{log.Steps[0].Command, log.Steps[0].Status})
	assert.Equal(t, "VL Endoscopic Image Storage", log.Contexts[0].SOPClass)
	assert.NotContains(t, g.text("/api/v1/associations/"+jsonOf(t, sent.ID)), study.PatientID, "nothing of patients")

	file, err := os.ReadFile(sample(t, "study1-01*")[0])
	require.NoError(t, err)
	var trial admin.RouteTrial
	post("/api/v1/try/route?calling_ae=SCOPE1", file, http.StatusOK, &trial)
	assert.Empty(t, trial.Refusals)
	assert.Equal(t, "endoscopy", trial.Route)
	assert.Equal(t, []admin.ModelTrial{{Name: "demo-colon", Analyses: true}}, trial.Models)
	assert.Equal(t, []admin.Delivered{{Name: "pacs", Kind: "dicom", Gets: []string{"source", "heatmap", "sr", "kos"}}}, trial.Destinations)
	assert.Len(t, g.studies(), 1, "nothing is stored")

	var conf admin.Configuration
	g.get("/api/v1/configuration", &conf)
	assert.Empty(t, conf.Changed)
	assert.Empty(t, conf.Faults)
	g.replace("exam: {quiet: 1s}", "exam: {quiet: 2s}")
	g.get("/api/v1/configuration", &conf)
	require.Len(t, conf.Changed, 1)
	assert.Equal(t, []string{"exam.quiet", "2s", "file"}, []string{conf.Changed[0].Key, conf.Changed[0].Value, conf.Changed[0].Source})
	g.replace("destinations: [pacs]", "destinations: [gone]")
	g.get("/api/v1/configuration", &conf)
	require.NotEmpty(t, conf.Faults)
	assert.Contains(t, conf.Faults[0], "gone")

	var warmed admin.Warmed
	post("/api/v1/models/demo-next/warm", nil, http.StatusOK, &warmed)
	assert.Positive(t, warmed.Loaded)
	var models struct{ Models []admin.Model }
	g.get("/api/v1/models", &models)
	assert.Equal(t, warmed.Loaded, models.Models[1].Loaded)
	var task struct {
		admin.Task
		Result admin.Comparison `json:"result"`
	}
	post("/api/v1/compare?a=demo-colon&b=demo-next&frames=2", nil, http.StatusAccepted, &task)
	g.waitFor("the comparison", func() bool {
		g.get("/api/v1/tasks/"+task.ID, &task)
		return task.State != admin.TaskRunning
	})
	require.Equal(t, admin.TaskDone, task.State, task.Reason)
	assert.Equal(t, []int{2, 0}, []int{task.Result.Frames, task.Result.Skipped})
	assert.Empty(t, task.Result.Differences, "they are the same")
	assert.Equal(t, 2, task.Done)

	// Where nothing can be compared, that is what is said.
	corrupt := drawn(dicomtest.Options{TransferSyntax: dicom.JPEGBaseline8Bit, JPEG: [][]byte{{0xFF, 0xD8, 0xFF, 0xDB, 0x00, 0x43, 0xFF, 0xFF}}})
	storeAll(t, g.scp, corrupt)
	g.waitFor("the corrupt one to be parked", func() bool { return len(g.parked()) > 0 })
	post("/api/v1/compare?a=demo-colon&b=demo-next&frames=1", nil, http.StatusAccepted, &task)
	g.waitFor("the second comparison", func() bool {
		g.get("/api/v1/tasks/"+task.ID, &task)
		return task.State != admin.TaskRunning
	})
	assert.Equal(t, admin.TaskFailed, task.State)
	assert.Contains(t, task.Reason, "none of the last 1 frames could be compared")
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}
