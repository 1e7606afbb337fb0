package oru

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/hl7"
	"endogate/reports/draft"
)

// sample is a draft with a finding, a rejected one, a landmark and a person's.
func sample(t testing.TB) (doc draft.Document) {
	text, err := os.ReadFile("../../testdata/drafts/colonoscopy.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &doc))
	require.NoError(t, doc.Validate())
	return doc
}

// as is doc in another standing.
func as(doc draft.Document, standing draft.Standing, verified bool) draft.Document {
	doc.Standing, doc.Version = standing, 2
	doc.Signature = &draft.Signature{By: draft.Author{Name: "Dr. Ida Lund & Søn"}, At: doc.At.Add(time.Hour), Verified: verified}
	if standing == draft.Drafted {
		doc.Signature = nil
	}
	if standing == draft.Amended || standing == draft.Withdrawn {
		doc.Predecessor, doc.Reason = &draft.Reference{Number: 1, Version: 1, Report: "2.25.8001"}, "wrong patient"
	}
	return doc
}

func options() Options {
	return Options{Destination: "ris", Institution: "Sykehuset & Co", Application: "RIS", Facility: "HOSP"}
}

func write(t testing.TB, o Options, doc draft.Document, with Attachments) *hl7.Message {
	t.Helper()
	w, err := NewWriter(o)
	require.NoError(t, err)
	b, err := w.Render(doc, with)
	require.NoError(t, err)
	again, err := w.Render(doc, with)
	require.NoError(t, err)
	assert.Equal(t, b, again)
	m, err := hl7.Parse(b, hl7.Options{})
	require.NoError(t, err)
	return m
}

func TestRender_golden(t *testing.T) {
	m := write(t, options(), sample(t), Attachments{PDF: []byte("%PDF-1.4 not one")})
	got := strings.ReplaceAll(string(m.Bytes()), "\r", "\n")
	golden, err := os.ReadFile("testdata/draft.hl7")
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile("testdata/draft.hl7", []byte(got), 0o600))
		golden, err = []byte(got), nil
	}
	require.NoError(t, err)
	assert.Equal(t, string(golden), got)
}

// What the order had comes back as it was; what an order has not, is not made up.
func TestRender_echoes(t *testing.T) {
	m := write(t, options(), sample(t), Attachments{})
	for path, want := range map[string]string{
		"OBR-2.1": "PL-7", "OBR-2.2": "EMR", "OBR-3.1": "FI-7", "ORC-2.1": "PL-7", "ORC-3.2": "RIS", "OBR-18": "A20260002", "OBR-19": "RP7", "OBR-20": "SPS7",
		"OBR-4.1": "73761001", "OBR-4.2": "Colonoscopy", "OBR-4.3": "SCT", "OBR-31.2": `Blood | in stool ^ & ~ \ (R104)`, "OBR-16.2": "Lund&Berg", "OBR-16.3": "Ida",
		"OBR-32": "", "MSH-9.1": "ORU", "MSH-15": "NE", "MSH-16": "AL", "MSH-18": "UNICODE UTF-8", "MSH-4": "Sykehuset & Co", "PV1-8.2": "Berg",
		"OBR-16.1": "4711", "OBR-16.9.2": "2.16.578.1.12.4.1.4.4", "OBR-16.9.3": "ISO", "ORC-12.1": "4711", "PV1-8.1": "77", "PV1-8.9.1": "HPR&NO",
		"PV1-2": "I", "PV1-19.1": "V-5", "PV1-19.4.1": "NORTH", "PV1-19.5": "VN",
		"PID-3.1": "PID001", "PID-3.4.1": "HOSP", "PID-3.5": "MR", "PID-5[1].1": "Grønvold", "PID-5[2].1": "山田", "PID-7": "19700101", "PID-8": "F",
		"OBR-7": "20260102101500+0000", "OBR-22": "20260102101705+0000",
	} {
		got, _ := m.Lookup(path)
		assert.Equal(t, want, got, path)
	}
	doc := sample(t)
	order := *doc.Order
	order.PlacerAuthority, doc.Order, doc.Patient.Issuer = "1.2.840.5", &order, "1.2.840.6"
	m = write(t, options(), doc, Attachments{})
	assert.Equal(t, "PL-7^^1.2.840.5^ISO", m.Segments()[4].Encoded(2), "an authority that is an OID")
	assert.Equal(t, "PID001^^^&1.2.840.6&ISO^MR", m.Segments()[1].Encoded(3))
	doc = sample(t)
	doc.Order = &draft.Order{ReferrerID: "77", ReferrerAuthority: "HPR"}
	m = write(t, options(), doc, Attachments{})
	assert.Equal(t, "77^^^^^^^^HPR", m.Segments()[2].Encoded(8), "a number without a name")
	assert.Equal(t, "U", m.Get("PV1-2"), "required where there is a PV1")
	doc = sample(t)
	doc.Order = nil
	m = write(t, options(), doc, Attachments{})
	assert.Equal(t, "18746-8", m.Get("OBR-4.1"), "the title stands for the service")
	for _, path := range []string{"OBR-2", "OBR-3", "OBR-16", "OBR-18", "OBR-19", "OBR-20", "OBR-31"} {
		assert.Empty(t, m.Get(path), path)
	}
	assert.NotContains(t, string(m.Bytes()), "\rPV1")
}

