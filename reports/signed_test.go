package reports

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

var kari = draft.Author{Name: "Nilsen^Kari"}

// document is a report that a person signed: of every kind of finding one.
func document(t testing.TB, standing draft.Standing, verified bool) draft.Document {
	t.Helper()
	a := kvasir()
	at := time.Date(2026, 1, 2, 11, 0, 0, 0, time.UTC)
	doc := draft.Document{
		Schema: draft.Schema, Study: testStudy, Number: 1, Version: 4, Standing: standing, At: at, Author: kari, Language: "en",
		Template: "colonoscopy", Title: code("18746-8", "LN", "Colonoscopy study"),
		Examination: draft.Examination{StartedAt: at.Add(-time.Hour), EndedAt: at.Add(-40 * time.Minute), Images: 4},
		Sections: []draft.Section{
			{Name: "indication", Code: code("18785-6", "LN", "Indications"), Head: "Indication", Text: "Screening\nsecond line"},
			{Name: "history", Code: code("11329-0", "LN", "History"), Head: "History", Text: draft.ToBeCompleted},
			{Name: "interventions", Head: "Interventions", Text: "Biopsy of Müller^Jörgen's polyp"},
		},
		Disclosure: draft.Disclosure{Models: []draft.ModelUse{{Model: a.Model, Route: "endoscopy", Analysed: 4}}},
		Signature:  &draft.Signature{By: kari, At: at, Verified: verified},
	}
	for i := range 4 {
		source := sourceOf(t, endoscopic(number(i+1))).instance()
		doc.Examination.Instances = append(doc.Examination.Instances, draft.Image{Instance: source, Number: i + 1, Frames: 1, Rows: 529, Columns: 622})
	}
	frame := func(i int, class string, contours ...[][2]float64) draft.Frame {
		source := doc.Examination.Instances[i].Instance
		return draft.Frame{
			Instance: source, Number: i + 1, Span: analysis.Still(1), Rows: 529, Columns: 622, Probability: 0.9,
			Heatmap: HeatmapInstance(source, 1, a, class, 0), Contours: contours,
		}
	}
	add := func(id, class string, d draft.Decision, frames ...draft.Frame) *draft.Finding {
		c, _ := a.class(class)
		doc.Findings = append(doc.Findings, draft.Finding{
			ID: id, Model: a.Model, Route: "endoscopy", Class: class, Role: c.Role, Code: c.Finding, Site: c.Site, Decision: d, By: kari,
			Probability: 0.9, Threshold: 0.5, Frames: frames, Flagged: len(frames), Analysed: 4,
		})
		return &doc.Findings[len(doc.Findings)-1]
	}
	polyp := add("2.25.11", "polyps", draft.Accepted, frame(0, "polyps", circle(300, 200, 90), circle(500, 400, 60)), frame(1, "polyps", circle(300, 200, 90)))
	polyp.SizeMM, polyp.Paris, polyp.SiteText = 6.5, "0-Is", "Ascending colon"
	changed := add("2.25.12", "ulcerative-colitis", draft.Changed, frame(2, "ulcerative-colitis"))
	before := changed.Code
	changed.Proposal, changed.Code = &before, sct("64226004", "Colitis")
	add("2.25.13", "esophagitis", draft.Rejected, frame(1, "esophagitis", circle(300, 200, 50)))
	add("2.25.14", "dyed-lifted-polyps", draft.Proposed, frame(3, "dyed-lifted-polyps", circle(200, 200, 50)))
	doc.Findings = append(doc.Findings, draft.Finding{
		ID: "2.25.15", Role: analysis.RoleFinding, Code: sct("397881000", "Diverticulosis"), Decision: draft.Accepted, By: kari, SizeMM: 3,
	})
	doc.KeyImages = []draft.KeyImage{{Finding: "2.25.11", Frame: polyp.Frames[1]}, {Finding: "2.25.11", Frame: polyp.Frames[0]}}
	switch standing {
	case draft.Amended:
		doc.Number, doc.Version = 1, 7
	case draft.Withdrawn:
		doc.Number, doc.Version = 1, 8
	}
	if standing != draft.Signed {
		doc.Signature.Reason = "wrong patient side"
		doc.Predecessor = &draft.Reference{Number: 1, Version: 4, Report: "2.25.14", Alternate: "2.25.15"}
	}
	return doc
}

