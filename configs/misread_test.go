package configs

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What stands there is what is read: a number or a word that YAML knows is no other text, and a text that is two numbers is none.
func TestParse_asWritten(t *testing.T) {
	for text, serial := range map[string]string{"0123": "0123", "00123": "00123", "1.10": "1.10", "12e3": "12e3", "12_34": "12_34", "true": "true", "2026-11-30": "2026-11-30", "0x1F": "0x1F"} {
		c, err := parse([]byte("reports: {device_serial_number: "+text+"}\ndicom: {ae_title: "+serial+"}\n"), nil, Default())
		require.NoError(t, err, text)
		assert.Equal(t, serial, c.Reports.DeviceSerialNumber)
		assert.Equal(t, serial, string(c.DICOM.AETitle))
		c, err = parse(nil, []string{`ENDOGATE_DICOM_PEERS=[{"ae_title": ` + serial + `, "hosts": ["10.0.0.1"]}]`}, Default())
		if err == nil { // 0123 and the like are no JSON
			assert.Equal(t, serial, string(c.DICOM.Peers[0].AETitle))
		}
	}
	for _, number := range []string{"010", "0o10", "0x2", "0b11", "1_0", "1.5", "2.0", "1e1", "true", ".inf", "99999999999999999999", `"010"`, `""`, "2 "} {
		_, err := parse([]byte("jobs: {max_deliver: "+number+"}\n"), nil, Default())
		if number == "2 " {
			require.NoError(t, err, "a blank before the bracket is none of the value")
			_, err = parse(nil, []string{"ENDOGATE_JOBS_MAX_DELIVER=" + number}, Default())
		}
		assert.ErrorContains(t, err, "is no number that can stand here", number)
	}
	for _, number := range []string{".nan", "0x1p-2", "40%", "00.4"} {
		_, err := parse([]byte("reports: {opacity: "+number+"}\n"), nil, Default())
		assert.ErrorContains(t, err, "is no number that can stand here", number)
	}
	for _, truth := range []string{"2", "yes", "on", `""`} {
		_, err := parse([]byte("http: {behind_tls: "+truth+"}\n"), nil, Default())
		assert.ErrorContains(t, err, "is neither true nor false", truth)
	}
	c, err := parse([]byte("auth: {required: False}\n"), nil, Default())
	require.NoError(t, err)
	assert.Equal(t, No, c.Auth.Required)
}

// A key without a value is as if it were not there; an entry of a list is a slip of the pen.
func TestParse_noValue(t *testing.T) {
	c, err := parse([]byte("spool:\n  reserve:\n  retention: ~\njobs: {workers: null}\nledger:\nauth: {required: }\nroutes:\n"), nil, Default())
	require.NoError(t, err)
	assert.Equal(t, Default(), c)
	_, err = parse([]byte("spool: {resreve: }\ndicom: {peers: [{ae_title: A, hosts: [~]}]}\nmodels:\n  -\n"), nil, Default())
	for _, want := range []string{"line 1: unknown key spool.resreve; did you mean spool.reserve?", "line 2: an entry of a list without a value", "line 4: an entry of a list without a value"} {
		assert.ErrorContains(t, err, want)
	}
}

