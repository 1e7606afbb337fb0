package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

func needsRuntime(t *testing.T) {
	t.Helper()
	if _, err := onnx.FindLibrary(""); err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
}

func TestExplain_files(t *testing.T) {
	needsRuntime(t)
	out := t.TempDir()
	instances, err := filepath.Glob("../../testdata/instances/*polyp*.dcm")
	require.NoError(t, err)
	require.NotEmpty(t, instances)
	var text, complaints bytes.Buffer
	code := execute(context.Background(), []string{
		"explain", instances[0], "--model", "../../testdata/models/demo", "--class", "polyp", "--against", "normal-mucosa",
		"--method", "gradcam,gradient", "--dicom", "--out", out,
	}, console{&text, &complaints})
	require.Zero(t, code, complaints.String())
	require.Contains(t, text.String(), "polyp rather than normal-mucosa (AI, not verified)")
	for ending, want := range map[string]int{"*.npy": 2, "*-sheet.png": 1, "*.dcm": 2, "*.png": 3} {
		files, err := filepath.Glob(filepath.Join(out, ending))
		require.NoError(t, err)
		require.Len(t, files, want, ending)
	}
	for _, args := range [][]string{
		{"explain", instances[0], "--model", "../../testdata/models/demo", "--method", "tea-leaves", "--out", out},
		{"explain", instances[0], "--model", "../../testdata/models/demo", "--class", "tea", "--out", out},
		{"explain", instances[0], "--model", "../../testdata/models/demo", "--opacity", "2", "--out", out},
	} {
		require.Equal(t, exitUsage, execute(context.Background(), args, console{&text, &complaints}))
	}
}

// A video file is looked through as a gateway does, and its key frames are explained; a model that looks across time is given it as clips.
func TestExplain_video(t *testing.T) {
	needsRuntime(t)
	installed.Require(t, "ffmpeg")
	dir, out := t.TempDir(), t.TempDir()
	for name, arguments := range map[string][]string{
		"polyp.ts":  {"-loop", "1", "-framerate", "4", "-t", "3", "-i", "../../testdata/frames/polyp-0dad158b.jpg", "-vf", "scale=320:240,setsar=1"},
		"drawn.mp4": {"-framerate", "1", "-pattern_type", "glob", "-i", "../../testdata/models/video/clips/slit/*.png"},
	} {
		stream := dicomtest.Stream(t, strings.TrimPrefix(filepath.Ext(name), "."), append(arguments, "-c:v", "libx264", "-crf", "8")...)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), stream, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("no video"), 0o600))
	var text, complaints bytes.Buffer
	code := execute(context.Background(), []string{"explain", filepath.Join(dir, "polyp.ts"), "--model", "../../testdata/models/demo", "--method", "gradcam", "--out", out}, console{&text, &complaints})
	require.Zero(t, code, complaints.String())
	require.Contains(t, text.String(), "3 of 12 frames analysed (1 per second, at most 2000), 9 skipped")
	require.Contains(t, text.String(), "peak of the finding")
	sheets, err := filepath.Glob(filepath.Join(out, "polyp-*-polyp-sheet.png"))
	require.NoError(t, err)
	require.NotEmpty(t, sheets)
	text.Reset()
	code = execute(context.Background(), []string{"explain", dir, "--model", "../../testdata/models/video", "--out", out}, console{&text, &complaints})
	require.Zero(t, code, complaints.String())
	require.Contains(t, text.String(), "drawn  frames 1 to 16  why slit-opening (AI, not verified)")
	require.Contains(t, complaints.String(), "notes.txt: passed over: neither DICOM")
}

// How far LIME and integrated gradients can be relied on stands beside their names.
func TestExplain_notes(t *testing.T) {
	needsRuntime(t)
	var text, complaints bytes.Buffer
	args := []string{"explain", "../../testdata/frames/polyp-2.jpg", "--model", "../../testdata/models/demo", "--method", "lime,integrated-gradients", "--out", t.TempDir()}
	require.Zero(t, execute(t.Context(), args, console{&text, &complaints}), complaints.String())
	require.Contains(t, text.String(), "polyp-2  Integrated gradients: shares add up to the score within 0.")
	require.Regexp(t, `polyp-2  LIME: linear fit R² 0\.[0-4]\d: do not rely on this map\n`, text.String())
}

