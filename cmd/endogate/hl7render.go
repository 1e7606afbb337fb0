package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/ledger"
	"endogate/hl7/oru"
	"endogate/reports/draft"
	"endogate/reports/fhir"
)

type hl7RenderCmd struct {
	Study string `arg:"" help:"Study Instance UID or accession number; or a file with a draft in JSON, as the API gives it."`
	To    string `help:"Destination of the configuration, of kind hl7 or fhir." required:"" placeholder:"NAME"`
	PDF   string `help:"PDF to attach; without one a few letters stand in its place." type:"existingfile" placeholder:"FILE" name:"pdf"`
	Raw   bool   `help:"Print the message as it is sent, segments ending in CR."`
}

// Run prints what a destination would get of a report as it stands now. Nothing is sent, nor entered anywhere.
func (c *hl7RenderCmd) Run(ctx context.Context, root *cli, tty console) error {
	cfg, err := root.load()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(cfg.Destinations, func(d configs.Destination) bool { return d.Name == c.To })
	if i < 0 || cfg.Destinations[i].Kind == configs.KindDICOM {
		return usageError(fmt.Sprintf("--to: %q is no destination of kind hl7 or fhir (%s)", c.To, cmp.Or(strings.Join(c.names(cfg), ", "), "there is none")))
	}
	to, err := gateway.Receiver(cfg, cfg.Destinations[i])
	if err != nil {
		return err
	}
	doc, err := c.document(ctx, cfg)
	if err != nil {
		return err
	}
	paper := []byte("(the PDF)")
	if c.PDF != "" {
		if paper, err = os.ReadFile(c.PDF); err != nil {
			return err
		}
	}
	if to.Bundle != nil {
		bundle, err := fhir.Render(doc, fhir.Attachments{Report: doc.Reference().Report, PDF: paper}, *to.Bundle)
		if err != nil {
			return err
		}
		var shown bytes.Buffer
		if err := json.Indent(&shown, bundle, "", "  "); err != nil {
			return err
		}
		_, err = shown.WriteTo(tty.out)
		return err
	}
	message, err := to.Message.Render(doc, oru.Attachments{Report: doc.Reference().Report, PDF: paper})
	if err != nil {
		return err
	}
	if c.Raw {
		_, err = tty.out.Write(message)
		return err
	}
	fmt.Fprintln(tty.out, printable(message))
	return nil
}

func (c *hl7RenderCmd) names(cfg configs.Config) (names []string) {
	for _, d := range cfg.Destinations {
		if d.Kind != configs.KindDICOM {
			names = append(names, d.Name)
		}
	}
	return names
}

// document reads the draft from its file, or the newest version from the ledger's, beside a gateway that is running or
// without one.
func (c *hl7RenderCmd) document(ctx context.Context, cfg configs.Config) (doc draft.Document, err error) {
	if text, err := os.ReadFile(c.Study); err == nil {
		if err = json.Unmarshal(text, &doc); err == nil {
			err = doc.Validate()
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", c.Study, err)
		}
		return doc, err
	}
	if _, err := os.Stat(cfg.LedgerFile()); err != nil {
		return doc, fmt.Errorf("hl7 render: %w; give --config, or data_dir in it", err)
	}
	l, err := ledger.OpenReadOnly(cfg.LedgerFile())
	if err != nil {
		return doc, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	studies, err := l.Trace(ctx, c.Study)
	if errors.Is(err, ledger.ErrNotFound) {
		return doc, fmt.Errorf("hl7 render: no study here has the Study Instance UID or accession number %q, and no file has this name; /api/v1/studies lists the studies", c.Study)
	}
	if err != nil {
		return doc, fmt.Errorf("hl7 render: %w", err)
	}
	if len(studies) > 1 {
		return doc, usageError(fmt.Sprintf("%q is the accession number of %d studies; give the Study Instance UID", c.Study, len(studies)))
	}
	newest, err := l.Draft(ctx, studies[0].StudyInstanceUID, 0, 0)
	if errors.Is(err, ledger.ErrNotFound) {
		return doc, errors.New("hl7 render: the study has no draft yet; endogate trace says how far it is")
	}
	if err != nil {
		return doc, err
	}
	return doc, json.Unmarshal(newest.Document, &doc)
}
