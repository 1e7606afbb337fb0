package gateway_test

import (
	"errors"
	"image"
	"image/color"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

const (
	sampleStudy         dicom.UID = "2.25.310294837465920187465.1" // Latin-1, eight frames
	sampleStudyJapanese dicom.UID = "2.25.310294837465920187465.2" // ISO 2022 IR 87, four frames
)

// screenshotTo names a file that the picture of the viewer is written to as well.
const screenshotTo = "ENDOGATE_TEST_SCREENSHOT"

func TestGateway_orthancAndViewer(t *testing.T) {
	t.Parallel()
	orthanc := peers.StartOrthanc(t)
	g := newGateway(t, routeTo(orthanc.AETitle, orthanc.Addr, ", forward_source: true"))
	g.start()
	g.send(sample(t, "*.dcm")...)
	g.waitDelivered(2)

	require.Len(t, orthanc.Studies(t), 2, "everything lies in the studies it came from")
	series := map[string]peers.Series{}
	for _, s := range orthanc.Series(t, string(sampleStudy)) {
		series[s.Modality+" "+strings.SplitN(s.Description, " demo", 2)[0]] = s
	}
	study := g.study(sampleStudy)
	heatmaps := 0
	for _, object := range study.Objects {
		if object.Purpose == "heatmap" {
			heatmaps++
		}
	}
	require.Positive(t, heatmaps)
	require.Contains(t, series, "ES AI heatmap")
	assert.Len(t, series["ES AI heatmap"].Instances, heatmaps)
	assertModality(t, orthanc, "SR", 1)
	assertModality(t, orthanc, "KO", 1)

	t.Run("heatmap renders in colour", func(t *testing.T) {
		picture := orthanc.Rendered(t, series["ES AI heatmap"].Instances[0].ID)
		assert.Greater(t, distinctColours(picture, 97), 500)
	})
	t.Run("names survive", func(t *testing.T) {
		assertPatientName(t, orthanc, sampleStudy, "Müller^Jørgen")
		assertPatientName(t, orthanc, sampleStudyJapanese, "Yamada^Hanako=山田^花子")
	})
	t.Run("no object has an error in its IOD", func(t *testing.T) {
		installed.Require(t, "dciodvfy")
		for _, uid := range []dicom.UID{sampleStudy, sampleStudyJapanese} {
			for _, s := range orthanc.Series(t, string(uid)) {
				for _, instance := range s.Instances {
					assertConforms(t, orthanc.File(t, instance.ID), s.Description)
				}
			}
		}
	})
	t.Run("the viewer shows the heatmaps beside the SR from the gateway alone", func(t *testing.T) {
		picture := peers.OHIFScreenshotFrom(t, "http://"+g.web, orthanc, string(sampleStudy), "AI heatmap") // TestOHIFScreenshot has them from Orthanc
		if path := os.Getenv(screenshotTo); path != "" {
			require.NoError(t, os.WriteFile(path, picture, 0o644))
		}
	})
	t.Run("Orthanc has the study from the gateway by DICOMweb", func(t *testing.T) {
		client := peers.StartOrthanc(t, peers.OrthancOptions{Setting: map[string]any{
			"DicomWeb": map[string]any{"Enable": true, "Root": "/dicom-web/", "Servers": map[string]any{"gateway": []string{"http://" + g.web + "/dicom-web/"}}},
		}})
		client.Fetch(t, "gateway", string(sampleStudy))
		files := map[string][]byte{}
		for _, s := range client.Series(t, string(sampleStudy)) {
			for _, i := range s.Instances {
				files[i.SOPInstanceUID] = client.File(t, i.ID)
			}
		}
		kept := 0
		for _, s := range orthanc.Series(t, string(sampleStudy)) {
			for _, i := range s.Instances {
				kept++
				require.Contains(t, files, i.SOPInstanceUID, s.Description)
			}
		}
		require.Len(t, files, kept, "what was delivered, and no more")
	})
	t.Run("pictures are what Orthanc draws", func(t *testing.T) {
		for _, s := range orthanc.Series(t, string(sampleStudy)) {
			if s.Modality != "ES" {
				continue
			}
			i := s.Instances[0]
			answer, err := http.Get("http://" + g.web + "/dicom-web/studies/" + string(sampleStudy) + "/series/" + s.SeriesInstanceUID + "/instances/" + i.SOPInstanceUID + "/rendered?accept=image/png")
			require.NoError(t, err)
			picture, _, err := image.Decode(answer.Body)
			require.NoError(t, errors.Join(err, answer.Body.Close()))
			theirs := orthanc.Rendered(t, i.ID)
			require.Equal(t, theirs.Bounds(), picture.Bounds(), s.Description)
			difference, n := 0.0, 0
			for y := 0; y < theirs.Bounds().Dy(); y += 7 {
				for x := 0; x < theirs.Bounds().Dx(); x += 7 {
					a, b := color.RGBAModel.Convert(theirs.At(x, y)).(color.RGBA), color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)
					difference += math.Abs(float64(a.R)-float64(b.R)) + math.Abs(float64(a.G)-float64(b.G)) + math.Abs(float64(a.B)-float64(b.B))
					n += 3
				}
			}
			assert.Less(t, difference/float64(n), 3.0, "%s: grey levels of 255, decoders of JPEG differ by a few", s.Description)
		}
	})
	t.Run("the log names no patient", func(t *testing.T) {
		log := g.Log()
		assert.Contains(t, log, string(sampleStudy))
		for _, secret := range []string{"Müller", "Jørgen", "Yamada", "EG0001", "EG0002", "A20260001", "19580412"} {
			assert.NotContains(t, log, secret)
		}
	})
}

