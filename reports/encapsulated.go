package reports

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/reports/draft"
)

// maxPDF is far more than a report needs.
const maxPDF = 64 << 20

// EncapsulatedPDF wraps the PDF of a document (PS3.3 A.45.1). s is an instance of the study. Another PDF of the same version
// is another object: what is in it decides about its UID.
func (b *Builder) EncapsulatedPDF(s Source, doc draft.Document, pdf []byte) (Object, error) {
	if !bytes.HasPrefix(pdf, []byte("%PDF-")) || len(pdf) > maxPDF {
		return Object{}, permanentError{fmt.Errorf("reports: %d bytes are no PDF of at most %d MiB", len(pdf), maxPDF>>20)}
	}
	for _, m := range modelsOf(doc) {
		if err := validate(m); err != nil {
			return Object{}, err
		}
	}
	self := dicom.SOPInstance{
		SOPClassUID: dicom.EncapsulatedPDFStorage,
		SOPInstanceUID: dicom.DerivedUID("inst", string(dicom.EncapsulatedPDFStorage), string(doc.Study),
			number(doc.Number), number(doc.Version)),
		SeriesInstanceUID: signedSeries(doc.Study, dicom.EncapsulatedPDFStorage),
		StudyInstanceUID:  doc.Study,
	}
	ds := dataset{}
	b.identify(ds, s, self, doc.At, contributorsOf(doc)...)
	undated(ds)
	ds.set(tag.Modality, "DOC")
	ds.set(tag.ConversionType, "WSD")
	ds.set(tag.SeriesNumber, number(seriesPDF))
	ds.set(tag.SeriesDescription, "Reports on the study, PDF")
	ds.set(tag.InstanceNumber, number(instanceNumber(doc)))
	ds.set(tag.AcquisitionDateTime) // type 2
	if at := doc.Examination.StartedAt; !at.IsZero() {
		ds.set(tag.AcquisitionDateTime, dateTime(at, s.zone(b.Location)))
	}
	ds.set(tag.BurnedInAnnotation, "YES")
	ds.set(tag.RecognizableVisualFeatures, "NO")
	ds.set(tag.DocumentTitle, titleOf(doc))
	ds.items(tag.ConceptNameCodeSequence)
	if c := doc.Title; c.Value != "" && c.Scheme != "" && c.Meaning != "" {
		ds.items(tag.ConceptNameCodeSequence, coded(c))
	}
	ds.set(tag.VerificationFlag, "UNVERIFIED")
	if doc.Signature != nil && doc.Signature.Verified {
		ds.set(tag.VerificationFlag, "VERIFIED")
	}
	if items := sourceInstances(doc); len(items) > 0 {
		ds.items(tag.SourceInstanceSequence, items...)
	}
	ds.set(tag.MIMETypeOfEncapsulatedDocument, "application/pdf")
	ds.ints(tag.EncapsulatedDocumentLength, len(pdf))
	ds[tag.EncapsulatedDocument] = bytes.Clone(pdf) // the writer pads it
	return finish(ds, nil)
}

func dateTime(at time.Time, zone *time.Location) string {
	return at.In(zone).Format("20060102150405-0700")
}

// titleOf says how the document stands, for lists that show nothing else.
func titleOf(doc draft.Document) string {
	kind := strings.TrimSuffix(printable(doc.Title.Meaning), " study")
	switch doc.Standing {
	case draft.Signed, draft.Amended:
		text := "signed"
		if doc.Standing == draft.Amended {
			text = "amended"
		}
		if doc.Signature == nil || !doc.Signature.Verified {
			text += ", not verified"
		}
		return kind + " report - " + text
	case draft.Withdrawn:
		return kind + " report - withdrawn"
	}
	return "AI draft " + strings.ToLower(kind) + " report - preliminary, not verified"
}

// sourceInstances are the frames and heatmaps shown, each instance once.
func sourceInstances(doc draft.Document) (items []dataset) {
	seen := map[dicom.UID]bool{}
	for _, k := range doc.ShownImages() {
		for _, i := range []dicom.SOPInstance{k.Frame.Instance, k.Frame.Heatmap} {
			if i.SOPInstanceUID != "" && i.SOPClassUID != "" && !seen[i.SOPInstanceUID] {
				seen[i.SOPInstanceUID] = true
				items = append(items, reference(i, 0))
			}
		}
	}
	return items
}

// encapsulated holds what is said about an encapsulated PDF.
func (f *faults) encapsulated(ds dataset) {
	f.need(ds, tag.ConversionType, tag.BurnedInAnnotation, tag.MIMETypeOfEncapsulatedDocument, tag.EncapsulatedDocument,
		tag.EncapsulatedDocumentLength, tag.VerificationFlag)
	f.need2(ds, tag.AcquisitionDateTime, tag.DocumentTitle, tag.ConceptNameCodeSequence)
	pdf, _ := ds[tag.EncapsulatedDocument].([]byte)
	if ds.int(tag.EncapsulatedDocumentLength) != len(pdf) {
		f.add("EncapsulatedDocumentLength is %d, the document has %d bytes", ds.int(tag.EncapsulatedDocumentLength), len(pdf))
	}
	if ds.text(tag.Modality) != "DOC" || ds.text(tag.MIMETypeOfEncapsulatedDocument) != "application/pdf" {
		f.add("the document is not said to be a PDF")
	}
}
