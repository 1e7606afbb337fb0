package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicomtest"
	"endogate/inference/trial"
)

// written is a file of a folder.
func written(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// setsOf is what model check says of sets.
func setsOf(t *testing.T, args ...string) (r trial.Result, complaints string) {
	t.Helper()
	code, text, complaints := endogate(append([]string{"model", "check", "--json"}, args...)...)
	require.Equal(t, 0, code, complaints)
	require.NoError(t, json.Unmarshal([]byte(text), &r))
	return r, complaints
}

// Videos are classified as a gateway does, as a whole or by parts that have labels of their own, beside frames.
func TestModelCheck_videos(t *testing.T) {
	installed.Require(t, "ffmpeg")
	dir := t.TempDir()
	frames, err := filepath.Abs("../../testdata/frames")
	require.NoError(t, err)
	shown := func(name, seconds string) []string {
		return []string{"-loop", "1", "-framerate", "2", "-t", seconds, "-i", filepath.Join(frames, name+".jpg")}
	}
	written(t, dir, "polyp.mp4", dicomtest.Stream(t, "mp4", append(shown("polyp-0dad158b", "3"), "-vf", "scale=320:240", "-c:v", "libx264", "-crf", "12")...))
	both := append(shown("polyp-0dad158b", "4"), shown("cecum-3", "4")...)
	written(t, dir, "both.mp4", dicomtest.Stream(t, "mp4", append(both, "-filter_complex", "[0:v]scale=320:240,setsar=1[a];[1:v]scale=320:240,setsar=1[b];[a][b]concat=n=2:v=1", "-c:v", "libx264", "-crf", "12")...))
	labels := written(t, dir, "labels.csv", []byte("file,label,start_s,end_s\npolyp.mp4,polyp,,\nboth.mp4,polyp,0,4\nboth.mp4,normal-cecum,4,8\nboth.mp4,polyp,30,40\n"+filepath.Join(frames, "cecum-3.jpg")+",normal-cecum,,\n"))
	r, complaints := setsOf(t, "../../testdata/models/demo", "--set", "own="+labels)
	require.Len(t, r.Sets, 1)
	assert.Equal(t, []int{4, 3, 1}, []int{r.Sets[0].Frames, r.Sets[0].OverTime, r.Sets[0].LeftOut})
	assert.Contains(t, complaints, "both.mp4 00:30.0 to 00:40.0: none of its frames is analysed and counts; it is left out")
	for _, c := range r.Sets[0].Variants[0].Classes {
		if c.Class == "polyp" || c.Class == "normal-cecum" {
			assert.Equal(t, []int{2, 0, 0, 2}, []int{c.TP, c.FP, c.FN, c.TN}, c.Class)
			assert.Equal(t, 1.0, c.AUC.Value)
		}
	}
	code, text, _ := endogate("model", "check", "../../testdata/models/demo", "--set", "own="+labels)
	require.Equal(t, 0, code)
	assert.Contains(t, text, "set own: 1 frames, and 3 clips, videos or parts of videos")
	assert.Contains(t, text, "parts of one video are alike, so that the intervals are narrower than they would be by patient")
	code, _, complaints = endogate("model", "check", "../../testdata/models/demo", "--set", "own="+labels, "--variants")
	assert.NotEqual(t, 0, code)
	assert.Contains(t, complaints, "leave out --variants, or the videos of the set")
	still := written(t, dir, "still.csv", []byte("file,label,start_s,end_s\n"+filepath.Join(frames, "cecum-3.jpg")+",normal-cecum,0,4\n"))
	code, _, complaints = endogate("model", "check", "../../testdata/models/demo", "--set", "own="+still)
	assert.NotEqual(t, 0, code)
	assert.Contains(t, complaints, "start_s and end_s are of videos, and this is none")
}

// A model that looks across time is measured on clips and on videos, its explanations in time too.
func TestModelCheck_acrossTime(t *testing.T) {
	installed.Require(t, "ffmpeg")
	dir := t.TempDir()
	clips, err := filepath.Abs("../../testdata/models/video/clips")
	require.NoError(t, err)
	written(t, dir, "slit.mp4", dicomtest.Stream(t, "mp4", "-framerate", "1", "-i", filepath.Join(clips, "slit", "%02d.png"), "-c:v", "libx264", "-qp", "2"))
	labels := written(t, dir, "labels.csv", []byte("file,label\n"+filepath.Join(clips, "round")+",round-opening\n"+filepath.Join(clips, "long")+",slit-opening\nslit.mp4,slit-opening\n"))
	r, _ := setsOf(t, "../../testdata/models/video", "--set", "own="+labels)
	require.Len(t, r.Sets, 1)
	assert.Equal(t, []int{3, 3, 0}, []int{r.Sets[0].Frames, r.Sets[0].OverTime, r.Sets[0].LeftOut})
	assert.Equal(t, 1.0, r.Sets[0].Variants[0].Right.Value)

	code, text, complaints := endogate("model", "check", "../../testdata/models/video", "--frames", filepath.Join(dir, "slit.mp4"), "--decisive", "../../testdata/models/video/decisive.csv", "--out", dir)
	require.Equal(t, 0, code, complaints)
	assert.Contains(t, text, "1 clips, 1 with frames that are known to decide")
	table, err := os.ReadFile(filepath.Join(dir, "demo-video-faithfulness.csv"))
	require.NoError(t, err)
	lines, err := csv.NewReader(strings.NewReader(string(table))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, "pointing", lines[0][14])
	for _, line := range lines[1:] {
		if line[0] == "attention, mean of layers" {
			assert.Equal(t, "1", line[14], "the frame that counts most is a decisive one")
		}
	}

	code, _, complaints = endogate("model", "check", "../../testdata/models/video", "--set", "own="+labels, "--variants")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, complaints, "are of models of single frames")
}
