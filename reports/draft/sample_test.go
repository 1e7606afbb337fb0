package draft

import (
	"fmt"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

var (
	demo    = analysis.Model{Manufacturer: "endogate", Name: "demo-colon", Version: "1.0.0", Digest: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
	second  = analysis.Model{Manufacturer: "another", Name: "polyp-net", Version: "2.1", Digest: "fedcba98"}
	polyp   = dicom.Code{Value: "68496003", Scheme: "SCT", Meaning: "Polyp of colon"}
	normal  = dicom.Code{Value: "17621005", Scheme: "SCT", Meaning: "Normal"}
	colon   = dicom.Code{Value: "71854001", Scheme: "SCT", Meaning: "Colon"}
	cecum   = dicom.Code{Value: "32713005", Scheme: "SCT", Meaning: "Cecum"}
	gullet  = dicom.Code{Value: "32849002", Scheme: "SCT", Meaning: "Esophagus"}
	sigmoid = dicom.Code{Value: "60184004", Scheme: "SCT", Meaning: "Sigmoid colon"}
	dyed    = dicom.Code{Value: "KV-DLP", Scheme: "99ENDOGATE", Meaning: "Dyed lifted polyp"}
	dirty   = dicom.Code{Value: "413261003", Scheme: "SCT", Meaning: "Inadequate bowel preparation"}

	classes = []analysis.Class{
		{Name: "polyp", Role: analysis.RoleFinding, Threshold: 0.5, Finding: polyp, Site: colon},
		{Name: "dyed-lifted-polyps", Role: analysis.RoleFinding, Threshold: 0.6, Finding: dyed, Site: colon},
		{Name: "normal-cecum", Role: analysis.RoleLandmark, Threshold: 0.5, Finding: normal, Site: cecum},
		{Name: "normal-mucosa", Role: analysis.RoleNormal, Threshold: 0.5, Finding: normal, Site: colon},
		{Name: "inadequate-preparation", Role: analysis.RoleQuality, Threshold: 0.5, Finding: dirty, Site: colon},
		{Name: "esophagus", Role: analysis.RoleLandmark, Threshold: 0.5, Finding: normal, Site: gullet},
	}

	anna = Author{Name: "Dr. Anna Weiß"}
	noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
)

const study = dicom.UID("1.2.826.0.1.3680043.8.498.1")

// still is the instance of that number with what was found in it: class and probability.
func still(number int, found map[string]float64) Instance {
	uid := dicom.UID(fmt.Sprintf("%s.1.%d", study, number))
	i := Instance{
		SOPInstance: dicom.SOPInstance{SOPClassUID: dicom.UID("1.2.840.10008.5.1.4.1.1.77.1.1"), SOPInstanceUID: uid, SeriesInstanceUID: study + ".1", StudyInstanceUID: study},
		Number:      number, Frames: 1,
	}
	r := analysis.Result{Span: analysis.Still(1), Rows: 480, Columns: 640, Scores: map[string]float64{}}
	for _, c := range classes {
		r.Scores[c.Name] = found[c.Name]
		if found[c.Name] < c.Threshold {
			continue
		}
		f := c.Seen(found[c.Name])
		if c.Role == analysis.RoleFinding {
			h := i.SOPInstance
			h.SOPInstanceUID, h.SeriesInstanceUID = uid+".9", study+".9"
			f.Heatmap = h.SOPInstanceUID
			f.Contours = [][][2]float64{{{400, 60}, {520, 60}, {520, 160}, {400, 160}, {400, 60}}}
			i.Heatmaps = []dicom.SOPInstance{h}
		}
		r.Findings = append(r.Findings, f)
	}
	i.Results = []analysis.Result{r}
	return i
}

// sample is a colonoscopy with something of everything.
func sample() Input {
	instances := []Instance{
		still(1, map[string]float64{"polyp": 0.91}), still(2, map[string]float64{"polyp": 0.77}), still(3, map[string]float64{"normal-cecum": 0.83}),
		still(4, map[string]float64{"normal-mucosa": 0.99}), still(5, map[string]float64{"inadequate-preparation": 0.7}),
		still(6, map[string]float64{"esophagus": 0.66}),
	}
	broken := still(7, nil)
	broken.Results, broken.Failed = nil, "a marker is missing"
	skipped := still(8, nil)
	skipped.Results, skipped.Skipped = nil, "transfer syntax is not decoded here"
	in := Input{
		Study: study, At: noon, Language: "en",
		Patient: Patient{ID: "P1", Issuer: "HOSP", Name: "Doe^Jane^^Dr.", BirthDate: "19700203", Sex: "F"},
		Order: &Order{
			Accession: "A1", Placer: "PL1", Filler: "FI1", RequestedProcedureID: "RP1",
			Service: dicom.Code{Value: "73761001", Scheme: "SCT", Meaning: "Colonoscopy"}, Reason: "Rectal bleeding", Requester: "House^Greg",
		},
		Examination: Examination{StartedAt: noon.Add(-time.Hour), EndedAt: noon.Add(-40 * time.Minute), Description: "Colonoscopy", Station: "ROOM1", Images: 8},
		Exams: []Exam{
			{
				Model: demo, Route: "endoscopy", IntendedUse: "Demonstration. Not for clinical use.", Classes: classes, Masked: [][4]float64{{0, 0.62, 0.38, 1}},
				Report: "2.25.77", Instances: append(instances, broken, skipped),
			},
			{Model: second, Route: "endoscopy", IntendedUse: "Polyps", Classes: classes[:2], Instances: []Instance{still(1, map[string]float64{"polyp": 0.6, "dyed-lifted-polyps": 0.8})}},
		},
	}
	for n := 1; n <= 8; n++ {
		in.Examination.Instances = append(in.Examination.Instances, Image{Instance: still(n, nil).SOPInstance, Number: n, Frames: 1, Rows: 480, Columns: 640})
	}
	return in
}
