package peers

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"endogate/cmd/endogate/installed"
)

const (
	orthancServer   = "/usr/sbin/Orthanc" // not in everybody's PATH
	orthancDICOMweb = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
)

// Orthanc is an Orthanc server with its DICOMweb plugin: the stand-in for a hospital's PACS.
type Orthanc struct {
	AETitle string
	Addr    string // of the DICOM listener, host:port
	URL     string // of the REST API, without a slash at the end

	config  string // path
	env     []string
	process *Process
}

// OrthancOptions differ from Orthanc's defaults. The zero value is an Orthanc as installed
// that takes everything from everybody on this machine.
type OrthancOptions struct {
	Dir     string         // storage and index; default: the test's temporary folder
	Env     []string       // added to the environment, such as TCP_NODELAY=1
	Setting map[string]any // replaces settings of the configuration file
}

// StartOrthanc starts an Orthanc and waits until it answers on both ports.
func StartOrthanc(t testing.TB, options ...OrthancOptions) *Orthanc {
	t.Helper()
	installed.Require(t, orthancServer, orthancDICOMweb)
	var opt OrthancOptions
	if len(options) > 0 {
		opt = options[0]
	}
	dir := opt.Dir
	if dir == "" {
		dir = t.TempDir()
	}
	dicomPort, httpPort := FreePort(t), FreePort(t)
	o := &Orthanc{
		AETitle: "ORTHANC",
		Addr:    loopback(dicomPort),
		URL:     "http://" + loopback(httpPort),
		config:  filepath.Join(t.TempDir(), "orthanc.json"),
		env:     opt.Env,
	}
	settings := map[string]any{
		"Name":                  "endogate test",
		"StorageDirectory":      dir,
		"IndexDirectory":        dir,
		"Plugins":               []string{orthancDICOMweb},
		"DicomAet":              o.AETitle,
		"DicomPort":             dicomPort,
		"HttpPort":              httpPort,
		"RemoteAccessAllowed":   false, // loopback only, which is why no password is asked for
		"AuthenticationEnabled": false,
		"DicomAlwaysAllowEcho":  true,
		"DicomAlwaysAllowStore": true,
		"StableAge":             1,
		"DicomWeb":              map[string]any{"Enable": true, "Root": "/dicom-web/"},
	}
	for key, value := range opt.Setting {
		settings[key] = value
	}
	text, err := json.MarshalIndent(settings, "", "  ")
	if err == nil {
		err = os.WriteFile(o.config, text, 0o600)
	}
	if err != nil {
		t.Fatalf("peers: orthanc: %v", err)
	}
	o.Start(t)
	return o
}

// Start starts Orthanc again on its ports and its storage.
func (o *Orthanc) Start(t testing.TB) {
	t.Helper()
	cmd := exec.Command(orthancServer, o.config)
	cmd.Env = append(os.Environ(), o.env...)
	o.process = Start(t, cmd)
	o.process.waitListening(t, strings.TrimPrefix(o.URL, "http://"))
	o.process.waitListening(t, o.Addr)
}

// Stop takes Orthanc down; what it has stored stays for the next Start.
func (o *Orthanc) Stop() { o.process.Stop() }

// PID is the process id of the server.
func (o *Orthanc) PID() int { return o.process.PID() }