// What YAML reads and nobody meant is named where it stands, all of it at once.
func TestParse_misread(t *testing.T) {
	for text, want := range map[string]string{
		"\ndicom: {ae_title: !env AET}":                         "line 2: !env: what begins with ! is not read",
		"routes: !include routes.yaml":                          "line 1: !include: what begins with ! is not read",
		"\ndicom: {ae_title: !!binary RU5E}":                    "line 2: !!binary: what begins with ! is not read",
		"\ndicom: {ae_title: !!int ENDO}":                       "line 2: !!int: what begins with ! is not read",
		"http: {listen: \"127.0.0.1:1\", url: &u \"http://x\"}": "line 1: anchors and aliases",
		"\nhttp: {listen: \"127.0.0.1:1\", url: *u}":            "line 2: anchors and aliases",
		"log: {\"<<\": {level: debug}}":                         "line 1: a key that is no plain word",
		"? [a]\n: x":                                            "line 1: a key that is no plain word",
		"dicom: {AE_Title: X}":                                  "line 1: unknown key dicom.AE_Title; did you mean dicom.ae_title?",
		"DICOM: {}":                                             "line 1: unknown key DICOM; did you mean dicom?",
		"exam: {quiet: 5s}\nexam.max_wait: 5h":                  "line 2: exam.max_wait: a key has no dot in it; write max_wait below exam",
		"peers: []":                                             "line 1: unknown key peers; did you mean dicom.peers?",
		"dicom:\n  http: {listen: x}":                           "line 2: unknown key dicom.http; did you mean http?",
		"# a\u2028drain: 1s":                                    "line 1: a character that nobody sees (U+2028), as copied text has; take it out, or write it in double quotes as \\u2028",
		"drain: 5s\u0085exam: {quiet: 1s}":                      "line 1: a character that nobody sees (U+0085)",
		"drain: 5s\nex\u200bam: {}":                             "line 2: a character that nobody sees (U+200B)",
		"drain: 5s\n\ufeffexam: {}":                             "line 2: a character that nobody sees (U+FEFF)",
		"data_dir: “/var/lib/endogate”":                         "line 1: “/var/lib/endogate”: this quote is a letter to YAML",
		"reports: {institution_name: „Klinik“}":                 "line 1: „Klinik“: this quote is a letter to YAML",
		"drain: 5s\ndrain: 6s\ndrain: 7s":                       "line 3: \"drain\" stands there twice, first on line 1",
	} {
		_, err := parse([]byte(text), nil, Default())
		assert.ErrorContains(t, err, want, text)
	}
	c, err := parse([]byte("reports: {institution_name: \"„Klinik“\\u200b Nord\"} # seh\u00adr gut\n"), nil, Default())
	require.NoError(t, err)
	assert.Equal(t, "„Klinik“\u200b Nord", c.Reports.InstitutionName)
}

// A path that a shell, or another system, would have to read first.
func TestParse_paths(t *testing.T) {
	for _, path := range []string{"~/endogate", `"${HOME}/x"`, "$HOME/x", `'C:\endogate'`, `'\\server\share'`, "file:///x", `"a\nb"`} {
		_, err := parse([]byte("data_dir: "+path+"\nmodels: [{dir: "+path+"}]\nhttp: {tls: {cert_file: "+path+", key_file: k}}\n"), nil, Default())
		for _, want := range []string{"line 1: data_dir: ", "line 2: models[0].dir: ", "line 3: http.tls.cert_file: "} {
			assert.ErrorContains(t, err, want, path)
		}
	}
	_, err := parse([]byte("data_dir: /srv/my data/ÄÖ~1/\n"), nil, Default())
	require.NoError(t, err)
}

