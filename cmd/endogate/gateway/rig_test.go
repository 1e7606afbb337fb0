package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

// replace changes the configuration before the start; old has to be in it.
func (g *testGateway) replace(old, new string) {
	g.t.Helper()
	text, err := os.ReadFile(g.config)
	require.NoError(g.t, err)
	require.Contains(g.t, string(text), old)
	require.NoError(g.t, os.WriteFile(g.config, []byte(strings.Replace(string(text), old, new, 1)), 0o600))
}

// post does an action of the API and returns its HTTP status.
func (g *testGateway) post(path string) int {
	g.t.Helper()
	var answer any
	return g.postFor(path, &answer)
}

// postFor is post, and reads what is answered.
func (g *testGateway) postFor(path string, into any) int {
	g.t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+g.web+path, nil)
	require.NoError(g.t, err)
	request.Header.Set(admin.ActionHeader, "test")
	response, err := http.DefaultClient.Do(request)
	require.NoError(g.t, err)
	defer response.Body.Close()
	require.NoError(g.t, json.NewDecoder(response.Body).Decode(into))
	return response.StatusCode
}

type readiness struct {
	Ready  bool
	Checks []admin.CheckResult
}

// ready asks /readyz, which answers 200 or 503.
func (g *testGateway) ready() (int, readiness) {
	g.t.Helper()
	response, err := http.Get("http://" + g.web + "/readyz")
	require.NoError(g.t, err)
	defer response.Body.Close()
	var answer readiness
	require.NoError(g.t, json.NewDecoder(response.Body).Decode(&answer))
	return response.StatusCode, answer
}

// parkedWork is an entry of /api/v1/parked.
type parkedWork struct {
	ID             string
	Kind           admin.ParkedKind
	SOPInstanceUID dicom.UID `json:"sop_instance_uid"`
	Purpose        string
	Destination    string
	Attempts       int
	Status         string
	Reason         string
	At             time.Time
}

func (g *testGateway) parked() []parkedWork {
	g.t.Helper()
	var answer struct{ Parked []parkedWork }
	g.get("/api/v1/parked", &answer)
	return answer.Parked
}

// destination is an entry of /api/v1/destinations.
func (g *testGateway) destination(name string) admin.Destination {
	g.t.Helper()
	var answer struct{ Destinations []admin.Destination }
	g.get("/api/v1/destinations", &answer)
	for _, d := range answer.Destinations {
		if d.Name == name {
			return d
		}
	}
	require.Fail(g.t, "no destination "+name)
	return admin.Destination{}
}

// analysed counts the instances of all studies whose analysis has ended.
func (g *testGateway) analysed() (done, received int) {
	g.t.Helper()
	for _, s := range g.studies() {
		for _, i := range g.study(s.StudyInstanceUID).Instances {
			received++
			if i.State == ledger.InstanceAnalysed {
				done++
			}
		}
	}
	return done, received
}

// drawn is an instance as dicomtest draws it.
func drawn(o dicomtest.Options) dicomBytes {
	if o.TransferSyntax == "" {
		o.TransferSyntax = dicom.ExplicitVRLittleEndian
	}
	content, header := dicomtest.Endoscopic(o)
	return dicomBytes{classUID: header.SOPClassUID, uid: header.SOPInstanceUID, syntax: o.TransferSyntax, content: content}
}

// file writes an instance as a Part 10 file.
func (d dicomBytes) file(t *testing.T, path string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, dicom.WriteFileMeta(&b, dicom.FileMeta{SOPClassUID: d.classUID, SOPInstanceUID: d.uid, TransferSyntaxUID: d.syntax}))
	b.Write(d.content)
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path
}

func (d dicomBytes) request() *dicomnode.StoreRequest {
	return &dicomnode.StoreRequest{
		SOPClassUID: d.classUID, SOPInstanceUID: d.uid, TransferSyntax: d.syntax, Dataset: bytes.NewReader(d.content),
	}
}

// storeAll sends instances over one association; each has to be answered with success.
func storeAll(t *testing.T, address string, instances ...dicomBytes) {
	t.Helper()
	assoc := associateAs(t, "SCOPE1", address, instances...)
	for _, i := range instances {
		status, err := assoc.Store(t.Context(), i.request())
		require.NoError(t, err)
		require.Equal(t, dimse.Success, status)
	}
	require.NoError(t, assoc.Release(t.Context()))
}

func associateAs(t *testing.T, calling dicom.AETitle, address string, instances ...dicomBytes) *dicomnode.Association {
	t.Helper()
	assoc, err := tryAssociate(t, calling, address, instances...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = assoc.Abort() })
	return assoc
}

func tryAssociate(t *testing.T, calling dicom.AETitle, address string, instances ...dicomBytes) (*dicomnode.Association, error) {
	t.Helper()
	var syntaxes []dicomnode.InstanceSyntax
	for _, i := range instances {
		syntaxes = append(syntaxes, dicomnode.InstanceSyntax{SOPClassUID: i.classUID, TransferSyntaxUID: i.syntax})
	}
	client := &dicomnode.Client{AETitle: calling}
	return client.Associate(t.Context(), address, "ENDOGATE", dicomnode.ContextsFor(syntaxes...))
}

var loopbacks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// serveHandler runs a storage SCP inside the test: a PACS that answers as handler says.
func serveHandler(t *testing.T, aeTitle dicom.AETitle, address string, handler dicomnode.Handler) *dicomnode.Server {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := &dicomnode.Server{
		AETitle: aeTitle, Contexts: dicomnode.StorageContexts(dicom.StorageSOPClasses), Handler: handler,
		Peers: []dicomnode.Peer{{AETitle: "*", Hosts: loopbacks}}, Log: slog.New(slog.DiscardHandler),
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Serve(ln)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		<-stopped
	})
	return server
}

// watched begins a watch over the memory of the gateway, which is up, and of those that come in its place.
func (g *testGateway) watched() {
	if g.apart {
		g.watch = installed.WatchedOver(g.t, g.process.PID())
	} else {
		g.watch = installed.Watched(g.t)
	}
}

// memory reads a line such as VmRSS or VmHWM of /proc/PID/status, in KiB.
func (g *testGateway) memory(line string) int {
	g.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.process.PID()))
	require.NoError(g.t, err)
	_, rest, found := strings.Cut(string(text), line+":")
	require.True(g.t, found)
	kibibytes, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(g.t, err)
	return kibibytes
}

// idle returns the resident memory, and lets its high-water mark begin there.
func (g *testGateway) idle() int {
	g.t.Helper()
	require.NoError(g.t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", g.process.PID()), []byte("5"), 0))
	return g.memory("VmRSS")
}