// said is the values of the OBX segments, one a line: kind, question, group, value, status.
func said(m *hl7.Message) (all []string) {
	for _, s := range m.Segments() {
		if s.Name == "OBX" {
			all = append(all, strings.Join([]string{s.Get("2"), s.Get("3.2"), s.Get("4"), s.Get("5.1"), s.Get("11")}, "|"))
		}
	}
	return all
}

func TestRender_observations(t *testing.T) {
	m := write(t, options(), sample(t), Attachments{PDF: []byte{0, 1, 2}})
	text := draft.Text(sample(t))
	assert.Equal(t, []string{
		"ST|DICOM Study||2.25.310294837465920187465.2|R",
		"ST|SOP Instance UID||2.25.9001|R",
		"CWE|Finding|1|68496003|R", "CWE|Finding Site|1|71854001|R", "NM|Probability|1|0.9231|R",
		"CWE|Landmark, image recorded|2|32713005|R", "NM|Probability|2|0.8103|R",
		"CWE|Finding|3|397881000|R", "CWE|Finding Site|3|60184004|R", "NM|Length|3|4.5|R",
		"TX|Procedure Findings||" + strings.TrimSpace(text) + "|R",
		"ED|Colonoscopy study||ENDOGATE|R",
	}, said(m))
	for n := 1; n <= 12; n++ {
		assert.Equal(t, strconv.Itoa(n), m.Get(fmt.Sprintf("OBX[%d]-1", n)))
	}
	assert.Equal(t, "demo-colon 1.2.0, proposed by AI, not decided by a person", m.Get("OBX[3]-17.2"), "findings of several models stay apart")
	assert.Equal(t, "ISO", m.Get("OBX[3]-18.4"))
	assert.Empty(t, m.Get("OBX[8]-18"), "a person is no device")
	assert.Equal(t, base64.StdEncoding.EncodeToString([]byte{0, 1, 2}), m.Get("OBX[12]-5.5"))
}

// A code that claims verification is of a report that somebody has verified, and of no other (standards 4.4).
func TestRender_statuses(t *testing.T) {
	for _, row := range []struct {
		standing    draft.Standing
		verified    bool
		obr, result string
		begins      string
	}{
		{draft.Drafted, false, "R", "R", "AI DRAFT - NOT VERIFIED"},
		{draft.Signed, false, "P", "P", "AI DRAFT - NOT VERIFIED"},
		{draft.Signed, true, "F", "F", "Colonoscopy study"},
		{draft.Amended, false, "P", "P", "AI DRAFT - NOT VERIFIED"},
		{draft.Amended, true, "C", "C", "Colonoscopy study"},
		{draft.Withdrawn, false, "X", "W", "AI DRAFT - NOT VERIFIED\n\nWITHDRAWN: wrong patient"},
	} {
		m := write(t, options(), as(sample(t), row.standing, row.verified), Attachments{Report: "2.25.9002"})
		assert.Equal(t, row.obr, m.Get("OBR-25"), row)
		text := ""
		for _, s := range m.Segments() {
			if s.Name != "OBX" {
				continue
			}
			result, undecided := row.result, s.Get("4") == "1" || s.Get("4") == "2"
			if undecided && row.verified {
				result = "P"
			}
			assert.Equal(t, result, s.Get("11"), row)
			assert.Equal(t, row.verified && !undecided, s.Get("16.2") != "", "OBX-16")
			if s.Get("2") == "TX" {
				text = s.Get("5")
			}
		}
		assert.True(t, strings.HasPrefix(text, row.begins), text)
		assert.Equal(t, row.verified, m.Get("OBR-32.1.2") == "Dr. Ida Lund & Søn", m.Get("OBR-32"))
		assert.Contains(t, strings.Join(said(m), "\n"), "SOP Instance UID||2.25.9002")
		assert.Equal(t, row.standing == draft.Amended || row.standing == draft.Withdrawn, strings.Contains(strings.Join(said(m), "\n"), "predecessor||2.25.8001"))
	}
	w, err := NewWriter(options())
	require.NoError(t, err)
	_, err = w.Render(as(sample(t), draft.Amending, false), Attachments{})
	assert.ErrorContains(t, err, "being amended")
}

