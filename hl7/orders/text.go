package orders

import (
	"net/netip"
	"slices"
	"strings"

	"endogate/dicomnode/ledger"
	"endogate/hl7"
)

// Text is the text of a report: one for each OBR of a message that has some.
type Text struct {
	Text   string
	Status string // OBR-25 (table 0123): F final, C corrected, P preliminary …
	group  group
}

// readings is what the reports of a message say, each on the study that it names.
func (r *Receiver) readings(m *hl7.Message, s Sender, reporters bool) (out []ledger.ReportReading) {
	if r.Read == nil || m.Get("MSH-9.1") != "ORU" {
		return nil
	}
	for _, t := range Texts(m) {
		subject, err := t.group.subject(s)
		if err != nil || subject == (ledger.Subject{}) {
			continue
		}
		reading, ok := r.Read(t.Text)
		if !ok {
			continue
		}
		reading.Subject, reading.Status = subject, t.Status
		reading.Patient, _ = s.patient(t.group.segments["PID"])
		if reporters {
			reading.Reporter = t.group.reporter()
		}
		out = append(out, reading)
	}
	return out
}

// ReadAgain reads the reports of a message that was taken before, as one of the same sender from the same host; nothing, where that is
// configured no more. Who wrote them is not read again: it is kept of what came while that was allowed, and of nothing else.
func (r *Receiver) ReadAgain(host netip.Addr, message []byte) []ledger.ReportReading {
	m, err := hl7.Parse(message, hl7.Options{})
	if m == nil {
		return nil
	}
	sender, ok := r.listed(m, host)
	if !ok {
		return nil
	}
	if sender.Charset != "" {
		m, err = hl7.Parse(message, hl7.Options{Charset: sender.Charset})
	}
	if err != nil {
		return nil
	}
	return r.readings(m, sender, false)
}

// reporter is who has written or signed a report: its principal result interpreter (OBR-32), else its responsible observer (OBX-16). Where
// several are named there is none who could be counted for it.
func (g group) reporter() (one ledger.Physician) {
	add := func(id hl7.Identifier, name string) (others bool) {
		p := ledger.Physician{Identifier: identifier(id), Name: strings.TrimSpace(name)}
		if len(p.ID)+len(p.Authority)+len(p.Name) > maxValue || p.ID+p.Name == "" {
			return false
		}
		others = one != (ledger.Physician{}) && !one.Is(p)
		one = p
		return others
	}
	for _, of := range g.all["OBR"] {
		for _, r := range of.Repetitions(32) {
			if add(r.NDL()) {
				return ledger.Physician{}
			}
		}
	}
	if one != (ledger.Physician{}) {
		return one
	}
	for _, of := range g.all["OBX"] {
		for _, r := range of.Repetitions(16) {
			if add(r.XCN(), hl7.PNOfXCN([]hl7.Repetition{r})) {
				return ledger.Physician{}
			}
		}
	}
	return one
}

// textHeadings are what the sections of a report are called for LOINC codes in OBX-3.
var textHeadings = map[string]string{
	"59768-2": "Indication", "18785-6": "Indication", "29299-5": "Indication", "11329-0": "History", "10164-2": "History", "11348-0": "History",
	"10157-6": "Family history", "18776-5": "Plan", "59776-5": "Findings", "59769-0": "Findings", "19005-8": "Findings", "18782-3": "Findings",
}

// maxTexts bounds the OBR of a message that are read for text.
const maxTexts = 100

// Texts reads what a report says in words: texts and numbers of its OBX (HL7 2.5.1 7.4.2), less those that are withdrawn, and notes, each
// under the name that it has.
func Texts(m *hl7.Message) []Text {
	var out []Text
	for _, g := range groupsOf(m) {
		t := Text{group: g}
		if obr := g.segments["OBR"]; obr != nil {
			t.Status = strings.ToUpper(strings.TrimSpace(obr.Get("25")))
		}
		var b strings.Builder
		last := ""
		for _, obx := range g.all["OBX"] {
			kind, result := obx.Get("2"), strings.ToUpper(obx.Get("11"))
			if !slices.Contains([]string{"TX", "FT", "ST", "CE", "CWE", "NM", "SN", ""}, kind) || slices.Contains([]string{"D", "W", "X"}, result) || slices.Contains(studyCodes, obx.Get("3.1")) {
				continue
			}
			name := strings.TrimSpace(obx.Get("3.2"))
			if heading := textHeadings[obx.Get("3.1")]; heading != "" {
				name = heading
			}
			if value := valueOf(obx, kind); name != last && name != "" && strings.TrimSpace(value) != "" {
				b.WriteString("\n" + name + ": " + value + "\n")
				last = name
			} else {
				b.WriteString(value + "\n")
			}
		}
		for _, nte := range g.all["NTE"] {
			for _, r := range nte.Repetitions(3) {
				b.WriteString("\n" + r.Get("1") + "\n")
			}
		}
		t.Text = strings.TrimSpace(b.String())
		if t.Text == "" && t.Status == "C" {
			t.Status = "X" // a correction that leaves no word takes back what was said
		}
		if (t.Text != "" || t.Status == "X") && len(out) < maxTexts {
			out = append(out, t)
		}
	}
	return out
}

// valueOf is the value of an OBX in words.
func valueOf(obx *hl7.Segment, kind string) string {
	var lines []string
	for _, r := range obx.Repetitions(5) {
		switch text := r.Get("1"); {
		case kind == "CE" || kind == "CWE":
			if meaning := r.Get("2"); meaning != "" {
				text = meaning
			}
			lines = append(lines, text)
		case kind == "SN":
			lines = append(lines, strings.TrimSpace(text+" "+r.Get("2")+r.Get("3")+r.Get("4")))
		default:
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "\n")
}
