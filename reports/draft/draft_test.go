package draft

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

func section(t testing.TB, d Document, name string) Section {
	t.Helper()
	i := slices.IndexFunc(d.Sections, func(s Section) bool { return s.Name == name })
	require.GreaterOrEqual(t, i, 0, "section %s", name)
	return d.Sections[i]
}

func made(t testing.TB, in Input) Document {
	t.Helper()
	d, err := Default().New(in)
	require.NoError(t, err)
	return d
}

func applied(t testing.TB, d Document, edits ...Edit) Document {
	t.Helper()
	next, err := Default().Apply(d, edits, anna, noon.Add(time.Hour))
	require.NoError(t, err)
	return next
}

func ofModel(t testing.TB, d Document, model, class string) Finding {
	t.Helper()
	i := slices.IndexFunc(d.Findings, func(f Finding) bool { return f.Model.Name == model && f.Class == class })
	require.GreaterOrEqual(t, i, 0, "%s of %s", class, model)
	return d.Findings[i]
}

// Golden texts of the sample in each language, to be read by people.
func TestText_golden(t *testing.T) {
	for _, l := range Default().Languages() {
		in := sample()
		in.Language = l
		got := Text(made(t, in))
		file := filepath.Join("testdata", "sample-"+l+".txt")
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, string(want), got, l)
	}
}

func TestNew(t *testing.T) {
	d := made(t, sample())
	assert.Equal(t, d, made(t, sample()), "the same again")
	assert.Equal(t, "colonoscopy", d.Template)
	assert.Equal(t, dicom.Code{Value: "18746-8", Scheme: "LN", Meaning: "Colonoscopy study"}, d.Title)

	var all []string
	for _, f := range d.Findings {
		all = append(all, f.Model.Name+" "+f.Class+" "+string(f.Role)+" "+f.Code.Meaning)
		assert.Equal(t, Proposed, f.Decision)
	}
	assert.Equal(t, []string{
		"demo-colon polyp finding Polyp of colon", "polyp-net dyed-lifted-polyps finding Dyed lifted polyp", "polyp-net polyp finding Polyp of colon",
		"demo-colon normal-cecum landmark Cecum", "demo-colon inadequate-preparation quality Inadequate bowel preparation",
	}, all, "several models stay apart; a class taken for normal is no finding; a landmark is its site; the gullet is none of a colonoscopy")
	assert.Equal(t, []dicom.Code{gullet}, d.Disclosure.Contradicting)
	assert.Equal(t, Extent{Instances: 8, Analysed: 6, Skipped: 1, Failed: 1, Frames: 6}, d.Disclosure.Frames)
	assert.Equal(t, []string{"1 × demo-colon: a marker is missing"}, d.Disclosure.Failed)

	f := ofModel(t, d, "demo-colon", "polyp")
	assert.Equal(t, 2, f.Flagged)
	assert.Equal(t, 6, f.Analysed)
	assert.Equal(t, "in the upper right, at 1 o'clock", f.Frames[0].Position)
	assert.Equal(t, study+".1.1.9", f.Frames[0].Heatmap.SOPInstanceUID)

	for name, what := range map[string]string{
		"history": ToBeCompleted, "sedation": ToBeCompleted, "complications": ToBeCompleted, "recommendations": ToBeCompleted, "specimens": ToBeCompleted,
		"indication": "Rectal bleeding", "header": "Requested by: House, Greg. Referred by: not provided",
		"procedure": "Cecum: landmark image recorded (image 3)", "interventions": "possibly a lifted polyp or a resection site is visible in image 1",
		"impression": "- Polyp of colon (demo-colon 1.0.0): AI-detected, requires confirmation.", "findings": "Location: " + ToBeCompleted,
		"disclosure": "“normal-cecum” 0.50",
	} {
		assert.Contains(t, section(t, d, name).Text, what, name)
	}
	for _, s := range d.Sections {
		if s.Fill == FillPerson {
			for line := range strings.Lines(s.Text) {
				assert.True(t, strings.HasSuffix(strings.TrimSpace(line), ToBeCompleted), "%s: %s", s.Name, line)
			}
		}
	}
}

