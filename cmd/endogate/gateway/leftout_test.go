package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
)

// What was not analysed for a lack is no complete examination, whatever the lack, and says which it was; when the gateway starts
// with the lack mended it is analysed, once, and what is no lack of ours stays.
func TestGateway_lacksMended(t *testing.T) {
	still := func(t *testing.T) dicomBytes { return drawn(dicomtest.Options{Instance: 1}) }
	for _, row := range []struct {
		name         string
		image        func(t *testing.T) dicomBytes
		lack, mended string // of the configuration
		why          string
		after        ledger.StudyStatus
	}{
		{"no route", still, "match: {modality: [CR]}", "match: {modality: [ES]}", "no route matches", ledger.StudyDone},
		{"no model of the route", still, "models: []", "models: [demo]", "the route names no model", ledger.StudyDone},
		{"no decoder", jpeg2000, "ffmpeg: no-such-ffmpeg", "ffmpeg: ffmpeg", "ffmpeg", ledger.StudyDone},
		{"bounds", still, "decode: {pixels: 1000}", "decode: {pixels: 100000000}", "more than 1000 pixels", ledger.StudyDone},
		{"a video", func(*testing.T) dicomBytes {
			return drawn(dicomtest.Options{
				Instance: 1, TransferSyntax: "1.2.840.10008.1.2.4.102", JPEG: [][]byte{make([]byte, 256)},
				More: dicom.Dataset{dicom.SOPClassUID: dicom.Text{string(dicom.VideoEndoscopicImageStorage)}},
			})
		}, "quiet: 1500ms", "quiet: 1s", "video", ledger.StudyNotAnalysed},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			scp := peers.StartStoreSCP(t)
			g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true")+"ffmpeg: ffmpeg\ndecode: {pixels: 100000000}\n")
			g.replace("segment_size: 8MiB", "segment_size: 8MiB, retention: 1h")
			g.replace(row.mended, row.lack)
			g.start()
			image := row.image(t)
			storeAll(t, g.scp, image)
			uid := g.studyOf(image)
			unseen := func() bool {
				s := g.study(uid)
				return s.NotAnalysed == 1 && (s.Status == ledger.StudyNotAnalysed || s.Status == ledger.StudyParked)
			}
			g.waitFor("the study to be not analysed", unseen)
			require.Contains(t, g.study(uid).NotAnalysedWhy[0], row.why)
			require.Contains(t, g.text("/metrics"), "endogate_unanalysed_instances 1")
			g.Stop()

			g.replace(row.lack, row.mended)
			g.start()
			if row.after == ledger.StudyNotAnalysed {
				require.True(t, unseen())
				assert.NotContains(t, g.Log(), "are offered again")
				return
			}
			g.waitFor("the study to be analysed", func() bool { return g.study(uid).Status == ledger.StudyDone })
			s := g.study(uid)
			require.Zero(t, s.NotAnalysed)
			require.Empty(t, s.NotAnalysedWhy)
			require.Contains(t, g.text("/metrics"), "endogate_unanalysed_instances 0")
			require.Contains(t, g.Log(), "offered=1 older_than_max_wait=0 bytes_gone=0")
			reports := len(reportsOf(s))
			g.Stop()

			g.rebuild()
			g.start()
			require.Equal(t, ledger.StudyDone, g.study(uid).Status, "and in a ledger that is made anew")
			require.Len(t, reportsOf(g.study(uid)), reports)
			require.NotContains(t, g.Log(), "bytes_gone=0 ", "once")
		})
	}
}