// A result that was taken back is so in a report that stands.
func TestRender_retracted(t *testing.T) {
	doc := sample(t)
	doc.Findings[0].Retracted = "the model was wrong"
	m := write(t, options(), doc, Attachments{})
	assert.Subset(t, said(m), []string{"CWE|Finding|1|68496003|W", "NM|Probability|1|0.9231|W", "CWE|Finding|3|397881000|R"})
}

// The same version to the same receiver is the same message, and no other is.
func TestRender_controlID(t *testing.T) {
	seen := map[string]bool{}
	for _, destination := range []string{"ris", "emr"} {
		for version := 1; version <= 3; version++ {
			o, doc := options(), sample(t)
			o.Destination, doc.Version = destination, version
			id := write(t, o, doc, Attachments{}).Get("MSH-10")
			assert.Len(t, id, 20)
			seen[id] = true
		}
	}
	assert.Len(t, seen, 6)
	of := func(doc draft.Document, with Attachments) string { return write(t, options(), doc, with).Get("MSH-10") }
	other := sample(t)
	other.Order.Reason = "another"
	assert.Equal(t, of(sample(t), Attachments{}), of(sample(t), Attachments{}))
	assert.NotEqual(t, of(sample(t), Attachments{}), of(other, Attachments{}), "another content is another message")
	assert.NotEqual(t, of(sample(t), Attachments{PDF: []byte{1}}), of(sample(t), Attachments{PDF: []byte{2}}))
}

// What images alone say, and what a person wrote of a site, is sent too.
func TestRender_imagesAndWords(t *testing.T) {
	doc := sample(t)
	doc.Order, doc.Examination.Accession = nil, "IMG7"
	doc.Findings[0].SiteText = "proximal; fold 3"
	last := &doc.Findings[len(doc.Findings)-1]
	last.Site, last.SiteText = dicom.Code{}, "behind the fold"
	m := write(t, options(), doc, Attachments{})
	assert.Equal(t, "IMG7", m.Get("OBR-18"))
	text := string(m.Bytes())
	assert.Contains(t, text, "^SCT^^^^^^proximal; fold 3|")
	assert.Contains(t, text, "|^behind the fold|")
}

func TestWriter_template(t *testing.T) {
	o := options()
	o.Rows = []string{"section", "line", "pdf"}
	o.Statuses.Draft = "P"
	o.Template = []Override{
		{"MSH-3", "GATE^1.2.3^ISO"},
		{"OBR-3", "{accession}"},
		{"OBR-24", "GASTRO"},
		{"OBR-18", ""},
		{"OBR-44", "{service}"},
		{"pdf/OBX-5", "^application^pdf^Base64^{pdf}"},
		{"section/OBX-2", "FT"},
		{"ZDS-1", "{study}^^Application^DICOM"},
	}
	m := write(t, o, sample(t), Attachments{PDF: []byte("x")})
	assert.Equal(t, "GATE^1.2.3^ISO", m.Segments()[0].Encoded(3))
	assert.Equal(t, "A20260002", m.Get("OBR-3"))
	assert.Equal(t, "GASTRO", m.Get("OBR-24"))
	assert.Equal(t, "73761001", m.Get("OBR-44.1"))
	assert.Empty(t, m.Get("OBR-18"))
	assert.Equal(t, "P", m.Get("OBR-25"))
	assert.Equal(t, "R", m.Get("OBX-11"))
	last := m.Segments()[len(m.Segments())-1]
	assert.Equal(t, "ZDS|2.25.310294837465920187465.2^^Application^DICOM", "ZDS|"+last.Encoded(1))
	pdf := m.Segments()[len(m.Segments())-2]
	assert.Equal(t, "^application^pdf^Base64^eA==", pdf.Encoded(5))
	rows := said(m)
	assert.Equal(t, "FT|Indication||AI DRAFT - NOT VERIFIED. Blood | in stool ^ & ~ \\ (R104)|R", rows[0])
	assert.Equal(t, "TX|Procedure Findings||AI DRAFT - NOT VERIFIED|R", rows[5])
}