func TestNew_nothingAnalysed(t *testing.T) {
	in := sample()
	for e := range in.Exams {
		for i := range in.Exams[e].Instances {
			in.Exams[e].Instances[i].Results, in.Exams[e].Instances[i].Failed = nil, "no"
		}
	}
	none := sample()
	none.Exams, none.Order = nil, nil
	cancelled, retracted := sample(), sample()
	for e := range cancelled.Exams {
		retracted.Exams[e].Retracted = "wrong patient"
		for i := range cancelled.Exams[e].Instances {
			cancelled.Exams[e].Instances[i].Results, cancelled.Exams[e].Instances[i].Failed = nil, ""
			cancelled.Exams[e].Instances[i].Skipped = "the order was cancelled"
		}
	}
	retracted.Exams[0].Instances = retracted.Exams[0].Instances[:6]
	for language, say := range map[string][3]string{
		"en": {"Analysis failed: 0 frames were analysed.", "Not analysed: 0 frames", "All results of the AI were retracted"},
		"de": {"Analyse fehlgeschlagen: 0", "Nicht analysiert: 0 Einzelbilder", "Alle Ergebnisse der KI wurden"},
		"nb": {"Analysen mislyktes: 0", "Ikke analysert: 0 enkeltbilder", "Alle resultater fra KI er trukket tilbake"},
	} {
		for i, in := range []Input{in, none, cancelled, retracted} {
			in.Language = language
			d := made(t, in)
			for _, name := range []string{"findings", "impression", "disclosure"} {
				assert.Contains(t, section(t, d, name).Text, say[[]int{0, 1, 1, 2}[i]])
			}
			assert.Equal(t, i == 0, strings.Contains(Text(d), say[0]), "what did not fail is not said to have failed")
			assert.Equal(t, []int{7, 0, 0, 0}[i], d.Disclosure.Frames.Failed)
			assert.NotContains(t, Text(d), "did not flag")
		}
	}
	assert.Equal(t, []string{"1 × polyp-net: wrong patient", "6 × demo-colon: wrong patient"}, slices.Sorted(slices.Values(made(t, retracted).Disclosure.TakenBack)))
	d := made(t, none)
	assert.Equal(t, "not provided", section(t, d, "indication").Text)
	assert.Contains(t, section(t, d, "header").Text, "Accession: not provided.")
	none.Examination.Accession = "A7"
	assert.Contains(t, section(t, made(t, none), "header").Text, "Accession: A7.", "as the images have it")
}

// Two places cannot be in one picture: neither is said to have been seen.
func TestNew_contradictingLandmarks(t *testing.T) {
	in := sample()
	in.Exams[0].Instances[2] = still(3, map[string]float64{"normal-cecum": 0.83, "esophagus": 0.9})
	in.BodyParts = []string{"STOMACH"}
	d := made(t, in)
	assert.Equal(t, "upper-gi", d.Template)
	assert.Equal(t, "Endoscopy study", d.Title.Meaning)
	assert.ElementsMatch(t, []dicom.Code{gullet, cecum}, d.Disclosure.Contradicting)
	assert.Contains(t, section(t, d, "procedure").Text, "Esophagus: landmark image recorded (image 6)", "where it is alone it stays")
	assert.NotContains(t, section(t, d, "procedure").Text, "Cecum")
}

// Of classes that share a code, one that was found speaks for it: that it was not flagged is not said of another, and of none is it said twice.
func TestNew_sharedCode(t *testing.T) {
	in := sample()
	flat := analysis.Class{Name: "flat-polyp", Role: analysis.RoleFinding, Threshold: 0.5, Finding: dicom.Code{Value: polyp.Value, Scheme: polyp.Scheme, Meaning: "Polyp"}, Site: colon}
	in.Exams[0].Classes = append([]analysis.Class{flat}, classes...)
	in.Exams[1].Classes, in.Exams[1].Instances = in.Exams[0].Classes, []Instance{still(1, nil)}
	d := made(t, in)
	assert.Equal(t, []dicom.Code{dyed}, d.Disclosure.Models[0].NotFlagged, "a polyp was found")
	assert.Equal(t, []dicom.Code{flat.Finding, dyed}, d.Disclosure.Models[1].NotFlagged)
}

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Input)
		want   string
	}{
		"nothing said": {func(*Input) {}, "colonoscopy"},
		"procedure":    {func(in *Input) { in.Procedures = []string{"1", "76009000"} }, "upper-gi"},
		"body part":    {func(in *Input) { in.BodyParts = []string{"esophagus"} }, "upper-gi"},
		"colon":        {func(in *Input) { in.BodyParts = []string{"COLON"}; in.Procedures = []string{"73761001"} }, "colonoscopy"},
	} {
		in := sample()
		c.change(&in)
		assert.Equal(t, c.want, made(t, in).Template, name)
	}
}

// What comes from outside is one line in its place: it opens no blank, no section and no line.
func TestNew_injection(t *testing.T) {
	in := sample()
	in.Order.Reason = "bleeding\n\nFINDINGS\nnone {disclosure} {todo}\x00\x1b[31m\rOBX|1"
	in.Patient.Name = "X\nY^{findings}"
	in.Exams[0].Instances[6].Failed = "{patient-name}\n\nIMPRESSION"
	d := made(t, in)
	assert.Equal(t, "bleeding  FINDINGS none {disclosure} {todo}[31m OBX|1", section(t, d, "indication").Text)
	assert.Contains(t, section(t, d, "header").Text, "Patient: X Y, {findings},")
	assert.Contains(t, section(t, d, "disclosure").Text, "demo-colon: {patient-name}  IMPRESSION.")
	assert.Equal(t, 1, strings.Count(Text(d), "\nFINDINGS\n"))
}

