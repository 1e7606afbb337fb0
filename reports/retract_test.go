package reports

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// deliver has a destination take everything that is due; of a twin it takes the second.
func (w *workbench) deliver() {
	w.t.Helper()
	for {
		due := w.deliveries()
		if len(due) == 0 {
			return
		}
		for _, d := range due {
			used := d.Entry
			if d.Alternate != "" {
				used = d.Alternate
			}
			require.NoError(w.t, w.ledger.Delivered(w.t.Context(), d.ID, used, ledger.Answer{Protocol: "dicom", Code: "0000"}, w.now))
		}
	}
}

// referred lists what a document refers to.
func referred(t *testing.T, o Object) (uids []string) {
	t.Helper()
	var walk func(*dicom.Attributes)
	walk = func(a *dicom.Attributes) {
		content, _ := a.Get(tagOf(tag.ContentSequence))
		for _, item := range content.Items {
			if refs, ok := item.Get(tagOf(tag.ReferencedSOPSequence)); ok {
				uids = append(uids, textOf(refs.Items[0], tag.ReferencedSOPInstanceUID))
			}
			walk(item)
		}
	}
	walk(attributesOf(t, o))
	return uids
}

// What a person takes back gets a report that says so and names the one before, and a rejection note of the objects that
// the destination has; what it has not yet does not come any more.
func TestAssembler_retracted(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprintf("images gone: %v", gone), func(t *testing.T) {
			w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
			w.heatmapsTo = []string{"pacs"}
			w.Rejects = func(destination string) bool { return destination == "pacs" }
			w.receive("1", "kvasir", w.polyp)
			w.now = w.now.Add(2 * time.Minute)
			require.NoError(t, w.round(t.Context()))
			w.deliver()
			study := w.sources["entry-1"].instance().StudyInstanceUID
			signed := func(number int, uid dicom.UID) { // that a person signed
				o := ledger.Outgoing{Kind: ledger.KindDICOM, Entry: string(uid), Digest: "1", Purpose: "sr", Destination: "pacs", Instance: dicom.SOPInstance{
					SOPClassUID: dicom.Comprehensive3DSRStorage, SOPInstanceUID: uid, SeriesInstanceUID: signedSeries(study, dicom.Comprehensive3DSRStorage), StudyInstanceUID: study,
				}}
				page := o
				page.Entry, page.Purpose, page.Instance.SOPInstanceUID = string(uid)+"1", "pdf", uid+"1"
				page.Instance.SOPClassUID = dicom.EncapsulatedPDFStorage
				page.Instance.SeriesInstanceUID = signedSeries(study, dicom.EncapsulatedPDFStorage)
				require.NoError(t, w.ledger.PutDraft(t.Context(), ledger.Draft{
					Study: study, Number: number, Version: 1, Event: ledger.DraftSigned, Standing: "signed", At: w.now, Document: []byte("{}"),
				}, nil, []ledger.Outgoing{o, page}))
				w.deliver()
			}
			signed(1, "2.25.72")
			w.receive("2", "kvasir", w.polyp) // its heatmap is still on the way
			require.Len(t, w.deliveries(), 1)
			first := w.kept
			w.kept = nil

			r := ledger.Retraction{Model: "kvasir", Version: kvasir().Version, Reason: "trained on the wrong labels"}
			would, err := w.ledger.Retractable(t.Context(), r)
			require.NoError(t, err)
			require.Len(t, would, 1)
			assert.Equal(t, [2]int{2, 3}, [2]int{would[0].Results, would[0].Delivered})
			_, err = w.ledger.Retract(t.Context(), r, w.now)
			require.ErrorIs(t, err, ledger.ErrNoPerson)
			person := ledger.By(t.Context(), ledger.Actor{Kind: ledger.ActorPerson, Name: "Dr. A"})
			w.now = w.now.Add(time.Second)
			done, err := w.ledger.Retract(person, r, w.now)
			require.NoError(t, err)
			require.Equal(t, would, done)
			assert.Empty(t, w.deliveries(), "the heatmap stays here")
			again, err := w.ledger.Retract(person, r, w.now)
			require.NoError(t, err)
			assert.Empty(t, again, "what is taken back is taken back once")

			w.now = w.now.Add(time.Second)
			signed(2, "2.25.73") // says what was taken back

			if gone {
				w.Open = unreadable(fmt.Errorf("spool: no such entry: %w", ErrGone))
			}
			require.NoError(t, w.round(t.Context()))
			require.Len(t, w.kept, 3, "report, twin and note; no key images: %s", w.log.String())
			report, note := w.kept[0], w.kept[2]
			conforms(t, report)
			conforms(t, note)
			said := string(report.Dataset)
			assert.Contains(t, said, "AI RESULT WITHDRAWN by a person.")
			assert.Contains(t, said, "Retracted: 2: trained on the wrong labels.")
			assert.Contains(t, said, string(first[0].Header.SOPInstanceUID), "its predecessor")
			assert.NotContains(t, said, "Polyp")

			heatmap := HeatmapInstance(w.sources["entry-1"].instance(), 1, kvasir(), "polyps", 1)
			assert.Equal(t, "113037", textOf(attributesOf(t, note).Item(tagOf(tag.ConceptNameCodeSequence), 0), tag.CodeValue))
			assert.ElementsMatch(t, []string{
				string(heatmap.SOPInstanceUID), string(first[1].Header.SOPInstanceUID), string(first[2].Header.SOPInstanceUID), "2.25.72", "2.25.721",
			}, referred(t, note), "heatmap, the twin that was taken, key images: what the archive has, what was signed before among it, and no image of a modality")
			require.NoError(t, w.round(t.Context()))
			require.Len(t, w.kept, 3, "once")

			// A result that comes later stands.
			w.Open = w.open
			w.receive("3", "kvasir", w.polyp)
			w.now = w.now.Add(2 * time.Minute)
			w.kept = nil
			require.NoError(t, w.round(t.Context()))
			require.NotEmpty(t, w.kept)
			said = string(w.kept[0].Dataset)
			assert.Contains(t, said, "AI flagged polyps in 1 of the 1 analysed frames.")
			assert.Contains(t, said, "Retracted: 2.")
			assert.NotContains(t, said, "WITHDRAWN")
		})
	}
}

