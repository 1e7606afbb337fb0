package pdf

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/explain"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

var gatewayAuthor = draft.Author{Name: "endogate", System: true}

// fundus is a picture like a frame: a bright field on black, with a spot at (x, y).
func fundus(columns, rows int, x, y float64, hot bool) image.Image {
	colours, _ := explain.NamedColourMap("jet")
	m := image.NewRGBA(image.Rect(0, 0, columns, rows))
	for r := range rows {
		for c := range columns {
			u, v := float64(c)/float64(columns)-0.5, float64(r)/float64(rows)-0.5
			if u*u+v*v > 0.22 {
				m.SetRGBA(c, r, color.RGBA{A: 255})
				continue
			}
			texture := 14 * math.Sin(float64(c)/9) * math.Cos(float64(r)/7)
			px := color.RGBA{uint8(190 + texture), uint8(110 + texture), uint8(90 + texture), 255}
			d := math.Hypot(float64(c)/float64(columns)-x, float64(r)/float64(rows)-y)
			if d < 0.1 {
				px = color.RGBA{200, 90, 95, 255}
			}
			if hot {
				heat := colours[int(255*math.Exp(-d*d/0.02))]
				px = color.RGBA{(px.R + heat.R) / 2, (px.G + heat.G) / 2, (px.B + heat.B) / 2, 255}
			}
			m.SetRGBA(c, r, px)
		}
	}
	return m
}

// drawn are pictures by place of the spot, small: under the race detector large ones take minutes to scale.
var drawn = sync.OnceValue(func() (all [8]Picture) {
	for i := range all {
		x := 0.3 + 0.05*float64(i)
		all[i] = Picture{Frame: fundus(240, 192, x, 0.4, false), Heatmap: fundus(240, 192, x, 0.4, true)}
	}
	return all
})

func pictures(k draft.KeyImage) (Picture, error) { return drawn()[k.Frame.Number%8], nil }

var templates = sync.OnceValue(func() *draft.Templates {
	t, err := draft.Load("")
	if err != nil {
		panic(err)
	}
	return t
})

var opened = sync.OnceValues(func() (*Fonts, error) { return OpenFonts("") })

func options(t testing.TB) Options {
	fonts, err := opened()
	require.NoError(t, err)
	colours, err := explain.NamedColourMap("jet")
	require.NoError(t, err)
	return Options{
		Fonts: fonts, Label: templates().Label, Called: templates().Called, Picture: pictures, Colours: colours, Institution: "Department of Gastroenterology, St. Elsewhere Hospital",
		Location: time.FixedZone("", 3600),
		Links:    []Link{{"Study in the viewer", "https://viewer.example/studies/2.25.1?x=ü"}},
	}
}

func code(value, scheme, meaning string) dicom.Code {
	return dicom.Code{Value: value, Scheme: scheme, Meaning: meaning}
}

func frame(n int, p float64, position string) draft.Frame {
	return draft.Frame{
		Instance: dicom.SOPInstance{SOPInstanceUID: dicom.UID("2.25.1." + string(rune('0'+n)))}, Number: n, Span: analysis.Span{First: 1, Count: 1},
		Rows: 576, Columns: 720, Probability: p, Position: position, Heatmap: dicom.SOPInstance{SOPInstanceUID: "2.25.9"},
		Explained: "Grad-CAM at the last layer", Hatched: true,
	}
}