// What a version of a model gave up is offered to the next one by itself, and not to the same one again.
func TestGateway_laterVersion(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true"))
	bundle := filepath.Join(t.TempDir(), "demo")
	require.NoError(t, os.CopyFS(bundle, os.DirFS(filepath.Join(peers.Root(t), "testdata/models/demo"))))
	g.replace(filepath.Join(peers.Root(t), "testdata/models/demo"), bundle)
	manifest := filepath.Join(bundle, "model.yaml")
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	release := func(old, new string) {
		changed := strings.Replace(string(text), old, new, 1)
		require.NotEqual(t, string(text), changed)
		require.NoError(t, os.WriteFile(manifest, []byte(changed), 0o600))
	}
	release("preprocess: ", "preprocess:\n  - crop: [0, 0, 5000, 5000]\n#") // cameras of another make
	g.start()
	image := drawn(dicomtest.Options{Instance: 1})
	storeAll(t, g.scp, image)
	uid := g.studyOf(image)
	parked := func() bool { return g.study(uid).Status == ledger.StudyParked }
	g.waitFor("the model to give up", parked)
	g.Stop()
	g.start()
	require.True(t, parked())
	require.NotContains(t, g.Log(), "are offered again", "it is the version that gave up")
	g.Stop()
	with, err := os.ReadFile(g.config)
	require.NoError(t, err)
	g.replace(`models: [{dir: "`+bundle+`"}]`, "models: []")
	g.replace("models: [demo]", "models: []")
	g.start() // once without the model
	g.Stop()
	require.NoError(t, os.WriteFile(g.config, with, 0o600))

	release("version: 1.0.0", "version: 1.0.1")
	g.start()
	g.waitFor("the later version to analyse it", func() bool { return g.study(uid).Status == ledger.StudyDone })
	require.Contains(t, g.Log(), "offered=1 older_than_max_wait=0 bytes_gone=0")
}

// Jobs of a model that is configured no more, as where a backup is restored beside other models, are not waited for; they are done
// when it is there again.
func TestGateway_modelGone(t *testing.T) {
	t.Parallel()
	scp, broker := peers.StartStoreSCP(t), newBroker(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true")+fmt.Sprintf("nats: {url: \"nats://127.0.0.1:%d\"}\n", broker.port))
	g.launch() // without the broker jobs wait
	var images []dicomBytes
	for n := range 3 {
		images = append(images, drawn(dicomtest.Options{Instance: n + 1}))
	}
	storeAll(t, g.scp, images...)
	uid := g.studyOf(images[0])
	g.Stop()
	broker.start()
	with, err := os.ReadFile(g.config)
	require.NoError(t, err)
	g.replace(`models: [{dir: "`+filepath.Join(peers.Root(t), "testdata/models/demo")+`"}]`, "models: []")
	g.replace("models: [demo]", "models: []")
	g.start()
	require.Contains(t, g.Log(), "models have changed")
	g.waitFor("nobody to be waited for", func() bool { return g.study(uid).Status == ledger.StudyParked })
	require.Equal(t, http.StatusConflict, g.post("/api/v1/parked/"+g.parked()[0].ID+"/retry"), "it would wait for nobody")
	require.Equal(t, ledger.StudyParked, g.study(uid).Status)
	g.Stop()

	require.NoError(t, os.WriteFile(g.config, with, 0o600))
	g.start()
	g.waitFor("all to be analysed", func() bool { return g.study(uid).Status == ledger.StudyDone })
	require.Zero(t, g.study(uid).NotAnalysed)
}

func jpeg2000(t *testing.T) dicomBytes {
	t.Helper()
	frame, err := exec.Command("ffmpeg", "-v", "error", "-i", filepath.Join(peers.Root(t), "testdata/frames/polyp-0017b7c7.jpg"),
		"-c:v", "jpeg2000", "-format", "j2k", "-pix_fmt", "rgb24", "-f", "image2pipe", "pipe:1").Output()
	require.NoError(t, err)
	return drawn(dicomtest.Options{
		Instance: 1, TransferSyntax: "1.2.840.10008.1.2.4.90", JPEG: [][]byte{frame}, Rows: 546, Columns: 626,
		More: dicom.Dataset{dicom.PhotometricInterpretation: dicom.Text{"RGB"}},
	})
}
