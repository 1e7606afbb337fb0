package configs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

var noEnvironment []string

func TestLoad_commentedFileIsDefault(t *testing.T) {
	c, err := Load("endogate.yaml")
	require.NoError(t, err)
	assert.Equal(t, Default(), c)
}

func TestParse_unknownKeyHasLine(t *testing.T) {
	_, err := parse([]byte("dicom:\n  ae_title: X\n  port: 104\nhttp:\n  cipher: on\n"), noEnvironment, Default())
	require.Error(t, err)
	assert.ErrorContains(t, err, "line 3: unknown key dicom.port")
	assert.ErrorContains(t, err, "line 5: unknown key http.cipher")
}

func TestParse_unknownKeyInList(t *testing.T) {
	_, err := parse([]byte("destinations:\n  - name: pacs\n    kind: dicom\n    host: x\n"), noEnvironment, Default())
	assert.ErrorContains(t, err, "line 4: unknown key destinations[0].host")
}

func TestParse_environmentWins(t *testing.T) {
	env := []string{
		"ENDOGATE_DICOM_AE_TITLE=SCOPEGATE",
		"ENDOGATE_EXAM_QUIET=5s",
		"ENDOGATE_JOBS_WORKERS=3",
		`ENDOGATE_DICOM_PEERS=[{"ae_title":"A","hosts":["10.0.0.0/8","192.168.1.7"]}]`,
	}
	c, err := parse([]byte("dicom: {ae_title: FILE}\n"), env, Default())
	require.NoError(t, err)
	assert.Equal(t, dicom.AETitle("SCOPEGATE"), c.DICOM.AETitle)
	assert.Equal(t, 5*time.Second, c.Exam.Quiet.Std())
	assert.Equal(t, 3, c.Jobs.Workers)
	require.Len(t, c.DICOM.Peers, 1)
	require.Len(t, c.DICOM.Peers[0].Hosts, 2)
	assert.Equal(t, "10.0.0.0/8", c.DICOM.Peers[0].Hosts[0].String())
	assert.Equal(t, "192.168.1.7/32", c.DICOM.Peers[0].Hosts[1].String(), "an address is the network of itself")
}

