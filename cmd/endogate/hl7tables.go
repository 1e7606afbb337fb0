package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"endogate/dicomnode/ledger"
	"endogate/hl7"
	"endogate/hl7/orders"
	"endogate/hl7/oru"
)

type hl7TablesCmd struct{}

func (hl7TablesCmd) Run(tty console) error { return writeHL7(tty.out) }

// writeHL7 writes what is read and sent by HL7, out of the tables that do it.
func writeHL7(w io.Writer) error {
	b := &document{}
	b.text(hl7Connect)
	table(b, "Mismatch|What does not agree", ledger.Mismatches, func(m ledger.Mismatch) string {
		words := m.String()
		if m == ledger.MismatchPatients {
			words += ": held whatever the gate says"
		}
		return "`" + string(m) + "`|" + words
	})
	b.text(hl7Gate)
	b.text(hl7Reading)
	table(b, "Message|Events|What it does", orders.Kinds, func(k orders.Kind) string {
		return fmt.Sprintf("%s|%s|%s", k.Type, strings.Join(k.Events, ", "), k.Purpose)
	})
	b.text("Of an order. The first place that has a value counts; what a message does not say stays, and `\"\"` takes a value away.")
	b.fields(orders.OrderFields)
	b.text("Of each scheduled step (IPC; one where there is none).")
	b.fields(orders.StepFields)
	b.text("Of the patient, in orders and in ADT.")
	b.fields(orders.PatientFields)
	b.text("ORC-1, what is to be done.")
	table(b, "Code|Meaning|The order is then|Of an order that is not there", orders.Controls, func(c orders.Control) string {
		unknown := "it is made"
		if c.Known {
			unknown = "AE 204"
		}
		return fmt.Sprintf("%s|%s|%s|%s", c.Code, c.Meaning, cmp.Or(string(c.State), "as it was"), unknown)
	})
	b.text("ORC-5, where ORC-1 does not cancel. Other codes, and none, change nothing.")
	table(b, "Code|The order is then", slices.Sorted(maps.Keys(orders.Statuses)), func(code string) string {
		return code + "|" + string(orders.Statuses[code])
	})
	b.text(hl7Lanes)
	table(b, "Priority|Its jobs", []ledger.Priority{ledger.Stat, ledger.High, ledger.Medium, ledger.Routine}, func(p ledger.Priority) string {
		return string(p) + "|" + map[ledger.Priority]string{ledger.Stat: "begin before all others", ledger.High: "begin after those, before all others", ledger.Medium: "begin in their turn", ledger.Routine: "begin in their turn"}[p]
	})
	b.text(hl7Answers)
	table(b, "ERR-3|Text|Answer", hl7.ErrorCodes(), func(c hl7.ErrorCode) string {
		return fmt.Sprintf("%d|%s|%s", c, c, hl7.CodeOf(&hl7.Error{Code: c}))
	})
	b.text(hl7Charsets + strings.Join(hl7.CharsetNames, ", ") + ".")

	b.text(hl7Sending)
	var fields []string
	for _, s := range oru.Segments {
		for _, f := range s.Fields {
			fields = append(fields, fmt.Sprintf("%s-%d|%s|`%s`", s.Name, f.Number, f.Name, f.Value))
		}
	}
	table(b, "Field|Name|Value", fields, func(row string) string { return row })
	b.text("Then the observations. `rows` of the destination says which kinds, in which order; without it all but `line` and `section` are sent.")
	b.observations()
	b.text("Names in templates:")
	table(b, "Name|What it is", oru.Values, func(v oru.Value) string { return "`{" + v.Name + "}`|" + v.Meaning })
	b.text("Statuses, which a destination may have otherwise (`statuses`, `results`).")
	s, r := oru.DefaultStatuses, oru.DefaultResults
	table(b, "Standing|OBR-25|OBX-11", [][3]string{
		{"draft of the AI, nobody has looked", s.Draft, r.Draft},
		{"signed, where this gateway is not the reporting system", s.Preliminary, r.Preliminary},
		{"signed as verified", s.Final, r.Final},
		{"corrected", s.Correction, r.Correction},
		{"withdrawn", s.Withdrawn, r.Withdrawn},
	}, func(row [3]string) string { return strings.Join(row[:], "|") })
	b.text(hl7Verdicts)
	table(b, "MSA-1|Fault|What comes of it", verdictCases, verdictRow)
	_, err := io.WriteString(w, strings.TrimSpace(b.String())+"\n")
	return err
}

