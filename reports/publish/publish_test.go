package publish

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/hl7"
	"endogate/hl7/oru"
	"endogate/reports"
	"endogate/reports/desk"
	"endogate/reports/draft"
	"endogate/reports/fhir"
	"endogate/reports/pdf"
)

var _ desk.Publisher = (*Publisher)(nil)

// rig is a publisher on a real spool, with an instance of the sample study for a source.
type rig struct {
	*Publisher
	t     *testing.T
	spool *spool.Spool
	pages []byte
	gone  bool
	entry map[string]string // of instances

	current map[dicom.UID]ledger.Object
	log     bytes.Buffer
}

func newRig(t *testing.T, to ...Destination) *rig {
	t.Helper()
	store, err := spool.Open(t.TempDir(), spool.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	file, err := os.Open("../../testdata/instances/study2-01-polyp-1c39f3c7.dcm")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in := bufio.NewReader(file)
	meta, err := dicom.ReadFileMeta(in)
	require.NoError(t, err)
	ts, _ := dicom.LookupTransferSyntax(meta.TransferSyntaxUID)
	attributes, err := dicom.ReadAttributes(in, ts)
	require.NoError(t, err)
	r := &rig{t: t, spool: store, pages: []byte("%PDF-1.4\n%%EOF\n"), entry: map[string]string{"2.25.9001": "0AI"}, current: map[dicom.UID]ledger.Object{}}
	r.Publisher = &Publisher{
		Destinations: func(route string) []Destination {
			if route == "endoscopy" {
				return to
			}
			return nil
		},
		Builder:   &reports.Builder{Equipment: reports.Equipment{Manufacturer: "endogate", ModelName: "endogate", SoftwareVersion: "1", SerialNumber: "1", StationName: "ENDOGATE"}},
		Templates: draft.Default(),
		Source: func(context.Context, draft.Document) (reports.Source, error) {
			if r.gone {
				return reports.Source{}, fmt.Errorf("none: %w", reports.ErrGone)
			}
			return reports.Source{Attributes: attributes, TransferSyntaxUID: meta.TransferSyntaxUID}, nil
		},
		Pages: func(context.Context, draft.Document) ([]byte, error) {
			if r.pages == nil {
				return nil, pdf.ErrTooLong
			}
			return r.pages, nil
		},
		Keep: func(_ context.Context, o reports.Object) (string, string, error) {
			w, err := store.Create()
			require.NoError(t, err)
			_, err = w.Write(o.Dataset)
			require.NoError(t, err)
			e, err := w.Commit(spool.Entry{Kind: spool.Derived, Header: o.Header, TransferSyntaxUID: o.TransferSyntaxUID, At: time.Unix(0, 0)})
			return e.ID, e.Digest, err
		},
		Create: store.Create, Release: store.Release,
		EntryOf: func(_ context.Context, instance string) (string, error) {
			if id, ok := r.entry[instance]; ok {
				return id, nil
			}
			return "", ledger.ErrNotFound
		},
		Current: func(_ context.Context, name dicom.UID) (ledger.Object, error) {
			if o, ok := r.current[name]; ok {
				return o, nil
			}
			return ledger.Object{}, ledger.ErrNotFound
		},
		MaxWait: time.Hour, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
	}
	return r
}

func sample(t testing.TB, standing draft.Standing) (doc draft.Document) {
	text, err := os.ReadFile("../../testdata/drafts/colonoscopy.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &doc))
	if standing != draft.Drafted {
		doc.Standing, doc.Version = standing, 2
		doc.Signature = &draft.Signature{By: draft.Author{Name: "Dr. Test", Unauthenticated: true}, At: doc.At}
		doc.Author = doc.Signature.By
	}
	return doc
}

func (r *rig) publish(doc draft.Document) []ledger.Outgoing {
	r.t.Helper()
	out, err := r.Publish(r.t.Context(), doc, ledger.DraftDrafted)
	require.NoError(r.t, err)
	return out
}

// read is what an outgoing has in the spool.
func (r *rig) read(o ledger.Outgoing) []byte {
	r.t.Helper()
	entry, data, err := r.spool.Open(o.Entry)
	require.NoError(r.t, err)
	defer data.Close()
	assert.Equal(r.t, o.Digest, entry.Digest)
	text, err := io.ReadAll(data)
	require.NoError(r.t, err)
	return text
}

// summary is a line for each outgoing.
func summary(out []ledger.Outgoing) (all []string) {
	for _, o := range out {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s to %s, rank %d %v", o.Kind, o.Purpose, o.Destination, o.Rank, o.After != "")))
	}
	return all
}

func destinations(t *testing.T) []Destination {
	t.Helper()
	w, err := oru.NewWriter(oru.Options{Destination: "ris"})
	require.NoError(t, err)
	return []Destination{{Name: "pacs", PDF: true}, {Name: "old"}, {Name: "ris", Message: w}, {Name: "emr", Bundle: &fhir.Options{}}}
}

func TestPublish_draft(t *testing.T) {
	r := newRig(t, destinations(t)...)
	doc := sample(t, draft.Drafted)
	out := r.publish(doc)
	assert.Equal(t, []string{"dicom pdf to pacs, rank 40 false", "hl7 oru to ris, rank 50 true", "fhir bundle to emr, rank 50 true"}, summary(out))
	assert.Equal(t, "0AI", out[1].After, "the structured report of the model has to be in the archive")
	assert.Equal(t, doc.At.Add(time.Hour), out[1].Until)
	m, err := hl7.Parse(r.read(out[1]), hl7.Options{})
	require.NoError(t, err)
	assert.Equal(t, "R", m.Get("OBR-25"))
	assert.Contains(t, string(r.read(out[2])), `"status":"partial"`)
	for _, o := range out[1:] {
		entry, data, err := r.spool.Open(o.Entry)
		require.NoError(t, err)
		require.NoError(t, data.Close())
		assert.Equal(t, doc.Study, StudyOf(entry.Record))
	}

	again := r.publish(doc)
	for i := range out {
		assert.Equal(t, out[i].Digest, again[i].Digest, "the same bytes after a crash")
	}
}

func TestPublish_signed(t *testing.T) {
	r := newRig(t, destinations(t)...)
	out := r.publish(sample(t, draft.Signed))
	assert.Equal(t, []string{
		"dicom sr to pacs, rank 20 false", "dicom sr to old, rank 20 false", "dicom pdf to pacs, rank 40 false",
		"hl7 oru to ris, rank 50 true", "fhir bundle to emr, rank 50 true", "pdf page to , rank 0 false",
	}, summary(out))
	assert.Equal(t, r.pages, r.read(out[5]))
	assert.Equal(t, out[0].Entry, out[3].After, "now the signed one")
	assert.Equal(t, dicom.ComprehensiveSRStorage, out[0].Alternate.Instance.SOPClassUID)
	m, err := hl7.Parse(r.read(out[3]), hl7.Options{})
	require.NoError(t, err)
	assert.Equal(t, "P", m.Get("OBR-25"))
	assert.Contains(t, string(m.Bytes()), string(out[0].Instance.SOPInstanceUID))
	assert.Contains(t, string(r.read(out[4])), string(out[0].Instance.SOPInstanceUID))
}

// TestPublish_cancelled: of a draft for a cancelled order of which nothing was analysed, nobody who waits for a report hears.
func TestPublish_cancelled(t *testing.T) {
	for _, c := range []struct {
		name      string
		standing  draft.Standing
		cancelled bool
		extent    draft.Extent
		sent      int
	}{
		{"cancelled before the images", draft.Drafted, true, draft.Extent{Instances: 3, Skipped: 3}, 0},
		{"the order stands", draft.Drafted, false, draft.Extent{Instances: 3, Skipped: 3}, 2},
		{"cancelled too late", draft.Drafted, true, draft.Extent{Instances: 3, Analysed: 1, Skipped: 2, Frames: 1}, 2},
		{"cancelled when work had failed", draft.Drafted, true, draft.Extent{Instances: 3, Failed: 3}, 2},
		{"its results were taken back", draft.Drafted, true, draft.Extent{Instances: 3, TakenBack: 3}, 2},
		{"a person signs it", draft.Signed, true, draft.Extent{Instances: 3, Skipped: 3}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, destinations(t)...)
			doc := sample(t, c.standing)
			doc.Order, doc.Disclosure.Frames = &draft.Order{Accession: "A1", Cancelled: c.cancelled}, c.extent
			sent := 0
			for _, o := range r.publish(doc) {
				if o.Kind == ledger.KindHL7 || o.Kind == ledger.KindFHIR {
					sent++
				}
			}
			assert.Equal(t, c.sent, sent)
		})
	}
}

