package trial

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/inference"
	"endogate/inference/ask"
	"endogate/inference/figures"
	"endogate/inference/frames"
	"endogate/inference/onnx"
)

// The sample frames of the project by the demo model: counts of what it says of each frame by itself, points chosen on the first
// set hold on the second, subgroups, a page that stands alone.
func TestAccuracy_sampleFrames(t *testing.T) {
	if _, err := onnx.FindLibrary(""); err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	bundle, err := inference.LoadBundle("../../testdata/models/demo")
	require.NoError(t, err)
	model, err := ask.Open("", bundle, ask.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, model.Close()) })
	dir, err := filepath.Abs("../../testdata/frames")
	require.NoError(t, err)
	own := filepath.Join(t.TempDir(), "own.csv")
	require.NoError(t, os.WriteFile(own, []byte("file,label,device\n"+
		dir+"/polyp-1.jpg,polyp,<b>A</b>\n"+dir+"/polyp-2.jpg,normal-cecum,B\n"+dir+"/cecum-3.jpg,normal-cecum,B\n"+
		dir+"/gone.jpg,polyp,B\n"+dir+"/cecum-1.jpg,,B\n"), 0o600))
	other := filepath.Join(t.TempDir(), "other.csv")
	require.NoError(t, os.WriteFile(other, []byte("file,label\n"+dir+"/polyp-3.jpg,polyp\n"+dir+"/cecum-2.jpg,normal-cecum\n"), 0o600))
	o := Sets{Classes: bundle.ClassNames()}
	var sets []Set
	for _, said := range []string{"own=" + own, "other=" + other} {
		s, err := o.Read(said)
		require.NoError(t, err)
		sets = append(sets, s)
	}
	var told []string
	a := &Accuracy{
		Bundle: bundle, Model: model, Groups: []string{"device"}, Worst: 3, Log: io.Discard, Variants: Variants(bundle, true, inference.Box{Top: 0.62, Right: 0.38, Bottom: 1}),
		Frames: func(paths []string) frames.Files {
			return frames.Files{Paths: paths, Tell: func(file string, _ error) { told = append(told, filepath.Base(file)) }}
		},
		Aims: []Aim{{Class: "polyp", Aim: figures.Aim{Of: "sensitivity", Value: 1}}},
	}
	r, err := a.Measure(t.Context(), sets)
	require.ErrorIs(t, err, frames.ErrUnread)
	require.Equal(t, []string{"gone.jpg"}, told)
	require.Len(t, r.Sets, 2)

	first := r.Sets[0]
	require.Equal(t, 3, first.Frames)
	require.Equal(t, 1, first.LeftOut)
	require.NotEmpty(t, first.Unread)
	var names []string
	for _, v := range first.Variants {
		names = append(names, v.Name)
	}
	require.Equal(t, []string{"as the manifest says: box and border removed", "as is", "box blacked out"}, names)
	polyp := first.Variants[0].Classes[0]
	require.Equal(t, figures.Counts{TP: 1, FP: 1, TN: 1}, polyp.Counts, "a polyp, a polyp said to be a cecum, a cecum")
	require.InDelta(t, 2./3, first.Variants[0].Right.Value, 1e-12)
	require.Equal(t, 2, first.Variants[0].MacroOf)
	require.Equal(t, []int{1, 1, 0, 0, 0}, first.Variants[0].Confusion[1])
	chosen := polyp.Points[1]
	require.Equal(t, "sensitivity 1 on own", chosen.Name)
	require.Equal(t, chosen.Threshold, r.Sets[1].Variants[0].Classes[0].Points[1].Threshold, "not chosen anew")
	require.Equal(t, "<b>A</b>", first.Groups[0].Value)
	require.Equal(t, 1, first.Groups[0].Frames)
	require.Equal(t, "not said", r.Sets[1].Groups[0].Value)
	require.Len(t, first.Worst, 1)
	require.Equal(t, Mistake{Frame: "polyp-2.jpg", Is: []string{"normal-cecum"}, Called: "polyp", Probability: first.Worst[0].Probability, pictures: first.Worst[0].pictures}, first.Worst[0])
	require.Len(t, first.Worst[0].pictures, 3, "the frame, why it was called so, why not what it is")

	var text, coded, page bytes.Buffer
	require.NoError(t, r.WriteText(&text))
	require.Contains(t, text.String(), "no frame is of the class")
	require.NotContains(t, text.String(), "NaN")
	require.NoError(t, r.WriteJSON(&coded))
	require.True(t, json.Valid(coded.Bytes()))
	require.NoError(t, r.WriteHTML(&page))
	standsAlone(t, page.String())
	require.True(t, strings.Contains(page.String(), "&lt;b&gt;A&lt;/b&gt;"))
}

