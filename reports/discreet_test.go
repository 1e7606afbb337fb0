package reports

import (
	"fmt"
	"image"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/suyashkumar/dicom/pkg/tag"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// everything makes each kind of object of a study of that patient.
func everything(t rapid.TB, a Algorithm, name, id string) []Object {
	t.Helper()
	source := endoscopic("1")
	source.set(tag.SpecificCharacterSet, "ISO_IR 192")
	source.set(tag.PatientName, name)
	source.set(tag.PatientID, id)
	small := image.NewRGBA(image.Rect(0, 0, 200, 100))
	heatmap, err := testBuilder().Heatmap(Heatmap{
		Source: sourceOf(t, source), Frame: 1, Pixels: small, Overlay: small, Opacity: 0.4, Algorithm: a,
		Class: a.Classes[0].Name, Against: a.Classes[len(a.Classes)-1].Name, Probability: 0.93, At: inferred,
	})
	require.NoError(t, err, "%q %q", name, id)
	e := testExam(t, a)
	e.Source = sourceOf(t, source)
	e.Instances = append(e.Instances, Instance{SOPInstance: e.Instances[0].SOPInstance, Failed: "frame 1: JPEG: unexpected EOF", Modality: "ES", Frames: 1})
	return append(objects(t, e), heatmap)
}

// No name and no number of a patient keeps an object back.
func TestDiscreet_nobodyIsHeldUp(t *testing.T) {
	for _, row := range []struct{ name, id string }{
		{"?^?", "ID-050"},
		{"-^-", "ID-050"},
		{".^.", "X1"},
		{"*****^*****", "ID-050"},
		{"Doe^Jane=?^?", "ID-050"},
		{"Yamada^Tarou=山田^太郎=????^?????", "ID-050"},
		{"Unknown^Unknown", "------"},
		{"Doe^Jane", "??????"},
		{"Doe^Jane", "heatmap"},
		{"Colon^Demo", "ID-050"},
		{"Polyp^Anna", "1"},
		{"Polyp^Of colon", "AI"},
		{"Polyps^Dyed", "polyps"},
		{"Normal^Cecum", "normal-cecum"},
		{"Endo^Gate", "endogate"},
		{"Doe", "ID-050"},
		{"^Jane", "ID-050"},
		{"", ""},
		{"^^^^", ""},
		{"A^B", "A"},
		{"A^I", "AI"},
		{"I^A", "0"},
		{"Anonymous", "Anonymous"},
		{"Anonymous^Patient", "ANON0001"},
		{"^", "^"},
		{"=", "="},
		{"==", "0"},
		{"^A=^B=^C", "1.0.0"},
		{"Verified^Not", "not verified"},
		{"Frames^Analysed", "analysed frames"},
		{"Kvasir^Cls", "kvasir-v2-cls"},
		{"李^明", "12345678"},
		{"0^0", "000000"},
		{"Grad^Cam", "Grad-CAM"},
		{"Class^For", "alpha 0.40"},
		{"!^!=(^)=#^#", "!!!!!!!!"},
		{"Unexpected^Eof", "JPEG: unexpected EOF"},
		{"Ai^Draft", "AI-generated draft"},
	} {
		t.Run(row.name+"/"+row.id, func(t *testing.T) {
			for _, o := range append(everything(t, kvasir(), row.name, row.id), everything(t, demoAlgorithm(t), row.name, row.id)...) {
				assert.Equal(t, row.id, o.Header.PatientID)
			}
		})
	}
}

// Whatever a patient is called, no object fails, and where a label has both names, no object has.
func TestDiscreet_any(t *testing.T) {
	part := rapid.OneOf(rapid.StringMatching(`[A-Za-zäöüé?*. -]{0,12}`), rapid.SampledFrom([]string{
		"", "Polyp", "polyps", "colon", "AI", "normal", "cecum", "not", "verified", "frame", "山田", "花子", "Иван", "?", "A",
	}))
	rapid.Check(t, func(t *rapid.T) {
		name := strings.Join(rapid.SliceOfN(part, 0, 5).Draw(t, "components"), "^")
		everything(t, kvasir(), name, strings.TrimSpace(part.Draw(t, "id")))
	})
}

func TestDiscreet_named(t *testing.T) {
	for _, row := range []struct {
		name, id, text string
		want           bool
	}{
		{"Doe^Jane", "EG000123", "polyp of Jane Doe", true},
		{"Doe^Jane", "EG000123", "DOE, JANE", true},
		{"Doe^Jane", "EG000123", "/in/doe_jane.dcm: no frame", true},
		{"Doe^Jane", "EG000123", "/in/doejane.dcm: no frame", true},
		{"Doe^Jane", "EG000123", "/in/Doe/2026/Jane.dcm", true},
		{"Doe^Jane", "EG000123", "/in/eg000123.dcm", true},
		{"Doe^Jane", "EG-000-123", "see EG 000 123", true},
		{"Doe^Jane", "EG000123", "Jane's polyp", false},
		{"Doe^Jane", "EG000123", "doeskin, janeway", false},
		{"Doe^Jane", "EG000123", "EG0001234", false},
		{"Müller^Jörgen", "1", "jörgen-müller", true},
		{"Müller^Jörgen", "1", "jo\u0308rgen mu\u0308ller", false}, // nobody composes it so
		{"Yamada^Hanako=山田^花子", "1", "山田花子のポリープ", true},
		{"Yamada^Hanako=山田^花子", "1", "山田のポリープ", false},
		{"Li^Bo", "1", "li bo", true},
		{"Li^Bo", "1", "bo derek or li", false},
		{"De la Cruz^Ana", "1", "ana de la cruz", true},
		{"Doe^", "1", "doe", false},
		{"?^?", "??????", "anything ? ? at ?????? all", false},
		{"", "", "", false},
	} {
		source := endoscopic("1")
		source.set(tag.SpecificCharacterSet, "ISO_IR 192")
		source.set(tag.PatientName, row.name)
		source.set(tag.PatientID, row.id)
		assert.Equal(t, row.want, sourceOf(t, source).discreet().named(row.text), "%s, %s: %s", row.name, row.id, row.text)
	}
}

// A label, a layer, a reason or a choice that names the patient stands in no object; the code's meaning does.
func TestDiscreet_leaks(t *testing.T) {
	const label = "polyp of jane-doe"
	a := kvasir()
	a.Classes[0].Name = label
	a.Explain = analysis.Explanation{Method: "gradcam", Layer: "doe.jane/conv"}
	source := endoscopic("1")
	source.set(tag.PatientName, "Doe^Jane")
	h := testHeatmap(t, source, a, label, "polyp-0017b7c7.jpg")
	h.Variant = "/in/EG0001.png"
	heatmap, err := testBuilder().Heatmap(h)
	require.NoError(t, err)
	e := testExam(t, a)
	e.Source = sourceOf(t, source)
	e.Instances = append(e.Instances,
		Instance{SOPInstance: e.Instances[0].SOPInstance, Failed: "open /in/doe_jane.dcm", Modality: "ES", Frames: 1},
		Instance{SOPInstance: e.Instances[0].SOPInstance, Skipped: "EG0001 is not for us", Modality: "ES", Frames: 1})
	all := append(objects(t, e), heatmap)
	require.Len(t, all, 4)
	said := ""
	for _, o := range all {
		said += texts(attributesOf(t, o))
	}
	low := strings.ToLower(said)
	for _, never := range []string{"jane-doe", "jane doe", "doe.jane", "doe_jane", "eg0001"} {
		assert.NotContains(t, low, never)
	}
	assert.Contains(t, said, "AI flagged Polyp of colon in ")
	assert.Contains(t, said, "AI-1 Polyp of colon")
	assert.Contains(t, said, `for class "Polyp of colon" p=0.93`)
	assert.Contains(t, said, "Failed: 1: "+withheld)
	assert.Contains(t, said, "Skipped: 1: "+withheld)
}

// texts are all texts below a, but those that name the patient because they are the patient's.
func texts(a *dicom.Attributes) string {
	all := ""
	for t := range a.Tags() {
		e, _ := a.Get(t)
		for _, item := range e.Items {
			all += texts(item)
		}
		if e.Items == nil && t != dicom.PatientName && t != dicom.PatientID {
			all += strings.Join(a.Texts(t), "|") + "\n"
		}
	}
	return all
}

// What is said of an object that is not let out is short, whatever is wrong with it.
func TestInvalidError_bounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := &InvalidError{SOPClassUID: dicom.UID(rapid.String().Draw(t, "class")), Faults: rapid.SliceOfN(rapid.String(), 0, 400).Draw(t, "faults")}
		for i := range 300 {
			e.Faults = append(e.Faults, fmt.Sprintf("a fault of number %d%s", i%100, strings.Repeat("é", i)))
		}
		if n := utf8.RuneCountInString(e.Error()); n > 1000 {
			t.Fatalf("%d characters", n)
		}
	})
	e := &InvalidError{SOPClassUID: "1.2", Faults: []string{"a", "b", "a", "a"}}
	assert.EqualError(t, e, "reports: object of SOP class 1.2 is not emitted: a; b")
}
