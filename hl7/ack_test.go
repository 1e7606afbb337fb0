package hl7_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/hl7"
)

var at = time.Date(2026, 1, 2, 10, 17, 5, 0, time.FixedZone("", 3600))

func TestAnswers_whatIsDue(t *testing.T) {
	fault := &hl7.Error{Code: hl7.RequiredFieldMissing, Path: "PID-3", Text: "a patient identifier is required"}
	unserved := &hl7.Error{Code: hl7.UnsupportedEventCode, Path: "MSH-9", Text: "not served"}
	for _, row := range []struct {
		accept, application string
		err                 error
		want                string
	}{
		{"", "", nil, "AA"},
		{"", "", fault, "AE"},
		{"", "", unserved, "AR"},
		{"", "", errors.New("disk"), "AR"},
		{"", "", hl7.ErrNoMessage, "AR"},
		{"AL", "AL", hl7.ErrNoMessage, "CR"},
		{"AL", "AL", errors.New("disk"), "CE"},
		{"ER", "NE", errors.New("disk"), "CE"},
		{"NE", "AL", errors.New("disk"), "AR"},
		{"SU", "NE", errors.New("disk"), ""},
		{"AL", "NE", nil, "CA"},
		{"AL", "AL", nil, "CA AA"},
		{"NE", "NE", nil, ""},
		{"NE", "AL", nil, "AA"},
		{"AL", "", nil, "CA"},
		{"", "AL", nil, "AA"},
		{"AL", "AL", fault, "CE"},
		{"AL", "AL", unserved, "CR"},
		{"NE", "AL", fault, "AE"},
		{"NE", "NE", fault, ""},
		{"NE", "ER", nil, ""},
		{"NE", "ER", unserved, "AR"},
		{"ER", "AL", nil, "AA"},
		{"ER", "AL", fault, "CE"},
		{"SU", "SU", nil, "CA AA"},
		{"SU", "AL", fault, "AE"},
		{"al", "ne", nil, "CA"},
		{"ZZ", "Y", nil, "AA"}, // what is not of the table says nothing: silence would have it sent again and again
		{`""`, `""`, fault, "AE"},
		{"", "ZZ", nil, "AA"},
		{"ZZ", "AL", nil, "AA"},
	} {
		t.Run(fmt.Sprint(row.accept, "/", row.application, " ", row.err), func(t *testing.T) {
			in := parse(t, `MSH|^~\&|RIS|HOSP|ENDOGATE|ENDO|2026||ORM^O01^ORM_O01|m7|P|2.5.1|||`+row.accept+"|"+row.application+"\r")
			var got []string
			for _, m := range hl7.Answers(in, hl7.Fate{Err: row.err}, at) {
				m = reparse(t, m)
				got = append(got, m.Get("MSA-1"))
				assert.Equal(t, "m7", m.Get("MSA-2"))
				known := strings.Contains("AL NE ER SU", strings.ToUpper(row.accept)) && row.accept != "" || row.application == "AL" // else it is the original mode
				assert.Equal(t, known, m.Get("MSH-15") == "NE" && m.Get("MSH-16") == "NE")
				assert.NotContains(t, string(m.Bytes()), "disk")
			}
			assert.Equal(t, row.want, strings.Join(got, " "))
		})
	}
}

// TestAnswers_kept are the answers to a message that is kept, of which nothing could be done.
func TestAnswers_kept(t *testing.T) {
	fault := &hl7.Error{Code: hl7.UnknownKeyIdentifier, Path: "ORC", Text: "no such order"}
	for conditions, want := range map[string]string{"|": "AE", "AL|AL": "CA AE", "AL|NE": "CA", "ER|ER": "AE", "SU|SU": "CA", "NE|AL": "AE", "AL|SU": "CA"} {
		in := parse(t, `MSH|^~\&|RIS|HOSP|ENDOGATE|ENDO|2026||ORM^O01^ORM_O01|m7|P|2.5.1|||`+conditions+"\r")
		var got []string
		for _, m := range hl7.Answers(in, hl7.Fate{Accepted: true, Err: fault}, at) {
			m = reparse(t, m)
			got = append(got, m.Get("MSA-1"))
			assert.Equal(t, m.Get("MSA-1") == "AE", m.Segment("ERR") != nil)
		}
		assert.Equal(t, want, strings.Join(got, " "), conditions)
	}
}