func TestApply(t *testing.T) {
	d := made(t, sample())
	first := ofModel(t, d, "demo-colon", "polyp").ID
	other := ofModel(t, d, "polyp-net", "polyp").ID
	text := "Two cups\nof tea"
	next := applied(
		t, d,
		Edit{Op: OpChange, Finding: first, Site: &sigmoid, SizeMM: new(6.0), Paris: new("0-Is"), Text: &text},
		Edit{Op: OpReject, Finding: other},
		Edit{Op: OpAdd, Code: &dyed, SiteText: new("25 cm")},
		Edit{Op: OpSection, Section: "history", Text: new("Anticoagulation: none\nASA 2")},
		Edit{Op: OpChoose, Finding: first, Instance: study + ".1.5"},
	)
	assert.Equal(t, 2, next.Version)
	assert.Equal(t, anna, next.Author)
	assert.Equal(t, made(t, sample()), d, "the version before stays as it was")

	f := ofModel(t, next, "demo-colon", "polyp")
	assert.Equal(t, Changed, f.Decision)
	assert.Equal(t, &colon, f.SiteProposal)
	assert.Contains(t, section(t, next, "findings").Text, "Polyp of colon: confirmed by Dr. Anna Weiß.")
	assert.Contains(t, section(t, next, "findings").Text, "Location: Sigmoid colon. Size: 6 mm. Morphology (Paris): 0-Is.")
	assert.Contains(t, section(t, next, "findings").Text, "Two cups of tea")
	assert.NotContains(t, section(t, next, "impression").Text, "Polyp of colon (polyp-net 2.1)", "rejected")
	assert.Contains(t, section(t, next, "impression").Text, "Dyed lifted polyp: entered by Dr. Anna Weiß, 25 cm.")
	assert.Equal(t, anna, section(t, next, "history").By)
	var images []string
	for _, k := range next.KeyImages {
		if k.Finding == first {
			images = append(images, k.Frame.image()+" "+k.By.Name)
		}
	}
	assert.Equal(t, []string{"5 Dr. Anna Weiß"}, images, "a person's choice stands in the place of the gateway's")

	accepted := applied(t, next, Edit{Op: OpAccept, Finding: first})
	assert.Equal(t, colon, ofModel(t, accepted, "demo-colon", "polyp").Site, "what is accepted is what the model said")
	assert.Equal(t, Accepted, ofModel(t, accepted, "demo-colon", "polyp").Decision)
	own := next.Findings[len(next.Findings)-1]
	assert.Len(t, applied(t, next, Edit{Op: OpRemove, Finding: own.ID}).Findings, len(d.Findings))
}

func TestApply_refuses(t *testing.T) {
	d := made(t, sample())
	id := d.Findings[0].ID
	long := strings.Repeat("x", maxText+1)
	for what, e := range map[string]Edit{
		"no such op":                          {Op: "eat"},
		"finding is missing":                  {Op: OpAccept},
		"there is no finding":                 {Op: OpAccept, Finding: "1.2"},
		"paris has no meaning here":           {Op: OpReject, Finding: id, Paris: new("0-Is")},
		"nothing to change":                   {Op: OpChange, Finding: id},
		"paris: must be":                      {Op: OpChange, Finding: id, Paris: new("II")},
		"size_mm: must be":                    {Op: OpChange, Finding: id, SizeMM: new(-1.0)},
		"code: value":                         {Op: OpAdd, Code: &dicom.Code{Scheme: "SCT", Meaning: "x"}},
		"only a finding that a person":        {Op: OpRemove, Finding: id},
		"the report has no such section":      {Op: OpSection, Section: "poetry", Text: new("x")},
		"the gateway alone writes":            {Op: OpSection, Section: "header", Text: new("Patient: Somebody Else")},
		"what the machine did from":           {Op: OpSection, Section: "disclosure", Text: new("no AI")},
		"text: longer":                        {Op: OpSection, Section: "history", Text: &long},
		"text: a control":                     {Op: OpSection, Section: "history", Text: new("a\x00")},
		"the study has no such frame":         {Op: OpChoose, Finding: id, Instance: "1.2.3"},
		"this frame is no key image":          {Op: OpDrop, Finding: id, Instance: study + ".1.4"},
		"images: names 1 of":                  {Op: OpOrder, Images: []ImageRef{d.KeyImages[0].ref()}},
		"there is no such version":            {Op: OpUndo},
		"version 1 of this draft is not at":   {Op: OpUndo, Version: 1},
		"site_text: a control character":      {Op: OpChange, Finding: id, SiteText: new("a\nb")},
		"caption: longer than":                {Op: OpChoose, Instance: study + ".1.4", Caption: &long},
		"images: one is no key image":         {Op: OpOrder, Images: []ImageRef{{Instance: "1"}}},
		"text has no meaning here":            {Op: OpDrop, Instance: "1", Text: new("")},
		"version: counts from 1":              {Op: OpUndo, Version: -1},
		"frame: counts from 1":                {Op: OpDrop, Instance: "1", Frame: -2},
		"is missing":                          {Op: OpSection, Section: "history"},
		"meaning: a backslash":                {Op: OpAdd, Code: &dicom.Code{Value: "1", Scheme: "SCT", Meaning: `a\b`}},
		"there is no finding with this ID in": {Op: OpChoose, Finding: "9", Instance: study + ".1.4"},
	} {
		_, err := Default().Apply(d, []Edit{{Op: OpAccept, Finding: id}, e}, anna, noon)
		var edit *EditError
		require.ErrorAs(t, err, &edit, what)
		assert.Equal(t, 1, edit.Index)
		assert.Contains(t, err.Error(), what)
	}
	_, err := Default().Apply(d, nil, anna, noon)
	require.ErrorContains(t, err, "0 edits")
	_, err = Default().Apply(d, []Edit{{Op: OpAccept, Finding: id}}, Author{}, noon)
	require.ErrorContains(t, err, "name of a person")
}