func assertModality(t *testing.T, o *peers.Orthanc, modality string, want int) {
	t.Helper()
	for _, uid := range []dicom.UID{sampleStudy, sampleStudyJapanese} {
		got := 0
		for _, s := range o.Series(t, string(uid)) {
			if s.Modality == modality {
				got += len(s.Instances)
			}
		}
		assert.Equal(t, want, got, "%s instances in %s", modality, uid)
	}
}

// assertPatientName holds the name in every object of the study against wantas Orthanc decodes it.
func assertPatientName(t *testing.T, o *peers.Orthanc, study dicom.UID, want string) {
	t.Helper()
	for _, s := range o.Series(t, string(study)) {
		for _, instance := range s.Instances {
			assert.Equal(t, want, o.Tags(t, instance.ID)["PatientName"], s.Description)
		}
	}
}

// assertConforms runs dciodvfy on a Part 10 file.
func assertConforms(t *testing.T, file []byte, what string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "object.dcm")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	out, _ := exec.Command("dciodvfy", "-new", path).CombinedOutput() // its exit status does not tell
	for line := range strings.Lines(string(out)) {
		assert.False(t, strings.HasPrefix(line, "Error"), "%s: %s", what, line)
	}
}

func TestGateway_peerWithoutComprehensive3DSR(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t, peers.StoreSCPOptions{Accept: []dicom.UID{
		dicom.SecondaryCaptureImageStorage, dicom.ComprehensiveSRStorage, dicom.KeyObjectSelectionDocumentStorage,
	}})
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	g.start()
	g.send(sample(t, "study2-*")...)
	g.waitDelivered(1)
	reports := 0
	for _, path := range scp.Files(t) {
		if strings.Contains(peers.Run(t, "dcmdump", "+P", "0008,0016", path), "=ComprehensiveSRStorage") {
			reports++
		}
	}
	assert.Equal(t, 1, reports, "the Comprehensive SR arrived in place of the Comprehensive 3D SR")
}

