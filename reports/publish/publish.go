// Package publish makes what is sent of a report, for each destination in its protocol: objects for an archive, a message
// for a RIS, a bundle for a FHIR server. It keeps them in the spool, and hands over what is to be delivered in which order:
// who reads a message finds in the archive what it names.
package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/hl7/oru"
	"endogate/reports"
	"endogate/reports/draft"
	"endogate/reports/fhir"
	"endogate/reports/pdf"
)

// Ranks of what a report is sent as: behind the objects that it speaks of.
const (
	rankPDF     = ledger.RankKOS + 10
	rankMessage = ledger.RankKOS + 20
)

// maxAttached bounds a PDF within a message, in bytes: it grows by a third there, and receivers take 20 MiB.
const maxAttached = 14 << 20

// Destination is where a report goes. Of Message and Bundle one at most is there; one that has neither is an archive.
type Destination struct {
	Name    string
	PDF     bool          // an archive that gets the PDF too
	Message *oru.Writer   // of a receiver of HL7
	Bundle  *fhir.Options // of a FHIR server
	// DraftsAfterSignature: a receiver of messages gets what is only a draft though a person has signed one before it. A
	// receiver that has one report for an order would hold it for that, and those that delete on R lose what was signed.
	DraftsAfterSignature bool
}

func (d Destination) archive() bool { return d.Message == nil && d.Bundle == nil }

// Publisher is a desk.Publisher. It keeps no state.
type Publisher struct {
	Destinations func(route string) []Destination
	Builder      *reports.Builder
	Templates    *draft.Templates
	// Source returns an instance of the study, for objects to copy patient and study from; a reports.ErrGone: none is
	// in the spool any more.
	Source func(ctx context.Context, doc draft.Document) (reports.Source, error)
	Pages  func(ctx context.Context, doc draft.Document) ([]byte, error) // the PDF
	Keep   func(context.Context, reports.Object) (id, digest string, err error)
	Create func() (*spool.Writer, error)
	// Release takes entries out of the spool that nothing needs.
	Release func(entries ...string) error
	// EntryOf finds the spool entry of a SOP Instance; ledger.ErrNotFound: there is none.
	EntryOf func(ctx context.Context, instance string) (string, error)
	// Current finds the object that was made last of those with a name; ledger.ErrNotFound: there is none.
	Current func(ctx context.Context, name dicom.UID) (ledger.Object, error)
	MaxWait time.Duration // for the archive to have what a message names
	Log     *slog.Logger
}

// Publish implements desk.Publisher.
func (p *Publisher) Publish(ctx context.Context, doc draft.Document, _ ledger.DraftEvent) ([]ledger.Outgoing, error) {
	to := p.destinations(doc)
	if len(to) == 0 && doc.Editable() {
		return nil, nil
	}
	r := rendering{Publisher: p, ctx: ctx, doc: doc, to: to}
	if err := r.pages(); err != nil {
		return nil, err
	}
	for _, make := range []func() error{r.objects, r.messages, r.keepPage} {
		if err := make(); err != nil {
			return nil, err
		}
	}
	return r.out, nil
}

// Drop implements desk.Publisher.
func (p *Publisher) Drop(ctx context.Context, made []ledger.Outgoing) {
	var entries []string
	for _, o := range made {
		entries = append(entries, o.Entry)
		if o.Alternate != nil {
			entries = append(entries, o.Alternate.Entry)
		}
	}
	if err := p.Release(entries...); err != nil { // the next start does it
		p.Log.ErrorContext(ctx, "what was made in vain of a report is not released from the spool", "err", err)
	}
}

// wants reports whether doc is one to send to d.
func (d Destination) wants(doc draft.Document) bool {
	return d.archive() || !doc.Withheld() && (d.DraftsAfterSignature || doc.Number == 1 || doc.Standing != draft.Drafted)
}

// Objects implements desk.Publisher. Pages that cannot be drawn again keep no report back.
func (p *Publisher) Objects(ctx context.Context, doc draft.Document) ([]ledger.Outgoing, error) {
	r := rendering{Publisher: p, ctx: ctx, doc: doc}
	r.to = slices.DeleteFunc(p.destinations(doc), func(d Destination) bool { return !d.archive() })
	pages := r.pages()
	err := r.objects()
	return r.out, errors.Join(err, pages)
}

