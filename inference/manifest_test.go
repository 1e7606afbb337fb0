package inference

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

const demoDir = "../testdata/models/demo"

func TestLoadBundle_demo(t *testing.T) {
	b, err := LoadBundle(demoDir)
	require.NoError(t, err)
	assert.Equal(t, "demo-colon", b.Name)
	assert.Equal(t, "1.0.0", b.Version)
	assert.Equal(t, Still, b.Kind)
	assert.Equal(t, []int64{1, 3, 160, 160}, b.Input.Shape())
	assert.Equal(t, BilinearAntialias, b.Input.Resize)
	assert.Equal(t, []Step{
		{CropBorder: &CropBorder{Threshold: 30, MinFraction: 0.15, MinSize: 32}},
		{MaskBox: &Box{Left: 0, Top: 0.62, Right: 0.38, Bottom: 1}},
	}, b.Preprocess)
	assert.Equal(t, []string{"polyp", "normal-cecum", "normal-mucosa", "inadequate-preparation", "esophagus"}, b.ClassNames())
	assert.Equal(t, analysis.Class{
		Name: "polyp", Threshold: 0.5, Role: analysis.RoleFinding,
		Finding: dicom.Code{Value: "68496003", Scheme: "SCT", Meaning: "Polyp of colon"}, Site: dicom.Code{Value: "71854001", Scheme: "SCT", Meaning: "Colon"},
	}, b.Classes[0])
	assert.Equal(t, analysis.Explanation{Method: "gradcam", Layer: "last"}, b.Explain.Explanation)
	network, err := b.Network()
	require.NoError(t, err)
	assert.Len(t, network, 7773829)
	assert.Len(t, b.Digest, 64)
}

