package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/secure/securetest"
	"endogate/hl7/mllp/mllptest"
)

// writeMessage writes a message as an editor does: lines end in LF.
func writeMessage(t *testing.T, id string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), id+".hl7")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(mllptest.Message(id)), "\r", "\n")), 0o600))
	return path
}

// listening starts the stand-in RIS and returns where it listens.
func listening(t *testing.T, args ...string) (address string, out *lockedBuffer) {
	t.Helper()
	out = beside(t, append([]string{"hl7", "listen", "--address", "127.0.0.1:0"}, args...)...)
	where := regexp.MustCompile(`on (127\.0\.0\.1:\d+) `)
	require.Eventually(t, func() bool { return where.MatchString(out.String()) }, 2*time.Minute, 10*time.Millisecond)
	return where.FindStringSubmatch(out.String())[1], out
}

func TestHL7_sendAndListen(t *testing.T) {
	folder := t.TempDir()
	address, heard := listening(t, "--keep", folder, "--most", "2")
	code, out, complaints := endogate("hl7", "send", "--to", address, writeMessage(t, "1"), writeMessage(t, "2"))
	require.Zero(t, code, complaints)
	assert.Regexp(t, `MSH\|\^~\\&\|RIS\|HOSP\|ENDOGATE\|ENDO\|.*\nMSA\|AA\|1\nMSH.*\nMSA\|AA\|2\n`, out)
	for i := range 2 {
		kept, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("%06d.hl7", i+1)))
		require.NoError(t, err)
		assert.Equal(t, string(mllptest.Message(fmt.Sprint(i+1))), string(kept))
	}
	assert.Regexp(t, `PID-5\.1 +Patient Name +Grønvold`, heard.String())
	code, out, _ = endogate("hl7", "send", "--to", address, writeMessage(t, "3"))
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, out, "2 messages are kept", "what is kept is bounded")

	address, heard = listening(t, "--keep", folder, "--quiet")
	code, _, complaints = endogate("hl7", "send", "--to", address, writeMessage(t, "4"))
	require.Zero(t, code, complaints)
	assert.FileExists(t, filepath.Join(folder, "000003.hl7"), "what was kept before stays")
	assert.NotContains(t, heard.String(), "Grønvold")
}

func TestHL7_sendSaysWhatIsWrong(t *testing.T) {
	refusing, _ := listening(t, "--answer", "AE")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	letter := filepath.Join(t.TempDir(), "letter")
	require.NoError(t, os.WriteFile(letter, []byte("Dear colleague,\n"), 0o600))
	for _, tt := range []struct {
		name, to, file, want string
	}{
		{"refused", refusing, writeMessage(t, "1"), "1 of 1 messages were not taken"},
		{"nobody there", ln.Addr().String(), writeMessage(t, "1"), "no connection"},
		{"nothing", refusing, empty, "no HL7 message"},
		{"no message", refusing, letter, "no HL7 message"},
		{"no file", refusing, filepath.Join(t.TempDir(), "none"), "no such file"},
	} {
		code, _, complaints := endogate("hl7", "send", "--to", tt.to, tt.file)
		assert.Equal(t, exitFailure, code, tt.name)
		assert.Contains(t, complaints, tt.want, tt.name)
	}
}

func TestHL7_overTLS(t *testing.T) {
	authority := securetest.NewAuthority(t)
	cert, key := authority.Issue("ris")
	files := []string{"--tls-ca", authority.CAFile, "--tls-cert", cert, "--tls-key", key}
	address, _ := listening(t, files...)
	send := []string{"hl7", "send", "--to", address, "--timeout", "1m", writeMessage(t, "1")}
	code, _, complaints := endogate(append(send, append(files, "--tls")...)...)
	assert.Zero(t, code, complaints)
	code, _, _ = endogate(append(send, "--tls", "--tls-ca", authority.CAFile)...)
	assert.Equal(t, exitFailure, code, "without a certificate")
	code, _, _ = endogate(send...)
	assert.Equal(t, exitFailure, code, "without TLS")
}