// The gate lets no title but "Of Interest" pass that is not a note of ours on what is ours.
func TestCheck_rejection(t *testing.T) {
	w := newWorkbench(t, filepath.Join(t.TempDir(), "ledger.db"))
	w.receive("1", "kvasir", w.polyp)
	e := Exam{
		Algorithm: kvasir(), Route: "endoscopy", Source: w.sources["entry-1"], Revision: 2, At: inferred,
		Instances: []Instance{{SOPInstance: w.sources["entry-1"].instance(), Frames: 1, Retracted: "wrong"}},
	}
	source := w.sources["entry-1"].instance()
	_, ok, err := w.Builder.RejectionNote(e, "pacs", []ledger.Object{{Instance: source, Purpose: "sr"}, {Instance: source, Purpose: "heatmap", Source: "1.2.3"}})
	require.NoError(t, err)
	assert.False(t, ok, "neither a document of the exam nor a heatmap of what was taken back")
	_, _, err = w.Builder.RejectionNote(e, "pacs", []ledger.Object{{Instance: source, Purpose: "heatmap", Source: source.SOPInstanceUID}})
	require.ErrorContains(t, err, "which this gateway does not make", "an image of a modality, whatever the ledger says")
	e.Instances[0].Retracted = ""
	heatmap := HeatmapInstance(source, 1, kvasir(), "polyps", 1)
	_, ok, err = w.Builder.RejectionNote(e, "pacs", []ledger.Object{{Instance: heatmap, Purpose: "heatmap", Source: source.SOPInstanceUID}})
	require.NoError(t, err)
	assert.False(t, ok, "nobody took anything back")
}