func signedObjects(t testing.TB, doc draft.Document) (threeD, plain Object) {
	t.Helper()
	threeD, plain, err := testBuilder().SignedReport(sourceOf(t, endoscopic("1")), doc)
	require.NoError(t, err)
	return threeD, plain
}

func TestSignedReport_conforms(t *testing.T) {
	empty := document(t, draft.Signed, false)
	empty.Findings, empty.KeyImages, empty.Sections = nil, nil, nil
	for name, doc := range map[string]draft.Document{
		"signed": document(t, draft.Signed, false), "verified": document(t, draft.Signed, true), "amended": document(t, draft.Amended, true),
		"withdrawn": document(t, draft.Withdrawn, false), "without findings": empty,
	} {
		t.Run(name, func(t *testing.T) {
			threeD, plain := signedObjects(t, doc)
			conforms(t, threeD)
			conforms(t, plain)
			assert.Equal(t, draft.ReportName(doc.Study, doc.Number, doc.Version, dicom.Comprehensive3DSRStorage), threeD.Name)
			assert.Equal(t, draft.ReportName(doc.Study, doc.Number, doc.Version, dicom.ComprehensiveSRStorage), plain.Name)
			assert.NoError(t, threeD.Header.Validate())
			again, _ := signedObjects(t, doc)
			assert.Equal(t, threeD, again, "the same bytes for the same document")
		})
	}
}

// TestSignedReport_flags: VERIFIED, its observer and FINAL come together, and only with a verified signature.
func TestSignedReport_flags(t *testing.T) {
	for _, c := range []struct {
		standing draft.Standing
		verified bool
		want     []string // completion, verification, preliminary
	}{
		{draft.Signed, false, []string{"COMPLETE", "UNVERIFIED", "PRELIMINARY"}},
		{draft.Signed, true, []string{"COMPLETE", "VERIFIED", "FINAL"}},
		{draft.Amended, false, []string{"COMPLETE", "UNVERIFIED", "PRELIMINARY"}},
		{draft.Amended, true, []string{"COMPLETE", "VERIFIED", "FINAL"}},
		{draft.Withdrawn, false, []string{"COMPLETE", "UNVERIFIED", "PRELIMINARY"}},
	} {
		doc := document(t, c.standing, c.verified)
		for _, class := range []dicom.UID{dicom.Comprehensive3DSRStorage, dicom.ComprehensiveSRStorage} {
			r := signed{doc: doc, source: sourceOf(t, endoscopic("1")), zone: time.UTC}
			ds := testBuilder().signedReport(r, class, r.measurementReport())
			assert.Equal(t, c.want, []string{ds.text(tag.CompletionFlag), ds.text(tag.VerificationFlag), ds.text(tag.PreliminaryFlag)}, "%s %v", c.standing, c.verified)
			observers := ds.sequence(tag.VerifyingObserverSequence)
			if assert.Equal(t, c.verified, len(observers) == 1) && c.verified {
				assert.Equal(t, "Nilsen^Kari", observers[0].text(tag.VerifyingObserverName))
			}
			var before []string
			for _, study := range ds.sequence(tag.PredecessorDocumentsSequence) {
				for _, series := range study.sequence(tag.ReferencedSeriesSequence) {
					assert.Equal(t, string(signedSeries(testStudy, class)), series.text(tag.SeriesInstanceUID))
					for _, i := range series.sequence(tag.ReferencedSOPSequence) {
						before = append(before, i.text(tag.ReferencedSOPInstanceUID))
					}
				}
			}
			if c.standing == draft.Signed {
				assert.Empty(t, before)
			} else {
				assert.Equal(t, []string{map[dicom.UID]string{dicom.Comprehensive3DSRStorage: "2.25.14", dicom.ComprehensiveSRStorage: "2.25.15"}[class]}, before)
			}
		}
	}
}