func TestSign(t *testing.T) {
	d := made(t, sample())
	signed, err := Default().Sign(d, anna, noon, false)
	require.NoError(t, err)
	assert.Equal(t, Signed, signed.Standing)
	assert.True(t, strings.HasPrefix(Text(signed), Unverified), "signed is not verified")
	verified, err := Default().Sign(d, anna, noon, true)
	require.NoError(t, err)
	assert.NotContains(t, Text(verified), Unverified)

	_, err = Default().Apply(signed, []Edit{{Op: OpAccept, Finding: d.Findings[0].ID}}, anna, noon)
	var standing *StandingError
	require.ErrorAs(t, err, &standing)
	_, err = Default().Sign(signed, anna, noon, false)
	require.ErrorAs(t, err, &standing)
	_, err = Default().Amend(d, anna, noon, "why")
	require.ErrorAs(t, err, &standing)
	_, err = Default().Amend(signed, anna, noon, "")
	require.EqualError(t, err, "draft: a reason is needed: say in one line why (reason)")
	assert.Equal(t, 8, signed.Signature.Open)
	assert.Contains(t, Text(signed), "! Signed while 8 sections still had something to be completed.")

	amending, err := Default().Amend(signed, anna, noon, "wrong site")
	require.NoError(t, err)
	assert.Equal(t, &Reference{Number: 1, Version: 2}, amending.Predecessor)
	assert.Nil(t, amending.Signature)
	amended, err := Default().Sign(applied(t, amending, Edit{Op: OpReject, Finding: d.Findings[0].ID}), anna, noon, true)
	require.NoError(t, err)
	assert.Equal(t, Amended, amended.Standing)
	assert.Equal(t, "wrong site", amended.Signature.Reason)
	assert.Equal(t, amending.Predecessor, amended.Predecessor)

	withdrawn, err := Default().Withdraw(amended, anna, noon, "wrong patient")
	require.NoError(t, err)
	assert.Equal(t, amended.Reference(), *withdrawn.Predecessor)
	assert.Contains(t, Text(withdrawn), "WITHDRAWN: wrong patient")
	withdrawn, err = Default().Withdraw(amending, anna, noon, "wrong patient")
	require.NoError(t, err)
	assert.Equal(t, signed.Reference(), *withdrawn.Predecessor, "what was signed, not its unfinished correction")
	_, err = Default().Withdraw(withdrawn, anna, noon, "again")
	require.ErrorAs(t, err, &standing)
	assert.NotContains(t, Text(amending), "Signed while")

	_, err = Default().Sign(withdrawn, anna, noon, false)
	require.ErrorContains(t, err, "amend it with a reason: that begins a new draft")
	again, err := Default().Amend(withdrawn, anna, noon, "the right patient")
	require.NoError(t, err)
	assert.Equal(t, []any{2, 1, Drafted, ""}, []any{again.Number, again.Version, again.Standing, again.Reason})
	assert.Equal(t, withdrawn.Reference(), *again.Predecessor)
	assert.Equal(t, []string{"Report 1.4 was withdrawn on 2026-11-29. This is a new draft. New findings: 0."}, again.Notices)
	_, err = Default().Sign(again, anna, noon, false)
	require.NoError(t, err)
}