// usual is the draft of a usual examination.
func usual() draft.Document {
	model := analysis.Model{Manufacturer: "endogate", Name: "demo-colon", Version: "1.2.0", Digest: "sha256:0123"}
	at := time.Date(2026, 3, 5, 9, 41, 0, 0, time.UTC)
	why := func(class string) string {
		return class + ", probability 0.92: upper right, 2 o'clock. The map shows which places spoke for the class; it does not show the border of anything."
	}
	finding := func(id, value, meaning string, d draft.Decision, p float64) draft.Finding {
		return draft.Finding{
			ID: id, Model: model, Route: "endoscopy", Class: meaning, Role: analysis.RoleFinding, Code: code(value, "SCT", meaning), Decision: d,
			By: draft.Author{Name: "Nilsen^Kari"}, Probability: p, Threshold: 0.5, Flagged: 4, Analysed: 58,
			Why: "Flagged in 4 of 58 frames analysed, most clearly in image 3.",
		}
	}
	first := finding("2.25.11", "68496003", "Polyp of colon", draft.Accepted, 0.923)
	first.SiteText, first.SizeMM, first.Paris = "Ascending colon", 6, "0-Is"
	second := finding("2.25.12", "64766004", "Ulcerative colitis", draft.Proposed, 0.71)
	third := finding("2.25.13", "32713005", "Cecum", draft.Proposed, 0.88)
	third.Role = analysis.RoleLandmark
	fourth := finding("2.25.14", "16294009", "Esophagitis", draft.Rejected, 0.55)
	section := func(name, value, head, text string) draft.Section {
		return draft.Section{Name: name, Code: code(value, "LN", head), Head: head, Text: text, Fill: draft.FillPerson}
	}
	return draft.Document{
		Schema: draft.Schema, Study: "2.25.1", Number: 1, Version: 3, Standing: draft.Drafted, At: at, Author: gatewayAuthor,
		Language: "en", Template: "colonoscopy", Title: code("18746-8", "LN", "Colonoscopy study"),
		Patient: draft.Patient{ID: "030517 12345", Issuer: "NHN", Name: "Yamada^Hanako=山田^花子=やまだ^はなこ", BirthDate: "19530517", Sex: "F"},
		Order: &draft.Order{
			Accession: "A20260002", Placer: "P-8812", Service: code("73761001", "SCT", "Colonoscopy"),
			Reason: "Positive faecal immunochemical test", Requester: "Hansen^Ola", Referrer: "Ødegård^Åse",
		},
		Examination: draft.Examination{
			StartedAt: at.Add(-40 * time.Minute), EndedAt: at.Add(-15 * time.Minute), Description: "Colonoscopy", Station: "ENDO-2",
			Performer: "Nilsen^Kari", Images: 60,
		},
		Sections: []draft.Section{
			section("indication", "18785-6", "Indication", "Positive faecal immunochemical test"),
			section("history", "11329-0", "History", draft.ToBeCompleted),
			section("sedation", "29549-3", "Sedation and consent", draft.ToBeCompleted),
			section("procedure", "55111-9", "Procedure", "Image of the cecum recorded (image 12).\nExtent reached, preparation (BBPS) and times: "+draft.ToBeCompleted),
			section("findings", "59776-5", "Findings", "AI proposes what follows; each needs a person's decision."),
			section("interventions", "", "Interventions", draft.ToBeCompleted),
			section("complications", "55109-3", "Complications", draft.ToBeCompleted),
			section("impression", "19005-8", "Impression", "Polyp of colon: AI-detected, requires confirmation.\nUlcerative colitis: AI-detected, requires confirmation."),
			section("recommendations", "18783-1", "Recommendations", draft.ToBeCompleted),
			section("key-images", "55113-5", "Key images", "One chosen by hand."),
		},
		Findings: []draft.Finding{first, second, third, fourth},
		KeyImages: []draft.KeyImage{
			{Finding: "2.25.11", Frame: frame(3, 0.923, "upper right, 2 o'clock"), Why: why("Polyp of colon"), Caption: "Image 3: polyp of colon 0.92", By: gatewayAuthor},
			{Finding: "2.25.11", Frame: frame(5, 0.87, "left"), Why: why("Polyp of colon"), Caption: "Image 5: polyp of colon 0.87", By: gatewayAuthor},
			{Finding: "2.25.11", Frame: frame(7, 0.81, "centre"), Why: why("Polyp of colon"), By: gatewayAuthor},
			{Finding: "2.25.12", Frame: frame(8, 0.71, "below"), Why: why("Ulcerative colitis"), Caption: "Image 8: ulcerative colitis 0.71", By: gatewayAuthor},
			{Finding: "2.25.13", Frame: frame(2, 0.88, ""), Why: "Landmark image recorded.", Caption: "Image 2: cecum 0.88", By: gatewayAuthor},
			{Frame: frame(9, 0, ""), Why: "Chosen by hand.", Caption: "Image 9", By: draft.Author{Name: "Nilsen^Kari"}},
		},
		Disclosure: draft.Disclosure{
			Models: []draft.ModelUse{{
				Model: model, Route: "endoscopy", IntendedUse: "Demonstration; not a medical device", Analysed: 58,
				Thresholds: map[string]float64{"polyp": 0.5, "ulcerative-colitis": 0.5, "cecum": 0.6},
			}},
			Frames: draft.Extent{Instances: 60, Analysed: 58, Skipped: 1, Failed: 1, Frames: 58},
			Masked: []string{"overlay at the left"}, Skipped: []string{"1: no picture in it"}, Failed: []string{"1: JPEG is damaged"},
			Text: "Findings were proposed by neural networks. They do not see what is not in the pictures, and a picture that was not flagged says nothing about what is there.",
		},
		Notices: []string{"Two images came after the draft of 09:38 and are in this one."},
	}
}

func samples(t testing.TB) map[string]draft.Document {
	return map[string]draft.Document{
		"usual": usual(), "verified": verified(), "withdrawn": withdrawn(), "crowded": crowded(), "bare": bare(),
		"made-en": made(t, "en"), "made-de": made(t, "de"), "made-nb": made(t, "nb"),
	}
}

// TestRender_look writes the documents where LOOK says, for people to look at.
func TestRender_look(t *testing.T) {
	dir := os.Getenv("LOOK")
	for name, doc := range samples(t) {
		began := time.Now()
		b := render(t, doc)
		t.Log(name, len(b), "bytes", time.Since(began).Round(time.Millisecond))
		if dir != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name+".pdf"), b, 0o600))
		}
		require.True(t, bytes.HasPrefix(b, []byte("%PDF-")))
	}
}