// document is Markdown.
type document struct{ strings.Builder }

func (d *document) text(s string) { d.WriteString(strings.TrimSpace(s) + "\n\n") }

// cells is a row of a table, where | parts the cells.
func cells(row string) string { return "| " + strings.ReplaceAll(row, "|", " | ") + " |\n" }

func (d *document) fields(list []orders.Field) {
	table(d, "Where|What|DICOM|", list, func(f orders.Field) string {
		return fmt.Sprintf("%s|%s|%s|%s", strings.Join(f.From, ", "), f.Name, f.DICOM, f.Note)
	})
}

// observations writes a row for each kind of OBX, and then the fields that are the same in all of them.
func (d *document) observations() {
	own, same := []oru.Field{}, []string{}
	for i, f := range oru.Rows[0].Fields {
		if slices.ContainsFunc(oru.Rows, func(r oru.Row) bool { return r.Fields[i].Value != f.Value }) {
			own = append(own, f)
		} else {
			same = append(same, fmt.Sprintf("OBX-%d|%s|`%s`", f.Number, f.Name, f.Value))
		}
	}
	head := "Kind|One for"
	for _, f := range own {
		head += fmt.Sprintf("|OBX-%d %s", f.Number, f.Name)
	}
	table(d, head, oru.Rows, func(r oru.Row) string {
		row := "`" + r.Name + "`|" + r.About
		for _, f := range r.Fields {
			if !slices.ContainsFunc(own, func(o oru.Field) bool { return o.Number == f.Number }) {
				continue
			}
			if row += "|"; f.Value != "" {
				row += "`" + f.Value + "`"
			}
		}
		return row
	})
	table(d, "In all of them|Name|Value", same, func(row string) string { return row })
}

// table writes a row, its cells parted by |, for each of list.
func table[T any](d *document, head string, list []T, row func(T) string) {
	d.WriteString(cells(head) + "|" + strings.Repeat("---|", strings.Count(head, "|")+1) + "\n")
	for _, one := range list {
		d.WriteString(cells(row(one)))
	}
	d.WriteString("\n")
}

// verdictCases are MSA-1 and ERR-3 of acknowledgements.
var verdictCases = [][2]string{
	{"AA", ""},
	{"CA", ""},
	{"AE", ""},
	{"CE", ""},
	{"CR", ""},
	{"AR", "200"},
	{"AR", "201"},
	{"AR", "202"},
	{"AR", "203"},
	{"AR", ""},
	{"AR", "207"},
}

// verdictRow says what the sender makes of one.
func verdictRow(c [2]string) string {
	ack, err := hl7.Parse([]byte("MSH|^~\\&|\rMSA|"+c[0]+"|1\rERR|||"+c[1]+"\r"), hl7.Options{})
	if err != nil {
		panic(err) // it is written here
	}
	verdict, _ := hl7.Judge("1", ack)
	fault := cmp.Or(c[1], "any")
	if c[0] == "AR" && c[1] == "" {
		fault = "none"
	}
	return c[0] + "|" + fault + "|" + map[hl7.Verdict]string{
		hl7.Done: "delivered", hl7.Never: "parked for a person, not sent again", hl7.Again: "sent again later under the same MSH-10",
	}[verdict]
}

