package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/configs"
	"endogate/dicomnode/spool"
	"endogate/inference/onnx"
)

func TestDoctor_namesAllThatIsNotListed(t *testing.T) {
	_, err := describeConfig(configs.Default())
	require.ErrorContains(t, err, "dicom.peers is empty")
	require.ErrorContains(t, err, "routes is empty")
}

// A destination that nothing goes to is no fault of the file, and mostly one of the person who wrote it.
func TestDoctor_unusedDestination(t *testing.T) {
	cfg := configs.Default()
	cfg.DICOM.Peers = []configs.Peer{{AETitle: "*"}}
	cfg.Routes = []configs.Route{{Name: "r", Destinations: []string{"pacs"}}}
	cfg.Destinations = []configs.Destination{{Name: "pacs"}, {Name: "ris"}}
	said, err := describeConfig(cfg)
	require.NoError(t, err)
	assert.Contains(t, said, "no route names ris")
}

// A title, a model, a kind and a span: whoever mends a file reads of all of them in one go.
func TestDoctor_allFaultsOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`dicom: {ae_title: ENDOGATE_GASTRO_LAB}
models: [{dir: ../../testdata/models/demo}]
routes: [{name: r, models: [demo-colonn], destinations: [pacs]}]
destinations: [{name: pacs, kind: dicomweb, ae_title: PACS, address: "127.0.0.1:4242"}]
exam: {quiet: x}
`), 0o600))
	_, err := doctorCmd{}.load(&cli{Config: path})
	for _, want := range []string{"line 1: dicom.ae_title", `routes[0].models: "demo-colonn" is none of`, "line 4: destinations[0].kind", "line 5: exam.quiet"} {
		assert.ErrorContains(t, err, want)
	}
}

// A data folder that serve would make, however deep, is no fault.
func TestDoctor_dataFolder(t *testing.T) {
	cfg := configs.Default()
	cfg.Spool.Reserve = 0
	cfg.DataDir = filepath.Join(t.TempDir(), "var", "lib", "endogate")
	found, err := checkDisk(cfg)
	require.NoError(t, err)
	assert.Contains(t, found, "GiB free")

	cfg.DataDir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(cfg.DataDir, "unfinished-backup"), nil, 0o600))
	_, err = checkDisk(cfg)
	assert.ErrorContains(t, err, "a backup that was cut off", "as serve says it")
}

// The ports of the gateway that runs on the data folder are no fault, those of anybody else are.
func TestDoctor_portsOfTheGatewayThatRuns(t *testing.T) {
	cfg := configs.Default()
	cfg.DataDir = t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, err = checkPort(cfg, ln.Addr().String())
	require.ErrorContains(t, err, "another program")

	store, err := spool.Open(cfg.SpoolDir(), spool.Options{})
	require.NoError(t, err)
	found, err := checkPort(cfg, ln.Addr().String())
	require.NoError(t, err)
	assert.Contains(t, found, fmt.Sprintf("a gateway runs here (process %d)", os.Getpid()))
	require.NoError(t, store.Close())

	_, err = checkPort(cfg, ln.Addr().String())
	require.ErrorContains(t, err, "another program", "a lock that nobody holds any more")
}

// What serve would refuse in a route, doctor refuses, because it takes the same step.
func TestDoctor_heatmapsOfRoutes(t *testing.T) {
	if _, err := onnx.FindLibrary(""); err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	cfg := configs.Default()
	cfg.Models = []configs.Model{{Dir: "../../testdata/models/demo"}}
	cfg.Destinations = []configs.Destination{{Name: "pacs", Kind: "dicom", AETitle: "PACS", Address: "127.0.0.1:4242"}}
	for name, h := range map[string]configs.Heatmap{
		"no such layer": {Method: "gradcam", Layer: "layer9"},
		"is unknown":    {Method: "gradcamm"},
	} {
		cfg.Routes = []configs.Route{{Name: "r", Models: []string{"demo-colon"}, Destinations: []string{"pacs"}, Heatmaps: []configs.Heatmap{h}}}
		require.NoError(t, cfg.Validate())
		_, err := tryModels(t.Context(), cfg)
		assert.ErrorContains(t, err, name)
	}
}

