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
	_, err := s.Capture(context.Background(), "room1", "A7", 0, draft.Author{}, "")
	require.ErrorIs(t, err, admin.ErrGone)
	assert.ErrorContains(t, err, "the frame is 1m0s old")
	_, _, err = s.Picture("room1", false)
	require.NoError(t, err)
	one.lost("the camera does not answer")
	_, _, err = s.Picture("room1", false)
	require.ErrorIs(t, err, admin.ErrGone)
	_, err = s.Capture(context.Background(), "room1", "A7", 0, draft.Author{}, "")
	assert.ErrorIs(t, err, admin.ErrGone)
}

// What is captured is the frame that was seen: the newest may be another one by then. Of those that nobody has a picture of the last one alone can be.
func TestSignals_seen(t *testing.T) {
	one := &signal{cfg: configs.Live{Name: "room1"}, said: make(chan struct{})}
	s := &signals{all: []*signal{one}}
	show := func(number int, at time.Time) {
		f := frameAt(at)
		f.Number = number
		one.frame(f)
	}
	now := time.Now()
	show(1, now)
	_, said, err := s.Picture("room1", true)
	require.NoError(t, err)
	require.Equal(t, 1, said.Frame)
	show(2, now)
	show(3, now)
	for number, want := range map[int]int{0: 3, 3: 3, 1: 1} {
		got, err := one.of(number)
		require.NoError(t, err)
		assert.Equal(t, want, got.Number)
	}
	_, err = one.of(2)
	require.ErrorIs(t, err, admin.ErrGone)
	assert.ErrorContains(t, err, "frame 2 is not held any more")

	large := live.Frame{Shot: video.Shot{At: now, RGBA: image.NewRGBA(image.Rect(0, 0, 4000, 3000))}}
	for number := 4; number < 8; number++ { // of which two are as much as is kept
		large.Number = number
		one.frame(large)
		_, err := one.look()
		require.NoError(t, err)
	}
	var held []int
	for _, f := range one.seen {
		held = append(held, f.Number)
	}
	assert.Equal(t, []int{6, 7}, held)
	one.frame(live.Frame{Shot: video.Shot{Number: 9, At: now.Add(-time.Minute), RGBA: large.RGBA}})
	_, err = one.look()
	require.NoError(t, err)
	assert.Empty(t, one.seen, "nobody can capture what is older")
}

// Whoever follows hears of the first frame of a signal that is there again, also where it has the number of the last one before.
func TestSignals_again(t *testing.T) {
	one := &signal{cfg: configs.Live{Name: "room1"}, said: make(chan struct{})}
	s := &signals{all: []*signal{one}}
	one.frame(frameAt(time.Now()))
	ctx, stop := context.WithCancel(t.Context())
	var heard []int
	err := s.Follow(ctx, "room1", func(e admin.LiveEvent) error {
		if e.Frame == nil {
			return nil
		}
		if heard = append(heard, e.Frame.Frame); len(heard) == 1 {
			one.lost("it is begun anew")
			one.frame(frameAt(time.Now()))
		} else {
			stop()
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, []int{7, 7}, heard)
}