// Each language has its own marks, words and title, and all times are in the zone that the gateway has.
func TestText_language(t *testing.T) {
	in := sample()
	in.Language, in.Zone = "de", time.FixedZone("", 0)
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	in.Zone = berlin
	d := made(t, in)
	signed, err := Default().Sign(d, anna, noon, false)
	require.NoError(t, err)
	text := Text(signed)
	assert.True(t, strings.HasPrefix(text, Unverified+"\nKI-ENTWURF – NICHT GEPRÜFT\n\nKoloskopie\n"), text[:80])
	for _, want := range []string{
		"höchste Wahrscheinlichkeit 0,91 (Schwelle 0,50)", "„Demonstration. Not for clinical use.“", "Untersuchung: 2026-11-29 12:00 +01:00",
		"Dr. Anna Weiß, 2026-11-29 13:00 +01:00", "Patient: Doe, Jane Dr.", "Einführzeit",
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "höchstens")
	assert.NotContains(t, text, "UTC")
	assert.Contains(t, section(t, d, "disclosure").Text, "Folgendes nicht markiert: Angefärbter unterspritzter Polyp")
}

// The frames of a finding are named in their order, whichever is most probable; an image that a person chooses for no
// finding keeps the map that it has.
func TestImages_order(t *testing.T) {
	in := sample()
	in.Exams[0].Instances[1] = still(2, map[string]float64{"polyp": 0.99})
	d := made(t, in)
	assert.Contains(t, section(t, d, "findings").Text, "Images: 1, 2.")
	chosen := applied(t, d, Edit{Op: OpChoose, Instance: study + ".1.2"})
	k := chosen.KeyImages[len(chosen.KeyImages)-1]
	assert.Equal(t, study+".1.2.9", k.Frame.Heatmap.SOPInstanceUID)
	assert.Equal(t, "Polyp of colon, probability 0.99, image 2, demo-colon 1.0.0", k.Caption)
}

func TestRefresh(t *testing.T) {
	d := made(t, sample())
	first := ofModel(t, d, "demo-colon", "polyp").ID
	edited := applied(
		t, d,
		Edit{Op: OpChange, Finding: first, SizeMM: new(6.0)}, Edit{Op: OpSection, Section: "history", Text: new("written")},
		Edit{Op: OpDrop, Finding: first, Instance: study + ".1.2"},
	)
	in := sample()
	in.At = noon.Add(2 * time.Hour)
	in.Exams[0].Instances = append(in.Exams[0].Instances, still(9, map[string]float64{"polyp": 0.99, "dyed-lifted-polyps": 0.9}))
	in.Notices = []string{"the patient of the order is another"}

	next, err := Default().Refresh(edited, in)
	require.NoError(t, err)
	assert.Equal(t, [2]int{1, 3}, [2]int{next.Number, next.Version})
	f := ofModel(t, next, "demo-colon", "polyp")
	assert.Equal(t, 6.0, f.SizeMM)
	assert.Equal(t, 3, f.Flagged, "what the gateway says is new")
	assert.Equal(t, Proposed, ofModel(t, next, "demo-colon", "dyed-lifted-polyps").Decision)
	assert.Equal(t, "written", section(t, next, "history").Text)
	assert.Equal(t, imagesOf(edited.KeyImages, first), imagesOf(next.KeyImages, first), "images that a person had to do with stay")
	assert.Equal(t, []string{"the patient of the order is another", "Later analyses added findings after a person had worked on this report: 1."}, next.Notices)

	in.Notices = nil
	again, err := Default().Refresh(next, in)
	require.NoError(t, err)
	assert.Equal(t, next.Events, again.Notices, "what is over is said no more")

	signed, err := Default().Sign(edited, anna, noon, false)
	require.NoError(t, err)
	late, err := Default().Refresh(signed, in)
	require.NoError(t, err)
	assert.Equal(t, [2]int{2, 1}, [2]int{late.Number, late.Version})
	assert.Equal(t, Drafted, late.Standing)
	assert.Equal(t, signed.Reference(), *late.Predecessor)
	assert.Nil(t, late.Signature)
	assert.Equal(t, []string{"Images or results came after report 1.3 was signed on 2026-11-29. What was signed is unchanged; this is a new draft. New findings: 1."}, late.Notices)
	assert.Equal(t, 6.0, ofModel(t, late, "demo-colon", "polyp").SizeMM)
}

// A draft keeps its template when what decided about it is not there any more.
func TestRefresh_template(t *testing.T) {
	in := sample()
	in.Order, in.Procedures = nil, nil
	general, err := Default().New(in)
	require.NoError(t, err)
	in.BodyParts = []string{"STOMACH"}
	upper, err := Default().Refresh(general, in)
	require.NoError(t, err)
	require.Equal(t, "upper-gi", upper.Template, "nothing had decided about it")
	in.BodyParts = nil
	next, err := Default().Refresh(upper, in)
	require.NoError(t, err)
	assert.Equal(t, upper.Template, next.Template)
	assert.Equal(t, upper.Title, next.Title)
}

