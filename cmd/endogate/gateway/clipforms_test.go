package gateway_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
)

// damage changes bytes of the pixels of an instance in the spool, which says so when it is read.
func (g *testGateway) damage(uid dicom.UID) {
	g.t.Helper()
	element := "\x08\x00\x18\x00UI" + string([]byte{byte(len(uid) + len(uid)%2), 0}) + string(uid)
	hit := 0
	require.NoError(g.t, filepath.WalkDir(filepath.Join(g.dir, "data", "spool"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if at := bytes.Index(b, []byte(element)); err == nil && at >= 0 {
			copy(b[at+6000:], "damaged")
			hit++
			err = os.WriteFile(path, b, 0o600)
		}
		return err
	}))
	require.Equal(g.t, 1, hit, uid)
}

// clips are the heatmap clips of a study, by SOP class.
func (g *testGateway) clips(study dicom.UID) map[dicom.UID]dicom.UID {
	g.t.Helper()
	all := map[dicom.UID]dicom.UID{}
	for _, o := range g.study(study).Objects {
		if o.Purpose == "clip" {
			all[o.SOPClassUID] = o.SOPInstanceUID
		}
	}
	return all
}

// TestGateway_clips: each archive gets the form of clip that is configured for it; one that takes no video is told of in words. A clip whose bytes are
// lost is made again by itself, is another SOP Instance where the gateway writes it otherwise by now, and takes the place of the one before. A
// retraction names both forms to who has them, and nothing of them is left when the patient is erased.
func TestGateway_clips(t *testing.T) {
	t.Parallel()
	pacs, plain := peers.StartStoreSCP(t), peers.StartStoreSCP(t)
	old := peers.StartStoreSCP(t, peers.StoreSCPOptions{Accept: []dicom.UID{
		dicom.SecondaryCaptureImageStorage, dicom.Comprehensive3DSRStorage, dicom.KeyObjectSelectionDocumentStorage,
	}})
	pacs.Kill()
	plain.Kill()
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs, plain, old, none], clip: video-endoscopic}]
destinations:
  - {name: pacs, kind: dicom, ae_title: STORESCP, address: %q, rejection_notes: true}
  - {name: plain, kind: dicom, ae_title: STORESCP, address: %q, rejection_notes: true, clip: multi-frame}
  - {name: old, kind: dicom, ae_title: STORESCP, address: %q, clip: video-photographic}
  - {name: none, kind: dicom, ae_title: STORESCP, address: %[1]q, clip: "off"}
exam: {quiet: 1s}
reports: {institution_name: ""}
`, pacs.Addr, plain.Addr, old.Addr))
	g.start()
	moving := video(t, dicomtest.Options{Frames: 24, More: dicom.Dataset{dicom.CineRate: dicom.Ints{4}}}, panned(t, "6", "polyp-0dad158b"))
	storeAll(t, g.scp, moving)
	uid := g.studyOf(moving)
	endoscopic, photographic, pictures := dicom.VideoEndoscopicImageStorage, dicom.VideoPhotographicImageStorage, dicom.MultiFrameTrueColorSecondaryCapture
	g.waitFor("the clips, and what is said of them", func() bool { return len(g.clips(uid)) == 3 && deliveredReports(g.study(uid)) == 1 })
	before := g.clips(uid)
	said := "does not accept Video Photographic Image Storage in MPEG-4 AVC/H.264 High Profile / Level 4.1 (abstract syntax not supported); heatmap clips for it can be another form: clip: multi-frame (or off) at this destination"
	g.waitFor("that the old archive takes no video", func() bool {
		return slices.ContainsFunc(g.study(uid).Deliveries, func(d admin.Delivery) bool { return d.Destination == "old" && strings.Contains(d.Reason, said) })
	})
	g.Stop()
	g.damage(before[endoscopic])
	g.damage(before[pictures])
	g.replace(`institution_name: ""`, `institution_name: General Hospital`)

	pacs.Start(t)
	plain.Start(t)
	g.start()
	g.waitFor("both clips to be made again and delivered", func() bool {
		now := g.clips(uid)
		return pacs.Files(t)[string(now[endoscopic])] != "" && plain.Files(t)[string(now[pictures])] != ""
	})
	now := g.clips(uid)
	require.Len(t, now, 3)
	assert.NotEqual(t, before[endoscopic], now[endoscopic])
	assert.NotEqual(t, before[pictures], now[pictures])
	assert.Equal(t, before[photographic], now[photographic], "whose bytes are there")
	for _, archive := range []*peers.StoreSCP{pacs, plain} {
		assert.NotContains(t, archive.Files(t), string(before[endoscopic]))
		assert.NotContains(t, archive.Files(t), string(before[pictures]))
	}
	assert.NotContains(t, pacs.Files(t), string(now[pictures]))
	assert.NotContains(t, plain.Files(t), string(now[endoscopic]))
	for class, file := range map[dicom.UID]string{endoscopic: pacs.Files(t)[string(now[endoscopic])], pictures: plain.Files(t)[string(now[pictures])]} {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		assertConforms(t, content, string(class))
		assert.Contains(t, string(content), "General Hospital")
	}
	shown, err := http.Get("http://" + g.web + "/api/v1/instances/" + string(now[endoscopic]) + "/frames/2.png")
	require.NoError(t, err)
	require.NoError(t, shown.Body.Close())
	require.Equal(t, http.StatusOK, shown.StatusCode, "a frame of a video that was made here")

	status, answer := g.retract(`{"author":"Dr. B","model":"demo-colon","version":"1.0.0","reason":"trained on the wrong labels"}`)
	require.Equal(t, http.StatusOK, status, answer)
	rejected := func(archive *peers.StoreSCP, clip dicom.UID) bool {
		for _, file := range archive.Files(t) {
			if out := peers.Run(t, "dcmdump", "+L", file); strings.Contains(out, "113037") {
				return strings.Contains(out, "["+string(clip)+"]")
			}
		}
		return false
	}
	g.waitFor("the rejection notes", func() bool {
		return rejected(pacs, now[endoscopic]) && rejected(plain, now[pictures])
	})
	g.waitFor("the study to be at rest, as it is not erased before", func() bool {
		study := g.study(uid)
		return study.OpenCount+study.ParkedCount == 0
	})

	g.Stop()
	cfg, err := configs.Load(g.config)
	require.NoError(t, err)
	require.NotEmpty(t, g.having("ftypisom"))
	require.NotEmpty(t, g.having("AI heatmap clips"))
	patient := peers.Run(t, "dcmdump", "+P", "0010,0020", "-s", pacs.Files(t)[string(now[endoscopic])])
	_, id, _ := strings.Cut(patient, "[")
	id, _, _ = strings.Cut(id, "]")
	erased, err := gateway.ErasePatient(t.Context(), cfg, ledger.Identifier{ID: id}, false, ledger.Actor{Kind: ledger.ActorPerson, Name: "Dr B"}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	assert.Empty(t, erased.Kept)
	assert.Equal(t, 1, erased.Instances)
	assert.Empty(t, g.having("ftypisom", "AI heatmap clips"), "no bytes of a clip")
}