func TestLoadBundle_faults(t *testing.T) {
	demo, err := os.ReadFile(filepath.Join(demoDir, ManifestFile))
	require.NoError(t, err)
	tests := []struct {
		name, replace, with string
		want                string // the whole fault behind the file name
	}{
		{"unknown key", "version: 1.0.0", "version: 1.0.0\ncolour: red", "4: colour: unknown key; known here are aggregate, classes, clip, digest, ends_below, explain, head, input, intended_use, key_frames, kind, manufacturer, name, output, persist, preprocess, reference, select, smoothing, top, version"},
		{"unknown nested key", "scale: 0.00392156862745098", "scale: 1\n  gamma: 2", "14: input.gamma: unknown key; known here are channels, dtype, fit, layout, mean, name, pad, resize, scale, shorter_side, size, std"},
		{"missing", "version: 1.0.0\n", "", "2: version: missing"},
		{"twice", "version: 1.0.0", "version: 1.0.0\nversion: 2", "4: version: given twice"},
		{"name", "name: demo-colon", "name: Demo Colon", `2: name: is "Demo Colon"; must be lower case letters, digits, '.', '_' and '-'`},
		{"version empty", "version: 1.0.0", "version: ''", "3: version: must not be empty"},
		{"version null", "version: 1.0.0", "version:", "3: version: must be a text"},
		{"version long", "version: 1.0.0", "version: " + strings.Repeat("1", 65), "3: version: is 65 bytes long; at most 64 are allowed"},
		{"digest short", "version: 1.0.0", "version: 1.0.0\ndigest: 12ab", `4: digest: is "12ab"; must be 64 hexadecimal digits in lower case, as model inspect prints them`},
		{"backslash", "manufacturer: endogate", `manufacturer: endo\gate`, "6: manufacturer: must not hold control characters or backslashes"},
		{"kind", "kind: still", "kind: hologram", `4: kind: is "hologram"; must be one of still, video`},
		{"layout", "layout: NCHW", "layout: NWHC", `9: input.layout: is "NWHC"; must be one of NCHW, NHWC`},
		{"channels", "channels: RGB", "channels: GRB", `11: input.channels: is "GRB"; must be one of RGB, BGR`},
		{"filter", "resize: bilinear-antialias", "resize: lanczos", `12: input.resize: is "lanczos"; must be one of bilinear-antialias, bicubic-antialias, area, bilinear, nearest`},
		{"size zero", "size: [160, 160]", "size: [160, 0]", `10: input.size[1]: is "0"; must be a whole number from 1 to 4096`},
		{"size huge", "size: [160, 160]", "size: [5000, 160]", `10: input.size[0]: is "5000"; must be a whole number from 1 to 4096`},
		{"size one", "size: [160, 160]", "size: [160]", "10: input.size: has 1 values; must have 2"},
		{"size scalar", "size: [160, 160]", "size: 160", "10: input.size: must be a list"},
		{"scale zero", "scale: 0.00392156862745098", "scale: 0", `13: input.scale: is "0"; must be more than 0 and at most 1e+06`},
		{"scale text", "scale: 0.00392156862745098", "scale: 1/255", `13: input.scale: is "1/255"; must be a number from -Inf to +Inf`},
		{"mean short", "mean: [0.485, 0.456, 0.406]", "mean: [0.485, 0.456]", "14: input.mean: has 2 values; must have 3"},
		{"mean nan", "mean: [0.485, 0.456, 0.406]", "mean: [NaN, 0.456, 0.406]", `14: input.mean[0]: is "NaN"; must be a number from -1e+06 to 1e+06`},
		{"std zero", "std: [0.229, 0.224, 0.225]", "std: [0.229, 0, 0.225]", `15: input.std[1]: is "0"; must be more than 0 and at most 1e+06`},
		{"input scalar", "input:\n  name: input", "input: [1]\ninput2:\n  name: input", "7: input: must be a mapping of keys to values"},
		{"crop threshold", "threshold: 30", "threshold: 300", `19: preprocess[0].crop_border.threshold: is "300"; must be a whole number from 0 to 255`},
		{"crop fraction", "min_fraction: 0.15", "min_fraction: 1.5", `19: preprocess[0].crop_border.min_fraction: is "1.5"; must be more than 0 and at most 1`},
		{"crop size", "min_size: 32", "min_size: 0", `19: preprocess[0].crop_border.min_size: is "0"; must be a whole number from 1 to 65535`},
		{"box range", "[0.0, 0.62, 0.38, 1.0]", "[0.0, 0.62, 0.38, 1.1]", `21: preprocess[1].mask_box[3]: is "1.1"; must be a number from 0 to 1`},
		{"box empty", "[0.0, 0.62, 0.38, 1.0]", "[0.5, 0.62, 0.38, 1.0]", "21: preprocess[1].mask_box: is empty; must be [left, top, right, bottom] with left < right and top < bottom"},
		{"step unknown", "mask_box:", "blur:", "21: preprocess[1]: a step must be one of crop_border, mask_box, crop and exif"},
		{"activation", "activation: softmax", "activation: relu", `24: output.activation: is "relu"; must be one of none, softmax, sigmoid`},
		{"kind of output", "activation: softmax", "activation: softmax\n  kind: points", `25: output.kind: is "points"; must be one of classes, boxes, mask`},
		{"boxes of classes", "activation: softmax", "activation: softmax\n  boxes: {most: 3}", "25: output.boxes: is for kind: boxes alone"},
		{"mask of boxes", "activation: softmax", "activation: softmax\n  kind: boxes\n  mask: {level: 0.4}", "26: output.mask: is for kind: mask alone"},
		{"columns without a box", "activation: softmax", "activation: softmax\n  kind: boxes\n  boxes: {columns: [classes]}", "26: output.boxes.columns: must have box once, or boxes.from must name the output that boxes are in"},
		{"columns with a box", "activation: softmax", "activation: softmax\n  kind: boxes\n  boxes: {from: b, columns: [box, classes]}", "26: output.boxes.columns: has box, which is in the output that boxes.from names"},
		{"columns without classes", "activation: softmax", "activation: softmax\n  kind: boxes\n  boxes: {columns: [box, score]}", "26: output.boxes.columns: must have either classes, or score and label, each once"},
		{"column", "activation: softmax", "activation: softmax\n  kind: boxes\n  boxes: {columns: [box, colour]}", `26: output.boxes.columns[1]: is "colour"; must be one of box, objectness, classes, score, label, skip`},
		{"format", "activation: softmax", "activation: softmax\n  kind: boxes\n  boxes: {format: yxyx}", `26: output.boxes.format: is "yxyx"; must be one of cxcywh, xyxy, xywh`},
		{"overlap", "activation: softmax", "activation: softmax\n  kind: boxes\n  boxes: {overlap: 0}", `26: output.boxes.overlap: is "0"; must be more than 0 and at most 1`},
		{"too many boxes", "activation: softmax", "activation: softmax\n  kind: boxes\n  boxes: {most: 1000}", `26: output.boxes.most: is "1000"; must be a whole number from 1 to 100`},
		{"boxes unknown key", "activation: softmax", "activation: softmax\n  kind: boxes\n  boxes: {nms: 0.5}", "26: output.boxes.nms: unknown key; known here are background, columns, format, from, labels, most, overlap, skip, unit"},
		{"labels without boxes", "activation: softmax", "activation: none\n  kind: boxes\n  boxes: {labels: l}", "26: output.boxes.labels: needs boxes.from, which names the output that boxes are in"},
		{"labels with columns", "activation: softmax", "activation: none\n  kind: boxes\n  boxes: {from: b, labels: l, columns: [score, label]}", "26: output.boxes.labels: is for a network whose boxes, scores and labels are three outputs: leave boxes.columns out"},
		{"mask of labels through a softmax", "activation: softmax", "activation: softmax\n  kind: mask\n  mask: {values: labels}", "26: output.mask: has values: labels, which are no logits: output.activation must be none"},
		{"mask level", "activation: softmax", "activation: softmax\n  kind: mask\n  mask: {level: 0}", `26: output.mask.level: is "0"; must be more than 0 and at most 1`},
		{"positive of boxes", "activation: softmax", "activation: softmax\n  kind: boxes\n  positive: polyp", `23: output: positive is "polyp"; boxes and masks are of every class by itself`},
		{"threshold zero", "{name: polyp, threshold: 0.5", "{name: polyp, threshold: 0", `26: classes[0].threshold: is "0"; must be more than 0 and at most 1`},
		{"threshold high", "{name: polyp, threshold: 0.5", "{name: polyp, threshold: 50", `26: classes[0].threshold: is "50"; must be more than 0 and at most 1`},
		{"role", "role: finding", "role: diagnosis", `26: classes[0].role: is "diagnosis"; must be one of finding, landmark, normal, quality`},
		{"class twice", "name: normal-cecum", "name: polyp", `27: classes[1]: name "polyp" is already that of classes[0]`},
		{"code letters", `code: "68496003"`, `code: polyp`, `26: classes[0].finding.code: "polyp" is not a SNOMED CT identifier: 6 to 16 digits of which the last one checks the others`},
		{"code check digit", `code: "68496003"`, `code: "68496004"`, `26: classes[0].finding.code: "68496004" is not a SNOMED CT identifier: 6 to 16 digits of which the last one checks the others`},
		{"dcm code", `code: "68496003", scheme: SCT`, `code: "1131", scheme: DCM`, `26: classes[0].finding.code: "1131" is not a code of DICOM: 6 digits`},
		{"loinc code", `code: "68496003", scheme: SCT`, `code: "11311", scheme: LN`, `26: classes[0].finding.code: "11311" is not a LOINC code: digits, '-' and a check digit`},
		{"scheme", `code: "68496003", scheme: SCT`, `code: "68496003", scheme: snomed`, `26: classes[0].finding.scheme: is "snomed"; must be a Coding Scheme Designator such as SCT, DCM, LN or 99LOCAL`},
		{"code missing", `code: "68496003", scheme: SCT, meaning: Polyp of colon`, `code: "68496003", scheme: SCT`, "26: classes[0].finding.meaning: missing"},
		{"finding missing", `finding: {code: "68496003", scheme: SCT, meaning: Polyp of colon}, `, "", "26: classes[0].finding: missing"},
		{"method", "method: gradcam", "method: tea-leaves", `32: explain.method: is "tea-leaves"; must be one of gradcam, gradcam++, hirescam, layercam, occlusion, rise, scorecam, none`},
		{"alias", "version: 1.0.0\nkind: still", "version: &v 1.0.0\nkind: *v", "4: kind: is not a single value; must be one of still, video"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Contains(t, string(demo), tt.replace)
			manifest := strings.Replace(string(demo), tt.replace, tt.with, 1)
			_, err := readManifest(strings.NewReader(manifest), "model.yaml")
			require.Error(t, err)
			assert.Contains(t, strings.Split(err.Error(), "\n"), "inference: model.yaml:"+tt.want)
		})
	}
}