func TestGateway_lateFrameMakesRevision(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	g.start()
	g.send(sample(t, "study1-01*")...)
	g.waitDelivered(1)
	g.send(sample(t, "study1-02*")...)
	g.waitFor("the second revision", func() bool {
		study := g.study(sampleStudy)
		return study.Status == ledger.StudyDone && len(reportsOf(study)) == 2
	})
	study := g.study(sampleStudy)
	first, second := reportsOf(study)[0], reportsOf(study)[1]
	assert.Equal(t, 1, first.Revision)
	assert.Equal(t, 2, second.Revision)
	dump := peers.Run(t, "dcmdump", scp.Files(t)[string(second.SOPInstanceUID)])
	_, predecessors, found := strings.Cut(dump, "PredecessorDocumentsSequence")
	require.True(t, found)
	assert.Contains(t, predecessors, string(first.SOPInstanceUID))
}

func reportsOf(s admin.Study) []admin.Object {
	var found []admin.Object
	for _, o := range s.Objects {
		if o.Purpose == "sr" && o.TwinOf == "" {
			found = append(found, o)
		}
	}
	return found
}

func TestGateway_sameInstanceAgain(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	g.start()
	file := sample(t, "study1-01*")[0]
	g.send(file)
	g.waitDelivered(1)
	g.send(file) // the same bytes again are a success
	changed := filepath.Join(t.TempDir(), "changed.dcm")
	copyFile(t, file, changed)
	peers.Run(t, "dcmodify", "-nb", "-m", "StudyDescription=Other", changed)
	g.send(changed) // other bytes under the same UID are kept

	g.waitFor("the conflict to be flagged", func() bool { return len(g.study(sampleStudy).Instances) == 2 })
	study := g.study(sampleStudy)
	jobs, conflicts := 0, 0
	for _, instance := range study.Instances {
		jobs += len(instance.Analyses)
		if instance.State == ledger.InstanceConflict {
			conflicts++
		}
	}
	assert.Equal(t, 1, jobs, "neither made a second job")
	assert.Equal(t, 1, conflicts)
	assert.Equal(t, 1, study.ConflictCount)
}

func TestGateway_deadDestinationDelaysNobody(t *testing.T) {
	t.Parallel()
	alive, dead := peers.StartStoreSCP(t), peers.StartStoreSCP(t)
	dead.Kill()
	g := newGateway(t, `routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [dead, alive]}]
destinations:
  - {name: dead, kind: dicom, ae_title: STORESCP, address: "`+dead.Addr+`"}
  - {name: alive, kind: dicom, ae_title: STORESCP, address: "`+alive.Addr+`"}
exam: {quiet: 1s}
`)
	g.start()
	g.send(sample(t, "study1-0*")...)
	g.waitFor("the living destination to have everything", func() bool {
		study := onlyStudy(g) // none before the ledger has followed the spool
		return study != nil && len(reportsOf(*study)) == 1 && deliveredTo(*study, "alive") == expected(*study)
	})
	g.waitFor("a few vain tries at the dead one", func() bool {
		for _, d := range g.study(sampleStudy).Deliveries {
			if d.Destination == "dead" && d.Attempts >= 2 {
				return true
			}
		}
		return false
	})
	dead.Start(t)
	g.waitDelivered(1)
	study := g.study(sampleStudy)
	assert.Equal(t, expected(study), deliveredTo(study, "dead"))
	assert.Len(t, dead.Files(t), expected(study))
}

// expected counts the objects that a destination gets: all but the twins that stand by.
func expected(s admin.Study) int {
	n := 0
	for _, o := range s.Objects {
		if o.TwinOf == "" {
			n++
		}
	}
	return n
}

func deliveredTo(s admin.Study, destination string) int {
	n := 0
	for _, d := range s.Deliveries {
		if d.Destination == destination && d.State == ledger.DeliveryDone {
			n++
		}
	}
	return n
}

// sample returns the sample instances that match a pattern.
func sample(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(peers.Root(t), "testdata/instances", pattern))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, content, 0o600))
}

// distinctColours counts the colours of every step-th pixel.
func distinctColours(picture image.Image, step int) int {
	seen := map[color.Color]bool{}
	b := picture.Bounds()
	for i := 0; i < b.Dx()*b.Dy(); i += step {
		seen[picture.At(b.Min.X+i%b.Dx(), b.Min.Y+i/b.Dx())] = true
	}
	return len(seen)
}