// standsAlone holds a page to well-formed elements, no script and nothing to be loaded.
func standsAlone(t *testing.T, page string) {
	t.Helper()
	page = regexp.MustCompile(`base64,[^"]*`).ReplaceAllString(page, "base64,")
	for _, not := range []string{"NaN", "ZgotmplZ"} {
		require.False(t, strings.Contains(page, not), not)
	}
	for _, m := range regexp.MustCompile(`(?i)<script|\son\w+=|<link|<iframe|@import|url\(|https?:`).FindAllString(page, -1) {
		require.Fail(t, "the page reaches out", m)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]{0,20})`).FindAllStringSubmatch(page, -1) {
		require.True(t, strings.HasPrefix(m[1], "data:image/jpeg;"), m[1])
	}
	d := xml.NewDecoder(strings.NewReader(regexp.MustCompile(`<(meta|img|br)\b([^>]*)>`).ReplaceAllString(page, `<$1$2/>`)))
	d.Strict = true
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		require.NoError(t, err)
	}
}

// A frame may be of several classes where the manifest says sigmoid: each is called by its threshold, and what concerns all at once is
// said not to be.
func TestAccuracy_severalClasses(t *testing.T) {
	bundle, err := inference.LoadBundle("../../testdata/models/demo")
	require.NoError(t, err)
	b := *bundle
	b.Output.Activation = inference.Sigmoid
	b.Classes = b.Classes[:2]
	a := &Accuracy{Bundle: &b, Variants: Variants(&b, false, inference.Box{})}
	frame := func(is []string, scores ...float64) seen {
		return seen{label: Label{Is: is}, scores: [][]float64{scores}}
	}
	all := []seen{
		frame([]string{"polyp", "normal-cecum"}, 0.9, 0.8), frame([]string{"polyp"}, 0.4, 0.1), frame(nil, 0.6, 0.2),
	}
	m := a.measure(all, 0)
	require.Equal(t, figures.Counts{TP: 1, FN: 1, FP: 1}, m.Classes[0].Counts)
	require.Equal(t, figures.Counts{TP: 1, TN: 2}, m.Classes[1].Counts)
	require.Equal(t, "a frame may be of several classes", m.Right.None)
	far, called, right := a.wrong(all[1])
	require.Equal(t, []any{0.6, -1, 0}, []any{far, called, right})
	far, called, _ = a.wrong(all[2])
	require.Equal(t, []any{0.6, 0}, []any{far, called})
	far, _, _ = a.wrong(all[0])
	require.Zero(t, far)

	b.Output.Activation = "none" // the network's own probabilities
	for _, scores := range [][]float64{{0.7, 0.3}, {0.7, 0.7}} {
		a.addUp = addUp([]gathered{{frames: []seen{frame(nil, 0.5, 0.5), frame(nil, scores...)}}})
		require.Equal(t, scores[1] == 0.3, a.exclusive())
	}
	b.Output.Activation = inference.Sigmoid

	masked := frame([]string{"polyp"}, 0.9, 0.9)
	masked.label.Only = "polyp"
	m = a.measure([]seen{masked}, 0)
	require.Equal(t, figures.Counts{TP: 1}, m.Classes[0].Counts)
	require.Equal(t, figures.Counts{}, m.Classes[1].Counts, "nothing is known of the other")
	require.Equal(t, "no frame", m.Classes[1].AUC.None)
}