func TestRefresh_retracted(t *testing.T) {
	d := made(t, sample())
	kept, gone := ofModel(t, d, "demo-colon", "polyp").ID, ofModel(t, d, "demo-colon", "normal-cecum").ID
	edited := applied(t, d, Edit{Op: OpAccept, Finding: kept})
	in := sample()
	in.Exams[0].Retracted = "wrong threshold"
	next, err := Default().Refresh(edited, in)
	require.NoError(t, err)
	assert.Contains(t, next.Notices, "The result of demo-colon 1.0.0 was retracted: wrong threshold")
	assert.Equal(t, "wrong threshold", ofModel(t, next, "demo-colon", "polyp").Retracted)
	assert.Contains(t, section(t, next, "findings").Text, "The AI result it came from was retracted: wrong threshold")
	assert.Equal(t, 1, next.Disclosure.Frames.Frames)
	i := slices.IndexFunc(next.Findings, func(f Finding) bool { return f.ID == gone })
	assert.False(t, next.Findings[i].Stands(), "nobody had decided about it")
	assert.Equal(t, "wrong threshold", next.Findings[i].Retracted)
	assert.NotContains(t, section(t, next, "procedure").Text, "Cecum")

	in = sample()
	in.Exams[0].Instances[0].Retracted = "wrong patient"
	next, err = Default().Refresh(edited, in)
	require.NoError(t, err)
	f := ofModel(t, next, "demo-colon", "polyp")
	assert.Equal(t, []any{"", 1, 5, 0.77}, []any{f.Retracted, f.Flagged, f.Analysed, f.Probability}, "what stands stays")
	assert.NotContains(t, strings.Join(next.Notices, " "), "retracted")
	assert.Equal(t, []string{"1 × demo-colon: wrong patient"}, next.Disclosure.TakenBack)
}

// In all languages nothing of the gateway's claims that something is absent or normal, whatever was found, failed or
// decided; what a person or an order says is theirs.
func TestClaims_nothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		in.Order, in.Patient, in.Examination.Description = nil, Patient{}, ""
		for e := range in.Exams {
			in.Exams[e].IntendedUse = "a demonstration"
		}
		d, err := Default().New(in)
		require.NoError(t, err)
		for _, f := range d.Findings {
			next, err := Default().Apply(d, []Edit{{Op: rapid.SampledFrom([]Op{OpAccept, OpReject}).Draw(t, "op"), Finding: f.ID}}, anna, noon)
			require.NoError(t, err)
			d = next
		}
		said := Text(d)
		for _, k := range d.KeyImages {
			said += "\n" + k.Why
		}
		require.Empty(t, claims(d.Language, strings.ReplaceAll(said, Unverified, "")), said)
		for _, f := range d.Findings {
			require.NotEqual(t, normal, f.Code)
		}
	})
}

func TestClaims(t *testing.T) {
	for text, language := range map[string]string{
		"No polyps.": "en", "The cecum is normal": "en", "mucosa unremarkable": "en", "free of lesions": "en", "None": "en", "lesions were not\n seen": "en",
		"Kein Polyp": "de", "Keine Auffälligkeiten": "de", "Schleimhaut unauffällig": "de", "o.B.": "de", "ohne Befund": "de",
		"Ingen polypper": "nb", "normale forhold": "nb", "uten funn": "nb", "u.a.": "nb", "nothing abnormal": "fr",
	} {
		assert.NotEmpty(t, claims(language, text), text)
	}
	assert.Empty(t, claims("en", "Class “normal-cecum” and abnormality; AI did not flag polyps in 12 frames. Image No 3"[:60]))
}

