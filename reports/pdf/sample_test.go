package pdf

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

// made is a draft as the gateway makes it: two models, landmarks, quality, several frames of one finding.
func made(t testing.TB, language string) draft.Document {
	t.Helper()
	sct := func(value, meaning string) dicom.Code { return code(value, "SCT", meaning) }
	normal, colon := sct("17621005", "Normal"), sct("71854001", "Colon")
	classes := []analysis.Class{
		{Name: "polyp", Role: analysis.RoleFinding, Threshold: 0.5, Finding: sct("68496003", "Polyp of colon"), Site: colon},
		{Name: "ulcerative-colitis", Role: analysis.RoleFinding, Threshold: 0.5, Finding: sct("64766004", "Ulcerative colitis"), Site: colon},
		{Name: "normal-cecum", Role: analysis.RoleLandmark, Threshold: 0.5, Finding: normal, Site: sct("32713005", "Cecum")},
		{Name: "inadequate-preparation", Role: analysis.RoleQuality, Threshold: 0.5, Finding: sct("413261003", "Inadequate bowel preparation"), Site: colon},
	}
	const study = "2.25.1"
	still := func(n int, found map[string]float64) draft.Instance {
		i := draft.Instance{
			SOPInstance: dicom.SOPInstance{
				SOPClassUID: dicom.VLEndoscopicImageStorage, SOPInstanceUID: dicom.UID(fmt.Sprintf("%s.1.%d", study, n)),
				SeriesInstanceUID: study + ".1", StudyInstanceUID: study,
			},
			Number: n, Frames: 1,
		}
		r := analysis.Result{Span: analysis.Still(1), Rows: 576, Columns: 720, Scores: map[string]float64{}}
		for _, c := range classes {
			r.Scores[c.Name] = found[c.Name]
			if found[c.Name] < c.Threshold {
				continue
			}
			f := c.Seen(found[c.Name])
			if c.Role == analysis.RoleFinding {
				h := i.SOPInstance
				h.SOPClassUID, h.SOPInstanceUID, h.SeriesInstanceUID = dicom.SecondaryCaptureImageStorage, i.SOPInstanceUID+".9", study+".9"
				f.Heatmap, i.Heatmaps = h.SOPInstanceUID, []dicom.SOPInstance{h}
				f.Drawn = &analysis.Drawn{Explanation: analysis.Explanation{Method: "gradcam"}, Masked: [][4]int{{0, 300, 100, 400}}}
				f.Contours = [][][2]float64{{{400, 60}, {520, 60}, {520, 160}, {400, 160}, {400, 60}}}
			}
			r.Findings = append(r.Findings, f)
		}
		i.Results = []analysis.Result{r}
		return i
	}
	var instances []draft.Instance
	for n := 1; n <= 60; n++ {
		found := map[string]float64{}
		switch {
		case n%9 == 3:
			found["polyp"] = 0.6 + float64(n)/200
		case n == 20 || n == 21:
			found["ulcerative-colitis"] = 0.71
		case n == 12:
			found["normal-cecum"] = 0.88
		case n == 40:
			found["inadequate-preparation"] = 0.77
		}
		instances = append(instances, still(n, found))
	}
	instances[58].Results, instances[58].Failed = nil, "the JPEG is damaged"
	instances[59].Results, instances[59].Skipped = nil, "no picture in it"
	at := time.Date(2026, 3, 5, 9, 41, 0, 0, time.UTC)
	model := analysis.Model{Manufacturer: "endogate", Name: "demo-colon", Version: "1.2.0", Digest: strings.Repeat("ab", 32)}
	other := analysis.Model{Manufacturer: "Another Vendor", Name: "polyp-net", Version: "2.1", Digest: strings.Repeat("cd", 32)}
	in := draft.Input{
		Study: study, At: at, Language: language,
		Patient: usual().Patient, Order: usual().Order, Examination: usual().Examination,
		Exams: []draft.Exam{
			{
				Model: model, Route: "endoscopy", IntendedUse: "Demonstration. Not for clinical use.", Classes: classes, Masked: [][4]float64{{0, 0.62, 0.38, 1}}, Report: "2.25.77", Instances: instances,
				Explained: func(e analysis.Explanation) string { return "Words of " + e.Method },
			},
			{Model: other, Route: "endoscopy", IntendedUse: "Polyps", Classes: classes[:1], Instances: instances[:10]},
		},
		Quality: func(dicom.SOPInstance, analysis.Span) (draft.Quality, error) {
			return draft.Quality{Sharpness: 0.7, Exposure: 0.8}, nil
		},
	}
	for _, i := range instances {
		in.Examination.Instances = append(in.Examination.Instances, draft.Image{Instance: i.SOPInstance, Number: i.Number, Frames: 1, Rows: 576, Columns: 720})
	}
	doc, err := templates().New(in)
	require.NoError(t, err)
	return doc
}