func TestReadManifest_wholeDocument(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", "inference: model.yaml: not readable as YAML: EOF"},
		{"list", "- a\n", "inference: model.yaml:1: must be a mapping of keys to values"},
		{"syntax", "a: [1\nb: 2\n", "inference: model.yaml: not readable as YAML: line 1: did not find expected ',' or ']'"},
		{"two documents", "a: 1\n---\nb: 2\n", "inference: model.yaml:2: more than one YAML document; keep one"},
		{"too large", "a: " + strings.Repeat("x", maxManifest), "inference: model.yaml: larger than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readManifest(strings.NewReader(tt.in), "model.yaml")
			require.Error(t, err)
			assert.Equal(t, tt.want, err.Error())
		})
	}
}

func TestReadManifest_namesEveryFaultAtOnce(t *testing.T) {
	_, err := readManifest(strings.NewReader("name: X\nkind: x\ncolour: red\n"), "model.yaml")
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	assert.Len(t, lines, 10) // two bad values, seven missing keys, one unknown key
	for _, key := range []string{"name", "version", "kind", "intended_use", "manufacturer", "input", "output", "classes", "explain", "colour"} {
		assert.Contains(t, err.Error(), ": "+key+": ")
	}
}

func TestReadManifest_classesMissing(t *testing.T) {
	demo, err := os.ReadFile(filepath.Join(demoDir, ManifestFile))
	require.NoError(t, err)
	before, _, found := bytes.Cut(demo, []byte("classes:"))
	require.True(t, found)
	_, err = readManifest(strings.NewReader(string(before)+"classes: []\nexplain: {method: gradcam, layer: last}\n"), "model.yaml")
	require.Error(t, err)
	assert.Equal(t, "inference: model.yaml:25: classes: must have at least one class", err.Error())
}