// A model whose probabilities are others than those it is to have is not explained, as a gateway would not take it.
func TestExplain_holdsTheModel(t *testing.T) {
	needsRuntime(t)
	bundle, out := filepath.Join(t.TempDir(), "demo"), filepath.Join(t.TempDir(), "out")
	require.NoError(t, os.CopyFS(bundle, os.DirFS("../../testdata/models/demo")))
	frame, err := os.ReadFile("../../testdata/frames/polyp-2.jpg")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(bundle, "frame.jpg"), frame, 0o600))
	manifest, err := os.ReadFile(filepath.Join(bundle, "model.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(bundle, "model.yaml"), append(manifest, "\nreference:\n  - {frame: frame.jpg, probabilities: {esophagus: 0.9}}\n"...), 0o600))
	var text, complaints bytes.Buffer
	require.Equal(t, exitFailure, execute(t.Context(), []string{"explain", "../../testdata/frames/polyp-2.jpg", "--model", bundle, "--out", out}, console{&text, &complaints}))
	require.Contains(t, complaints.String(), "esophagus")
	require.NoDirExists(t, out)
}

// A file that cannot be read is told and the others are explained; files of one name do not overwrite each other, and what was made
// before is not explained.
func TestExplain_folder(t *testing.T) {
	needsRuntime(t)
	in := t.TempDir()
	out := filepath.Join(in, "out")
	raw, err := os.ReadFile("../../testdata/frames/dyed-lifted-polyps-1.jpg")
	require.NoError(t, err)
	for name, content := range map[string][]byte{"a/x.jpg": raw, "b/x.jpg": raw, "b/half.jpg": raw[:len(raw)/2], "notes.txt": []byte("no picture")} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(in, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(in, name), content, 0o600))
	}
	for range 2 {
		var text, complaints bytes.Buffer
		code := execute(context.Background(), []string{"explain", in, "--model", "../../testdata/models/demo", "--method", "gradcam", "--out", out}, console{&text, &complaints})
		require.NotZero(t, code)
		require.Contains(t, complaints.String(), "half.jpg: cannot be decoded")
		require.Contains(t, complaints.String(), "notes.txt: passed over")
		require.Contains(t, complaints.String(), "could not be read: 1 of 3")
		sheets, err := filepath.Glob(filepath.Join(out, "*-sheet.png"))
		require.NoError(t, err)
		require.Len(t, sheets, 2)
		info, err := os.Stat(sheets[0])
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	var text, complaints bytes.Buffer
	require.Equal(t, exitUsage, execute(context.Background(), []string{"explain", out, "--model", "../../testdata/models/demo", "--out", out}, console{&text, &complaints}))
}

// Captures of one frame with other pixels are other instances, and say what is other.
func TestExplain_captures(t *testing.T) {
	needsRuntime(t)
	instances, err := filepath.Glob("../../testdata/instances/*polyp*.dcm")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, flags := range [][]string{{}, {"--against", "normal-mucosa"}, {"--opacity", "0.9"}, {"--colour", "turbo"}} {
		out := t.TempDir()
		var text, complaints bytes.Buffer
		args := append([]string{"explain", instances[0], "--model", "../../testdata/models/demo", "--class", "polyp", "--method", "gradcam", "--dicom", "--out", out}, flags...)
		require.Zero(t, execute(context.Background(), args, console{&text, &complaints}), complaints.String())
		files, err := filepath.Glob(filepath.Join(out, "*.dcm"))
		require.NoError(t, err)
		require.Len(t, files, 1)
		f, err := os.Open(files[0])
		require.NoError(t, err)
		meta, err := dicom.ReadFileMeta(bufio.NewReader(f))
		require.NoError(t, errors.Join(err, f.Close()))
		require.False(t, seen[string(meta.SOPInstanceUID)], flags)
		seen[string(meta.SOPInstanceUID)] = true
		raw, err := os.ReadFile(files[0])
		require.NoError(t, err)
		for i, flag := range flags {
			require.True(t, i == 0 || bytes.Contains(raw, []byte(flag)), "the object says nothing of %s", flag)
		}
	}
}

func TestModelCheck_measures(t *testing.T) {
	needsRuntime(t)
	out := t.TempDir()
	var text, complaints bytes.Buffer
	code := execute(context.Background(), []string{
		"model", "check", "../../testdata/models/demo", "--frames", "../../testdata/frames/dyed-lifted-polyps-1.jpg",
		"--frames", "../../testdata/frames/dyed-lifted-polyps-2.jpg", "--class", "polyp", "--method", "gradcam,gradient", "--out", out,
	}, console{&text, &complaints})
	require.Zero(t, code, complaints.String())
	require.Contains(t, text.String(), "2 frames, 0 with masks")
	table, err := os.ReadFile(filepath.Join(out, "demo-colon-faithfulness.csv"))
	require.NoError(t, err)
	require.Equal(t, 3, bytes.Count(table, []byte("\n")))
	require.Equal(t, map[string]string{"gradcam": "3", "gradient": "3"}, checked(t, out, "draws"), "the default")
	require.FileExists(t, filepath.Join(out, "demo-colon-faithfulness.png"))
	for _, flag := range [][]string{{"--masks", out}, {"--draws", "0"}} {
		require.Equal(t, exitUsage, execute(context.Background(), append([]string{"model", "check", "../../testdata/models/demo"}, flag...), console{&text, &complaints}))
	}
}