// verified is usual with the signature of a person whom the reporting system knows.
func verified() draft.Document {
	doc := usual()
	doc.Standing = draft.Signed
	doc.Signature = &draft.Signature{By: draft.Author{Name: "Nilsen^Kari"}, At: doc.At.Add(time.Hour), Verified: true}
	return doc
}

func withdrawn() draft.Document {
	doc := verified()
	doc.Version++
	doc.Standing, doc.Reason = draft.Withdrawn, "Images of another patient were in this study."
	doc.Signature = &draft.Signature{By: draft.Author{Name: "kari", Unauthenticated: true}, At: doc.At.Add(2 * time.Hour), Reason: doc.Reason}
	doc.Predecessor = &draft.Reference{Number: 1, Version: 3}
	return doc
}

// crowded is more than a page was made for: long names in every script, long words, many findings, models and notices.
func crowded() draft.Document {
	doc := usual()
	doc.Patient.Name = "Παπαδοπούλου-Αναγνωστοπούλου^Αικατερίνη Μαρία Ελένη^^Δρ.=Щербатова-Преображенская^Александра=歐陽上官司馬諸葛^娜娜娜娜娜娜"
	doc.Patient.ID, doc.Patient.Issuer = strings.Repeat("1234567890", 6), strings.Repeat("Issuer", 20)
	doc.Order.Reason = strings.Repeat("Abklärung unklarer Beschwerden mit Wechsel von Durchfall und Verstopfung; ", 12)
	doc.Order.Requester = "Wolfeschlegelsteinhausenbergerdorff^Hubert Blaine^^Prof. Dr. med."
	doc.Order.Service.Meaning = "Koloskopie" + strings.Repeat("untersuchung", 12)
	doc.Sections[1].Text = strings.Repeat("患者は大腸内視鏡検査を受けた。", 40) + "\n" + strings.Repeat("Ψηφιακό κείμενο ", 60) + "\n" + strings.Repeat("x", 700)
	doc.Sections[1].Head = strings.Repeat("A very long heading ", 12)
	for i := range 24 {
		f := doc.Findings[i%2]
		f.ID = fmt.Sprintf("2.25.1000%d", i)
		f.Code.Meaning = strings.Repeat("Adenomatöse Läsion ", 1+i%7)
		f.Text = strings.Repeat("Person's remark. ", i*3)
		doc.Findings = append(doc.Findings, f)
		for n := range i % 5 {
			k := doc.KeyImages[n%4]
			k.Finding, k.Frame.Number = f.ID, i+n
			k.Caption = strings.Repeat("Caption ", 1+n*4)
			doc.KeyImages = append(doc.KeyImages, k)
		}
	}
	for i := range 6 {
		m := doc.Disclosure.Models[0]
		m.Name, m.IntendedUse = strings.Repeat("model-with-a-long-name-", 3), strings.Repeat("for use by people who know ", 1+i*4)
		for c := range 30 {
			m.Thresholds[fmt.Sprintf("class-%d", c)] = 0.5
		}
		doc.Disclosure.Models = append(doc.Disclosure.Models, m)
	}
	doc.Notices = append(doc.Notices, strings.Repeat("A long notice. ", 60))
	return doc
}

// bare has next to nothing in it.
func bare() draft.Document { return draft.Document{Standing: draft.Drafted} }
