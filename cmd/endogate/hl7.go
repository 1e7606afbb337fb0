package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"endogate/dicomnode/secure"
	"endogate/hl7"
	"endogate/hl7/mllp"
)

type hl7Cmd struct {
	Send   hl7SendCmd   `cmd:"" help:"Send messages in files to a receiver (MLLP) and print its answers; status 0 if it took them all."`
	Listen hl7ListenCmd `cmd:"" help:"Take messages, print and answer them: a stand-in RIS."`
	Show   hl7ShowCmd   `cmd:"" help:"Print the segments and fields of messages with their names, decoded."`
	Tables hl7TablesCmd `cmd:"" help:"Print which messages and fields are read and written, as docs/hl7.md has it."`
	Render hl7RenderCmd `cmd:"" help:"Print what a destination would get of a report, and send nothing."`
}

// tlsFlags are those of either side of a connection.
type tlsFlags struct {
	CA   string `help:"File with the authorities that the other side's certificate must come from (PEM)." type:"path" placeholder:"FILE" name:"tls-ca"`
	Cert string `help:"File with our certificate (PEM)." type:"path" placeholder:"FILE" name:"tls-cert"`
	Key  string `help:"File with its key (PEM)." type:"path" placeholder:"FILE" name:"tls-key"`
}

func (f tlsFlags) files() secure.Files {
	return secure.Files{CAFile: f.CA, CertFile: f.Cert, KeyFile: f.Key}
}

type hl7SendCmd struct {
	Files   []string      `arg:"" help:"Files with one message each, or - for what is typed. Lines may end in LF: they are sent ending in CR." name:"file"`
	To      string        `help:"Address of the receiver." required:"" placeholder:"HOST:PORT"`
	Timeout time.Duration `help:"Longest wait for one answer." default:"30s"`
	TLS     bool          `help:"Speak TLS." name:"tls"`
	Raw     bool          `help:"Send the bytes as they are, whatever ends their lines."`

	tlsFlags `embed:""`
}

func (c *hl7SendCmd) Run(ctx context.Context, tty console) error {
	client := &mllp.Client{Address: c.To, Timeout: c.Timeout}
	if c.TLS {
		secured, err := c.files().Dialer()
		if err != nil {
			return err
		}
		client.Dial = secured.DialContext
	}
	defer func() { _ = client.Close() }()
	refused := 0
	for _, path := range c.Files {
		message, err := readMessage(path)
		if err != nil {
			return err
		}
		if !c.Raw {
			message = segmentEnds(message)
		}
		if m, err := hl7.Parse(message, hl7.Options{}); m == nil && !c.Raw {
			return fmt.Errorf("%s: this is no HL7 message, and was not sent: %w", path, err)
		}
		answer, err := client.Exchange(ctx, message)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Fprintln(tty.out, printable(answer))
		ack, err := hl7.Parse(answer, hl7.Options{})
		if err != nil {
			return fmt.Errorf("%s: the answer: %w", path, err)
		}
		if verdict, reason := hl7.Judge(ack.Get("MSA-2"), ack); verdict != hl7.Done {
			fmt.Fprintf(tty.err, "%s: %s\n", path, reason)
			refused++
		}
	}
	if refused > 0 {
		return fmt.Errorf("hl7 send: %d of %d messages were not taken", refused, len(c.Files))
	}
	return nil
}

// readMessage reads a file, without the frame where it has one.
func readMessage(path string) ([]byte, error) {
	in := io.Reader(os.Stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, mllp.DefaultMaxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > mllp.DefaultMaxSize:
		return nil, fmt.Errorf("%s: more than %d bytes are no message", path, mllp.DefaultMaxSize)
	}
	if framed, err := mllp.NewReader(bytes.NewReader(b)).Next(); err == nil {
		return framed, nil
	}
	return b, nil
}

// segmentEnds makes the ends of lines those of segments, as an editor does not write them.
func segmentEnds(message []byte) []byte {
	text := bytes.ReplaceAll(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\r")), []byte("\n"), []byte("\r"))
	return append(bytes.TrimRight(text, "\r"), '\r')
}

// longestLine is how much of a segment is printed, in characters: one may hold a picture.
const longestLine = 400

// printable is a message for a terminal: a line a segment, long ones cut off.
func printable(message []byte) string {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(message))
	var out []string
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		out = append(out, short(strings.TrimRight(line, "\n")))
	}
	return strings.Join(out, "\n")
}

// short is one line for a terminal, without what would steer it.
func short(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if n := utf8.RuneCountInString(text); n > longestLine {
		return fmt.Sprintf("%s… (%d characters)", string([]rune(text)[:longestLine]), n)
	}
	return text
}

type hl7ShowCmd struct {
	Files   []string `arg:"" help:"Files with one message each, or - for what is typed." name:"file"`
	Charset string   `help:"Character set (table 0211, such as 8859/1 or UNICODE UTF-8) of a message that does not say its own."`
}

func (c *hl7ShowCmd) Run(tty console) error {
	if c.Charset != "" && !hl7.KnownCharset(c.Charset) {
		return usageError(fmt.Sprintf("hl7 show: character set %q is unknown; write one of table 0211, such as 8859/1", c.Charset))
	}
	var faults []error
	for _, path := range c.Files {
		b, err := readMessage(path)
		if err != nil {
			return err
		}
		message, err := hl7.Parse(b, hl7.Options{Charset: c.Charset})
		if message != nil {
			showMessage(tty.out, message)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(faults...)
}

// showMessage prints a line for each value: where it stands, what the standard calls the field, the text.
func showMessage(w io.Writer, message *hl7.Message) {
	for _, s := range message.Segments() {
		fmt.Fprintln(w, short(s.Name))
		for v := range s.Values() {
			text := v.Text
			if v.Null {
				text = `"" (to be removed)`
			}
			fmt.Fprintf(w, "  %-14s %-34s %s\n", short(s.Name)+"-"+v.Path, hl7.FieldName(s.Name, v.Field), short(text))
		}
	}
}

// serverTLS is nil where no certificate is named.
func (f tlsFlags) serverTLS() (*tls.Config, error) {
	if f == (tlsFlags{}) {
		return nil, nil
	}
	return f.files().Server()
}
