package orders

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/hl7"
)

const tuva = "Sørli^Tuva^M"

// replaced is a message with some of its text changed; all of it has to be there.
func replaced(m []byte, pairs ...string) []byte {
	for i := 0; i < len(pairs); i += 2 {
		if !bytes.Contains(m, []byte(pairs[i])) {
			panic("not there: " + pairs[i])
		}
	}
	return []byte(strings.NewReplacer(pairs...).Replace(string(m)))
}

// TestReceiver is what comes of messages, through a real listener: what they are answered and which orders there are then.
func TestReceiver(t *testing.T) {
	for _, c := range []struct {
		name    string
		say     [][]byte
		answers []string
		orders  []string
	}{
		{"an order", [][]byte{order("NW", 1)}, []string{"AA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{"segments end in LF", [][]byte{bytes.ReplaceAll(order("NW", 1), []byte("\r"), []byte("\n"))}, []string{"AA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{"segments end in CR LF, with a blank line", [][]byte{bytes.ReplaceAll(order("NW", 1), []byte("\r"), []byte("\r\n\r\n"))}, []string{"AA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{"the last segment has no end", [][]byte{bytes.TrimRight(order("NW", 1), "\r")}, []string{"AA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{
			"delimiters of its own",
			[][]byte{[]byte(strings.NewReplacer("|", "$", "^", ":", "~", "*").Replace(string(order("NW", 1))))},
			[]string{"AA NW1"},
			[]string{"ACC1 open PAT1 " + tuva},
		},
		{"no escape character", [][]byte{replaced(order("NW", 1), `^~\&`, `^~&`)}, []string{"AA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{"escapes in a name", [][]byte{replaced(order("NW", 1), "Sørli", `Berg\T\Dal`)}, []string{"AA NW1"}, []string{"ACC1 open PAT1 Berg&Dal^Tuva^M"}},
		{
			"segments that nobody knows",
			[][]byte{replaced(order("NW", 1, "ZZZ|1|end"), "PID|", "ZAA|before\rPID|", "OBR|", "ZBB|between\rOBR|")},
			[]string{"AA NW1"},
			[]string{"ACC1 open PAT1 " + tuva},
		},
		{
			"orders of two patients: each is of the one before it",
			[][]byte{append(order("NW", 1, "PV1|1|O"), bytes.Join(bytes.Split(order("NW", 2), []byte("\r"))[1:], []byte("\r"))...)},
			[]string{"AA NW1"},
			[]string{"ACC1 open PAT1 " + tuva, "ACC2 open PAT2 " + tuva},
		},
		{
			"two patients before one order",
			[][]byte{replaced(order("NW", 1), "ORC|", "PID|2||PAT2^^^NORTH^MR||Sørli^Tuva^M\rORC|")},
			[]string{"AE NW1"},
			nil,
		},
		{
			"a patient twice before one order",
			[][]byte{replaced(order("NW", 1), "ORC|", "PID|2||PAT1^^^NORTH^MR||Sørli^Tuva^M\rORC|")},
			[]string{"AA NW1"},
			[]string{"ACC1 open PAT1 " + tuva},
		},
		{
			"OBR before its ORC",
			[][]byte{lines(header("ORM^O01", "o1"), "PID|1||PAT1^^^NORTH^MR||"+tuva, "OBR|1|PL1|FI1|73761001||||||||||||||ACC1", "ORC|NW|PL1|FI1")},
			[]string{"AA o1"},
			[]string{"ACC1 open PAT1 " + tuva},
		},
		{
			"OBR before ORC, twice",
			[][]byte{lines(header("ORM^O01", "o1"), "PID|1||PAT1^^^NORTH^MR||"+tuva, "OBR|1|PL1|FI1|73761001||||||||||||||ACC1", "ORC|NW|PL1|FI1",
				"OBR|2|PL2|FI2|73761001||||||||||||||ACC2", "ORC|NW|PL2|FI2")},
			[]string{"AA o1"},
			[]string{"ACC1 open PAT1 " + tuva, "ACC2 open PAT1 " + tuva},
		},
		{"version 2.2 without event", [][]byte{replaced(order("NW", 1), "ORM^O01^ORM_O01", "ORM", "2.5.1", "2.2")}, []string{"AA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{"a version of a country", [][]byte{replaced(order("NW", 1), "2.5.1", "2.8.1^DEU&&ISO3166_1")}, []string{"AA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{"version 3", [][]byte{replaced(order("NW", 1), "2.5.1", "3.0"), order("NW", 2)}, []string{"AR NW1", "AA NW2"}, []string{"ACC2 open PAT2 " + tuva}},
		{"another type", [][]byte{lines(header("MDM^T02^MDM_T02", "m1"), "EVN|T02"), order("NW", 2)}, []string{"AR m1", "AA NW2"}, []string{"ACC2 open PAT2 " + tuva}},
		{"another event", [][]byte{replaced(order("NW", 1), "ORM^O01^ORM_O01", "ORM^O02^ORM_O02")}, []string{"AR NW1"}, nil},
		{"a test message", [][]byte{replaced(order("NW", 1), "|P|2.5.1", "|T|2.5.1")}, []string{"AR NW1"}, nil},
		{"no control ID", [][]byte{replaced(order("NW", 1), "|NW1|P", "||P"), order("NW", 2)}, []string{"AE", "AA NW2"}, []string{"ACC2 open PAT2 " + tuva}},
		{"UTF-8 that is not stated", [][]byte{replaced(order("NW", 1), "||||||UNICODE UTF-8", "")}, []string{"AA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{"text of no set that is stated", [][]byte{replaced(order("NW", 1), "||||||UNICODE UTF-8", "", "ø", "\xF8"), order("NW", 2)}, []string{"AE NW1", "AA NW2"}, []string{"ACC2 open PAT2 " + tuva}},
		{
			"a name in two scripts",
			[][]byte{replaced(order("NW", 1), "Sørli^Tuva^M", "Sato^Ken^^^^^L^A~佐藤^健^^^^^L^I")},
			[]string{"AA NW1"},
			[]string{"ACC1 open PAT1 Sato^Ken=佐藤^健"},
		},
		{"a batch", [][]byte{append([]byte("FHS|^~\\&|RIS\rBHS|^~\\&|RIS|||||||||b1\r"), order("NW", 1)...), order("NW", 2)}, []string{"AR", "AA NW2"}, []string{"ACC2 open PAT2 " + tuva}},
		{"no message", [][]byte{[]byte("hello\r"), order("NW", 2)}, []string{"AR", "AA NW2"}, []string{"ACC2 open PAT2 " + tuva}},

		{
			"two orders of a patient, each with the name that it was given",
			[][]byte{order("NW", 1), replaced(order("NW", 2), "PAT2", "PAT1", "Tuva", "Tove")},
			[]string{"AA NW1", "AA NW2"},
			[]string{"ACC1 open PAT1 " + tuva, "ACC2 open PAT1 Sørli^Tove^M"},
		},
		{"changed, no status", [][]byte{order("NW", 1), replaced(order("XO", 1), "Tuva", "Tove")}, []string{"AA NW1", "AA XO1"}, []string{"ACC1 open PAT1 Sørli^Tove^M"}},
		{"in progress, then complete", [][]byte{order("NW", 1), replaced(order("SC", 1), "FI1||", "FI1||IP"), replaced(order("SC", 1), "SC1|P", "SC1b|P", "FI1||", "FI1||CM")}, []string{"AA NW1", "AA SC1", "AA SC1b"}, []string{"ACC1 completed PAT1 " + tuva}},
		{"cancelled, and ordered again", [][]byte{order("NW", 1), order("CA", 1), replaced(order("NW", 1), "|NW1|P", "|NW1b|P")}, []string{"AA NW1", "AA CA1", "AA NW1b"}, []string{"ACC1 open PAT1 " + tuva}},
		{"discontinued", [][]byte{order("NW", 1), order("DC", 1)}, []string{"AA NW1", "AA DC1"}, []string{"ACC1 cancelled PAT1 " + tuva}},
		{"a status does not undo a cancel code", [][]byte{order("NW", 1), replaced(order("CA", 1), "FI1||", "FI1||SC")}, []string{"AA NW1", "AA CA1"}, []string{"ACC1 cancelled PAT1 " + tuva}},
		{"cancelled, and nobody knows it", [][]byte{order("CA", 1), order("NW", 2)}, []string{"AE CA1", "AA NW2"}, []string{"ACC2 open PAT2 " + tuva}},
		{"a status of what nobody knows", [][]byte{order("SC", 1)}, []string{"AE SC1"}, nil},
		{"cancelled by placer number alone", [][]byte{order("NW", 1), lines(header("ORM^O01", "c1"), "PID|1||PAT1^^^NORTH^MR", "ORC|CA|PL1", "OBR|1|PL1")}, []string{"AA NW1", "AA c1"}, []string{"ACC1 cancelled PAT1 " + tuva}},
		{"a control code that is not done", [][]byte{order("QQ", 1), order("NW", 2)}, []string{"AE QQ1", "AA NW2"}, []string{"ACC2 open PAT2 " + tuva}},
		{
			"replaced by another one",
			[][]byte{order("NW", 1), order("RP", 1, "ORC|RO|PL9|FI9", "OBR|2|PL9|FI9|76009000^Gastroscopy^SCT||||||||||||||ACC9")},
			[]string{"AA NW1", "AA RP1"},
			[]string{"ACC1 cancelled PAT1 " + tuva, "ACC9 open PAT1 " + tuva},
		},
		{"a control code with blanks", [][]byte{replaced(order("NW", 1), "ORC|NW|", "ORC|nw |")}, []string{"AA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{"no control code", [][]byte{order("", 1)}, []string{"AE 1"}, nil},
		{"no patient", [][]byte{replaced(order("NW", 1), "PAT1^^^NORTH^MR", "^^^NORTH^MR")}, []string{"AE NW1"}, nil},
		{"no accession number", [][]byte{replaced(order("NW", 1), "ACC1", "")}, []string{"AE NW1"}, nil},
		{"a study UID that is none", [][]byte{replaced(order("NW", 1), "1.2.826.0.1.77.1", "study-1")}, []string{"AE NW1"}, nil},
		{"empty components of authorities", [][]byte{replaced(order("NW", 1), "ACC1", "ACC1^^^", "NW|PL1", "NW|PL1^^^", "1|PL1", "1|PL1^^^")}, []string{"AA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{"a value of 9 kB", [][]byte{replaced(order("NW", 1), "SPS1", strings.Repeat("9", 9000))}, []string{"AE NW1"}, nil},

		{"sent again", [][]byte{order("NW", 1), order("NW", 1), order("CA", 1), order("NW", 1)}, []string{"AA NW1", "AA NW1", "AA CA1", "AA NW1"}, []string{"ACC1 cancelled PAT1 " + tuva}},
		{"another order under the same control ID", [][]byte{order("NW", 1), replaced(order("NW", 2), "|NW2|P", "|NW1|P")}, []string{"AA NW1", "AA NW1"}, []string{"ACC1 open PAT1 " + tuva, "ACC2 open PAT2 " + tuva}},
		{
			"two orders in a message",
			[][]byte{order("NW", 1, "ORC|NW|PL9|FI9", "OBR|2|PL9|FI9|76009000^Gastroscopy^SCT||||||||||||||ACC9")},
			[]string{"AA NW1"},
			[]string{"ACC1 open PAT1 " + tuva, "ACC9 open PAT1 " + tuva},
		},
		{
			"two OBR of one ORC",
			[][]byte{order("NW", 1, "OBR|2|PL9|FI9|76009000^Gastroscopy^SCT||||||||||||||ACC9")},
			[]string{"AA NW1"},
			[]string{"ACC1 open PAT1 " + tuva, "ACC9 open PAT1 " + tuva},
		},
		{
			"one filler number for two accession numbers: neither takes the other's place",
			[][]byte{order("NW", 1, "OBR|2|PL1|FI1|76009000^Gastroscopy^SCT||||||||||||||ACC9"), order("NW", 2, "OBR|2|PL9|FI2|76009000^Gastroscopy^SCT||||||||||||||ACC9")},
			[]string{"AE NW1", "AA NW2"},
			[]string{"ACC2 open PAT2 " + tuva, "ACC9 open PAT2 " + tuva},
		},
		{
			"cancelled and placed anew under another accession number",
			[][]byte{order("NW", 1), order("CA", 1, "ORC|NW|PL1|FI1", "OBR|2|PL1|FI1|76009000^Gastroscopy^SCT||||||||||||||ACC9")},
			[]string{"AA NW1", "AA CA1"},
			[]string{"ACC9 open PAT1 " + tuva},
		},
		{
			"one of two cannot be done: neither is",
			[][]byte{order("NW", 1, "ORC|CA|PL9|FI9", "OBR|2|PL9|FI9|76009000^Gastroscopy^SCT||||||||||||||ACC9")},
			[]string{"AE NW1"},
			nil,
		},
		{
			"a report of another system",
			[][]byte{lines(header("ORU^R01^ORU_R01", "r1"), "PID|1||PAT1^^^NORTH^MR", "OBR|1|PL1|FI1|73761001^Colonoscopy^SCT||||||||||||||ACC1||||||ES|F", "OBX|1|TX|59776-5^Findings^LN||no polyp||||||F")},
			[]string{"AA r1"},
			nil,
		},
		{"a report on nothing", [][]byte{lines(header("ORU^R01^ORU_R01", "r1"), "PID|1||PAT1^^^NORTH^MR", "OBR|1|PL1|FI1")}, []string{"AE r1"}, nil},
		{"an acknowledgement is not acknowledged", [][]byte{append(lines(header("ACK", "a1"), "MSA|AA|x"), append([]byte{0x1C, 0x0D, 0x0B}, order("NW", 2)...)...)}, []string{"AA NW2"}, []string{"ACC2 open PAT2 " + tuva}},
		{"commit acknowledgement alone", [][]byte{replaced(order("NW", 1), "2.5.1||||", "2.5.1|||AL|NE")}, []string{"CA NW1"}, []string{"ACC1 open PAT1 " + tuva}},
		{"commit refused", [][]byte{replaced(order("QQ", 1), "2.5.1||||", "2.5.1|||AL|NE")}, []string{"CE QQ1"}, nil},
		{"larger than is taken", [][]byte{append(order("NW", 1), bytes.Repeat([]byte("NTE|1\r"), 200_000)...)}, []string{"AE NW1"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			require.Equal(t, c.answers, r.say(c.say...))
			require.Equal(t, c.orders, r.held())
			require.NotContains(t, r.log.String(), "PAT", "no patient in a log")
			require.NotRegexp(t, "S.{1,4}rli|Tuva", r.log.String())
			again := r.openLedger("rebuilt.db")
			before, _, err := r.ledger.Orders(t.Context(), ledger.OrderFilter{})
			require.NoError(t, err)
			after, _, err := again.Orders(t.Context(), ledger.OrderFilter{})
			require.NoError(t, err)
			require.Equal(t, before, after, "the spool has all of it")
			require.NoError(t, again.Close())
		})
	}
}

// TestReceiver_enhanced holds who is answered what (table 0155).
func TestReceiver_enhanced(t *testing.T) {
	for _, c := range []struct {
		accept, application string
		control             string
		want                []string
	}{
		{"AL", "AL", "NW", []string{"CA NW1", "AA NW1"}},
		{"NE", "NE", "NW", nil},
		{"NE", "NE", "QQ", nil},
		{"ER", "ER", "NW", nil},
		{"ER", "NE", "QQ", []string{"CE QQ1"}},
		{"SU", "NE", "NW", []string{"CA NW1"}},
		{"NE", "AL", "NW", []string{"AA NW1"}},
		{"NE", "ER", "QQ", []string{"AE QQ1"}},
	} {
		t.Run(fmt.Sprint(c.accept, c.application, c.control), func(t *testing.T) {
			r := newRig(t)
			p := r.connect()
			p.write(framed(replaced(order(c.control, 1), "2.5.1||||", "2.5.1|||"+c.accept+"|"+c.application)))
			for _, want := range c.want {
				got, m := p.answer(time.Minute)
				require.Equal(t, want, got)
				require.Equal(t, "GATE", m.Get("MSH-3"))
				require.Equal(t, "RIS", m.Get("MSH-5"))
			}
			p.write(framed(order("NW", 2))) // what comes next is the answer to this
			got, _ := p.answer(time.Minute)
			require.Equal(t, "AA NW2", got)
			want := []string{"ACC2 open PAT2 " + tuva}
			if c.control == "NW" {
				want = append([]string{"ACC1 open PAT1 " + tuva}, want...)
			}
			require.Equal(t, want, r.held())
		})
	}
}

// TestReceiver_senders holds that only those who are listed are taken from, each in its ways.
func TestReceiver_senders(t *testing.T) {
	elsewhere := loopback[:0:0]
	for _, c := range []struct {
		name   string
		sender Sender
		say    []byte
		answer string
		orders []string
	}{
		{"another application", Sender{Application: "PACS", Hosts: loopback}, order("NW", 1), "AE NW1", nil},
		{"another host", Sender{Application: "RIS", Hosts: elsewhere}, order("NW", 1), "AE NW1", nil},
		{"any application", Sender{Application: "*", Hosts: loopback}, order("NW", 1), "AA NW1", []string{"ACC1 open PAT1 " + tuva}},
		{
			"a character set that is not stated",
			Sender{Application: "RIS", Hosts: loopback, Charset: "CP1252"},
			replaced(order("NW", 1), "||||||UNICODE UTF-8", "", "Sørli^Tuva", "\x8Aulc^Zdena \x80"),
			"AA NW1",
			[]string{"ACC1 open PAT1 Šulc^Zdena €^M"},
		},
		{
			"an authority",
			Sender{Application: "RIS", Hosts: loopback, Authority: "SOUTH"},
			replaced(order("NW", 1), "PAT1^^^NORTH^MR", "PAT1^^^NORTH^MR~S77^^^SOUTH^MR"),
			"AA NW1",
			[]string{"ACC1 open S77 " + tuva},
		},
		{
			"an authority that the sender leaves out",
			Sender{Application: "RIS", Hosts: loopback, Authority: "SOUTH"},
			replaced(order("NW", 1), "PAT1^^^NORTH^MR", "PAT1^^^NORTH^MR~S77"),
			"AA NW1",
			[]string{"ACC1 open S77 " + tuva},
		},
		{"an authority that the patient lacks", Sender{Application: "RIS", Hosts: loopback, Authority: "SOUTH"}, order("NW", 1), "AE NW1", nil},
		{
			"the filler number for the accession number",
			Sender{Application: "RIS", Hosts: loopback, FillerIsAccession: true},
			replaced(order("NW", 1), "ACC1", ""),
			"AA NW1",
			[]string{"FI1 open PAT1 " + tuva},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.sender)
			require.Equal(t, []string{c.answer}, r.say(c.say))
			require.Equal(t, c.orders, r.held())
		})
	}
}

// TestReceiver_status leaves the steps of an order as they were scheduled: a status names one modality at most.
func TestReceiver_status(t *testing.T) {
	r := newRig(t)
	steps := func() []ledger.Step {
		page, _, err := r.ledger.Orders(t.Context(), ledger.OrderFilter{})
		require.NoError(t, err)
		require.Len(t, page, 1)
		return page[0].Steps
	}
	omi := func(control, id string, ipc ...string) []byte {
		return lines(append([]string{
			header("OMI^O23^OMI_O23", id), "PID|1||PAT1^^^NORTH^MR||Sørli^Tuva||19710405|F", "ORC|" + control + "|PL1|FI1||IP",
			"OBR|1|PL1|FI1|73761001^Colonoscopy^SCT||||||||||||||ACC1|RP1|||||ES",
		}, ipc...)...)
	}
	require.Equal(t, []string{"AA a"}, r.say(omi("NW", "a", "IPC|ACC1|RP1|1.2.3|S1|ES||ROOM1||AE1", "IPC|ACC1|RP1|1.2.3|S2|ES||ROOM2||AE2")))
	scheduled := steps()
	require.Len(t, scheduled, 2)
	for _, control := range []string{"SC", "HD", "RL", "NA", "CA"} {
		require.Equal(t, []string{"AA " + control}, r.say(omi(control, control)))
		require.Equal(t, scheduled, steps(), control)
	}
}

// TestReceiver_restamped does a message once whose sender gives it a new time each time it sends it.
func TestReceiver_restamped(t *testing.T) {
	r := newRig(t)
	nw := order("NW", 1)
	require.Equal(t, []string{"AA NW1", "AA CA1"}, r.say(nw, order("CA", 1)))
	require.Equal(t, []string{"AA NW1"}, r.say(replaced(nw, "20260301080000", "20260301080100")))
	require.Equal(t, []string{"ACC1 cancelled PAT1 " + tuva}, r.held(), "what was done is not done again")
	require.Equal(t, []string{"AA NW1"}, r.say(replaced(nw, "RP1", "RP2")))
	require.Equal(t, []string{"ACC1 open PAT1 " + tuva}, r.held(), "another message")
}

// TestReceiver_refusedEnhanced accepts what it keeps, and says then that it cannot be done.
func TestReceiver_refusedEnhanced(t *testing.T) {
	r := newRig(t)
	p := r.connect()
	p.write(framed(replaced(order("CA", 9), "|P|2.5.1||||||", "|P|2.5.1|||AL|AL||")))
	accept, _ := p.answer(5 * time.Second)
	application, _ := p.answer(5 * time.Second)
	require.Equal(t, []string{"CA CA9", "AE CA9"}, []string{accept, application})
	p.write(framed(replaced(order("CA", 9), "|P|2.5.1||||||", "|D|2.5.1|||AL|AL||")))
	accept, _ = p.answer(5 * time.Second)
	require.Equal(t, "CR CA9", accept, "what is not kept")
}

// TestReceiver_refused holds that who looks for a refused message finds its code and field: in the list of messages, and in
// the log, which has nothing of its content.
func TestReceiver_refused(t *testing.T) {
	r := newRig(t)
	require.Equal(t, []string{"AA NW1", "AE NW2", "AR NW3"}, r.say(order("NW", 1), replaced(order("NW", 2), "PAT2^^^NORTH^MR", ""), replaced(order("NW", 3), "ORM^O01", "BAR^P01")))
	for _, words := range []string{"code=101", "field=PID-3", "code=200", "field=MSH-9"} {
		require.Contains(t, r.log.String(), words)
	}
	for _, words := range []string{"PAT", "ACC", "Tuva"} {
		require.NotContains(t, r.log.String(), words)
	}
	for _, c := range []struct {
		filter ledger.MessageFilter
		want   []string
	}{
		{ledger.MessageFilter{}, []string{"NW2 AE", "NW1 AA"}},
		{ledger.MessageFilter{Answer: "AE"}, []string{"NW2 AE"}},
		{ledger.MessageFilter{Accession: "ACC1"}, []string{"NW1 AA"}},
		{ledger.MessageFilter{Accession: "ACC9"}, nil},
		{ledger.MessageFilter{Type: "ORM^O01", Limit: 1, Offset: 1}, []string{"NW1 AA"}},
		{ledger.MessageFilter{Type: "ADT^A08"}, nil},
	} {
		page, _, err := r.ledger.Messages(t.Context(), c.filter)
		require.NoError(t, err)
		var got []string
		for _, m := range page {
			got = append(got, m.ControlID+" "+m.Answer.Code)
			if m.Answer.Code == "AE" {
				require.Contains(t, m.Answer.Text, "101 PID-3")
			}
		}
		require.Equal(t, c.want, got)
	}
}

// TestReceiver_fields reads every field of the tables, and the steps of several IPC.
func TestReceiver_fields(t *testing.T) {
	r := newRig(t)
	require.Equal(t, []string{"AA i1"}, r.say(lines(
		header("OMI^O23^OMI_O23", "i1"),
		`PID|1||PAT1^^^NORTH&1.2.3&ISO^MR~N9^^^NATIONAL||Sørli^Tuva^Marie^Jr^Dr||197104051200|A`,
		"PV1|1|O||||||77^Lie^Ola^^^Dr^^^&1.2.9&ISO|||||||B6||||V5^^^NORTH",
		"ORC|NW|PL1^HIS|FI1^RIS||SC",
		"TQ1|1||||||20260301093000+0100||S^Stat^HL70485",
		`OBR|1|PL0^HIS|FI0^RIS|73761001^Colonoscopy^SCT^ES17^Coloscopy long^99NORTH||||||||Isolation|Penicillin\.br\Latex|||12^Dahl^Per^^^Prof^^^HPR|||RP1|||||ES|||||||R19^Bleeding^I10|||34^Moe^Kari`,
		"IPC|ACC1|RP0|1.2.826.0.1.77.1|SPS1|ES|P1^Colon^99NORTH|SCOPE ROOM 2||SCOPE2",
		"IPC|ACC1|RP0|1.2.826.0.1.77.1|SPS2|US|P2^EUS^99NORTH|||EUS1",
	)))
	all, _, err := r.ledger.Orders(t.Context(), ledger.OrderFilter{})
	require.NoError(t, err)
	require.Len(t, all, 1)
	starts := time.Date(2026, 3, 1, 8, 30, 0, 0, time.UTC)
	got := all[0].Order
	got.Message, got.ChangedAt = "", time.Time{}
	require.Equal(t, ledger.Order{
		Accession: "ACC1", StudyInstanceUID: "1.2.826.0.1.77.1", Placer: ledger.Identifier{ID: "PL1", Authority: "HIS"}, Filler: ledger.Identifier{ID: "FI1", Authority: "RIS"},
		Patient: ledger.Person{
			Identifier: ledger.Identifier{ID: "PAT1", Authority: "NORTH"}, Others: []ledger.Identifier{{ID: "N9", Authority: "NATIONAL"}},
			Name: "Sørli^Tuva^Marie^Dr^Jr", BirthDate: "19710405", Sex: "O",
		},
		RequestedProcedureID: "RP1", Service: dicom.Code{Value: "73761001", Scheme: "SCT", Meaning: "Colonoscopy"}, Reason: "Bleeding",
		Requester: "Dahl^Per^^Prof", RequesterID: ledger.Identifier{ID: "12", Authority: "HPR"}, PatientClass: "O", AdmissionAuthority: "NORTH",
		Referrer: "Lie^Ola^^Dr", ReferrerID: ledger.Identifier{ID: "77", Authority: "1.2.9"}, Priority: ledger.Stat, AdmissionID: "V5", PregnancyStatus: 3,
		PatientState: "Isolation", MedicalAlerts: "Penicillin\nLatex", State: ledger.OrderOpen, Sender: "RIS",
		Steps: []ledger.Step{
			{ID: "SPS1", Modality: "ES", Protocol: dicom.Code{Value: "P1", Scheme: "99NORTH", Meaning: "Colon"}, StationName: "SCOPE ROOM 2", StationAE: "SCOPE2", Performer: "Moe^Kari", StartsAt: starts},
			{ID: "SPS2", Modality: "US", Protocol: dicom.Code{Value: "P2", Scheme: "99NORTH", Meaning: "EUS"}, StationAE: "EUS1", Performer: "Moe^Kari", StartsAt: starts},
		},
	}, got)
	require.Equal(t, []string{"AE i2"}, r.say(lines(
		header("OMI^O23^OMI_O23", "i2"), "PID|1||PAT1^^^NORTH", "ORC|NW|PL5", "OBR|1|PL5",
		"IPC|ACC5|RP5|1.2.826.0.1.77.5|S1|ES", "IPC|ACC5|RP5|1.2.826.0.1.77.6|S2|ES",
	)), "the IPC of an order must agree on the study")
	require.Equal(t, []string{"AA i3"}, r.say(lines(
		header("OMG^O19^OMG_O19", "i3"), "PID|1||PAT1^^^NORTH", "ORC|XO|PL1^HIS|||||^^^20260302^^A", `OBR|1|PL1^HIS||||||||||""||||||||SPS9`,
	)))
	all, _, err = r.ledger.Orders(t.Context(), ledger.OrderFilter{})
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Empty(t, all[0].PatientState, `"" takes a value away`)
	require.Equal(t, "Penicillin\nLatex", all[0].MedicalAlerts, "what is not said stays")
	require.Equal(t, ledger.High, all[0].Priority)
	require.Equal(t, []ledger.Step{{ID: "SPS9", StartsAt: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}}, all[0].Steps)

	for written, want := range map[string]time.Time{ // as ISO 8601 has it, and in no form
		"2026-03-02T11:05": time.Date(2026, 3, 2, 11, 5, 0, 0, time.UTC), "2026-03-02T11:05:06+02:00": time.Date(2026, 3, 2, 9, 5, 6, 0, time.UTC),
		"2026-03-02": time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), "tomorrow": {}, "2026-13-02T11:05": {},
	} {
		require.Equal(t, []string{"AA i4"}, r.say(lines(
			header("OMG^O19^OMG_O19", "i4"), "PID|1||PAT1^^^NORTH", "ORC|XO|PL1^HIS|||||^^^"+written+"^^A", "OBR|1|PL1^HIS||||||||||||||||||SPS9",
		)))
		all, _, err = r.ledger.Orders(t.Context(), ledger.OrderFilter{})
		require.NoError(t, err)
		require.Equal(t, []ledger.Step{{ID: "SPS9", StartsAt: want}}, all[0].Steps, written)
	}
}

// TestReceiver_reportByNumber files a report to the study of the order whose placer or filler number it names.
func TestReceiver_reportByNumber(t *testing.T) {
	for _, obr := range []string{"OBR|1|PL1||73761001^Colonoscopy^SCT", "OBR|1||FI1|73761001^Colonoscopy^SCT"} {
		r := newRig(t)
		require.Equal(t, []string{"AA NW1", "AA r1", "AE r2"}, r.say(order("NW", 1),
			lines(header("ORU^R01^ORU_R01", "r1"), "PID|1||PAT1^^^NORTH^MR", obr, "OBR|2||OF_OTHERS|73761001^Colonoscopy^SCT"),
			lines(header("ORU^R01^ORU_R01", "r2"), "PID|1||PAT1^^^NORTH^MR", "OBR|1|PL2|FI2")))
		for _, f := range []ledger.MessageFilter{{Accession: "ACC1"}, {StudyUID: "1.2.826.0.1.77.1"}} {
			page, _, err := r.ledger.Messages(t.Context(), f)
			require.NoError(t, err)
			require.Len(t, page, 2)
			require.Equal(t, "r1", page[0].ControlID)
		}
	}
}

// TestTables holds that the tables name what there is: places that can be read, and fields of the ledger's types.
func TestTables(t *testing.T) {
	names := func(v any) map[string]any {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		var all map[string]any
		require.NoError(t, json.Unmarshal(b, &all))
		return all
	}
	order := ledger.Order{
		RequesterID: ledger.Identifier{ID: "x"}, ReferrerID: ledger.Identifier{ID: "x"}, PatientClass: "x", AdmissionAuthority: "x", AdmissionID: "x", PregnancyStatus: 1, PatientState: "x", MedicalAlerts: "x",
	}
	step := ledger.Step{StartsAt: time.Unix(1, 0)}
	for _, c := range []struct {
		fields []Field
		in     any
		other  []string // that come from elsewhere
	}{
		{OrderFields, order, []string{"patient", "steps", "state", "sender", "message", "changed_at"}},
		{StepFields, step, nil},
		{PatientFields, ledger.Person{}, nil},
	} {
		there := names(c.in)
		for _, f := range c.fields {
			require.Contains(t, there, f.Name)
			delete(there, f.Name)
			for _, from := range f.From {
				_, err := hl7.ParsePath(from)
				require.NoError(t, err)
			}
		}
		for _, name := range c.other {
			require.Contains(t, there, name)
			delete(there, name)
		}
		delete(there, "others")
		require.Empty(t, there, "no table says where it comes from")
	}
}

// troubled is a ledger that fails before or after it has done what it is asked.
type troubled struct {
	Ledger
	before, after error
	over          atomic.Bool
}

func (l *troubled) TakeMessage(ctx context.Context, m ledger.Inbound) (ledger.Taken, error) {
	if l.over.Load() {
		return l.Ledger.TakeMessage(ctx, m)
	}
	if l.before != nil {
		return ledger.Taken{}, l.before
	}
	taken, err := l.Ledger.TakeMessage(ctx, m)
	return taken, errors.Join(err, l.after)
}

// TestReceiver_ourFault: a sender is told to send again what cannot be kept, whatever the mode, and what it sends again is
// done once, even where it had been done and only the word of it was lost.
func TestReceiver_ourFault(t *testing.T) {
	away := &ledger.Trouble{Err: errors.New("no room on the disk")}
	for _, c := range []struct{ name, accept, application, want, then string }{
		{"original", "", "", "AR NW1", "AA NW1"},
		{"accept", "AL", "NE", "CE NW1", "CA NW1"},
		{"both", "AL", "AL", "CE NW1", "CA NW1"},
		{"application", "NE", "AL", "AR NW1", "AA NW1"},
		{"on error", "ER", "ER", "CE NW1", "none"},
		{"on success", "SU", "SU", "closed", "CA NW1"},
		{"never", "NE", "NE", "closed", "none"},
	} {
		for fault, l := range map[string]*troubled{"not done": {before: away}, "done": {after: away}} {
			t.Run(c.name+", "+fault, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				l.Ledger = r.ledger
				r.receiver.Ledger = l
				message := framed(replaced(order("NW", 1), "2.5.1||||", "2.5.1|||"+c.accept+"|"+c.application))
				p := r.connect()
				p.write(message)
				got, m := p.answer(time.Minute)
				require.Equal(t, c.want, got)
				if m != nil {
					require.Equal(t, "207", m.Get("ERR-3.1"))
					require.Contains(t, m.Get("ERR-8"), "send it again")
					require.NotContains(t, string(m.Bytes()), "disk")
				}
				l.over.Store(true)
				p = r.connect()
				p.write(message)
				within := time.Minute
				if c.then == "none" {
					within = time.Second
				}
				got, _ = p.answer(within)
				require.Equal(t, c.then, got)
				require.Equal(t, []string{"ACC1 open PAT1 " + tuva}, r.held())
				require.Contains(t, r.log.String(), "no room on the disk")
			})
		}
	}
}

// FuzzHandle holds that whatever comes is answered to its own control ID, or not at all, and takes nothing down.
func FuzzHandle(f *testing.F) {
	f.Add(order("NW", 1))
	f.Add(replaced(order("NW", 1), "2.5.1||||", "2.5.1|||AL|AL"))
	f.Add(lines(header("OMI^O23", "i"), "PID|1||P", "ORC|NW|1", "OBR|1|1", "IPC|A|R|1.2|S|ES", "IPC|A|R|1.2|S|ES"))
	f.Add(lines(header("ORU^R01", "r"), "PID|1||P", "OBR|1||||||||||||||||||A", "OBX|1|ST|110180^UID^DCM||1.2"))
	f.Add(lines(header("ADT^A40", "m"), "PID|1||P", "MRG|Q"))
	rig := fuzzRig(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		answers, err := rig.Handle(t.Context(), loopback[0].Addr(), message)
		require.NoError(t, err)
		require.LessOrEqual(t, len(answers), 2)
		in, _ := hl7.Parse(message, hl7.Options{})
		for _, a := range answers {
			m, _ := hl7.Parse(a, hl7.Options{}) // what it quotes may be of no character set
			require.NotNil(t, m)
			require.NotEmpty(t, m.Get("MSA-1"))
			if in != nil && in.Segments()[0].Name == "MSH" {
				require.Equal(t, in.Raw("MSH-10"), m.Raw("MSA-2"))
			}
		}
	})
}

// TestReceiver_notReady: while the gateway takes nothing over, a sender is told so, and nothing is kept of its messages.
func TestReceiver_notReady(t *testing.T) {
	rig := newRig(t)
	rig.receiver.Ready = func() error { return errors.New("the ledger is damaged") }
	require.Equal(t, []string{"AR NW1", "AR NW1"}, rig.say(order("NW", 1), order("NW", 1)))
	for e, err := range rig.spool.Entries(0) {
		require.NoError(t, err)
		require.NotEqual(t, spool.Message, e.Kind)
	}
	rig.receiver.Ready = nil
	require.Equal(t, []string{"AA NW1"}, rig.say(order("NW", 1)))
}