// What would hold for no instance, reach nobody, or be in the way of something else.
func TestValidate_neverMeant(t *testing.T) {
	for text, want := range map[string]string{
		`dicom: {listen: ":8080"}`: "http.listen: \"127.0.0.1:8080\" is the port of dicom.listen, too",
		`hl7: {listen: "127.0.0.1:2575"}` + "\n" + `dicom: {tls: {listen: "0.0.0.0:2575"}}`: "hl7.listen: \"127.0.0.1:2575\" is the port of dicom.tls.listen, too",
		`dicom: {listen: "127.0.0.1: 104"}`:                                                 `" 104" is no port`,
		`dicom: {listen: "*:104"}`:                                                          "is no address",
		`http: {hosts: ["https://gw.hospital/"]}`:                                           "http.hosts[0]: ",
		`http: {trusted_proxy_header: "X Remote User", trusted_proxies: [10.0.0.1]}`:        "http.trusted_proxy_header: ",
		`delivery: {give_up: 1s}`:                                                           "delivery.give_up: must not be less",
		`exam: {quiet: 60us}`:                                                               "exam.quiet: 60µs is shorter than 10ms", `exam: {quiet: 0s}`: "exam.quiet: must be above zero", `delivery: {timeout: 1ns}`: "delivery.timeout: 1ns is shorter",
		`auth: {idle: 1us}`: "auth.idle: 1µs is shorter", `spool: {retention: 1ns}`: "spool.retention: 1ns is shorter", `drain: 1ns`: "drain: 1ns is shorter", `onnxruntime: {cache: 1B}`: "onnxruntime.cache: must be 1MiB or more",
		`jobs: {max_deliver: 1000000}`: "jobs.max_deliver: must be from 1 to 1000", `hl7: {max_message: 1B}`: "hl7.max_message: must be from 1KiB",
		`nats: {url: "http://h:4222"}`: "nats.url: it names no server", `nats: {url: "nats://h:99999"}`: "nats.url: it names no server", `nats: {url: "nats://"}`: "nats.url: it names no server", `nats: {url: "nats://a:4222,,nats://b:4222"}`: "nats.url: it names no server",
		`onnxruntime: {threads: 1000000}`:                                                                                                                        "onnxruntime.threads: must be from 1 to 1024",
		`jobs: {workers: 9223372036854775807}`:                                                                                                                   "jobs.workers: must be from 0 to 1024",
		`destinations: [{name: p, kind: dicom, ae_title: P, address: ":104"}]`:                                                                                   "names no machine",
		`destinations: [{name: p, kind: dicom, ae_title: P, address: "10.0.0.1:0"}]`:                                                                             "names no machine, or port 0",
		`destinations: [{name: p, kind: dicom, ae_title: P, address: "127.0.0.1:11112"}]`:                                                                        "is this gateway itself",
		`routes: [{name: r, match: {modality: ["ES, XC"]}, models: [m], destinations: [p]}]`:                                                                     "routes[0].match.modality[0]: ",
		`routes: [{name: r, match: {sop_class: [endoscopic]}, models: [m], destinations: [p]}]`:                                                                  "routes[0].match.sop_class[0]: ",
		`routes: [{name: r, match: {station_name: [" A"]}, models: [m], destinations: [p]}]`:                                                                     "routes[0].match.station_name[0]: ",
		"destinations: [{name: p}]\nroutes: [{name: r, models: [m], destinations: [p, p]}]":                                                                      "routes[0].destinations: \"p\" is there twice",
		"routes:\n  - {name: r, models: [m], destinations: [p]}\n  - {name: s, match: {modality: [ES]}, models: [m], destinations: [p]}":                         "line 3: routes[1].match: nothing gets as far as here: routes[0] (r) takes all of it",
		`auth: {oidc: {issuer: "https://x", client_id: a, redirect_url: "https://g/signin/callback", roles_claim: g, roles: {viewer: [x], administrator: [x]}}}`: `auth.oidc.roles: "x": it has two roles`,
	} {
		_, err := parse([]byte(text), nil, Default())
		assert.ErrorContains(t, err, want, text)
	}
	for _, url := range []string{"nats://h", "h:4222", "tls://a:4222, tls://b:4222", "nats://u:p@h:4222", "wss://h/"} {
		_, err := parse([]byte(`nats: {url: "`+url+`"}`), nil, Default())
		assert.NoError(t, err, url)
	}
	_, err := parse([]byte(`
dicom: {listen: "10.0.0.1:104"}
http: {listen: "127.0.0.1:104", hosts: [gw.hospital]}
destinations: [{name: p, kind: dicom, ae_title: P, address: "127.0.0.1:104"}]
routes:
  - {name: r, match: {modality: [ES], calling_ae: [A]}, forward_source: true, destinations: [p]}
  - {name: s, match: {modality: [es]}, forward_source: true, destinations: [p]}
  - {name: t, forward_source: true, destinations: [p]}
`), nil, Default())
	require.NoError(t, err, "another address, narrower routes first")
}
