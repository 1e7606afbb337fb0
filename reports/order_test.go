package reports

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// TestReport_order holds that an order fills in what its images do not say of it, and nothing else.
func TestReport_order(t *testing.T) {
	order := ledger.Order{
		Accession: "A20260001", Placer: ledger.Identifier{ID: "P1", Authority: "HIS"}, Filler: ledger.Identifier{ID: "F1"}, RequestedProcedureID: "RP2",
		Service: dicom.Code{Value: "73761001", Scheme: "SCT", Meaning: "Colonoscopy"}, Reason: "bleeding",
	}
	for _, c := range []struct {
		name   string
		source func(dataset)
		order  func(*ledger.Order)
		want   map[tag.Tag]string
		code   string
	}{
		{"the images have the accession number alone", func(dataset) {}, nil, map[tag.Tag]string{
			tag.AccessionNumber: "A20260001", tag.PlacerOrderNumberImagingServiceRequest: "P1", tag.FillerOrderNumberImagingServiceRequest: "F1",
			tag.RequestedProcedureID: "RP2", tag.RequestedProcedureDescription: "Colonoscopy", tag.ReasonForTheRequestedProcedure: "bleeding",
		}, "73761001"},
		{"the images have none", func(ds dataset) { ds.set(tag.AccessionNumber) }, nil, map[tag.Tag]string{
			tag.AccessionNumber: "A20260001", tag.PlacerOrderNumberImagingServiceRequest: "P1",
		}, "73761001"},
		{
			"what the images say stands",
			func(ds dataset) {
				ds.items(tag.RequestAttributesSequence, dataset{tag.RequestedProcedureID: []string{"RP1"}, tag.RequestedProcedureDescription: []string{"Endoscopy"}})
			},
			nil,
			map[tag.Tag]string{tag.RequestedProcedureID: "RP1", tag.RequestedProcedureDescription: "Endoscopy", tag.FillerOrderNumberImagingServiceRequest: "F1"},
			"73761001",
		},
		{"an order of another accession number is not mixed in", func(ds dataset) { ds.set(tag.AccessionNumber, "A9") }, nil, map[tag.Tag]string{
			tag.AccessionNumber: "A9", tag.PlacerOrderNumberImagingServiceRequest: "", tag.RequestedProcedureID: "",
		}, ""},
		{
			"the images have the accession number cut to what DICOM holds", func(ds dataset) { ds.set(tag.AccessionNumber, "2026-ENDO-000012") },
			func(o *ledger.Order) { o.Accession = "2026-ENDO-00001234" },
			map[tag.Tag]string{tag.AccessionNumber: "2026-ENDO-000012", tag.PlacerOrderNumberImagingServiceRequest: "P1", tag.RequestedProcedureID: "RP2"},
			"73761001",
		},
		{
			"the images have none, and DICOM no room for the order's", func(ds dataset) { ds.set(tag.AccessionNumber) },
			func(o *ledger.Order) { o.Accession = "2026-ENDO-00001234" },
			map[tag.Tag]string{tag.AccessionNumber: "", tag.PlacerOrderNumberImagingServiceRequest: "P1"},
			"73761001",
		},
		{
			"what no element can hold is left out", func(dataset) {},
			func(o *ledger.Order) {
				o.RequestedProcedureID, o.Placer.ID = strings.Repeat("9", 17), `P\1`
				o.Service.Value = strings.Repeat("7", 17)
			},
			map[tag.Tag]string{tag.RequestedProcedureID: "", tag.PlacerOrderNumberImagingServiceRequest: "", tag.FillerOrderNumberImagingServiceRequest: "F1"},
			"",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := endoscopic("1")
			c.source(source)
			e := testExam(t, kvasir())
			e.Source = sourceOf(t, source)
			of := order
			if c.order != nil {
				c.order(&of)
			}
			e.Source.Order = &of
			for _, o := range objects(t, e)[:2] {
				conforms(t, o)
				attributes := attributesOf(t, o)
				assert.Equal(t, source.text(tag.AccessionNumber), textOf(attributes, tag.AccessionNumber), "the study's is as its other instances have it")
				item := attributes.Item(tagOf(tag.ReferencedRequestSequence), 0)
				for at, want := range c.want {
					assert.Equal(t, want, textOf(item, at), at)
				}
				if code := item.Item(tagOf(tag.RequestedProcedureCodeSequence), 0); c.code != "" {
					assert.Equal(t, c.code, textOf(code, tag.CodeValue))
				} else {
					assert.Nil(t, code)
				}
				authority := item.Item(tagOf(tag.OrderPlacerIdentifierSequence), 0)
				if textOf(item, tag.PlacerOrderNumberImagingServiceRequest) == "P1" {
					assert.Equal(t, "HIS", textOf(authority, tag.LocalNamespaceEntityID))
				} else {
					assert.Nil(t, authority)
				}
			}
		})
	}
}

// TestAssembler_orderComesLate holds that an order which comes after the report is in the next revision, and that a status
// makes none.
func TestAssembler_orderComesLate(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.receive("1", "kvasir", w.polyp)
	w.now = w.now.Add(2 * time.Minute)
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 3)
	say := func(control, patch string, state ledger.OrderState) {
		taken, err := w.ledger.TakeMessage(t.Context(), ledger.Inbound{
			Message: ledger.Message{Entry: control, Application: "RIS", ControlID: control, Digest: control, Type: "ORM^O01", Answer: ledger.Answer{Code: "AA"}, At: w.now},
			Orders:  []ledger.OrderChange{{Patch: []byte(patch), State: state}},
		})
		require.NoError(t, err)
		require.Equal(t, "AA", taken.Answer.Code)
	}
	say("m1", `{"accession":"A20260001","placer":{"id":"P1"}}`, "")
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 6)
	second := attributesOf(t, w.kept[3])
	assert.Equal(t, "P1", textOf(second.Item(tagOf(tag.ReferencedRequestSequence), 0), tag.PlacerOrderNumberImagingServiceRequest))
	assert.NotNil(t, second.Item(tagOf(tag.PredecessorDocumentsSequence), 0))
	say("m3", `{"placer":{"id":"P1"},"patient":{"identifier":{"id":"SOMEBODY ELSE"}}}`, "")
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 9, "the order is another patient's")
	third := attributesOf(t, w.kept[6])
	assert.Empty(t, textOf(third.Item(tagOf(tag.ReferencedRequestSequence), 0), tag.PlacerOrderNumberImagingServiceRequest))
	require.NoError(t, w.ledger.CorrectGate(t.Context(), testStudy, ledger.Correction{Accession: "A20260001", Reason: "the number was mistyped"}, w.now))
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 12)
	fourth := attributesOf(t, w.kept[9])
	assert.Equal(t, "P1", textOf(fourth.Item(tagOf(tag.ReferencedRequestSequence), 0), tag.PlacerOrderNumberImagingServiceRequest))
	say("m2", `{"placer":{"id":"P1"}}`, ledger.OrderCompleted)
	w.now = w.now.Add(2 * time.Minute)
	require.NoError(t, w.round(t.Context()))
	require.Len(t, w.kept, 12)
}