// checked is a column of the table that model check writes, by method.
func checked(t *testing.T, out, column string) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(out, "demo-colon-faithfulness.csv"))
	require.NoError(t, err)
	lines, err := csv.NewReader(f).ReadAll()
	require.NoError(t, errors.Join(err, f.Close()))
	at := slices.Index(lines[0], column)
	require.GreaterOrEqual(t, at, 0, column)
	cells := map[string]string{}
	for _, l := range lines[1:] {
		cells[l[0]] = l[at]
	}
	return cells
}

// What cannot be read is told once, and the others are measured with every draw.
func TestModelCheck_unread(t *testing.T) {
	needsRuntime(t)
	in, out := t.TempDir(), t.TempDir()
	raw, err := os.ReadFile("../../testdata/frames/dyed-lifted-polyps-1.jpg")
	require.NoError(t, err)
	for name, content := range map[string][]byte{"a.jpg": raw, "half.jpg": raw[:len(raw)/2], "notes.txt": []byte("no picture"), "z.jpg": raw} {
		require.NoError(t, os.WriteFile(filepath.Join(in, name), content, 0o600))
	}
	var text, complaints bytes.Buffer
	args := []string{"model", "check", "../../testdata/models/demo", "--frames", in, "--method", "gradient", "--draws", "2", "--out", out}
	require.NotZero(t, execute(t.Context(), args, console{&text, &complaints}))
	for _, line := range []string{"half.jpg: cannot be decoded", "notes.txt: passed over", "could not be read: 1 of 3"} {
		require.Equal(t, 1, strings.Count(complaints.String(), line), complaints.String())
	}
	require.Contains(t, text.String(), "2 frames, 0 with masks")
	require.Equal(t, "2", checked(t, out, "random_weights_n")["gradient"])
}

// What a data scientist types: sets, operating points, a page and figures for programs, which have standard output to themselves.
func TestModelCheck_sets(t *testing.T) {
	needsRuntime(t)
	out := t.TempDir()
	frames, err := filepath.Abs("../../testdata/frames")
	require.NoError(t, err)
	labels, html := filepath.Join(out, "labels.csv"), filepath.Join(out, "report.html")
	require.NoError(t, os.WriteFile(labels, []byte("picture,kind,site\n"+frames+"/polyp-1.jpg,Polyp,1\n"+frames+"/cecum-3.jpg,normal-cecum,2\n"), 0o600))
	check := func(flags ...string) (int, string, string) {
		var text, complaints bytes.Buffer
		code := execute(t.Context(), append([]string{"model", "check", "../../testdata/models/demo"}, flags...), console{&text, &complaints})
		return code, text.String(), complaints.String()
	}
	set := []string{"--set", "own=" + labels, "--file-column", "picture", "--label-column", "kind", "--label", "Polyp=polyp"}
	code, text, complaints := check(append(set, "--group", "site", "--at", "polyp:sensitivity=0.95", "--html", html, "--json")...)
	require.Zero(t, code, complaints)
	var result struct {
		Sets []struct {
			Frames   int
			Variants []struct{ Right struct{ Value float64 } }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &result), text)
	require.Equal(t, 2, result.Sets[0].Frames)
	require.EqualValues(t, 1, result.Sets[0].Variants[0].Right.Value)
	info, err := os.Stat(html)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	code, text, complaints = check(append(set, "--variants")...)
	require.Zero(t, code, complaints)
	require.Contains(t, text, "box blacked out: 1.000 [0.342, 1.000] of frames called rightly")
	for _, flags := range [][]string{
		{"--json"},
		{"--html", html},
		{"--at", "threshold=0.5"},
		append(set, "--at", "recall=0.9"), append(set, "--at", "sensitivity=1.5"), append(set, "--at", "ulcer:threshold=0.5"),
		append(set, "--box", "0,0,1"), append(set, "--worst", "-1"), append(set, "--label", "x=ulcer"), append(set, set...),
	} {
		code, _, complaints = check(flags...)
		require.Equal(t, exitUsage, code, "%v: %s", flags, complaints)
	}
	code, _, complaints = check("--set", "own="+labels)
	require.Equal(t, exitFailure, code)
	require.Contains(t, complaints, `no column "file"; it has picture, kind, site`)
}