const hl7Connect = `
# HL7

Written by ` + "`endogate hl7 tables`" + ` from the tables that messages are read and written with: HL7 version 2, versions 2.1 to 2.9 in, 2.5.1 out, over MLLP.

## Connecting a RIS

1. Orders in. Say where messages come in, and who may send them: the application that the RIS puts into MSH-3, and its network.

       hl7: {listen: ":2575", senders: [{application: RIS, hosts: [10.1.2.0/24]}]}

   Open the port for the RIS alone. MLLP has no sign-in; ` + "`hl7.tls`" + ` with ` + "`ca_file`" + ` lets only holders of a certificate in.
2. Let the RIS send orders for endoscopy (ORM^O01, OMG^O19 or OMI^O23) and patient updates (ADT A01, A04, A08, A31, A40), with MSH-10
   of its own for each message and the same one when it sends again.
   Try it with a message in a file: ` + "`endogate hl7 send FILE --to HOST:2575`" + ` prints the answer, ` + "`endogate hl7 show FILE`" + ` what stands where.
   ` + "`/api/v1/orders`" + ` has the orders, with what does not agree of each (` + "`?mismatch=any`" + ` those alone), ` + "`/api/v1/messages`" + ` the messages, the page of a study those that are about it.
3. Images find their order by Study Instance UID (IPC-3, ZDS-1), else by accession number (OBR-18, IPC-1). Let the worklist give the
   endoscopes the same ones.
4. Results out. Name the receiver, and have a route send to it:

       destinations: [{name: ris, kind: hl7, address: "10.1.2.9:2576", application: RIS, facility: HOSP}]
       routes: [{name: endoscopy, match: {modality: [ES]}, models: [polyp], destinations: [pacs, ris]}]

   Ask the RIS vendor what OBR-25 "R" does there: the standard's "results stored, not yet verified" is taken for a deletion by some.
   ` + "`endogate hl7 render STUDY --to ris`" + ` prints the message of a study without sending it; fields that the RIS wants otherwise go
   into ` + "`template`" + `. ` + "`endogate hl7 listen`" + ` is a stand-in for the RIS.
5. ` + "`endogate doctor`" + ` and ` + "`/metrics`" + ` tell of the listener and of each receiver.

| What the RIS does | What to configure |
|---|---|
| sends Windows-1252 and says nothing of it, or says something else (AE 102, ERR-2 names the field) | ` + "`charset: CP1252`" + ` of the sender |
| has several patient identifiers in PID-3 | ` + "`authority`" + ` of the sender: PID-3.4 of the one that the images have |
| leaves PID-3.4 out | ` + "`authority`" + ` of the sender: without it its numbers are its own, and what other senders tell of them is not for them |
| has the accession number in OBR-3 | ` + "`filler_is_accession: true`" + ` of the sender |
| sends MSH-11 T (AR 202) | ` + "`hl7.processing_id: T`" + ` on a test gateway |
| shows no line breaks in OBX-5 | ` + "`rows`" + ` with ` + "`line`" + ` in place of ` + "`text`" + ` |
| takes no PDF, or takes it elsewhere | ` + "`rows`" + ` without ` + "`pdf`" + `, or ` + "`pdf/OBX-5`" + ` in ` + "`template`" + ` |
| takes R for a deletion | ` + "`statuses: {draft: P}`" + `, after asking what P means there: a person has verified it |
| wants to hear of images that came after a report was signed | ` + "`drafts_after_signature: true`" + `; else the new draft stays here until a person signs it as correction (C) of what was signed, as a receiver with one report for an order would lose that |

## Where images, order and patient do not agree

` + "`gate`" + ` of a route says what becomes of the results then: ` + "`off`" + ` nothing, ` + "`warn`" + ` (the default) they go out and say so, ` + "`hold`" + ` they wait for a person. Of several routes the
strictest counts. Images pass whatever the gate says. Results are all that the gateway makes: heatmaps, reports, key images, messages. Compared are
`

const hl7Gate = `
Names are held against each other without case, diacritics, order and what one of them leaves out; a name, a sex or a birth date that only one of the two has decides
nothing, and neither does what a patient is called anew. Images find an order by an accession number that they have as a whole, or cut to the 16 characters that DICOM has
room for: as long as only one order that stands begins so.

` + "`/api/v1/parked?kind=gate`" + ` lists what is held, the page of a study says why. A person looks, and either releases the results as they are, or says which
order or patient the study belongs to; both need a reason, and are kept with who decided:

    curl -H 'Content-Type: application/json' http://127.0.0.1:8080/api/v1/studies/UID/gate/release \
      -d '{"author": "A. Lie", "reason": "same person, maiden name"}'
    curl -H 'Content-Type: application/json' http://127.0.0.1:8080/api/v1/studies/UID/gate/correct \
      -d '{"author": "A. Lie", "reason": "wrong worklist entry", "accession": "A20260002"}'
    curl -H 'Content-Type: application/json' http://127.0.0.1:8080/api/v1/studies/UID/gate/correct \
      -d '{"author": "A. Lie", "reason": "wrong patient picked", "patient": {"identifier": {"id": "7405121234", "authority": "HOSP"}}}'

What is released is held again when there is another mismatch, or other images or another order. After a correction messages and reports
are made anew for that patient and order; a patient that no message has told of needs a name, too. The timeline has who said it, why, and what the study was on before;
what the images claim stays as it was. DICOM objects keep the identity of
their images, but at destinations with ` + "`follows_merge: true`" + `.

A message that is refused is answered with code and field (ERR-3, ERR-2). ` + "`/api/v1/messages?answer=AE`" + ` lists those that were read and refused, ` + "`study_uid`" + `,
` + "`accession`" + ` and ` + "`type`" + ` narrow the list; what could not be read, is of another kind or of nobody who may send is not kept, and the log has its code and field.
`

