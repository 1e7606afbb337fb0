package publish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/hl7"
	"endogate/inference/analysis"
	"endogate/reports/draft"
	"endogate/reports/pdf"
)

const decidedFile = "../../testdata/drafts/decided.json"

// decided is a draft with a finding of every kind: undecided, accepted, rejected and changed ones of a model, an accepted and
// an undecided one of a model whose result was retracted then, and one that a person added.
func decided(t testing.TB, templates *draft.Templates) draft.Document {
	t.Helper()
	like := sample(t, draft.Drafted)
	image := like.Examination.Instances[0]
	image.Frames = 1
	exam := func(model string, names ...string) draft.Exam {
		e := draft.Exam{Model: analysis.Model{Manufacturer: "Example", Name: model, Version: "1", Digest: strings.Repeat("ab", 32)}, Route: "endoscopy", IntendedUse: "Tests"}
		r := analysis.Result{Span: analysis.Still(1), Rows: 480, Columns: 640, Scores: map[string]float64{}}
		for i, n := range names {
			c := analysis.Class{Name: n, Role: analysis.RoleFinding, Threshold: 0.5, Finding: lesion(n)}
			e.Classes = append(e.Classes, c)
			r.Scores[n] = 0.9 - float64(i)/10
			r.Findings = append(r.Findings, c.Seen(r.Scores[n]))
		}
		e.Instances = []draft.Instance{{SOPInstance: image.Instance, Number: image.Number, Frames: 1, Results: []analysis.Result{r}}}
		return e
	}
	in := draft.Input{
		Study: like.Study, At: like.At, Language: "en", Patient: like.Patient, Order: like.Order, Examination: like.Examination,
		Exams: []draft.Exam{exam("net-one", "alpha", "bravo", "charlie", "delta"), exam("net-two", "echo", "foxtrot")},
	}
	in.Examination.Instances = []draft.Image{image}
	doc, err := templates.New(in)
	require.NoError(t, err)
	id := map[string]string{}
	for _, f := range doc.Findings {
		id[f.Class] = f.ID
	}
	golf, size := lesion("golf"), 6.0
	doc, err = templates.Apply(doc, []draft.Edit{
		{Op: draft.OpAccept, Finding: id["bravo"]},
		{Op: draft.OpReject, Finding: id["charlie"]},
		{Op: draft.OpChange, Finding: id["delta"], SizeMM: &size},
		{Op: draft.OpAccept, Finding: id["echo"]},
		{Op: draft.OpAdd, Code: &golf},
	}, draft.Author{Name: "Dr. Test"}, like.At.Add(time.Minute))
	require.NoError(t, err)
	in.At, in.Exams[1].Retracted = like.At.Add(2*time.Minute), "wrong weights"
	doc, err = templates.Refresh(doc, in)
	require.NoError(t, err)
	return doc
}

// kinds are the findings of a document, without what a template says of them.
func kinds(doc draft.Document) (all []string) {
	for _, f := range doc.Findings {
		all = append(all, fmt.Sprint(f.ID, f.Code, f.Decision, f.Retracted))
	}
	return all
}

func lesion(name string) dicom.Code {
	return dicom.Code{Value: strings.ToUpper(name), Scheme: "99ENDOGATE", Meaning: name + " lesion"}
}