func TestNewWriter_faults(t *testing.T) {
	for _, row := range []struct {
		name string
		o    Options
		want string
	}{
		{"row", Options{Rows: []string{"pdfs"}}, `rows[0]: "pdfs"; write some of study, report`},
		{"row twice", Options{Rows: []string{"pdf", "pdf"}}, `rows[1]: "pdf" is there twice`},
		{"no such code", Options{Statuses: Codes{Draft: "Q"}}, `statuses.draft: "Q"; write a code`},
		{"code", Options{Statuses: Codes{Draft: "r"}}, `statuses.draft: "r"; write a code`},
		{"a draft is not final", Options{Statuses: Codes{Draft: "F"}}, "statuses.draft: F says that the report is final"},
		{"nor what nobody verified", Options{Results: Codes{Preliminary: "C"}}, "results.preliminary: C says"},
		{"field", Options{Template: []Override{{"OBR25", "X"}}}, `template[0].field: "OBR25" is no field`},
		{"segment", Options{Template: []Override{{"NTE-3", "X"}}}, `template[0].field: "NTE-3" is no field`},
		{"number", Options{Template: []Override{{"OBR-0", "X"}}}, `template[0].field: "OBR-0" is no field`},
		{"OBX without row", Options{Template: []Override{{"OBX-5", "X"}}}, `template[0].field: "OBX-5" is no field`},
		{"twice", Options{Template: []Override{{"OBR-24", "X"}, {"OBR-24", "Y"}}}, `template[1].field: "OBR-24" is there twice`},
		{"status", Options{Template: []Override{{"OBR-25", "F"}}}, "template[0].field: OBR-25 is not for a template: use statuses"},
		{"result", Options{Template: []Override{{"finding/OBX-11", "F"}}}, "use results"},
		{"text", Options{Template: []Override{{"text/OBX-5", "All is well"}}}, "says first whether it is verified"},
		{"line", Options{Template: []Override{{"line/OBX-5", "x"}}}, "says first whether it is verified"},
		{"interpreter", Options{Template: []Override{{"OBR-32", "&Smith"}}}, "nobody is named who has not signed"},
		{"observer", Options{Template: []Override{{"finding/OBX-16", "^Smith"}}}, "nobody is named who has not signed"},
		{"control ID", Options{Template: []Override{{"MSH-10", "1"}}}, "delivery hangs on it"},
		{"delimiters", Options{Template: []Override{{"MSH-2", "1"}}}, "template[0].field: MSH-2 is not for a template"},
		{"value", Options{Template: []Override{{"OBR-24", "{modality}"}}}, "template[0].value: {modality} is no value; there are institution"},
		{"value elsewhere", Options{Template: []Override{{"OBR-24", "{pdf}"}}}, "template[0].value: {pdf} is no value"},
		{"brace", Options{Template: []Override{{"OBR-24", "{study"}}}, "template[0].value"},
		{"delimiter", Options{Template: []Override{{"OBR-24", "a|b"}}}, "template[0].value"},
		{"line end", Options{Template: []Override{{"ZDS-1", "a\rMSA|AA"}}}, "template[0].field"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := NewWriter(row.o)
			require.ErrorContains(t, err, row.want)
			var f Fault
			require.ErrorAs(t, err, &f)
		})
	}
}

// Whatever a report and an order say, the message has the segments it should, and says what they said.
func TestRender_anyText(t *testing.T) {
	base := sample(t)
	w, err := NewWriter(options())
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOfN(rapid.SampledFrom([]rune("aß山|^&~\\{}\" .\n<>'0")), 0, 12, -1)
		doc := base
		order := *base.Order
		order.Reason, order.Accession, order.Service.Meaning = word.Draw(t, "reason"), word.Draw(t, "accession"), word.Draw(t, "service")
		doc.Order = &order
		doc.Patient.ID = word.Draw(t, "patient")
		doc.Standing = rapid.SampledFrom([]draft.Standing{draft.Drafted, draft.Signed, draft.Amended, draft.Withdrawn}).Draw(t, "standing")
		doc.Sections = append([]draft.Section{}, doc.Sections...)
		doc.Sections[0].Text = word.Draw(t, "text")
		verified := rapid.Bool().Draw(t, "verified")
		if doc.Standing != draft.Drafted {
			doc.Signature = &draft.Signature{By: draft.Author{Name: word.Draw(t, "signer")}, Verified: verified}
		}
		b, err := w.Render(doc, Attachments{PDF: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		m, err := hl7.Parse(b, hl7.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\rOBX|")); n != 12 || len(m.Segments()) != 5+n {
			t.Fatalf("%d segments, %d OBX:\n%q", len(m.Segments()), n, b)
		}
		same := func(path, want string) {
			if got := m.Get(path); got != want && want != `""` {
				t.Fatalf("%s is %q, want %q", path, got, want)
			}
		}
		same("OBR-31.2", order.Reason)
		same("OBR-18", order.Accession)
		same("PID-3.1", doc.Patient.ID)
		vouched := doc.Standing != draft.Withdrawn && doc.Signature != nil && verified
		if text := m.Get("OBX[11]-5"); strings.HasPrefix(text, draft.Unverified) == vouched {
			t.Fatalf("%s, verified %v: %q", doc.Standing, verified, text)
		}
		if !vouched && strings.Contains("FC", m.Get("OBR-25")) {
			t.Fatalf("%s is sent as %s", doc.Standing, m.Get("OBR-25"))
		}
	})
}

