package gateway

import (
	"bytes"
	"context"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata/video"
	"endogate/inference/live"
	"endogate/reports/draft"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func frameAt(at time.Time) live.Frame {
	return live.Frame{Shot: video.Shot{Number: 7, At: at, RGBA: image.NewRGBA(image.Rect(0, 0, 31, 9))}}
}

// What is captured is an image that a validator takes, and its study has one date in all that are captured.
func TestCaptured_conforms(t *testing.T) {
	installed.Require(t, "dciodvfy")
	start := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	order := ledger.Order{Accession: "A7", Patient: ledger.Person{Identifier: ledger.Identifier{ID: "P7"}, Name: "M\u00fcller^J\u00f6rg", Sex: "M"}}
	for _, steps := range [][]ledger.Step{nil, {{StartsAt: start}}} {
		order.Steps = steps
		var dates []string
		for _, at := range []time.Time{start.Add(time.Hour), start.Add(2 * time.Hour)} {
			c := captured{signal: &signal{cfg: configs.Live{Name: "room1", CallingAE: "ROOM1"}}, frame: frameAt(at), order: order, at: at}
			ids := c.instance()
			ds := c.dataset(ids)
			dates = append(dates, strings.Join(append(ds[dicom.StudyDate].(dicom.Text), ds[dicom.StudyTime].(dicom.Text)...), " "))
			var file bytes.Buffer
			require.NoError(t, dicom.WriteFileMeta(&file, dicom.FileMeta{SOPClassUID: ids.SOPClassUID, SOPInstanceUID: ids.SOPInstanceUID, TransferSyntaxUID: explicit.UID}))
			data, err := ds.Append(nil, explicit)
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "capture.dcm")
			require.NoError(t, os.WriteFile(path, append(file.Bytes(), data...), 0o600))
			out, _ := exec.Command("dciodvfy", "-new", path).CombinedOutput() // its exit status does not tell
			require.Contains(t, string(out), "VLEndoscopic")
			assert.NotContains(t, "\n"+string(out), "\nError")
		}
		assert.Equal(t, dates[0], dates[1])
	}
}

// A signal that has stopped, or is gone, is captured no more; who looks after that sees nothing of what was before.
func TestSignals_old(t *testing.T) {
	one := &signal{cfg: configs.Live{Name: "room1"}, said: make(chan struct{})}
	s := &signals{all: []*signal{one}}
	one.frame(frameAt(time.Now().Add(-time.Minute)))
	_, err := s.Capture(context.Background(), "room1", "A7", draft.Author{}, "")
	require.ErrorIs(t, err, admin.ErrGone)
	assert.ErrorContains(t, err, "1m0s old")
	_, _, err = s.Picture("room1", false)
	require.NoError(t, err)
	one.lost("the camera does not answer")
	_, _, err = s.Picture("room1", false)
	require.ErrorIs(t, err, admin.ErrGone)
	_, err = s.Capture(context.Background(), "room1", "A7", draft.Author{}, "")
	assert.ErrorIs(t, err, admin.ErrGone)
}