func TestAck(t *testing.T) {
	fault := &hl7.Error{Code: hl7.RequiredFieldMissing, Path: "PID[2]-3", Text: "a patient identifier | is required"}
	const id = "\\|E[0-9A-F]{18}\\|"
	for _, row := range []struct {
		name, in string
		err      error
		want     string // regular expression
	}{
		{
			"taken", `MSH|^~\&|RIS^1.2^ISO|HOSP|ENDOGATE|ENDO|2026||ORM^O01^ORM_O01|m7|P|2.5.1||||||UNICODE UTF-8` + "\r", nil,
			`^MSH\|\^~\\&\|ENDOGATE\|ENDO\|RIS\^1\.2\^ISO\|HOSP\|20260102101705\+0100\|\|ACK\^O01\^ACK` + id + `P\|2\.5\.1\|{6}UNICODE UTF-8\rMSA\|AA\|m7\r$`,
		},
		{
			"fault, since 2.5", `MSH|^~\&|RIS|HOSP|ENDOGATE|ENDO|2026||ADT^A08|m7|P|2.8.2^NOR&Norway&ISO3166_1` + "\r", fault,
			`^MSH.*ACK\^A08\^ACK` + id + `P\|2\.8\.2\^NOR&Norway&ISO3166_1\rMSA\|AE\|m7\|a patient identifier \\F\\ is required\rERR\|\|PID\^2\^3\|101\^Required field missing\^HL70357\|E\|\|\|\|a patient identifier \\F\\ is required\r$`,
		},
		{
			"fault, before 2.5", `MSH|^~\&|RIS|HOSP|ENDOGATE|ENDO|2026||ADT^A08|m7|T|2.3` + "\r", fault,
			`^MSH.*ACK\^A08\^ACK` + id + `T\|2\.3\rMSA\|AE\|m7\|a patient identifier \\F\\ is required\rERR\|PID\^2\^3\^101&Required field missing&HL70357\r$`,
		},
		{
			"2.1 and other delimiters", `MSH#*~\!#R#H#E#N#2026##ORM#m7#P#2.1` + "\r", &hl7.Error{Code: hl7.UnsupportedVersionID, Text: "not served"},
			`^MSH#\*~\\!#E#N#R#H#20260102101705\+0100##ACK#E[0-9A-F]{18}#P#2\.1\rMSA#AR#m7#not served\rERR#\*\*\*203!Unsupported version id!HL70357\r$`,
		},
		{
			"no escape character, no version", `MSH|^~&|R|H|E|N|2026||ORM^O01|m7|P` + "\r", fault,
			`^MSH\|\^~&\|E\|N\|R\|H\|.*\|P\|2\.5\.1\rMSA\|AE\|m7\|a patient identifier   is required\rERR\|`,
		},
		{"control ID as it stands", "MSH|^~\\&|R|H|E|N|2026||ORM^O01|m\\S\\7^x|P|2.5\r", nil, `\rMSA\|AA\|m\\S\\7\^x\r$`},
		{"hardly a header", "MSH|^~\\&", nil, `^MSH\|\^~\\&\|\|\|\|\|20260102101705\+0100\|\|ACK\|E[0-9A-F]{18}\|\|2\.5\.1\rMSA\|AA\|\r$`},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := parse(t, row.in)
			got := hl7.Ack(in, hl7.CodeOf(row.err), row.err, at)
			assert.Regexp(t, row.want, string(got.Bytes()))
			assert.Equal(t, got.Bytes(), hl7.Ack(in, hl7.CodeOf(row.err), row.err, at).Bytes())
			reparse(t, got)
			assert.Equal(t, row.in, string(in.Bytes()), "the message is not changed by its answer")
		})
	}
	in := parse(t, order)
	assert.NotEqual(t, hl7.Ack(in, hl7.CA, nil, at).Get("MSH-10"), hl7.Ack(in, hl7.AA, nil, at).Get("MSH-10"))
	latin, err := hl7.Parse([]byte("MSH|^~\\&|R\xD8|H|E|N|2026||ORM^O01|m7|P|2.5||||||8859/1\r"), hl7.Options{})
	require.NoError(t, err)
	assert.Equal(t, "RØ", reparse(t, hl7.Ack(latin, hl7.AA, nil, at)).Get("MSH-5"))
}