// A message that receivers would not take is not made.
func TestRender_tooLong(t *testing.T) {
	w, err := NewWriter(options())
	require.NoError(t, err)
	_, err = w.Render(sample(t), Attachments{PDF: make([]byte, 16<<20)})
	assert.ErrorIs(t, err, ErrTooLong)
}

// TestPythonHL7_readsORU: a parser that nobody here wrote finds what was written.
func TestPythonHL7_readsORU(t *testing.T) {
	installed.RequirePython(t, "hl7")
	m := write(t, options(), sample(t), Attachments{PDF: []byte("%PDF")})
	const program = `
import sys, json, hl7
m = hl7.parse(sys.stdin.buffer.read().decode('utf-8'))
json.dump({
  'segments': [str(s[0]) for s in m],
  'name': str(m.segment('PID')[5][0]), 'type': m.extract_field('MSH', 1, 9, 1, 3), 'placer': m.extract_field('OBR', 1, 2, 1, 1),
  'status': m.extract_field('OBR', 1, 25), 'reason': m.extract_field('OBR', 1, 31, 1, 2), 'finding': m.extract_field('OBX', 3, 5, 1, 1),
  'pdf': m.extract_field('OBX', 12, 5, 1, 5)}, sys.stdout)
`
	cmd := exec.Command(installed.Python, "-c", program)
	cmd.Stdin = bytes.NewReader(m.Bytes())
	out, err := cmd.Output()
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(out, &got))
	segments := []any{"MSH", "PID", "PV1", "ORC", "OBR"}
	for range 12 {
		segments = append(segments, "OBX")
	}
	assert.Equal(t, map[string]any{
		"segments": segments, "name": "Grønvold^Åse^^^^^^A", "type": "ORU_R01", "placer": "PL-7", "status": "R",
		"reason": `Blood | in stool ^ & ~ \ (R104)`, "finding": "68496003", "pdf": "JVBERg==",
	}, got)
}

// A template that is taken, whatever it is, breaks no message: it has the same segments, and no text or status of it is
// other than without one.
func TestNewWriter_anyTemplate(t *testing.T) {
	doc := sample(t)
	plain := write(t, options(), doc, Attachments{PDF: []byte("x")})
	var paths []string
	for _, s := range Segments {
		for n := 1; n <= 50; n++ {
			paths = append(paths, fmt.Sprintf("%s-%d", s.Name, n))
		}
	}
	for _, r := range Rows {
		for n := 1; n <= 20; n++ {
			paths = append(paths, fmt.Sprintf("%s/OBX-%d", r.Name, n))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		o := options()
		for _, path := range rapid.SliceOfNDistinct(rapid.SampledFrom(paths), 1, 4, rapid.ID).Draw(t, "fields") {
			value := rapid.StringOfN(rapid.SampledFrom([]rune(`aß^&~\|{}.`)), 0, 6, -1).Draw(t, "value")
			if rapid.Bool().Draw(t, "named") {
				value += "{" + rapid.SampledFrom(Values).Draw(t, "name").Name + "}"
			}
			o.Template = append(o.Template, Override{path, value})
		}
		w, err := NewWriter(o)
		if err != nil {
			return // refused, as it says
		}
		b, err := w.Render(doc, Attachments{PDF: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		m, err := hl7.Parse(b, hl7.Options{})
		if err != nil {
			t.Fatal(err)
		}
		optional := 0
		if !bytes.Contains(b, []byte("\rPV1")) {
			optional = 1
		}
		if len(m.Segments())+optional != len(plain.Segments()) {
			t.Fatalf("%d segments, %d without a template", len(m.Segments()), len(plain.Segments()))
		}
		for _, path := range []string{"MSH-2", "MSH-9", "MSH-18", "OBR-25", "OBR-32", "OBX[11]-5", "OBX[11]-11", "OBX[3]-16"} {
			if m.Get(path) != plain.Get(path) {
				t.Fatalf("%s is %q, and %q without a template", path, m.Get(path), plain.Get(path))
			}
		}
	})
}