// Readdress implements desk.Publisher. What was signed, its PDF with it, stays as it is.
func (p *Publisher) Readdress(ctx context.Context, doc draft.Document, patient draft.Patient, destination string) (ledger.Outgoing, error) {
	r := rendering{Publisher: p, ctx: ctx, doc: doc, patient: &patient, former: p.Templates.FormerName(doc)}
	r.to = slices.DeleteFunc(p.destinations(doc), func(d Destination) bool { return d.Name != destination || d.archive() })
	if len(r.to) == 0 {
		return ledger.Outgoing{}, noRouteError(destination)
	}
	if err := r.pages(); err != nil {
		return ledger.Outgoing{}, err
	}
	report, err := p.Current(ctx, draft.ReportName(doc.Study, doc.Number, doc.Version, dicom.Comprehensive3DSRStorage))
	switch {
	case err == nil:
		r.report = report.Instance.SOPInstanceUID
	case !errors.Is(err, ledger.ErrNotFound): // there is none: no archive got it
		return ledger.Outgoing{}, err
	}
	if err := r.messages(); err != nil {
		return ledger.Outgoing{}, err
	}
	return r.out[0], nil
}

// noRouteError names a destination that no route of a report leads to any more.
type noRouteError string

func (e noRouteError) Error() string {
	return fmt.Sprintf("publish: no route of the report leads to %s any more: the message that waits for it cannot be made anew for the patient's identity of today; list it in the route again and retry, or discard", string(e))
}

// Permanent says that trying again does not help.
func (noRouteError) Permanent() bool { return true }

// destinations are those of the routes by which the study was looked at, each once.
func (p *Publisher) destinations(doc draft.Document) (all []Destination) {
	for _, m := range doc.Disclosure.Models {
		for _, d := range p.Destinations(m.Route) {
			if d.wants(doc) && !slices.ContainsFunc(all, func(o Destination) bool { return o.Name == d.Name }) {
				all = append(all, d)
			}
		}
	}
	return all
}

// rendering is a report on its way to its destinations.
type rendering struct {
	*Publisher
	ctx    context.Context
	doc    draft.Document
	to     []Destination
	pdf    []byte
	report dicom.UID // the structured report that a signed one was made into
	after  string    // entry that messages wait for
	out    []ledger.Outgoing

	patient *draft.Patient // whom messages name, where that is another one than doc does
	former  string         // and what they say of it
}

// keepPage keeps the PDF of what is signed: whoever asks for it later gets these bytes, whatever has become of templates,
// pictures and fonts.
func (r *rendering) keepPage() error {
	if r.doc.Editable() || len(r.pdf) == 0 {
		return nil
	}
	entry, err := r.append(spool.Entry{Kind: spool.Message, MediaType: "application/pdf", Record: Record(r.doc.Study, "pdf", ""), At: r.doc.At}, r.pdf)
	r.out = append(r.out, ledger.Outgoing{Kind: "pdf", Entry: entry.ID, Digest: entry.Digest, Purpose: ledger.PurposePage})
	return err
}

// pages makes the PDF, where somebody gets it, or it is kept. One that would have too many pages is left out.
func (r *rendering) pages() (err error) {
	if r.doc.Editable() && !slices.ContainsFunc(r.to, func(d Destination) bool {
		return d.PDF || d.Bundle != nil || d.Message != nil && d.Message.Attaches()
	}) {
		return nil
	}
	r.pdf, err = r.Pages(r.ctx, r.doc)
	if errors.Is(err, pdf.ErrTooLong) {
		r.Log.WarnContext(r.ctx, "report is sent without its PDF", "study_instance_uid", r.doc.Study, "err", err)
		return nil
	}
	return err
}

// objects makes the structured report of what is signed, and the PDF as an object, for the archives.
func (r *rendering) objects() error {
	archives := slices.DeleteFunc(slices.Clone(r.to), func(d Destination) bool { return !d.archive() })
	papers := slices.DeleteFunc(slices.Clone(archives), func(d Destination) bool { return !d.PDF || len(r.pdf) == 0 })
	signed := r.doc.Signature != nil && !r.doc.Editable() && len(archives) > 0
	if signed || len(papers) > 0 {
		source, err := r.Source(r.ctx, r.doc)
		switch {
		case errors.Is(err, reports.ErrGone): // a message that a report was withdrawn must go out all the same
			r.Log.ErrorContext(r.ctx, "report is sent without objects for the archive: no instance of the study is in the spool any more; raise spool.retention",
				"study_instance_uid", r.doc.Study)
		case err != nil:
			return err
		default:
			if err := r.makeObjects(source, signed, archives, papers); err != nil {
				return err
			}
		}
	}
	if r.report == "" {
		return r.waitFor()
	}
	return nil
}