// TestShown holds all that is made of a document to one rule: the same findings are shown in each, those that nobody decided
// about as no more than proposed, and those that do not stand nowhere; that a result was retracted is said. The page is held
// to it by TestPage_shown, with the same document.
func TestShown(t *testing.T) {
	installed.Require(t, "pdftotext")
	templates, err := draft.Load("")
	require.NoError(t, err)
	doc := decided(t, templates)
	if os.Getenv("UPDATE") != "" {
		text, err := json.MarshalIndent(doc, "", " ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(decidedFile, append(text, '\n'), 0o600))
	}
	file, err := os.ReadFile(decidedFile)
	require.NoError(t, err)
	var kept draft.Document
	require.NoError(t, json.Unmarshal(file, &kept))
	require.Equal(t, kinds(doc), kinds(kept), "UPDATE=1 makes it anew")

	unverified, err := templates.Sign(doc, draft.Author{Name: "Dr. Test"}, doc.At.Add(time.Minute), false)
	require.NoError(t, err)
	verified, err := templates.Sign(doc, draft.Author{Name: "Dr. Test"}, doc.At.Add(time.Minute), true)
	require.NoError(t, err)
	fonts, err := pdf.OpenFonts("")
	require.NoError(t, err)
	for name, doc := range map[string]draft.Document{"draft": doc, "signed": unverified, "signed as verified": verified} {
		vouched := map[string]string{"draft": "nobody", "signed": "nobody", "signed as verified": "person"}[name]
		r := newRig(t, destinations(t)...)
		r.pages, err = pdf.Render(doc, pdf.Options{Fonts: fonts, Label: templates.Label, Called: templates.Called})
		require.NoError(t, err)
		said := map[string][]byte{"pdf": plain(t, r.pages)}
		for _, o := range r.publish(doc) {
			if o.Purpose != "pdf" {
				said[o.Purpose] = r.read(o)
			}
		}
		for purpose, read := range map[string]func(*testing.T, []byte) map[string]string{"pdf": inPDF, "oru": inORU, "bundle": inBundle, "sr": inSR} {
			if name == "draft" && purpose == "sr" {
				continue // it is the models' own
			}
			t.Run(name+" "+purpose, func(t *testing.T) {
				want := map[string]string{"alpha": "proposed", "bravo": "decided", "delta": "decided", "echo": "decided", "golf": "decided"}
				if purpose == "oru" || purpose == "bundle" { // each has a standing of its own
					for n, as := range want {
						if as == "decided" {
							want[n] += " " + vouched
						} else {
							want[n] += " nobody"
						}
					}
				}
				assert.Equal(t, want, read(t, said[purpose]))
				assert.Contains(t, string(said[purpose]), "wrong weights")
			})
		}
	}
}

// plain is the text of a PDF.
func plain(t *testing.T, b []byte) []byte {
	cmd := exec.Command("pdftotext", "-raw", "-enc", "UTF-8", "-", "-")
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	require.NoError(t, err)
	return out
}

// as is how a finding is shown: decided, or proposed.
func as(proposed bool) string {
	if proposed {
		return "proposed"
	}
	return "decided"
}

var inPages = regexp.MustCompile(`\d\. (\w+) lesion\n+(not yet decided|)`)

func inPDF(_ *testing.T, text []byte) map[string]string {
	shown := map[string]string{}
	for _, m := range inPages.FindAllSubmatch(text, -1) {
		shown[string(m[1])] = as(len(m[2]) > 0)
	}
	return shown
}

var inTracking = regexp.MustCompile(`(?:AI-)?\d (\w+) lesion(, not decided|)`)

// inSR reads the Tracking Identifiers of the measurement groups.
func inSR(_ *testing.T, dataset []byte) map[string]string {
	shown := map[string]string{}
	for _, m := range inTracking.FindAllSubmatch(dataset, -1) {
		shown[string(m[1])] = as(len(m[2]) > 0)
	}
	return shown
}

// who stands behind what has this status.
func who(t *testing.T, status string) string {
	behind, ok := map[string]string{"R": "nobody", "P": "nobody", "preliminary": "nobody", "F": "person", "final": "person"}[status]
	require.True(t, ok, status)
	return behind
}

func inORU(t *testing.T, text []byte) map[string]string {
	m, err := hl7.Parse(text, hl7.Options{})
	require.NoError(t, err)
	shown := map[string]string{}
	for _, s := range m.Segments() {
		if s.Name != "OBX" || s.Get("3.1") != "121071" || s.Get("11") == "W" {
			continue
		}
		behind := who(t, s.Get("11"))
		assert.Equal(t, behind == "person", s.Get("16") != "" || s.Get("16.2") != "", "observer")
		shown[strings.TrimSuffix(s.Get("5.2"), " lesion")] = as(strings.HasSuffix(s.Get("17.2"), "not decided by a person")) + " " + behind
	}
	return shown
}

func inBundle(t *testing.T, text []byte) map[string]string {
	var bundle struct {
		Entry []struct {
			FullURL  string
			Resource struct {
				ResourceType, Status string
				Note                 []struct{ Text string }
				Result               []struct{ Reference string }
				ValueCodeableConcept struct{ Coding []struct{ Display string } }
				ConclusionCode       []struct{ Coding []struct{ Display string } }
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &bundle))
	all, names := map[string]string{}, map[string]string{}
	for _, e := range bundle.Entry {
		if e.Resource.ResourceType == "Observation" && e.Resource.Status != "entered-in-error" {
			names[e.FullURL] = strings.TrimSuffix(e.Resource.ValueCodeableConcept.Coding[0].Display, " lesion")
			all[e.FullURL] = as(strings.Contains(fmt.Sprint(e.Resource.Note), "not decided by a person")) + " " + who(t, e.Resource.Status)
		}
	}
	shown := map[string]string{}
	for _, e := range bundle.Entry {
		for _, r := range e.Resource.Result {
			shown[names[r.Reference]] = all[r.Reference]
		}
		for _, c := range e.Resource.ConclusionCode {
			assert.Contains(t, shown[strings.TrimSuffix(c.Coding[0].Display, " lesion")], "decided", "a conclusion is a person's")
		}
	}
	return shown
}