// A worker has no DICOM side, no data folder and no right to look around on NATS.
func TestDoctor_worker(t *testing.T) {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "worker", Password: "secret", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{
			"$JS.API.STREAM.INFO.ENDOGATE_INSTANCES", "$JS.API.CONSUMER.INFO.ENDOGATE_INSTANCES.*",
		}}}}},
	})
	require.NoError(t, err)
	go srv.Start()
	require.True(t, srv.ReadyForConnections(10*time.Second))
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	config := filepath.Join(t.TempDir(), "worker.yaml")
	text := fmt.Sprintf("nats: {url: \"nats://worker:secret@%s\"}\nmodels: [{dir: ../../testdata/models/demo}]\nffmpeg: none/such\n", srv.Addr())
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	checks, err := doctorCmd{Worker: true, Timeout: 5 * time.Second}.load(&cli{Config: config})
	require.NoError(t, err)
	var names []string
	for _, check := range checks {
		names = append(names, check.name)
		switch check.name {
		case "NATS":
			found, err := check.look(t.Context())
			require.NoError(t, err)
			assert.Contains(t, found, "0 jobs wait")
		case "ffmpeg":
			_, err := check.look(t.Context())
			assert.ErrorContains(t, err, "none/such")
		}
	}
	assert.Equal(t, []string{"ONNX Runtime", "ffmpeg", "models", "NATS"}, names)
}

// What is urgent has to be a class of a model, what is told a finding that reports are read for, and whom it goes to has to be there: doctor
// says all of it, and where it stands.
func TestDoctor_notify(t *testing.T) {
	if _, err := onnx.FindLibrary(""); err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "endogate.yaml")
	text := fmt.Sprintf(`data_dir: %q
http: {listen: "127.0.0.1:0", url: "https://endogate.hospital"}
dicom: {listen: "127.0.0.1:0", peers: [{ae_title: "*", hosts: [127.0.0.1]}]}
models: [{dir: ../../testdata/models/demo}]
destinations:
  - {name: pacs, kind: dicom, ae_title: A, address: "127.0.0.1:1"}
  - {name: pager, kind: webhook, url: "http://127.0.0.1:1/", key_file: %q}
  - {name: mail, kind: email, address: "127.0.0.1:1", from: a@example.org, recipients: [b@example.org]}
routes: [{name: r, models: [demo], destinations: [pacs]}]
urgent:
  - {class: polyp, threshold: 0.9}
  - {class: volcano, threshold: 0.9}
notify:
  - {name: a, on: review, findings: [polyp, volcano], to: [pager, mail]}
`, dir, filepath.Join(dir, "none.key"))
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	var out bytes.Buffer
	err := doctorCmd{Timeout: 5 * time.Second}.Run(t.Context(), &cli{Config: config}, console{out: &out})
	assert.ErrorContains(t, err, `line 12: urgent[1].class: "volcano" is no class of the models (polyp, `)
	assert.ErrorContains(t, err, `line 14: notify[0].findings: "volcano" is no finding that reports are read for (`)

	require.NoError(t, os.WriteFile(config, []byte(strings.ReplaceAll(strings.ReplaceAll(text, "polyp, volcano", "polyp"), "{class: volcano", "{class: normal-cecum")), 0o600))
	require.Error(t, doctorCmd{Timeout: 5 * time.Second}.Run(t.Context(), &cli{Config: config}, console{out: &out}))
	assert.Regexp(t, `FAULT  destination pager .*none.key: no such file or directory; put the file there`, out.String())
	assert.Regexp(t, `FAULT  destination mail .*connection refused`, out.String())
	assert.Contains(t, out.String(), "models and routes")
}

// A listener for messages needs senders, and files of TLS that can be loaded.
func TestDoctor_senders(t *testing.T) {
	cfg := configs.Default()
	cfg.HL7.Listen = "127.0.0.1:2575"
	_, err := checkSenders(cfg.HL7)
	require.ErrorContains(t, err, "hl7.senders is empty")
	cfg.HL7.Senders = []configs.Sender{{Application: "RIS"}}
	found, err := checkSenders(cfg.HL7)
	require.NoError(t, err)
	assert.Equal(t, "1 applications may send, without TLS", found)
	cfg.HL7.TLS.CertFile = filepath.Join(t.TempDir(), "none.pem")
	_, err = checkSenders(cfg.HL7)
	require.ErrorContains(t, err, "hl7.tls names the files")
	var names []string
	for _, c := range (doctorCmd{}).checks(cfg) {
		names = append(names, c.name)
	}
	assert.Contains(t, names, "HL7 port")
}

// What lies on this machine is not looked for at a peer, and is named.
func TestDoctor_namesFilesThatAreNotThere(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	_, err := doctorCmd{Timeout: time.Second}.echo(t.Context(), "ENDOGATE", configs.Destination{Name: "emr", Kind: configs.KindFHIR, URL: "http://127.0.0.1:1/fhir", TokenFile: gone})
	require.ErrorContains(t, err, gone)
	require.NotContains(t, err.Error(), "is it running")
	cfg := configs.Default()
	cfg.Reports.Templates = gone
	_, err = checkTemplates(cfg)
	require.ErrorContains(t, err, gone)
	require.NotContains(t, err.Error(), "stat .")
}