// anyInput is a study with exams of any kind.
func anyInput(t *rapid.T) Input {
	in := sample()
	in.Language = rapid.SampledFrom(Default().Languages()).Draw(t, "language")
	in.BodyParts = rapid.SampledFrom([][]string{nil, {"STOMACH"}, {"COLON"}}).Draw(t, "body part")
	in.Exams = nil
	for e := range rapid.IntRange(0, 3).Draw(t, "exams") {
		exam := Exam{
			Model: rapid.SampledFrom([]analysis.Model{demo, second}).Draw(t, "model"), Route: fmt.Sprint("route", e), IntendedUse: "x", Classes: classes,
			Retracted: rapid.SampledFrom([]string{"", "", "", "wrong"}).Draw(t, "retracted"),
		}
		for n := range rapid.IntRange(0, 6).Draw(t, "instances") {
			i := still(n+1, rapid.MapOf(rapid.SampledFrom([]string{"polyp", "dyed-lifted-polyps", "normal-cecum", "esophagus", "normal-mucosa", "inadequate-preparation"}), rapid.Float64Range(0, 1)).Draw(t, "found"))
			switch rapid.IntRange(0, 5).Draw(t, "outcome") {
			case 0:
				i.Results, i.Failed = nil, "the decoder stopped"
			case 1:
				i.Results, i.Skipped = nil, "not decoded here"
			case 2:
				i.Heatmaps, i.MadeBy = nil, second
				i.Results[0].Span.Count = 16
			case 4:
				i.Retracted = "wrong model"
			case 3:
				for k := range i.Results[0].Findings {
					i.Results[0].Findings[k].Contours = nil
				}
			}
			exam.Instances = append(exam.Instances, i)
		}
		in.Exams = append(in.Exams, exam)
	}
	return in
}

// anyEdit is one that can be made.
func anyEdit(t *rapid.T, d Document) Edit {
	code := func(name string) *dicom.Code {
		return new(rapid.SampledFrom([]dicom.Code{polyp, dyed, {Value: "X1", Scheme: "99LOCAL", Meaning: "Something"}}).Draw(t, name))
	}
	text := func(name string) *string {
		return new(rapid.SampledFrom([]string{"", "a", "two\nlines", "{todo} ü|^&\\", "-"}).Draw(t, name))
	}
	line := func(name string) *string { return new(strings.ReplaceAll(*text(name), "\n", " ")) }
	theirs := slices.DeleteFunc(slices.Clone(d.Sections), Section.gatewayOnly)
	section := Edit{Op: OpSection, Section: rapid.SampledFrom(theirs).Draw(t, "section").Name, Text: text("text")}
	choose := Edit{Op: OpChoose, Instance: dicom.UID(fmt.Sprintf("%s.1.%d", study, rapid.IntRange(1, 8).Draw(t, "instance")))}
	add := Edit{Op: OpAdd, Code: code("added"), Text: text("finding text"), SizeMM: new(rapid.Float64Range(0, 90).Draw(t, "size"))}
	edits := []Edit{section, choose, add}
	if len(d.Findings) > 0 {
		f := rapid.SampledFrom(d.Findings).Draw(t, "finding")
		choose.Finding = f.ID
		edits = append(
			edits, Edit{Op: OpAccept, Finding: f.ID}, Edit{Op: OpReject, Finding: f.ID}, choose,
			Edit{Op: OpChange, Finding: f.ID, Code: code("changed"), Site: &sigmoid, SiteText: line("site text")},
			Edit{Op: OpChange, Finding: f.ID, Paris: new("0-Ip"), SizeMM: new(3.5)},
		)
		if f.Own() {
			edits = append(edits, Edit{Op: OpRemove, Finding: f.ID})
		}
	}
	if len(d.KeyImages) > 0 {
		r := rapid.SampledFrom(d.KeyImages).Draw(t, "image").ref()
		edits = append(edits, Edit{Op: OpDrop, Finding: r.Finding, Instance: r.Instance, Frame: r.Frame})
		var refs []ImageRef
		for _, k := range d.KeyImages {
			refs = append(refs, k.ref())
		}
		edits = append(edits, Edit{Op: OpOrder, Images: rapid.Permutation(refs).Draw(t, "order")})
	}
	return rapid.SampledFrom(edits).Draw(t, "edit")
}

// content is what a document says, without who made the version when.
func content(d Document) string {
	d.Version, d.At, d.Author = 0, time.Time{}, Author{}
	text, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Every sequence of edits and looks of the gateway gives documents that are valid; undoing goes back to what any earlier
// version said, and going back from there to what was said before.
func TestApply_anything(t *testing.T) {
	s := schema(t)
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		d, err := Default().New(in)
		require.NoError(t, err)
		history := []Document{d}
		for range rapid.IntRange(1, 12).Draw(t, "edits") {
			var edits []Edit
			if to := rapid.IntRange(0, 2*len(history)).Draw(t, "undo"); to > 0 && to < len(history) {
				edits = []Edit{{Op: OpUndo, Version: to, Earlier: &history[to-1]}}
			} else {
				edits = []Edit{anyEdit(t, d)}
			}
			next, err := Default().Apply(d, edits, anna, noon)
			require.NoError(t, err, edits)
			require.NoError(t, conforms(s, next))
			require.Equal(t, d.Version+1, next.Version)
			if edits[0].Op == OpUndo {
				require.Equal(t, content(*edits[0].Earlier), content(next), "as it was")
			}
			history = append(history, next)
			d = next
		}
		before := map[int]string{}
		for i, h := range history {
			before[i] = content(h)
		}
		for i := range history[:len(history)-1] {
			back, err := Default().Apply(d, []Edit{{Op: OpUndo, Version: i + 1, Earlier: &history[i]}}, anna, noon)
			require.NoError(t, err)
			require.Equal(t, before[i], content(back))
		}
		for i, h := range history {
			require.Equal(t, before[i], content(h), "nothing in an earlier version changes")
		}
	})
}