// TestSignedReport_decisions: what is in a group is what the person left standing; what was rejected is said in words alone.
func TestSignedReport_decisions(t *testing.T) {
	r := signed{doc: document(t, draft.Signed, true), source: sourceOf(t, endoscopic("1")), zone: time.UTC}
	var ids, codes, said, sizes []string
	r.measurementReport().walk(func(c ContentItem) {
		switch c.ConceptName {
		case diameter:
			sizes = append(sizes, c.Text)
		case trackingIdentifier:
			ids = append(ids, c.Text)
		case finding:
			codes = append(codes, c.Code.Meaning)
		}
		if c.ValueType == "TEXT" && c.Relationship == Contains {
			said = append(said, c.Text)
		}
	})
	assert.Equal(t, []string{"AI-1 Polyp of colon", "AI-1 Polyp of colon", "AI-1 Polyp of colon", "AI-1 Polyp of colon", "AI-2 Colitis", "AI-3 Dyed lifted polyp, not decided", "4 Diverticulosis"}, ids)
	assert.Equal(t, []string{"6.5", "3.0"}, sizes, "a size is said once, in however many frames the finding is")
	assert.Contains(t, said, notLesions)
	assert.NotContains(t, codes, "Esophagitis")
	assert.NotContains(t, codes, "Ulcerative colitis")
	all := strings.Join(said, "\n")
	for _, want := range []string{
		"Signed by Nilsen^Kari.",
		"AI finding accepted by Nilsen^Kari: Polyp of colon (kvasir-v2-cls 1.0.0, probability 0.90). Site: Ascending colon. Paris: 0-Is.",
		"AI finding changed by Nilsen^Kari: Colitis (kvasir-v2-cls 1.0.0, probability 0.90). The model said: Ulcerative colitis.",
		"AI finding rejected by Nilsen^Kari: Esophagitis",
		"AI finding, not decided by the person who signed: Dyed lifted polyp",
		"Added by Nilsen^Kari: Diverticulosis.",
		"Screening\r\nsecond line", "Interventions: Biopsy of",
	} {
		assert.Contains(t, all, want)
	}
	assert.NotContains(t, all, draft.ToBeCompleted)
}

// TestSignedReport_sameRegions: a region keeps the identity that it has in the result of the model.
func TestSignedReport_sameRegions(t *testing.T) {
	a := kvasir()
	e := testExam(t, a)
	r := signed{doc: document(t, draft.Signed, true)}
	f, frame := r.doc.Findings[0], r.doc.Findings[0].Frames[0]
	s := seen{instance: e.Instances[0], result: e.Instances[0].Results[0], finding: analysis.Finding{Class: "polyps"}}
	assert.Equal(t, e.tracking(s, 1), r.tracking(f, frame, 1))
}

func TestSignedReport_refusesDraft(t *testing.T) {
	for _, standing := range []draft.Standing{draft.Drafted, draft.Amending} {
		doc := document(t, draft.Signed, true)
		doc.Standing = standing
		_, _, err := testBuilder().SignedReport(sourceOf(t, endoscopic("1")), doc)
		assert.ErrorIs(t, err, errUnsigned)
	}
	doc := document(t, draft.Signed, true)
	doc.Signature = nil
	_, _, err := testBuilder().SignedReport(sourceOf(t, endoscopic("1")), doc)
	assert.ErrorIs(t, err, errUnsigned)
}