func TestLoad_badValues(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"time span", "exam: {quiet: soon}", "no time span"},
		{"size", "spool: {reserve: 2 GB}", "no size"},
		{"network", "dicom: {peers: [{ae_title: A, hosts: [x]}]}", "no address or network"},
		{"AE title", "dicom: {ae_title: \"12345678901234567\"}", "dicom.ae_title"},
		{"policy of an identity", "dicom: {peers: [{ae_title: A, hosts: [127.0.0.1], identity: {policy: always}}]}", "dicom.peers[0].identity.policy: \"always\"; write one of"},
		{"identity of nobody", "dicom: {peers: [{ae_title: A, hosts: [127.0.0.1], identity: {policy: required}}]}", "dicom.peers[0].identity.users: empty, and jwt too"},
		{"identity without policy", "dicom: {peers: [{ae_title: A, hosts: [127.0.0.1], identity: {users: [{name: a}]}}]}", "dicom.peers[0].identity.policy: empty, and users or jwt are named"},
		{"passcode in clear", "dicom: {peers: [{ae_title: A, hosts: [10.0.0.1], identity: {policy: required, users: [{name: a, passcode_file: x}]}}]}", "dicom.peers[0].identity: passcodes and tokens would be readable"},
		{"passcode as its hash", "dicom: {peers: [{ae_title: A, hosts: [127.0.0.1], identity: {policy: required, users: [{name: a, passcode_hash: sesame}]}}]}", "identity.users[0].passcode_hash: not an Argon2id hash"},
		{"user twice", "dicom: {peers: [{ae_title: A, hosts: [127.0.0.1], identity: {policy: required, users: [{name: a}, {name: a}]}}]}", "identity.users[1].name: \"a\" is there twice"},
		{"token for anybody", "dicom: {peers: [{ae_title: A, hosts: [127.0.0.1], identity: {policy: required, jwt: {issuer: \"https://i\"}}}]}", "identity.jwt.audience: empty"},
		{"token of a shared key", "dicom: {peers: [{ae_title: A, hosts: [127.0.0.1], identity: {policy: required, jwt: {issuer: \"https://i\", audience: a, algorithms: [HS256]}}}]}", "identity.jwt.algorithms: \"HS256\"; write one of"},
		{"keys in clear", "dicom: {peers: [{ae_title: A, hosts: [127.0.0.1], identity: {policy: required, jwt: {issuer: me, audience: a, keys_url: \"http://i.example/k\"}}}]}", "identity.jwt.keys_url: not an https URL"},
		{"passcode sent in clear", "destinations: [{name: pacs, kind: dicom, ae_title: A, address: \"10.0.0.1:104\", identity: {user: a, passcode_file: x}}]", "destinations[0].identity: passcode and token would be readable"},
		{"passcode of nobody", "destinations: [{name: pacs, kind: dicom, ae_title: A, address: \"127.0.0.1:104\", identity: {passcode_file: x}}]", "destinations[0].identity: write user"},
		{"identity for HL7", "destinations: [{name: ris, kind: hl7, address: \"127.0.0.1:1\", identity: {user: a}}]", "destinations[0].identity: kind hl7 has no such key"},
		{"no hosts", "dicom: {peers: [{ae_title: A}]}", "dicom.peers[0].hosts"},
		{"remote page", "http: {listen: \":80\"}", "http.allow_remote"},
		{"route to nowhere", "routes: [{name: r, models: [m], destinations: [x]}]", "not among the destinations"},
		{"route without destinations", "routes: [{name: r, models: [m]}]", "routes[0].destinations"},
		{"retention", "spool: {retention: -1h}", "spool.retention"},
		{"give up", "delivery: {give_up: 0s}", "delivery.give_up"},
		{"opacity", "reports: {opacity: 2}", "reports.opacity"},
		{"no port", "dicom: {listen: \":DICOM3\"}", "dicom.listen"},
		{"port left out", "destinations: [{name: pacs, kind: dicom, ae_title: A, address: \"x:\"}]", "destinations[0].address: \"\" is no port"},
		{"blank before the port", "destinations: [{name: pacs, kind: dicom, ae_title: A, address: \"x: 104\"}]", "destinations[0].address: \" 104\" is no port"},
		{"port of nobody", "destinations: [{name: ris, kind: hl7, address: \"x:0\"}]", "destinations[0].address: \"x:0\" names no machine"},
		{"no machine", "destinations: [{name: m, kind: email, address: \":25\", from: a@b, recipients: [c@d]}]", "destinations[0].address: \":25\" names no machine"},
		{"port too high", "destinations: [{name: pacs, kind: dicom, ae_title: A, address: \"x:70000\"}]", "destinations[0].address"},
		{"kind", "destinations: [{name: x, kind: stow}]", `destinations[0].kind: "stow"; write one of dicom, hl7, fhir, webhook, email`},
		{"webhook in the clear", "destinations: [{name: w, kind: webhook, url: \"http://pager.example/x\", key_file: k}]", "destinations[0].url: http to another machine"},
		{"webhook without a key", "destinations: [{name: w, kind: webhook, url: \"https://pager.example/x\"}]", "destinations[0].key_file: empty"},
		{"webhook with a password", "destinations: [{name: w, kind: webhook, url: \"https://a:b@pager.example/x\", key_file: k}]", "destinations[0].url: holds a user"},
		{"webhook to a file", "destinations: [{name: w, kind: webhook, url: \"file:///etc/passwd\", key_file: k}]", "destinations[0].url: not a URL"},
		{"mail in the clear", "destinations: [{name: m, kind: email, address: \"mail.example:25\", security: none, from: a@b, recipients: [c@d]}]", "destinations[0].security: none, and mail to another machine"},
		{"mail from nobody", "destinations: [{name: m, kind: email, address: \"m:25\", recipients: [c@d]}]", "destinations[0].from: \"\" is no mail address"},
		{"mail with a header", "destinations: [{name: m, kind: email, address: \"m:25\", from: \"a@b\\r\\nBcc: x@y\", recipients: [c@d]}]", "is no mail address"},
		{"mail to nobody", "destinations: [{name: m, kind: email, address: \"m:25\", from: a@b}]", "destinations[0].recipients: empty"},
		{"mail to more than an address", "destinations: [{name: m, kind: email, address: \"m:25\", from: a@b, recipients: [\"x <c@d>\"]}]", "destinations[0].recipients: \"x <c@d>\" is no mail address"},
		{"mail without a password", "destinations: [{name: m, kind: email, address: \"m:25\", from: a@b, recipients: [c@d], user: u}]", "destinations[0].user: goes with"},
		{"results by mail", "destinations: [{name: m, kind: email, address: \"m:25\", from: a@b, recipients: [c@d]}]\nroutes: [{name: r, models: [m], destinations: [m]}]", "routes[0].destinations: \"m\" gets notifications and no results"},
		{"urgent", "urgent: [{class: polyp, threshold: 1.5}]", "urgent[0].threshold: must be above 0"},
		{"link to nowhere", "urgent: [{class: polyp, threshold: 0.9}]\nnotify: [{name: a, on: urgent, to: [x]}]", "http.url: empty, and notify sends links"},
		{"page of any host", "http: {url: \"https://a/?b\"}", "http.url: not the beginning"},
		{"key of another kind", "destinations: [{name: ris, kind: hl7, address: \"a:1\", ae_title: A}]", "destinations[0].ae_title: kind hl7 has no such key"},
		{"HL7 address", "destinations: [{name: ris, kind: hl7}]", "destinations[0].address"},
		{"TLS off", "destinations: [{name: ris, kind: hl7, address: \"a:1\", tls: {ca_file: x}}]", "destinations[0].tls.on: false"},
		{"half a TLS certificate", "destinations: [{name: emr, kind: fhir, url: \"https://a\", tls: {key_file: x}}]", "destinations[0].tls.cert_file"},
		{"FHIR url", "destinations: [{name: emr, kind: fhir, url: emr}]", "destinations[0].url: not a URL"},
		{"FHIR in the clear", "destinations: [{name: emr, kind: fhir, url: \"http://emr.example.org/fhir\"}]", "destinations[0].url: http to another machine"},
		{"password in a url", "destinations: [{name: emr, kind: fhir, url: \"https://a:secret@emr.example.org\"}]", "destinations[0].url: holds a user or password"},
		{"two ways in", "destinations: [{name: emr, kind: fhir, url: \"https://a\", token_file: x, oauth: {token_url: \"https://b\", client_id: c, secret_file: d}}]", "destinations[0].token_file"},
		{"system", "destinations: [{name: emr, kind: fhir, url: \"https://a\", systems: [{authority: HOSP, uri: 1.2.3}]}]", "destinations[0].systems[0].uri: \"1.2.3\" is no absolute URI"},
		{"half of oauth", "destinations: [{name: emr, kind: fhir, url: \"https://a\", oauth: {token_url: \"http://b\"}}]", "destinations[0].oauth.client_id"},
		{"forward to nobody", "destinations: [{name: emr, kind: fhir, url: \"https://a\"}]\nroutes: [{name: r, forward_source: true, destinations: [emr]}]", "routes[0].forward_source: true, and none"},
		{"field of a template", "destinations: [{name: ris, kind: hl7, address: \"a:1\", template: [{field: OBR-25, value: F}]}]", "destinations[0].template[0].field: OBR-25 is not for a template: use statuses"},
		{"status of a draft", "destinations: [{name: ris, kind: hl7, address: \"a:1\", statuses: {draft: F}}]", "destinations[0].statuses.draft: F says that the report is final"},
		{"row", "destinations: [{name: ris, kind: hl7, address: \"a:1\", rows: [pdf, image]}]", "destinations[0].rows[1]: \"image\"; write some of"},
		{"template", "destinations: [{name: ris, kind: hl7, address: \"a:1\", template: OBR-24}]", "destinations[0].template: a list is expected; write [{field: OBR-24, value: ES}]"},
		{"SOP class", "dicom: {sop_classes: [endoscopy]}", "dicom.sop_classes: \"endoscopy\" is neither"},
		{"PDU length", "dicom: {max_pdu_length: 2MiB}", "dicom.max_pdu_length: must be from 4KiB to 1024KiB"},
		{"viewer", "reports: {viewer: \"ftp://viewer.example/{study}\"}", "reports.viewer: not a URL"},
		{"viewer of any host", "reports: {viewer: \"https://{study}.example/\"}", "reports.viewer: not a URL"},
		{"viewer of nothing", "reports: {viewer: \"https://viewer.example/\"}", "reports.viewer: {study} is missing"},
		{"viewer of something else", "reports: {viewer: \"https://viewer.example/{study}/{patient}\"}", "reports.viewer: a character"},
		{"viewer with a password", "reports: {viewer: \"https://a:secret@viewer.example/{study}\"}", "reports.viewer: holds a user or password"},
		{"colour map", "reports: {colour_map: rainbow}", "reports.colour_map"},
		{"station name", "reports: {station_name: 'ROOM\\2'}", "reports.station_name: \"ROOM\\\\2\" cannot stand in an object: a backslash"},
		{"serial number", "reports: {device_serial_number: ''}", "reports.device_serial_number: empty"},
		{"institution", "reports: {institution_name: \"A\\nB\"}", "reports.institution_name"},
		{"files for nobody", "nats: {ca_file: x.pem}", "nats.url: empty, and the embedded server asks for no files"},
		{"half a certificate", "nats: {cert_file: x.pem}", "nats.cert_file, nats.key_file: one goes with the other"},
		{"nobody works", "jobs: {workers: 0}", "jobs.workers: 0 leaves the work to workers elsewhere"},
		{"replicas", "nats: {replicas: 6}", "nats.replicas"},
		{"not YAML", "dicom: [", "yaml"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			require.NoError(t, os.WriteFile(path, []byte(row.in), 0o600))
			_, err := Load(path)
			assert.ErrorContains(t, err, row.want)
		})
	}
}