// Whatever the gateway finds when it looks again, a person's decisions, texts and images stay.
func TestRefresh_anything(t *testing.T) {
	s := schema(t)
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		d, err := Default().New(in)
		require.NoError(t, err)
		same, err := Default().Refresh(d, in)
		require.NoError(t, err)
		require.Equal(t, content(d), content(same), "nothing new, nothing said")
		for range rapid.IntRange(1, 8).Draw(t, "edits") {
			d, err = Default().Apply(d, []Edit{anyEdit(t, d)}, anna, noon)
			require.NoError(t, err)
		}
		if rapid.Bool().Draw(t, "signed") {
			d, err = Default().Sign(d, anna, noon, false)
			require.NoError(t, err)
		}
		next, err := Default().Refresh(d, anyInput(t))
		require.NoError(t, err)
		require.NoError(t, conforms(s, next))
		of := map[string]Finding{}
		for _, f := range next.Findings {
			of[f.ID] = f
		}
		for _, f := range d.Findings {
			if f.By.System {
				continue
			}
			n := of[f.ID]
			require.Equal(t, []any{f.Decision, f.By, f.Code, f.Site, f.SiteText, f.SizeMM, f.Paris, f.Text}, []any{n.Decision, n.By, n.Code, n.Site, n.SiteText, n.SizeMM, n.Paris, n.Text})
		}
		texts := map[string]string{}
		for _, s := range next.Sections {
			texts[s.Name] = s.Text
		}
		for _, s := range d.Sections {
			if !s.By.System {
				require.Equal(t, s.Text, texts[s.Name])
			}
		}
		images := map[ImageRef]KeyImage{}
		for _, k := range next.KeyImages {
			images[k.ref()] = k
		}
		for _, k := range d.KeyImages {
			if !k.By.System {
				require.Equal(t, k, images[k.ref()])
			}
		}
		for ref := range maps.Keys(images) {
			require.True(t, ref.Finding == "" || of[ref.Finding].ID != "")
		}
		require.Equal(t, d.Editable(), next.Number == d.Number)
	})
}

// TestRenamed: whoever reads the next version of a signed report learns that it was signed under another name or identifier.
func TestRenamed(t *testing.T) {
	templates := Default()
	person := Author{Name: "Dr. Weiß"}
	for language, want := range map[string]string{"de": "Version 1.1 wurde unter einem früheren Namen", "nb": "Versjon 1.1 ble signert under et tidligere navn"} {
		in := sample()
		in.Language = language
		doc, err := templates.New(in)
		require.NoError(t, err)
		require.Contains(t, templates.FormerName(doc), want)
	}
	first, err := templates.New(sample())
	require.NoError(t, err)
	signed, err := templates.Sign(first, person, first.At, false)
	require.NoError(t, err)
	other := signed.Patient
	other.Name = "Roe^Jane"
	const says = "Version 1.2 was signed under a former name or identifier of the patient."
	renamed := func(d Document, p Patient) Document {
		templates.Renamed(&d, p)
		return d
	}
	amending, err := templates.Amend(renamed(signed, other), person, signed.At, "the name")
	require.NoError(t, err)
	require.Equal(t, other, amending.Patient)
	require.Contains(t, amending.Notices, says)
	require.Contains(t, Text(amending), says)
	withdrawn, err := templates.Withdraw(renamed(signed, other), person, signed.At, "the name")
	require.NoError(t, err)
	require.Contains(t, withdrawn.Notices, says)
	require.NotContains(t, signed.Notices, says, "what was signed stays as it is")

	same, err := templates.Amend(renamed(signed, signed.Patient), person, signed.At, "the site")
	require.NoError(t, err)
	require.NotContains(t, same.Notices, says)
	in := sample()
	in.Patient.Name = "Roe^Jane"
	refreshed, err := templates.Refresh(same, in) // the new name comes while a person is at it
	require.NoError(t, err)
	require.Contains(t, refreshed.Notices, says)
	again, err := templates.Refresh(refreshed, in)
	require.NoError(t, err)
	require.Contains(t, again.Notices, says)
	next, err := templates.Refresh(signed, in) // the next draft
	require.NoError(t, err)
	require.Contains(t, next.Notices, says)
	draft, err := templates.Refresh(first, in)
	require.NoError(t, err)
	require.Empty(t, draft.Events, "nobody had signed")
}
