// Package notice writes what a person is told of a study that needs one: as JSON for a webhook, as an e-mail, as a message of HL7 v2. It
// says what a model found, where to look, and that nobody has verified it, and never whose the study is. The same notice is written to the
// same bytes each time.
package notice

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"

	"endogate/dicomnode/ledger"
	"endogate/hl7"
)

// What is said with each: who says it, and that nobody has verified it.
const (
	Unverified = "Found by a model, not verified by a person."
	notFound   = "Not found by a model; not verified by a person."
	compared   = "Compared by a program, not verified by a person."
)

// differ is how a report and a model do, by the kind of a review.
var differ = map[string]struct{ how, note string }{
	"missed":        {"a report denies it, a model sees it", Unverified},
	"not-mentioned": {"a report does not speak of it, a model sees it", Unverified},
	"uncertain":     {"a report is not sure of it", compared},
	"not-seen":      {"a report states it, a model does not see it", notFound},
}

// note is what is said with n.
func note(n ledger.Notice) string {
	if n.On == ledger.OnReview {
		return cmp.Or(differ[n.Kind].note, compared)
	}
	return Unverified
}

// soon is how soon a person is asked: a report that is doubted, or that a model does not bear out, keeps (priority 3 in the worklist).
func soon(n ledger.Notice) string {
	if note(n) == Unverified {
		return "A study needs a person soon."
	}
	return "A study needs a second look by a person."
}

// Writer writes notices.
type Writer struct {
	Page     string // under which people reach the gateway's page, without a slash at its end
	Location *time.Location
}

// Link is where a person looks.
func (w Writer) Link(n ledger.Notice) string { return w.Page + "/#/studies/" + string(n.Study) }

// what is n in a line.
func what(n ledger.Notice) string {
	if n.On == ledger.OnReview {
		return fmt.Sprintf("%s: %s (%s)", oneLine(n.Finding), cmp.Or(differ[n.Kind].how, "a model and a report differ"), oneLine(n.Kind))
	}
	return fmt.Sprintf("%s: found by a model, urgent", oneLine(n.Finding))
}

// oneLine is text without what ends a line, or steers a terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// JSON is n for a program.
func (w Writer) JSON(n ledger.Notice) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		Type string `json:"type"`
		ledger.Notice
		Link string `json:"link"`
		Note string `json:"note"`
	}{"endogate." + n.On, n, w.Link(n), note(n)})
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), err
}

// Mail is n as a message of RFC 5322. Its Message-ID is the notice's.
func (w Writer) Mail(n ledger.Notice, from mail.Address, to []mail.Address) ([]byte, error) {
	var out bytes.Buffer
	names := make([]string, len(to))
	for i, a := range to {
		names[i] = a.String()
	}
	_, host, _ := strings.Cut(from.Address, "@")
	for _, h := range [][2]string{
		{"From", from.String()},
		{"To", strings.Join(names, ",\r\n ")},
		{"Subject", mime.QEncoding.Encode("utf-8", "endogate: "+what(n))},
		{"Date", n.At.In(cmp.Or(w.Location, time.UTC)).Format(time.RFC1123Z)},
		{"Message-ID", "<" + n.ID + "@" + host + ">"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834 5
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&out, "%s: %s\r\n", h[0], h[1])
	}
	out.WriteString("\r\n")
	body := quotedprintable.NewWriter(&out)
	for _, line := range append([]string{soon(n), "", what(n) + "."}, w.lines(n)...) {
		if _, err := fmt.Fprintf(body, "%s\r\n", line); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), body.Close()
}

func (w Writer) lines(n ledger.Notice) []string {
	figures := "No frame is at or above the threshold"
	if n.Frames > 0 {
		figures = fmt.Sprintf("Probability %.3f, on %d frames at or above the threshold", n.Probability, n.Frames)
	}
	return []string{
		note(n), "",
		w.Link(n), "",
		fmt.Sprintf("%s, by %s %s.", figures, oneLine(n.Model), oneLine(n.ModelVersion)),
		fmt.Sprintf("Rule %s, route %s, notification %s.", n.Rule, oneLine(n.Route), n.ID),
	}
}

// Receiver is who a message of HL7 is for.
type Receiver struct{ Institution, Application, Facility, ProcessingID string }

// controlLength is what MSH-10 may have (HL7 v2.5.1 2.14.9.10).
const controlLength = 20

// HL7 is n as an observation message (ORU^R01) without a patient, which that message may lack (v2.5.1 7.3.1). Its MSH-10 is of the notice's ID.
func (w Writer) HL7(n ledger.Notice, to Receiver) ([]byte, error) {
	m, err := hl7.New(hl7.Recommended, "UNICODE UTF-8")
	if err != nil {
		return nil, err
	}
	set := func(path, text string) {
		if e := m.Set(path, text); e != nil && err == nil {
			err = fmt.Errorf("notice: %w", e)
		}
	}
	at := n.At.In(cmp.Or(w.Location, time.UTC)).Format("20060102150405-0700")
	id := strings.TrimPrefix(n.ID, "notice-")
	for _, field := range [][2]string{
		{"MSH-3", "ENDOGATE"},
		{"MSH-4", to.Institution},
		{"MSH-5", to.Application},
		{"MSH-6", to.Facility},
		{"MSH-7", at},
		{"MSH-9.1", "ORU"},
		{"MSH-9.2", "R01"},
		{"MSH-9.3", "ORU_R01"},
		{"MSH-10", "N" + id[:min(len(id), controlLength-1)]},
		{"MSH-11", cmp.Or(to.ProcessingID, "P")},
		{"MSH-12", "2.5.1"},
		{"OBR-1", "1"},
		{"OBR-4.1", "NOTIFY"},
		{"OBR-4.2", "A study needs a person"},
		{"OBR-4.3", "99ENDOGATE"},
		{"OBR-7", at},
		{"OBR-22", at},
		{"OBR-25", "R"},
	} {
		set(field[0], field[1])
	}
	rows := [][5]string{{"TX", "121071", "Finding", "DCM", what(n)}}
	if n.Frames > 0 {
		rows = append(rows, [5]string{"NM", "122157", "Probability", "DCM", strconv.FormatFloat(n.Probability, 'f', 4, 64)})
	}
	for i, row := range append(rows, [][5]string{
		{"ST", "113014", "DICOM Study", "DCM", string(n.Study)},
		{"TX", "LINK", "Page of the study", "99ENDOGATE", w.Link(n)},
		{"TX", "121106", "Comment", "DCM", note(n)},
	}...) {
		obx := fmt.Sprintf("OBX[%d]-", i+1)
		for _, field := range [][2]string{{"1", strconv.Itoa(i + 1)}, {"2", row[0]}, {"3.1", row[1]}, {"3.2", row[2]}, {"3.3", row[3]}, {"5", row[4]}, {"11", "R"}} {
			set(obx+field[0], field[1])
		}
	}
	return m.Bytes(), err
}