func (r *rendering) makeObjects(source reports.Source, signed bool, archives, papers []Destination) error {
	if signed {
		first, second, err := r.Builder.SignedReport(source, r.doc)
		if err != nil {
			return err
		}
		out, err := r.keep(first, "sr", ledger.RankSR)
		if err != nil {
			return err
		}
		twin, err := r.keep(second, "sr", ledger.RankSR)
		if err != nil {
			return err
		}
		out.Alternate = &twin
		r.report, r.after = out.Instance.SOPInstanceUID, out.Entry
		r.send(out, archives)
	}
	if len(papers) == 0 {
		return nil
	}
	paper, err := r.Builder.EncapsulatedPDF(source, r.doc, r.pdf)
	if err != nil {
		return err
	}
	out, err := r.keep(paper, "pdf", rankPDF)
	if err == nil {
		r.send(out, papers)
	}
	return err
}

// keep puts an object into the spool.
func (r *rendering) keep(o reports.Object, purpose string, rank int) (ledger.Outgoing, error) {
	entry, digest, err := r.Keep(r.ctx, o)
	return ledger.Outgoing{
		Kind: ledger.KindDICOM, Entry: entry, Digest: digest, Name: o.Name, Purpose: purpose, Instance: o.Header.SOPInstance,
		TransferSyntaxUID: o.TransferSyntaxUID, Rank: rank,
	}, err
}

func (r *rendering) send(o ledger.Outgoing, to []Destination) {
	for _, d := range to {
		o.Destination = d.Name
		r.out = append(r.out, o)
	}
}

// waitFor finds the last of the structured reports that a draft speaks of: an archive gets them in the order in which
// they were made, and entries sort by that.
func (r *rendering) waitFor() error {
	for _, m := range r.doc.Disclosure.Models {
		if m.Report == "" {
			continue
		}
		entry, err := r.EntryOf(r.ctx, string(m.Report))
		switch {
		case errors.Is(err, ledger.ErrNotFound):
			continue
		case err != nil:
			return err
		}
		r.after = max(r.after, entry)
	}
	return nil
}

// messages writes the report for those who get no objects.
func (r *rendering) messages() error {
	paper := r.pdf
	if len(paper) > maxAttached {
		r.Log.WarnContext(r.ctx, "messages are sent without the PDF: it is too large for them", "study_instance_uid", r.doc.Study, "bytes", len(paper))
		paper = nil
	}
	for _, d := range r.to {
		if d.archive() {
			continue
		}
		out := ledger.Outgoing{Kind: ledger.KindHL7, Purpose: "oru", Destination: d.Name, Rank: rankMessage}
		mediaType := "x-application/hl7-v2+er7"
		var data []byte
		var err error
		if d.Message != nil {
			data, err = d.Message.Render(r.doc, oru.Attachments{Report: r.report, PDF: paper, Patient: r.patient, Former: r.former})
		} else {
			out.Kind, out.Purpose, mediaType = ledger.KindFHIR, "bundle", fhir.MediaType
			data, err = fhir.Render(r.doc, fhir.Attachments{Report: r.report, PDF: paper, Patient: r.patient, Former: r.former}, *d.Bundle)
		}
		if err != nil {
			return fmt.Errorf("publish: for %s: %w", d.Name, err)
		}
		entry, err := r.append(spool.Entry{Kind: spool.Message, MediaType: mediaType, Record: Record(r.doc.Study, out.Kind, d.Name), At: r.doc.At}, data)
		if err != nil {
			return fmt.Errorf("publish: for %s: %w", d.Name, err)
		}
		out.Entry, out.Digest = entry.ID, entry.Digest
		if r.after != "" {
			out.After, out.Until = r.after, r.doc.At.Add(r.MaxWait)
		}
		r.out = append(r.out, out)
	}
	return nil
}

// record is a message's own header in the spool: without the ledger, it says what it is of.
type record struct {
	Protocol    string    `json:"protocol"`
	Study       dicom.UID `json:"study"`
	Destination string    `json:"destination"`
}

// Record is that of a message about a study.
func Record(study dicom.UID, protocol, destination string) json.RawMessage {
	text, _ := json.Marshal(record{protocol, study, destination}) // strings are no error
	return text
}

// StudyOf returns the study that a message is about by its record; "" where that names none.
func StudyOf(of json.RawMessage) dicom.UID {
	var is record
	_ = json.Unmarshal(of, &is) // another's names none
	return is.Study
}

// append puts a message into the spool.
func (r *rendering) append(e spool.Entry, data []byte) (spool.Entry, error) {
	w, err := r.Create()
	if err != nil {
		return e, err
	}
	defer func() { _ = w.Abort() }() // nothing happens after Commit
	if _, err := w.Write(data); err != nil {
		return e, err
	}
	return w.Commit(e)
}