func TestLoadBundle_files(t *testing.T) {
	dir := t.TempDir()
	_, err := LoadBundle(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.Contains(t, err.Error(), ManifestFile)
	assert.Contains(t, err.Error(), NetworkFile)

	manifest, err := os.ReadFile(filepath.Join(demoDir, ManifestFile))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ManifestFile), manifest, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, NetworkFile), nil, 0o600))
	_, err = LoadBundle(dir)
	require.ErrorContains(t, err, "model.onnx is empty")

	require.NoError(t, os.WriteFile(filepath.Join(dir, NetworkFile), []byte("one"), 0o600))
	b, err := LoadBundle(dir)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ManifestFile), append(bytes.Clone(manifest), "digest: "+b.Digest...), 0o600))
	b, err = LoadBundle(dir)
	require.NoError(t, err)
	assert.Equal(t, "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", b.Digest)
	require.NoError(t, os.WriteFile(filepath.Join(dir, NetworkFile), []byte("two"), 0o600))
	_, err = b.Network()
	require.ErrorContains(t, err, "has changed since the bundle was loaded")
	_, err = LoadBundle(dir)
	require.ErrorContains(t, err, "and model.yaml says 7692c3ad")
}

func FuzzReadManifest(f *testing.F) {
	demo, err := os.ReadFile(filepath.Join(demoDir, ManifestFile))
	require.NoError(f, err)
	f.Add(demo)
	f.Add([]byte("name: &a [*a]\n"))
	f.Add([]byte("<<: {name: x}\nclasses: [{}, 1, [], null]\npreprocess: [{mask_box: [0,0,0,0]}]\n"))
	f.Add([]byte("# nothing\n"))
	f.Add([]byte("---\n...\n"))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		b, err := readManifest(bytes.NewReader(manifest), "model.yaml")
		if err != nil {
			return
		}
		// What is accepted can be used.
		if b.Input.Len() < 3 || len(b.Classes) == 0 || !validName.MatchString(b.Name) {
			t.Fatalf("accepted %+v", b)
		}
		for _, c := range b.Classes {
			if !(c.Threshold > 0 && c.Threshold <= 1) {
				t.Fatalf("accepted threshold %g", c.Threshold)
			}
		}
		b.Input.table()
	})
}

func TestManifest_temporal(t *testing.T) {
	text, err := os.ReadFile("../testdata/models/demo/model.yaml")
	require.NoError(t, err)
	read := func(more string) (*Bundle, error) {
		return readManifest(strings.NewReader(string(text)+"\n"+more), "model.yaml")
	}
	b, err := read("")
	require.NoError(t, err)
	assert.Equal(t, DefaultTemporal(), b.Temporal)
	b, err = read("select: {segments: 8, most: 100}\naggregate: max\npersist: [1, 4]\nsmoothing: 1\nends_below: 0.5\ntop: 3\nkey_frames: 2\n")
	require.NoError(t, err)
	assert.Equal(t, Temporal{Select: Select{Segments: 8, Most: 100}, Rule: Max, Smoothing: 1, Lower: 0.5, Frames: 1, Of: 4, Top: 3, KeyFrames: 2}, b.Temporal)
	for more, want := range map[string]string{
		"select: {}":                         "must have one of",
		"select: {every: 2, per_second: 1}":  "must have one of",
		"select: {every: 0}":                 "every",
		"select: {per_second: 1, most: 1e9}": "most",
		"select: {every: 1, most: 2001}":     "most",
		"select: {segments: 2001}":           "segments",
		"aggregate: mean":                    "aggregate",
		"persist: [3, 2]":                    "is 3 of 2",
		"persist: [3]":                       "persist",
		"smoothing: 0":                       "smoothing",
	} {
		_, err := read(more)
		assert.ErrorContains(t, err, want, more)
	}
}