func TestValidate_allFaultsAtOnce(t *testing.T) {
	c := Default()
	c.DICOM.AETitle, c.Log.Level, c.Exam.Quiet = "", "loud", 0
	err := c.Validate()
	for _, key := range []string{"dicom.ae_title", "log.level", "exam.quiet"} {
		assert.ErrorContains(t, err, key)
	}
}

// TestValidate_notify: all that is wrong with rules is said in one go, with the lines that it stands on.
func TestValidate_notify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`http: {url: "https://endogate.hospital"}
destinations:
  - {name: pacs, kind: dicom, ae_title: A, address: "127.0.0.1:104"}
  - {name: pager, kind: webhook, url: "https://pager.example/", key_file: k}
urgent:
  - {class: polyp, threshold: 0.9}
  - {class: polyp, threshold: 0}
notify:
  - {name: a, on: urgent, to: [pacs, pager, pager], findings: [cancer]}
  - {name: a, on: review, kinds: [lost], to: []}
  - {name: "b c", on: always, to: [pager]}
  - {name: d, on: urgent, kinds: [missed], to: [pager]}
`), 0o600))
	_, err := Load(path)
	for _, want := range []string{
		`line 7: urgent[1].class: "polyp" is there twice`, "line 7: urgent[1].threshold: must be above 0",
		`line 9: notify[0].findings: "cancer" is not in the list urgent (polyp, polyp)`, `line 9: notify[0].to[0]: "pacs" is no destination of kind webhook`, `line 9: notify[0].to[2]: "pager" is there twice`,
		`line 10: notify[1].name: "a" is there twice`, `line 10: notify[1].kinds[0]: "lost"; write one of missed`, "line 10: notify[1].to: empty",
		`line 11: notify[2].name: "b c"`, `line 11: notify[2].on: "always"; write urgent or review`, "line 12: notify[3].kinds: they are of reviews",
	} {
		assert.ErrorContains(t, err, want)
	}
}