const hl7Reading = `
## What is read

Segments end in CR; LF and CR LF are read, too, as are blank lines and a last segment without an end. The delimiters are those of MSH-1 and
MSH-2. Unknown segments and fields are passed over. A message that came before, from the same application and facility (MSH-3, MSH-4) under the
same MSH-10 and with the same bytes but for MSH-7, is answered as it was then, and done once. Several orders (ORC, OBR), each of the patient (PID) before it, and several steps (IPC) of an order, may be
in one message; batches (BHS, FHS) are answered AR 200.
`

const hl7Lanes = `
Of a cancelled order the images are taken and passed on as any others, and what has not begun is not analysed until a person retries it. Where nothing was
analysed, the draft stays in the gateway and says so, as does the timeline: no ORU and no bundle goes to those who have cancelled, unless a person signs it. A
cancel that comes too late takes nothing back: what was made stays and is sent, the next draft says that the order was cancelled, and so does the timeline
with how much was done; ` + "`endogate_hl7_late_cancels_total`" + ` of ` + "`/metrics`" + ` counts these studies. An order that stands again has its analyses done after all.

The priority of an order is the lane of the jobs of its study's images, whichever of the two comes first; jobs that have begun go on.
`

const hl7Answers = `
## What is answered

In the original mode, one of AA, AE, AR. Where MSH-15 or MSH-16 has a value (AL, NE, ER, SU), in the enhanced mode: CA, CE or CR as MSH-15 says, then AA,
AE or AR as MSH-16 says and only to what was accepted. A positive answer comes once the message and all that it does are on disk. MSH-3 to 6 are swapped,
MSA-2 is MSH-10, and ERR says what is wrong and where (ERR-2, ERR-3; before version 2.5 in ERR-1), without anything of the content. A fault of the
gateway itself, such as a full disk or a damaged ledger, is AR (CE in the enhanced mode) with ERR-3 207 and the text to send the message again later: it is not
kept, and done once when it comes again. A sender that wants no answers (NE, SU) gets its connection closed then.
`

const hl7Charsets = `
## Character sets

MSH-18 says which one, with its repetitions those that escape sequences of ISO 2022 bring. Where it is empty or ASCII, text beyond ASCII is read as UTF-8 if
it is valid as such, else as what is configured for the sender, else the message is refused (AE 102): no letter is guessed, none is replaced. What is
configured also goes before an MSH-18 that says something else, unless the text is valid UTF-8 or has escape sequences, as MSH-18 says. Answers are in the set of the message, all that is sent is UTF-8. Read are: `

const hl7Sending = `
## What is sent

ORU^R01 of a report draft and of what becomes of it, to the destinations of kind hl7 of its route, one after the other, each until its receiver has
acknowledged it. The same version of a report has the same bytes and the same MSH-10 for a receiver, however often it is sent. Names in braces are values of the
report, listed below; with ` + "`template`" + ` a destination has its own text in a field, such as ` + "`{field: OBR-24, value: GASTRO}`" + `. A segment all of whose
values are unknown is left out where it is optional (PV1). Every text of a report that nobody signed as verified begins *AI DRAFT - NOT VERIFIED*.
`

const hl7Verdicts = `
What its receiver answers decides. An answer has to have MSA-2 as sent in MSH-10; one that is to another message, comes too late, or is none, is as no answer:
the message is sent again later.
`
