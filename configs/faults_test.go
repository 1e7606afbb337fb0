package configs

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A number without its unit is no time span and no size, whichever way it is written: it would be nanoseconds, and bytes.
func TestParse_unitIsMissing(t *testing.T) {
	for text, want := range map[string]string{
		"log: {level: info}\nexam: {quiet: 60}": "line 2: exam.quiet: 60: a unit is missing: write 60s",
		"exam: {quiet: \"60\"}":                 "line 1: exam.quiet: 60: a unit is missing: write 60s",
		"spool: {retention: 72}":                "spool.retention: 72: a unit is missing",
		"ledger: {history: 730}":                "ledger.history: 730: a unit is missing",
		"delivery: {min_backoff: 2.5}":          "delivery.min_backoff: 2.5: a unit is missing",
		"spool:\n  reserve: 2":                  "line 2: spool.reserve: 2: a unit is missing: write 2MiB or 2GiB",
		"dicom: {max_pdu_length: 131072}":       "dicom.max_pdu_length: 131072: a unit is missing",
	} {
		_, err := parse([]byte(text), nil, Default())
		assert.ErrorContains(t, err, want, text)
	}
	_, err := parse([]byte("exam: {quiet: 5s}"), []string{"ENDOGATE_EXAM_QUIET=60"}, Default())
	assert.EqualError(t, err, "ENDOGATE_EXAM_QUIET: exam.quiet: 60: a unit is missing: write 60s, 60m or 60h", "it stands in no line")
	_, err = parse(nil, []string{`ENDOGATE_MODELS=[{"folder":"m"}]`}, Default())
	assert.ErrorContains(t, err, "ENDOGATE_MODELS: unknown key models[0].folder")
	c, err := parse([]byte("ledger: {history: 0}\nspool: {reserve: 0}"), nil, Default())
	require.NoError(t, err)
	assert.Zero(t, c.Ledger.History)
	assert.Zero(t, c.Spool.Reserve)
}

// Values that cannot be read, unknown keys, variables and what validation finds: all are named in one go.
func TestParse_allFaultsAtOnce(t *testing.T) {
	_, err := parse([]byte(`dicom:
  ae_title: ENDOGATE_GASTRO_LAB
  port: 104
  peers:
    - {ae_title: A, hosts: [10.0.0.1]}
    - ae_title: B
      hosts: [x]
http:
  # listen: "127.0.0.1:1"
  listen: "8080"
routes:
  - {name: r, models: [m], destinations: [pacs], forward_source: yes}
destinations:
  - {name: pacs, kind: dicomweb, ae_title: PACS, address: "127.0.0.1:4242"}
exam: {quiet: x}
jobs: {workers: many}
`), []string{"ENDOGATE_DICOM_AETITLE=X"}, Default())
	for _, want := range []string{
		"ENDOGATE_DICOM_AETITLE: names no key; ENDOGATE_DICOM_AE_TITLE is the nearest name",
		"line 2: dicom.ae_title: ", "line 3: unknown key dicom.port", `line 7: dicom.peers[1].hosts[0]: "x" is no address or network`,
		"line 10: http.listen: ", `line 12: routes[0].forward_source: "yes" is neither true nor false`, "line 14: destinations[0].kind: ",
		`line 15: exam.quiet: "x" is no time span`, `line 16: jobs.workers: "many" is no number that can stand here`,
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "dicom.peers[1].hosts: empty", "it follows from what could not be read")
}

func TestParse_wrongShape(t *testing.T) {
	for text, want := range map[string]string{
		"dicom:\n  peers: SCOPE1":      "line 2: dicom.peers: a list is expected; write [{ae_title: SCOPE1, hosts: [10.1.2.0/24]}]",
		"models: {dir: m}":             "line 1: models: a list is expected; write [{dir: /opt/models/polyp}]",
		"jobs: {workers: [1]}":         "line 1: jobs.workers: one value is expected, not [1]",
		"exam: 60s":                    "line 1: exam: 60s stands where a section",
		"dicom:\n\tae_title: ENDOGATE": "line 2: a tab",
		"dicom:\n  peers:\n    - A":    "line 3: dicom.peers[0]: A stands where a section",
	} {
		_, err := parse([]byte(text), nil, Default())
		assert.ErrorContains(t, err, want, text)
	}
}

