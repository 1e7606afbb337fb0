package oru

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/hl7"
	"endogate/reports/draft"
)

// maxMessage is what receivers are known to take at least, in bytes.
const maxMessage = 20 << 20

// ErrTooLong is of a message that receivers would not take.
var ErrTooLong = fmt.Errorf("oru: the message has more than %d MiB; leave row pdf out", maxMessage>>20)

// message is one that is being written.
type message struct {
	o       Options
	doc     draft.Document
	words   string // draft.Text
	pdf     []byte
	reports []dicom.UID
	former  draft.Patient // whom doc named when it was made, where it is another one now
	out     *hl7.Message
	scratch *hl7.Segment
	control string // MSH-10
	err     error
}

// Attachments are what was made of the report besides.
type Attachments struct {
	Report dicom.UID // SOP Instance UID of the structured report that a signed one was made into; empty: there is none
	PDF    []byte    // none: row pdf is left out
	// Patient is whom the report is on by now, where that is another one than it was signed for: PID names it, and what was
	// signed stays as it is. Nil: as the report says.
	Patient *draft.Patient
	Former  string // what is said of that
}

// Render writes doc. One that is being amended is none to send: what was signed stands.
func (w *Writer) Render(doc draft.Document, with Attachments) ([]byte, error) {
	without, err := w.render(doc, with, "")
	if err != nil {
		return nil, err
	}
	return w.render(doc, with, w.o.control(doc, without))
}

func (w *Writer) render(doc draft.Document, with Attachments, control string) ([]byte, error) {
	if doc.Standing == draft.Amending {
		return nil, errors.New("oru: a report that is being amended is not sent; what was signed stands until it is signed again")
	}
	out, err := hl7.New(hl7.Recommended, "UNICODE UTF-8")
	if err != nil {
		return nil, err
	}
	draftOf, err := hl7.New(out.Delimiters, "UNICODE UTF-8")
	if err != nil {
		return nil, err
	}
	m := &message{o: w.o, doc: doc, words: draft.Text(doc), pdf: with.PDF, control: control, out: out, scratch: draftOf.Add("ZZZ")}
	if p := with.Patient; p != nil && *p != doc.Patient {
		m.former, m.doc.Patient = doc.Patient, *p
		m.words += "\n" + with.Former + "\n"
	}
	if !m.verified() && !strings.HasPrefix(m.words, draft.Unverified) {
		m.words = m.prefix() + m.words
	}
	for _, model := range doc.Disclosure.Models {
		if model.Report != "" {
			m.reports = append(m.reports, model.Report)
		}
	}
	if with.Report != "" {
		m.reports = append(m.reports, with.Report)
	}
	s := scope{message: m}
	for _, segment := range w.segments {
		if segment.name[0] == 'Z' {
			continue
		}
		m.add(segment, s)
	}
	for n, one := range w.observations(s) {
		one.about.n = n + 1
		m.add(one.row, one.about)
	}
	for _, segment := range w.segments {
		if segment.name[0] == 'Z' {
			m.add(segment, s)
		}
	}
	b := out.Bytes()
	if len(b) > maxMessage {
		m.err = errors.Join(m.err, ErrTooLong)
	}
	if m.err != nil {
		return nil, fmt.Errorf("oru: report %d.%d: %w", doc.Number, doc.Version, m.err)
	}
	return b, nil
}

// observation is an OBX to write.
type observation struct {
	row   segment
	about scope
}

// observations are those of the rows, in their order; what rows side by side say about a finding stays together.
func (w *Writer) observations(s scope) (all []observation) {
	first := 0 // of the findings' rows that stand side by side
	for _, row := range w.rows {
		if !slices.Contains(ofFinding, row.row) {
			first = len(all)
		}
		for _, about := range row.each(&s) {
			all = append(all, observation{row, about})
		}
		if !slices.Contains(ofFinding, row.row) {
			first = len(all)
		}
		slices.SortStableFunc(all[first:], func(a, b observation) int { return a.about.group - b.about.group })
	}
	return all
}

// add writes a segment about s.
func (m *message) add(segment segment, s scope) {
	any := !segment.optional
	texts := make([]string, len(segment.fields))
	for i, f := range segment.fields {
		text, known := f.value.render(s)
		texts[i], any = text, any || known
	}
	if !any {
		return
	}
	to := m.out.Segments()[0]
	if segment.name != "MSH" {
		to = m.out.Add(segment.name)
	}
	for i, f := range segment.fields {
		if texts[i] != "" {
			m.err = errors.Join(m.err, to.SetEncoded(f.number, texts[i]))
		}
	}
}

// control is the same for the same content of a version and a receiver (HL7 2.5.1 2.15.9.10: at most 20 characters): a
// receiver may take another message with a control ID that it knows for one that comes again.
func (o Options) control(doc draft.Document, content []byte) string {
	about := fmt.Appendf(nil, "oru\x00%s\x00%d.%d\x00%s\x00", doc.Study, doc.Number, doc.Version, o.Destination)
	sum := sha256.Sum256(append(about, content...))
	return strings.ToUpper(hex.EncodeToString(sum[:10]))
}

func once(s *scope) []scope { return []scope{*s} }

func reports(s *scope) (all []scope) {
	for _, uid := range s.reports {
		next := *s
		next.report = uid
		all = append(all, next)
	}
	return all
}

func predecessor(s *scope) []scope {
	if s.doc.Predecessor == nil || s.doc.Predecessor.Report == "" {
		return nil
	}
	return once(s)
}

func findings(s *scope) []scope {
	return findingsIf(s, func(draft.Finding) bool { return true })
}

func sites(s *scope) []scope {
	return findingsIf(s, func(f draft.Finding) bool { return f.Site != dicom.Code{} && f.Site != f.Code || f.SiteText != "" })
}

func probabilities(s *scope) []scope {
	return findingsIf(s, func(f draft.Finding) bool { return f.Probability > 0 })
}

func sizes(s *scope) []scope {
	return findingsIf(s, func(f draft.Finding) bool { return f.SizeMM > 0 })
}

// findingsIf are those that stand, and those that were taken back: a receiver is told so of what it was sent before. They
// are numbered whether they are wanted or not.
func findingsIf(s *scope, wanted func(draft.Finding) bool) (all []scope) {
	group := 0
	for i := range s.doc.Findings {
		f := &s.doc.Findings[i]
		if !f.Stands() && !f.TakenBack() {
			continue
		}
		group++
		if wanted(*f) {
			next := *s
			next.finding, next.group = f, group
			all = append(all, next)
		}
	}
	return all
}

func lines(s *scope) (all []scope) {
	for line := range strings.SplitSeq(s.words, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			next := *s
			next.line = line
			all = append(all, next)
		}
	}
	return all
}

func sections(s *scope) (all []scope) {
	for i := range s.doc.Sections {
		next := *s
		next.section = &s.doc.Sections[i]
		all = append(all, next)
	}
	return all
}

func pdfs(s *scope) []scope {
	if len(s.pdf) == 0 {
		return nil
	}
	return once(s)
}

// Attaches reports whether the receiver wants the PDF.
func (w *Writer) Attaches() bool {
	return slices.ContainsFunc(w.rows, func(s segment) bool { return s.row == "pdf" })
}