func TestJudge(t *testing.T) {
	for _, row := range []struct {
		name, ack string // after MSH
		want      hl7.Verdict
		reason    string
	}{
		{"AA", "MSA|AA|c9", hl7.Done, "AA"},
		{"CA", "MSA|CA|c9", hl7.Done, "CA"},
		{"lower case", "MSA|aa|c9", hl7.Done, "AA"},
		{"AE", "MSA|AE|c9", hl7.Never, "AE"},
		{"AE with a fault", "MSA|AE|c9|Doe is unknown\rERR||PID^1^3|204^Unknown^HL70357|E", hl7.Never, "AE 204 Unknown key identifier"},
		{"AE 206", "MSA|AE|c9\rERR|||206|E", hl7.Again, "AE 206 Application record locked"},
		{"AE 207", "MSA|AE|c9\rERR|||207|E", hl7.Never, "AE 207 Application internal error"},
		{"CE", "MSA|CE|c9", hl7.Never, "CE"},
		{"CR", "MSA|CR|c9", hl7.Never, "CR"},
		{"AR", "MSA|AR|c9", hl7.Again, "AR"},
		{"AR 200", "MSA|AR|c9\rERR|||200^x^HL70357|E", hl7.Never, "AR 200 Unsupported message type"},
		{"AR 201 in the form before 2.5", "MSA|AR|c9\rERR|MSH^1^9^201&x&HL70357", hl7.Never, "AR 201 Unsupported event code"},
		{"AR 202 in MSA-6", "MSA|AR|c9||||202^x", hl7.Never, "AR 202 Unsupported processing id"},
		{"AR 203 in the second ERR", "MSA|AR|c9\rERR|||0^ok|I\rERR|||203|E", hl7.Never, "AR 203 Unsupported version id"},
		{"AR 206", "MSA|AR|c9\rERR|||206|E", hl7.Again, "AR 206 Application record locked"},
		{"AR 207", "MSA|AR|c9\rERR|||207|E", hl7.Again, "AR 207 Application internal error"},
		{"another message's", "MSA|AA|c8", hl7.Again, "the answer is to another message: MSA-2 is not what was sent as MSH-10"},
		{"no control ID", "MSA|AA", hl7.Again, "the answer is to another message: MSA-2 is not what was sent as MSH-10"},
		{"no MSA", "PID|1", hl7.Again, "the answer is no acknowledgement: it has no MSA"},
		{"no code", "MSA||c9", hl7.Again, "the answer has no acknowledgement code of table 0008 in MSA-1"},
		{"text of a set that is not stated", "MSA|AE|c9|ung\xFCltig", hl7.Never, "AE"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ack, _ := hl7.Parse([]byte("MSH|^~\\&|RIS|||||||a1|P|2.5.1\r"+row.ack+"\r"), hl7.Options{})
			got, reason := hl7.Judge("c9", ack)
			assert.Equal(t, row.want, got)
			assert.Equal(t, row.reason, reason)
		})
	}
	got, _ := hl7.Judge("c9", nil)
	assert.Equal(t, hl7.Again, got)
}