// Between braces a tab is a blank as any other.
func TestParse_tabInFlow(t *testing.T) {
	c, err := parse([]byte("{\n\t\"exam\": {\"quiet\": \"5s\"}\n}"), nil, Default())
	require.NoError(t, err)
	assert.Equal(t, Duration(5e9), c.Exam.Quiet)
}

// What the tests and Kubernetes set under the prefix is not meant for the configuration.
func TestParse_variablesOfOthers(t *testing.T) {
	_, err := parse(nil, []string{
		"ENDOGATE_TEST_PEERS=1", "ENDOGATE_BENCH_DIR=/x", "ENDOGATE_DRILL=1", "ENDOGATE_PORT=tcp://10.0.0.1:80", "ENDOGATE_PORT_80_TCP=tcp://10.0.0.1:80",
		"ENDOGATE_DICOM_SERVICE_HOST=10.0.0.1", "ENDOGATE_DICOM_SERVICE_PORT_DICOM=104", "ENDOGATE_DICOM_PORT=tcp://10.0.0.1:104", "ENDOGATE_DICOM_PORT_104_TCP_ADDR=10.0.0.1", "HOME=/",
	}, Default())
	require.NoError(t, err)
	for _, name := range []string{"ENDOGATE_DICOM_PORT", "ENDOGATE_DATADIR", "ENDOGATE_"} {
		_, err := parse(nil, []string{name + "=104"}, Default())
		assert.ErrorContains(t, err, name+": names no key")
	}
}

// A variable that is nearly one says which is meant.
func TestParse_variablesMeant(t *testing.T) {
	for set, want := range map[string]string{
		"ENDOGATE_AE_TITLE=X": "ENDOGATE_AE_TITLE: names no key; there is ENDOGATE_DICOM_AE_TITLE", "ENDOGATE_CONFIG=c.yaml": "--config", "endogate_dicom_ae_title=X": "write ENDOGATE_DICOM_AE_TITLE",
		"ENDOGATE_DICOM_TLS=x": "there is ENDOGATE_DICOM_TLS_CA_FILE, ", "ENDOGATE_DICOM_AETITLE=X": "ENDOGATE_DICOM_AE_TITLE is the nearest name", "ENDOGATE_ROUTES=null": "not a JSON list, such as", "ENDOGATE_DICOM_PEERS=": "[] for none",
		"ENDOGATE_AUTH_OIDC_ROLES=[]": "not a JSON object, such as",
	} {
		_, err := parse(nil, []string{set}, Default())
		assert.ErrorContains(t, err, want)
	}
	c, _ := parse(nil, []string{`ENDOGATE_AUTH_OIDC_ROLES={"clinician": ["endoscopy"]}`}, Default())
	assert.Equal(t, []string{"endoscopy"}, c.Auth.OIDC.Roles["clinician"], "every key can be set so")
}

// What a file of variables leaves around values would be a folder or a title of that name.
func TestParse_variablesWrapped(t *testing.T) {
	for set, want := range map[string]string{
		`ENDOGATE_DICOM_AE_TITLE="GATE"`: "ENDOGATE_DICOM_AE_TITLE: the quotes around its value", `ENDOGATE_DATA_DIR='/var/lib/endogate'`: "ENDOGATE_DATA_DIR: the quotes around its value",
		"ENDOGATE_DATA_DIR=/var/lib/endogate\r": "ENDOGATE_DATA_DIR: there is a line break", `ENDOGATE_MODELS="[]"`: "ENDOGATE_MODELS: the quotes around its value",
	} {
		_, err := parse(nil, []string{set}, Default())
		assert.ErrorContains(t, err, want)
	}
	c, err := parse(nil, []string{"ENDOGATE_DICOM_PEERS=[\n  {\"ae_title\": \"SCOPE1\", \"hosts\": [\"10.0.0.0/8\"]}\n]\n"}, Default())
	assert.Len(t, c.DICOM.Peers, 1, "a list may go over several lines: %v", err)
}