func TestHL7_show(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.mllp")
	const text = "log line\n\x0bMSH|^~\\&|RIS\x1b[2J|HOSP\rPID|1||1^^^HOSP^MR~2||Gr\xf8nvold^\xc5se||\"\"\rOBX|1|ED|PDF||"
	require.NoError(t, os.WriteFile(path, []byte(text+strings.Repeat("A", 1000)+"\r\x1c\r"), 0o600))
	code, out, complaints := endogate("hl7", "show", "--charset", "8859/1", path)
	require.Zero(t, code, complaints)
	for _, line := range []string{
		`MSH-4 +Sending Facility +HOSP`, `PID-3\[1\]\.1 +Patient Identifier List +1`, `PID-3\[2\] +Patient Identifier List +2`,
		`PID-5\.2 +Patient Name +Åse`, `PID-7 +Date/Time of Birth +"" \(to be removed\)`, `OBX-5 +Observation Value +A{400}… \(1000 characters\)`,
	} {
		assert.Regexp(t, line+`\n`, out)
	}
	assert.NotContains(t, out, "\x1b", "nothing steers the terminal")
	code, _, complaints = endogate("hl7", "show", "--charset", "klingon", path)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, complaints, "table 0211")
}

// A dry run prints what would be sent, from a draft in a file, and sends nothing; a destination that gets objects has no
// message.
func TestHL7_render(t *testing.T) {
	config := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(config, []byte(`data_dir: `+t.TempDir()+`
destinations:
  - {name: pacs, kind: dicom, ae_title: PACS, address: "127.0.0.1:104"}
  - {name: ris, kind: hl7, address: "127.0.0.1:1", application: RIS, statuses: {draft: P}, template: [{field: OBR-24, value: GASTRO}, {field: pdf/OBX-5, value: "^application^pdf^Base64^{pdf}"}]}
  - {name: emr, kind: fhir, url: "https://127.0.0.1:1"}
`), 0o600))
	const draft = "../../testdata/drafts/colonoscopy.json"
	code, out, complaints := endogate("--config", config, "hl7", "render", draft, "--to", "ris")
	require.Zero(t, code, complaints)
	assert.Regexp(t, `(?m)^OBR\|1\|PL-7\^EMR\|FI-7\^RIS\|.*\|GASTRO\|P\|`, out)
	assert.Contains(t, out, "|^application^pdf^Base64^KHRoZSBQREYp|")
	_, raw, _ := endogate("--config", config, "hl7", "render", draft, "--to", "ris", "--raw")
	assert.Equal(t, strings.Count(out, "\n"), strings.Count(raw, "\r"))
	code, out, complaints = endogate("--config", config, "hl7", "render", draft, "--to", "emr")
	require.Zero(t, code, complaints)
	assert.Contains(t, out, `"status": "partial"`)

	for name, want := range map[string]string{"pacs": "is no destination of kind hl7 or fhir (ris, emr)", "nobody": "is no destination"} {
		code, _, complaints = endogate("--config", config, "hl7", "render", draft, "--to", name)
		assert.Equal(t, exitUsage, code)
		assert.Contains(t, complaints, want)
	}
	code, _, complaints = endogate("--config", config, "hl7", "render", "A1", "--to", "ris")
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, complaints, "give --config, or data_dir in it")
}

// A study that is not there is said to be none, in words.
func TestHL7_renderUnknown(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "c.yaml")
	require.NoError(t, os.WriteFile(config, []byte("data_dir: "+dir+"\ndestinations: [{name: ris, kind: hl7, address: \"127.0.0.1:1\", application: RIS}]\n"), 0o600))
	l, err := ledger.Open(filepath.Join(dir, "ledger.db"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	code, _, complaints := endogate("hl7", "render", "--config", config, "--to", "ris", "NOPE")
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, complaints, `"NOPE"`)
	assert.NotContains(t, complaints, "ledger:")
}