// TestDoctor_andServe: what serve would not start with doctor names, in the same words and with the line.
func TestDoctor_andServe(t *testing.T) {
	good := `dicom: {listen: "127.0.0.1:0"}
http: {listen: "127.0.0.1:0"}
models: [{dir: ../../testdata/models/demo}]
routes:
  - name: r
    match: {modality: [ES]}
    models: [demo-colon]
    destinations: [pacs]
    forward_source: true
destinations: [{name: pacs, kind: dicom, ae_title: PACS, address: "127.0.0.1:1"}]
exam: {quiet: 8s}
`
	for _, row := range []struct{ name, from, to, want string }{
		{"unknown model", "demo-colon", "demo-colonn", `line 7: routes[0].models: "demo-colonn" is none of the loaded models (demo-colon)`},
		{"unknown method", "    forward_source: true", "    heatmaps: [{method: gradcamm, layer: last}]", `line 9: routes[0].heatmaps[0].method: "gradcamm" is unknown`},
		{"unknown layer", "    forward_source: true", "    heatmaps: [{method: gradcam, layer: layer9}]", `line 9: routes[0].heatmaps[0].layer: model demo-colon: explain: no such layer`},
		{"unknown class", "    forward_source: true", "    explain: [normal-mucosas]", `line 9: routes[0].explain[0]: "normal-mucosas" is no class of its models (polyp, normal-cecum`},
		{"no unit", "8s", "8", "line 11: exam.quiet: 8: a unit is missing"},
		{"tab", "    models: [demo", "\tmodels: [demo", "line 7: a tab"},
		{"yes", "forward_source: true", "forward_source: yes", "neither true nor false"},
		{"twice", "exam: {quiet: 8s}", "dicom: {}", `line 11: "dicom" stands there twice, first on line 1`},
		{"no bundle", "models/demo}", "models/nothing}", `line 3: models[0].dir: "../../testdata/models/nothing" is no folder that can be read`},
		{"a name twice", "models/demo}", "models/demo}, {dir: ../../testdata/models/./demo}", "line 3: models[1].dir: ../../testdata/models/./demo: the bundle in ../../testdata/models/demo is called demo-colon, too"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			text := strings.Replace(good, row.from, row.to, 1)
			require.NotEqual(t, good, text)
			require.NoError(t, os.WriteFile(path, []byte("data_dir: "+t.TempDir()+" # "+strings.Repeat(" ", 3)+"\n"+text), 0o600))
			want := lines.ReplaceAllStringFunc(row.want, func(line string) string { // data_dir stands before
				n, _ := strconv.Atoi(strings.TrimPrefix(line, "line "))
				return fmt.Sprintf("line %d", n+1)
			})
			code, _, serve := endogate("serve", "--config", path)
			assert.Equal(t, exitFailure, code)
			assert.Contains(t, serve, want)
			code, said, doctor := endogate("doctor", "--timeout", "100ms", "--config", path)
			assert.Equal(t, exitFailure, code)
			assert.Contains(t, said+doctor, want)
		})
	}
}

// A worker alone has its bundles checked as a gateway has, by work and by doctor.
func TestDoctor_andWork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.yaml")
	require.NoError(t, os.WriteFile(path, []byte("nats: {url: \"nats://127.0.0.1:1\"}\nmodels:\n  - {dir: ../../testdata/models/demo}\n  - {dir: /opt/models/nothing}\n"), 0o600))
	for _, command := range [][]string{{"work"}, {"doctor", "--worker"}} {
		code, said, complaints := endogate(append(command, "--config", path)...)
		assert.Equal(t, exitFailure, code)
		assert.Contains(t, said+complaints, path+`: line 4: models[1].dir: "/opt/models/nothing" is no folder that can be read`)
	}
}

var lines = regexp.MustCompile(`line \d+`)

// Alone it says how it is used; each command says it too.
func TestCommands_help(t *testing.T) {
	code, out, _ := endogate()
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, out, "Usage: endogate <command>")
	commands := regexp.MustCompile(`(?m)^  ([a-z0-9]+( [a-z]+)?)( |$)`).FindAllStringSubmatch(out, -1)
	require.Greater(t, len(commands), 15)
	for _, found := range commands {
		code, help, complaints := endogate(append(strings.Fields(found[1]), "--help")...)
		assert.Zero(t, code, "%s: %s", found[1], complaints)
		assert.Contains(t, help, "Usage: endogate "+found[1])
	}
}

// Port 104 without the right to it is not a port that another program has.
func TestDoctor_addressOfNobody(t *testing.T) {
	_, err := checkPort(configs.Default(), "192.0.2.1:11112")
	require.ErrorContains(t, err, "this machine has no such address")
	assert.NotContains(t, err.Error(), "another program")
}
