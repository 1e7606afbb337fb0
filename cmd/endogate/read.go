package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/hl7"
	"endogate/hl7/orders"
	"endogate/reports/reading"
)

type readCmd struct {
	Files    []string `arg:"" help:"Files with the text of a report, or with an ORU message of HL7; - for what is typed." name:"file"`
	JSON     bool     `help:"Print a line of JSON for each file." name:"json"`
	Language string   `help:"Language of the texts (en, de); by default that of the configuration, else the one that their words are of." placeholder:"CODE"`
	Charset  string   `help:"Character set (table 0211, such as 8859/1) of texts that are not UTF-8, and of messages that do not say theirs." default:"Windows-1252"`
	Ontology string   `help:"Folder with the words to read with, in the place of reading.ontology." type:"path" placeholder:"DIR"`
}

// readFile is what is printed of a file.
type readFile struct {
	File string `json:"file"`
	reading.Report
	Error string `json:"error,omitempty"`
}

func (r readCmd) Run(c *cli, tty console) error {
	words := configs.Reading{Ontology: r.Ontology, Language: r.Language}
	if c.Config != "" {
		cfg, err := c.load()
		if err != nil {
			return err
		}
		words = cfg.Reading
		if r.Ontology != "" {
			words.Ontology = r.Ontology
		}
		if r.Language != "" {
			words.Language = r.Language
		}
	}
	if !hl7.KnownCharset(r.Charset) {
		return usageError(fmt.Sprintf("read: character set %q is unknown; write one of table 0211, such as 8859/1", r.Charset))
	}
	ontology, err := gateway.Ontology(words)
	if err != nil {
		return err
	}
	failed := 0
	for _, path := range r.Files {
		out := readFile{File: path, Report: reading.Report{Findings: []reading.Finding{}}}
		text, err := r.text(path)
		if err == nil && len(text) > reading.MaxText {
			err = fmt.Errorf("more than %d bytes are no report", reading.MaxText)
		}
		if err == nil {
			out.Report = ontology.Read(text, words.Language)
		} else {
			failed++
			out.Error = reason(path, err)
			fmt.Fprintf(tty.err, "endogate: %s: %s\n", path, out.Error)
		}
		if err := r.print(tty.out, out); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("read: %d of %d files were not read", failed, len(r.Files))
	}
	return nil
}

// reason is an error without the path that stands before it.
func reason(path string, err error) string {
	var file *os.PathError
	if errors.As(err, &file) && file.Path == path {
		return file.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), path+": ")
}

func (r readCmd) print(w io.Writer, f readFile) error {
	if r.JSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(f)
	}
	if f.Error != "" {
		return nil
	}
	fmt.Fprintf(w, "%s (%s)\n", f.File, f.Language)
	if len(f.Findings) == 0 {
		fmt.Fprintln(w, "  no finding is mentioned")
	}
	for _, finding := range f.Findings {
		fmt.Fprintf(w, "  %-22s %-13s\n", finding.Finding, finding.Status)
		for _, m := range finding.Mentions {
			fmt.Fprintf(w, "    %-13s %s\n    %-13s %s, bytes %d to %d\n", m.Status, short(m.Sentence), "", m.Rule, m.Span.Start, m.Span.End)
		}
	}
	return nil
}

// text is that of a report: of a message, or the file itself.
func (r readCmd) text(path string) (string, error) {
	b, err := readMessage(path)
	if err != nil {
		return "", err
	}
	if head := bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")), "\r\n\t "); bytes.HasPrefix(head, []byte("MSH")) {
		if m, err := hl7.Parse(b, hl7.Options{Charset: r.Charset}); m != nil {
			return reportText(m, err)
		}
	}
	return decodeText(b, r.Charset)
}

func reportText(m *hl7.Message, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if m.Get("MSH-9.1") != "ORU" {
		return "", errors.New("a message that is no report: ORU^R01 is read")
	}
	var all []string
	for _, t := range orders.Texts(m) {
		if t.Text != "" {
			all = append(all, t.Text)
		}
	}
	if len(all) == 0 {
		return "", errors.New("the report has no text: its OBX hold none of type TX, FT or ST")
	}
	return strings.Join(all, "\n\n"), nil
}

// decodeText makes UTF-8 of a text: UTF-16 where it says or shows so, else the set.
func decodeText(b []byte, charset string) (string, error) {
	switch text := strings.TrimPrefix(string(b), "\uFEFF"); {
	case len(b) > reading.MaxText:
		return "", fmt.Errorf("more than %d bytes are no report", reading.MaxText)
	case bytes.HasPrefix(b, []byte("\xFF\xFE")), wide(b, 1):
		return utf16Text(b, 1), nil
	case bytes.HasPrefix(b, []byte("\xFE\xFF")), wide(b, 0):
		return utf16Text(b, 0), nil
	case bytes.IndexByte(b, 0) >= 0:
		return "", errors.New("not a text: it has bytes of zero; write the report out as text, or as an ORU message")
	case bytes.HasPrefix(b, []byte("%PDF")), bytes.HasPrefix(b, []byte(`{\rtf`)):
		return "", errors.New("not a plain text: write the report out as text, or as an ORU message")
	case utf8.ValidString(text):
		return text, nil
	}
	text, ok := hl7.DecodeText(charset, b)
	if !ok {
		return "", fmt.Errorf("the bytes are neither UTF-8 nor %s: name the character set with --charset", charset)
	}
	return text, nil
}

// wide says whether every other byte of a text is zero, the first of them at from.
func wide(b []byte, from int) bool {
	if len(b) < 4 || len(b)%2 != 0 {
		return false
	}
	zeros := 0
	for i := from; i < len(b); i += 2 {
		if b[i] == 0 {
			zeros++
		}
	}
	return zeros > len(b)*2/5
}

func utf16Text(b []byte, high int) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i+high])<<8 | uint16(b[2*i+1-high])
	}
	return strings.TrimPrefix(string(utf16.Decode(units)), "\uFEFF")
}

type ontologyCmd struct {
	Dir string `arg:"" help:"Folder to write to; no file of it is overwritten." type:"path"`
}

func (o ontologyCmd) Run(tty console) error {
	written, err := reading.Export(o.Dir)
	for _, file := range written {
		fmt.Fprintln(tty.out, file)
	}
	if err != nil {
		return fmt.Errorf("ontology: %w; name a folder that is empty or not there", err)
	}
	fmt.Fprintf(tty.out, "Keep the files that you change, delete the others, and set reading.ontology to the folder; endogate doctor checks them.\n")
	return nil
}

// checkOntology loads what reports are read with.
func checkOntology(cfg configs.Config) (string, error) {
	o, err := gateway.Ontology(cfg.Reading)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; %d findings", strings.Join(o.Versions(), ", "), len(o.Findings())), nil
}