func TestSize_text(t *testing.T) {
	for _, row := range []struct {
		in   string
		want Size
	}{{"0", 0}, {"12B", 12}, {"128KiB", 128 << 10}, {"2GiB", 2 << 30}} {
		var s Size
		require.NoError(t, s.UnmarshalText([]byte(row.in)), row.in)
		assert.Equal(t, row.want, s, row.in)
	}
	for _, in := range []string{"", "-1", "12", "1.5", "1.5GiB", "9999999TiB", "2GB"} {
		assert.Error(t, new(Size).UnmarshalText([]byte(in)), in)
	}
}

func TestLoad_localFile(t *testing.T) {
	c, err := Load("local.yaml")
	require.NoError(t, err)
	assert.Equal(t, []string{"demo"}, c.Routes[0].Models)
	assert.Equal(t, dicom.AETitle("ORTHANC"), c.Destinations[0].AETitle)
}

func TestLoadWorker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("data_dir: /var/lib/endogate\nnats: {url: nats://broker:4222}\nmodels: [{dir: /opt/models/polyp}]\njobs: {workers: 3}\nffmpeg: /opt/ffmpeg\n")
	w, err := LoadWorker(path)
	require.NoError(t, err)
	assert.Equal(t, "nats://broker:4222", w.NATS.URL)
	assert.Equal(t, 3, w.Jobs.Workers)
	assert.Equal(t, "/opt/ffmpeg", w.FFmpeg)
	assert.Equal(t, Default().ONNXRuntime, w.ONNXRuntime)

	write("nats: {url: nats://broker:4222}\nmodels: [{dir: m}]\ndicom: {ae_title: X}\n")
	_, err = LoadWorker(path)
	assert.ErrorContains(t, err, "line 3: unknown key dicom", "a worker has no DICOM side")

	write("jobs: {workers: 0}\n")
	_, err = LoadWorker(path)
	for _, key := range []string{"nats.url", "jobs.workers", "models"} {
		assert.ErrorContains(t, err, key)
	}
}