// TestCheck_signed: no object leaves with flags that contradict each other.
func TestCheck_signed(t *testing.T) {
	for name, spoil := range map[string]func(dataset){
		"observer without flag": func(ds dataset) { ds.set(tag.VerificationFlag, "UNVERIFIED") },
		"flag without observer": func(ds dataset) { delete(ds, tag.VerifyingObserverSequence) },
		"final, not verified": func(ds dataset) {
			delete(ds, tag.VerifyingObserverSequence)
			ds.set(tag.VerificationFlag, "UNVERIFIED")
		},
		"observer without name": func(ds dataset) { ds.sequence(tag.VerifyingObserverSequence)[0].set(tag.VerifyingObserverName) },
		"no person":             func(ds dataset) { ds.sequence(tag.AuthorObserverSequence)[0].set(tag.ObserverType, "DEV") },
		"partial, verified":     func(ds dataset) { ds.set(tag.CompletionFlag, "PARTIAL") },
	} {
		t.Run(name, func(t *testing.T) {
			r := signed{doc: document(t, draft.Signed, true), source: sourceOf(t, endoscopic("1")), zone: time.UTC}
			ds := testBuilder().signedReport(r, dicom.Comprehensive3DSRStorage, r.measurementReport())
			require.NoError(t, check(ds, r.sizes()))
			spoil(ds)
			assert.Error(t, check(ds, r.sizes()))
		})
	}
}

func TestSignedReport_oddNames(t *testing.T) {
	for _, name := range []string{"", `a\b`, strings.Repeat("long ", 40), "a=b=c=d=e", "山田^花子", "A\x1bB", "a^b^c^d^e^f^g"} {
		doc := document(t, draft.Signed, true)
		doc.Signature.By.Name = name
		threeD, _ := signedObjects(t, doc)
		conforms(t, threeD)
	}
}

func TestEncapsulatedPDF_conforms(t *testing.T) {
	odd, even := []byte("%PDF-1.4\nodd...\n"), []byte("%PDF-1.4\neven...\n")
	require.NotEqual(t, len(odd)%2, len(even)%2)
	unsigned := document(t, draft.Signed, false)
	unsigned.Standing, unsigned.Signature = draft.Drafted, nil
	bare := unsigned
	bare.Title, bare.KeyImages, bare.Examination = dicom.Code{}, nil, draft.Examination{}
	for _, doc := range []draft.Document{document(t, draft.Signed, true), document(t, draft.Amended, false), document(t, draft.Withdrawn, false), unsigned, bare} {
		for _, pdf := range [][]byte{odd, even} {
			o, err := testBuilder().EncapsulatedPDF(sourceOf(t, endoscopic("1")), doc, pdf)
			require.NoError(t, err)
			conforms(t, o)
			assert.NoError(t, o.Header.Validate())
			ts, _ := dicom.LookupTransferSyntax(o.TransferSyntaxUID)
			a, err := dicom.ReadAttributes(bytes.NewReader(o.Dataset), ts)
			require.NoError(t, err)
			length, _ := a.Int(tagOf(tag.EncapsulatedDocumentLength))
			assert.Equal(t, len(pdf), length)
			e, _ := a.Get(tagOf(tag.EncapsulatedDocument))
			assert.Zero(t, len(e.Value)%2)
			assert.Equal(t, pdf, e.Value[:length])
			assert.Equal(t, "application/pdf", a.Text(tagOf(tag.MIMETypeOfEncapsulatedDocument)))
		}
	}
	first, err := testBuilder().EncapsulatedPDF(sourceOf(t, endoscopic("1")), unsigned, odd)
	require.NoError(t, err)
	second, err := testBuilder().EncapsulatedPDF(sourceOf(t, endoscopic("1")), unsigned, even)
	require.NoError(t, err)
	assert.NotEqual(t, first.Header.SOPInstanceUID, second.Header.SOPInstanceUID, "no UID has two contents")
	_, err = testBuilder().EncapsulatedPDF(sourceOf(t, endoscopic("1")), unsigned, []byte("no PDF"))
	assert.Error(t, err)
}