// TestPublish_afterSignature tells no receiver of messages what is only a draft in the place of what a person has signed,
// unless it wants to hear of that. The archive has both.
func TestPublish_afterSignature(t *testing.T) {
	to := destinations(t)
	to = append(to, to[2])
	to[4].Name, to[4].DraftsAfterSignature = "all", true
	r := newRig(t, to...)
	doc := sample(t, draft.Drafted)
	doc.Number, doc.Version, doc.Predecessor = 2, 1, &draft.Reference{Number: 1, Version: 2, Report: "2.25.1"}
	assert.Equal(t, []string{"dicom pdf to pacs, rank 40 false", "hl7 oru to all, rank 50 true"}, summary(r.publish(doc)))
	doc = sample(t, draft.Amended)
	doc.Number, doc.Predecessor = 2, &draft.Reference{Number: 1, Version: 2, Report: "2.25.1"}
	assert.Len(t, r.publish(doc), 7, "all, when it is signed, and the page")
}

// What was signed is addressed to whom it is on by now, as often as it takes; all else of it stays.
func TestReaddress(t *testing.T) {
	r := newRig(t, destinations(t)...)
	doc := sample(t, draft.Signed)
	was := r.publish(doc)
	r.current[was[0].Name] = ledger.Object{Entry: was[0].Entry, Instance: was[0].Instance}
	now := draft.Patient{ID: "NEW1", Name: "Survivor^Anna", BirthDate: "19610203", Sex: "F"}
	former := r.Templates.FormerName(doc)
	require.Contains(t, former, "former name")
	oru, err := r.Readdress(t.Context(), doc, now, "ris")
	require.NoError(t, err)
	again, err := r.Readdress(t.Context(), doc, now, "ris")
	require.NoError(t, err)
	assert.Equal(t, oru.Digest, again.Digest, "the same bytes after a crash")
	before, err := hl7.Parse(r.read(was[3]), hl7.Options{})
	require.NoError(t, err)
	after, err := hl7.Parse(r.read(oru), hl7.Options{})
	require.NoError(t, err)
	assert.Equal(t, "NEW1", after.Get("PID-3.1"))
	assert.Equal(t, before.Get("PID-3.1"), after.Get("PID-3[2].1"))
	assert.Equal(t, "Survivor", after.Get("PID-5.1"))
	assert.NotEqual(t, before.Get("MSH-10"), after.Get("MSH-10"), "a receiver that has the other one must not take it for that")
	_, want, _ := strings.Cut(string(before.Bytes()), "\rORC")
	_, got, _ := strings.Cut(string(after.Bytes()), "\rORC")
	assert.NotEqual(t, want, got)
	assert.Equal(t, want, strings.Replace(got, `\.br\\.br\`+former, "", 1), "what was signed stays, and it is said that it was under another name")

	bundle, err := r.Readdress(t.Context(), doc, now, "emr")
	require.NoError(t, err)
	text := string(r.read(bundle))
	assert.Contains(t, text, former)
	assert.Contains(t, text, `"value":"NEW1"`)
	assert.Contains(t, text, `"use":"old"`)
	_, err = r.Readdress(t.Context(), doc, now, "gone")
	var permanent interface{ Permanent() bool }
	require.ErrorAs(t, err, &permanent)
	assert.True(t, permanent.Permanent())
}

// That a report was withdrawn is told those who can still be told.
func TestPublish_sourceIsGone(t *testing.T) {
	r := newRig(t, destinations(t)...)
	r.gone = true
	out := r.publish(sample(t, draft.Withdrawn))
	assert.Equal(t, []string{"hl7 oru to ris, rank 50 true", "fhir bundle to emr, rank 50 true", "pdf page to , rank 0 false"}, summary(out))
	assert.Contains(t, r.log.String(), "raise spool.retention")
	assert.NotContains(t, r.log.String(), "PID001")
}

func TestPublish_noPages(t *testing.T) {
	for name, pages := range map[string][]byte{"too many": nil, "too large": append([]byte("%PDF-1.4"), make([]byte, maxAttached)...)} {
		r := newRig(t, destinations(t)...)
		r.pages = pages
		out := r.publish(sample(t, draft.Drafted))
		out = out[len(out)-2:]
		assert.Equal(t, []string{"hl7 oru to ris, rank 50 true", "fhir bundle to emr, rank 50 true"}, summary(out), name)
		assert.NotContains(t, string(r.read(out[0])), "|ED|")
		assert.NotContains(t, string(r.read(out[1])), "application/pdf")
		assert.Contains(t, r.log.String(), "without")
	}
}

// Nothing is made for nobody, and nothing waits for what the archive will not get.
func TestPublish_nobody(t *testing.T) {
	r := newRig(t)
	assert.Empty(t, r.publish(sample(t, draft.Drafted)))
	r = newRig(t, destinations(t)[2])
	r.entry = nil
	out := r.publish(sample(t, draft.Signed))
	require.Len(t, out, 2)
	assert.Empty(t, out[0].After)
	n := 0
	for range r.spool.Entries(0) {
		n++
	}
	assert.Equal(t, 2, n, "no object is made where there is no archive")
}

// TestPublish_keepsThePage of what is signed, and of nothing else, though nobody gets it.
func TestPublish_keepsThePage(t *testing.T) {
	for standing, kept := range map[draft.Standing]bool{draft.Drafted: false, draft.Signed: true, draft.Amended: true, draft.Withdrawn: true} {
		r := newRig(t)
		out := r.publish(sample(t, standing))
		require.Equal(t, kept, len(out) == 1, standing)
		if !kept {
			continue
		}
		assert.Equal(t, ledger.PurposePage, out[0].Purpose)
		assert.Equal(t, r.pages, r.read(out[0]))
		r.Drop(t.Context(), out)
		_, _, err := r.spool.Open(out[0].Entry)
		require.ErrorIs(t, err, spool.ErrNotFound)
		r.pages = nil // too long
		assert.Empty(t, r.publish(sample(t, standing)))
	}
}
