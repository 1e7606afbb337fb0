package notice

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/ledger"
	"endogate/hl7"
)

var sample = ledger.Notice{
	ID: "notice-0123456789abcdef0123456789abcdef", Rule: "oncall", On: ledger.OnUrgent, Study: "2.25.7", Finding: "polyp", Route: "endoscopy",
	Model: "demo-colon", ModelVersion: "1.0.0", Probability: 0.9234, Frames: 2, Received: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC), At: time.Date(2026, 3, 1, 8, 0, 3, 0, time.UTC),
}

var to = Writer{Page: "https://endogate.hospital", Location: time.FixedZone("", 3600)}

func TestHL7(t *testing.T) {
	b, err := to.HL7(sample, Receiver{Institution: "NORTH", Application: "RIS", Facility: "HOSP"})
	require.NoError(t, err)
	require.Equal(t, strings.Join([]string{
		`MSH|^~\&|ENDOGATE|NORTH|RIS|HOSP|20260301090003+0100||ORU^R01^ORU_R01|N0123456789abcdef012|P|2.5.1||||||UNICODE UTF-8`,
		`OBR|1|||NOTIFY^A study needs a person^99ENDOGATE|||20260301090003+0100|||||||||||||||20260301090003+0100|||R`,
		`OBX|1|TX|121071^Finding^DCM||polyp: found by a model, urgent||||||R`,
		`OBX|2|NM|122157^Probability^DCM||0.9234||||||R`,
		`OBX|3|ST|113014^DICOM Study^DCM||2.25.7||||||R`,
		`OBX|4|TX|LINK^Page of the study^99ENDOGATE||https://endogate.hospital/#/studies/2.25.7||||||R`,
		`OBX|5|TX|121106^Comment^DCM||Found by a model, not verified by a person.||||||R`, "",
	}, "\r"), string(b))
}

func TestMail(t *testing.T) {
	b, err := to.Mail(sample, mail.Address{Name: "endogate", Address: "endogate@example.org"}, []mail.Address{{Address: "a@example.org"}, {Address: "b@example.org"}})
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(`From: "endogate" <endogate@example.org>
To: <a@example.org>,
 <b@example.org>
Subject: endogate: polyp: found by a model, urgent
Date: Sun, 01 Mar 2026 09:00:03 +0100
Message-ID: <notice-0123456789abcdef0123456789abcdef@example.org>
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

A study needs a person soon.

polyp: found by a model, urgent.
Found by a model, not verified by a person.

https://endogate.hospital/#/studies/2.25.7

Probability 0.923, on 2 frames at or above the threshold, by demo-colon 1.0=
.0.
Rule oncall, route endoscopy, notification notice-0123456789abcdef012345678=
9abcdef.
`, "\n", "\r\n"), string(b))
}

// TestNotice_kinds: what a model did not find is not said to be found by it, in any form, nor with a probability; what can wait is not for soon.
func TestNotice_kinds(t *testing.T) {
	for _, row := range []struct {
		kind         string
		frames       int
		says, note   string
		soon, figure bool
	}{
		{"missed", 3, "a report denies it, a model sees it", "Found by a model, not verified by a person.", true, true},
		{"not-mentioned", 2, "a report does not speak of it, a model sees it", "Found by a model, not verified by a person.", true, true},
		{"uncertain", 2, "a report is not sure of it", "Compared by a program, not verified by a person.", false, true},
		{"uncertain", 0, "a report is not sure of it", "Compared by a program, not verified by a person.", false, false},
		{"not-seen", 1, "a report states it, a model does not see it", "Not found by a model; not verified by a person.", false, true},
		{"not-seen", 0, "a report states it, a model does not see it", "Not found by a model; not verified by a person.", false, false},
	} {
		n := sample
		n.On, n.Kind, n.Frames, n.Received = ledger.OnReview, row.kind, row.frames, time.Time{}
		if n.Frames == 0 {
			n.Probability = 0
		}
		letter, err := to.Mail(n, mail.Address{Address: "endogate@example.org"}, []mail.Address{{Address: "a@example.org"}})
		require.NoError(t, err)
		message, err := to.HL7(n, Receiver{})
		require.NoError(t, err)
		document, err := to.JSON(n)
		require.NoError(t, err)
		for _, text := range []string{string(letter), string(message)} {
			require.Contains(t, strings.ReplaceAll(text, "=\r\n", ""), row.says)
		}
		for _, text := range []string{string(letter), string(message), string(document)} {
			require.Contains(t, strings.ReplaceAll(text, "=\r\n", ""), row.note)
			require.Equal(t, row.note == Unverified, strings.Contains(text, "Found by a model"), text)
		}
		require.Equal(t, row.soon, strings.Contains(string(letter), "soon"))
		require.Equal(t, row.figure, strings.Contains(string(letter), "Probability"))
		require.Equal(t, row.figure, strings.Contains(string(message), "^Probability^"))
		require.NotContains(t, string(document), "received_at", "no frame came first")
	}
}

// TestNotice_anyText: whatever a class, model or finding is called, it begins no header, segment, field or line of its own, and a receiver
// reads it as what it is.
func TestNotice_anyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`(x|\r\n|\r|\n|Bcc: a@b|OBX\|9|\||\^|~|\\|&|\x0b|\x1c|=\?utf-8\?q\?|\.|<|"|é| ){0,12}`)).Draw(t, "text")
		n := sample
		n.Finding, n.Model, n.ModelVersion, n.Route = text, text, text, text
		if rapid.Bool().Draw(t, "review") {
			n.On, n.Kind = ledger.OnReview, text
		}

		b, err := to.Mail(n, mail.Address{Address: "endogate@example.org"}, []mail.Address{{Address: "a@example.org"}})
		require.NoError(t, err)
		require.NotContains(t, strings.ReplaceAll(string(b), "\r\n", ""), "\n")
		require.NotContains(t, strings.ReplaceAll(string(b), "\r\n", ""), "\r")
		m, err := mail.ReadMessage(bytes.NewReader(b))
		require.NoError(t, err)
		require.Len(t, m.Header, 9)
		subject, err := (&mime.WordDecoder{}).DecodeHeader(m.Header.Get("Subject"))
		require.NoError(t, err)
		require.Equal(t, strings.TrimSpace("endogate: "+what(n)), strings.TrimSpace(subject))
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		require.NoError(t, err)
		require.Len(t, strings.Split(string(body), "\r\n"), 10)

		b, err = to.HL7(n, Receiver{Application: text})
		require.NoError(t, err)
		in, err := hl7.Parse(b, hl7.Options{})
		require.NoError(t, err)
		require.Len(t, in.Segments(), 7)
		require.Equal(t, what(n), in.Get("OBX-5"))

		b, err = to.JSON(n)
		require.NoError(t, err)
		var back ledger.Notice
		require.NoError(t, json.Unmarshal(b, &back))
		require.Equal(t, n.Study, back.Study)
		require.NotContains(t, string(b), "\n")
	})
}