// Of finds destinations of a kind, in the order of the route that names them.
func TestConfig_Of(t *testing.T) {
	c, err := parse([]byte(`
models: [{dir: m}]
routes: [{name: r, models: [m], destinations: [ris, second, pacs, emr]}]
destinations:
  - {name: pacs, kind: dicom, ae_title: A, address: "127.0.0.1:104", pdf: true}
  - {name: ris, kind: hl7, address: "127.0.0.1:2576", statuses: {draft: P}, template: [{field: OBR-24, value: GASTRO}]}
  - {name: emr, kind: fhir, url: "http://127.0.0.1:8080/fhir", token_file: /etc/token}
  - {name: second, kind: dicom, ae_title: B, address: "127.0.0.1:104"}
`), noEnvironment, Default())
	require.NoError(t, err)
	var names []string
	for _, d := range c.Of(KindDICOM, c.Routes[0].Destinations) {
		names = append(names, d.Name)
	}
	assert.Equal(t, []string{"second", "pacs"}, names)
	ris := c.Of(KindHL7, c.Routes[0].Destinations)
	require.Len(t, ris, 1)
	assert.Equal(t, []TemplateField{{"OBR-24", "GASTRO"}}, ris[0].Template)
	assert.Equal(t, "P", ris[0].Statuses.Draft)
}
