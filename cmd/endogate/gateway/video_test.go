package gateway_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
)

// A video is sound but no model of stills can see it: it is kept and passed on, not parked, and the report comes.
func TestGateway_videoIsNotAnalysed(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true"))
	g.start()
	sound := drawn(dicomtest.Options{Instance: 1})
	video := drawn(dicomtest.Options{
		Instance: 2, TransferSyntax: "1.2.840.10008.1.2.4.102", JPEG: [][]byte{make([]byte, 256)},
		More: dicom.Dataset{dicom.SOPClassUID: dicom.Text{string(dicom.VideoEndoscopicImageStorage)}},
	})
	storeAll(t, g.scp, sound, video)
	uid := g.studyOf(sound)
	g.waitFor("the report", func() bool { return deliveredReports(g.study(uid)) == 1 })
	study := g.study(uid)
	assert.Equal(t, map[dicom.UID]ledger.InstanceState{
		sound.uid: ledger.InstanceAnalysed, video.uid: ledger.InstanceNotAnalysed,
	}, statesOf(study))
	assert.Equal(t, 1, study.NotAnalysed)
	require.Len(t, study.NotAnalysedWhy, 1)
	assert.Contains(t, study.NotAnalysedWhy[0], "video")
	g.waitFor("all to be delivered", func() bool { return g.study(uid).Status == ledger.StudyPartlyAnalysed })
	metrics := g.text("/metrics")
	assert.Contains(t, metrics, `endogate_jobs_total{model="demo-colon",outcome="done"} 1`)
	assert.Contains(t, metrics, `endogate_jobs_total{model="demo-colon",outcome="skipped"} 1`)
	assert.Contains(t, metrics, "endogate_unanalysed_instances 1")
	assert.Empty(t, g.parked())
	files := scp.Files(t)
	require.Contains(t, files, string(video.uid), "it is forwarded all the same")
	text := reportText(t, files[string(reportsOf(study)[0].SOPInstanceUID)])
	assert.Contains(t, text, "Instances analysed: 1 (1 frames); skipped: 1; failed: 0.")
	assert.Contains(t, text, "Skipped: 1: ")
}
