package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/hl7"
	"endogate/reports/draft"
)

// demoAuthor is who edits and signs; nobody checks it.
const demoAuthor = "Dr. Demo"

// order sends the orders of the studies by MLLP, as a RIS does before the examination.
func (d *demo) order(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(d.Orders, "*.hl7"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("demo: no orders in %s: %w", d.Orders, err)
	}
	d.say("sending %d orders by MLLP", len(files))
	return (&hl7SendCmd{Files: files, To: d.hl7, Timeout: d.Timeout}).Run(ctx, d.tty)
}

// draft waits for the draft of a study, which comes once all that was seen of it is reported.
func (d *demo) draft(ctx context.Context, study dicom.UID) (doc draft.Document, err error) {
	err = d.poll(ctx, "the draft", func() (bool, error) {
		return d.get(ctx, draftPath(study), &doc) == nil, nil
	})
	return doc, err
}

func draftPath(study dicom.UID) string { return "/api/v1/studies/" + string(study) + "/draft" }

// showDraft prints the draft.
func (d *demo) showDraft(doc draft.Document) {
	fmt.Fprintf(d.tty.out, "\nDraft %d.%d (%s)\n", doc.Number, doc.Version, doc.Standing)
	for line := range strings.Lines(draft.Text(doc)) {
		fmt.Fprintf(d.tty.out, "  %s", line)
	}
}

// keepPage writes a version as PDF.
func (d *demo) keepPage(ctx context.Context, study admin.Study, doc draft.Document) error {
	page, err := d.page(ctx, http.MethodGet, fmt.Sprintf("%s.pdf?number=%d&version=%d", draftPath(study.StudyInstanceUID), doc.Number, doc.Version), "", nil)
	if err != nil {
		return err
	}
	return os.WriteFile(d.path(fmt.Sprintf("report-%s-%d.%d.pdf", study.AccessionNumber, doc.Number, doc.Version)), page, 0o600)
}

// edit accepts the first finding of a draft and writes what only a person may.
func (d *demo) edit(ctx context.Context, study dicom.UID, doc draft.Document) (draft.Document, error) {
	edits := []draft.Edit{}
	if i := slices.IndexFunc(doc.Findings, func(f draft.Finding) bool { return f.Decision == draft.Proposed }); i >= 0 {
		edits = append(edits, draft.Edit{Op: draft.OpAccept, Finding: doc.Findings[i].ID})
	}
	text := "History: positive faecal immunochemical test, otherwise well\nAnticoagulation: paused two days before\nASA class: II"
	edits = append(edits, draft.Edit{Op: draft.OpSection, Section: "history", Text: &text})
	return d.change(ctx, http.MethodPatch, draftPath(study), doc, map[string]any{"author": demoAuthor, "edits": edits})
}

func (d *demo) sign(ctx context.Context, study dicom.UID, doc draft.Document) (draft.Document, error) {
	return d.change(ctx, http.MethodPost, draftPath(study)+"/sign", doc, map[string]any{"author": demoAuthor})
}

// change sends what a person does with the version that they saw, and returns the next one.
func (d *demo) change(ctx context.Context, method, path string, seen draft.Document, body any) (doc draft.Document, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return doc, err
	}
	answer, err := d.page(ctx, method, path, fmt.Sprintf(`"%d.%d"`, seen.Number, seen.Version), text)
	if err != nil {
		return doc, err
	}
	return doc, json.Unmarshal(answer, &doc)
}

// page asks the gateway's API; seen is the version that a change is about.
func (d *demo) page(ctx context.Context, method, path, seen string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+d.web+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("If-Match", seen)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("demo: %s %s answered %s: %s", method, path, response.Status, answer)
	}
	return answer, err
}

// results prints the results that the stand-in RIS has, in the order in which they came.
func (d *demo) results() error {
	files, err := filepath.Glob(d.path("ris", "*.hl7"))
	if err != nil {
		return err
	}
	fmt.Fprintf(d.tty.out, "\nResults as the stand-in RIS received them: %s\n", d.path("ris"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		m, err := hl7.Parse(b, hl7.Options{})
		if err != nil {
			return fmt.Errorf("demo: %s: %w", file, err)
		}
		fmt.Fprintf(d.tty.out, "  %s  %s of order %s, accession %s: status %s, %d observations\n", filepath.Base(file), m.Get("MSH-9.1"),
			m.Get("OBR-2.1"), m.Get("OBR-18"), m.Get("OBR-25"), len(m.All("OBX[*]-1")))
	}
	return nil
}
