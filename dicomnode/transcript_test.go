package dicomnode_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
)

var update = flag.Bool("update", false, "record the transcripts anew, with DCMTK")

func transcriptFile(name string) string {
	return filepath.Join("testdata", "transcripts", name+".txt")
}

// title names the peer and its version, for the head of the transcript.
func title(t testing.TB, tool, what string) string {
	out, err := exec.Command(tool, "--version").Output()
	require.NoError(t, err)
	version, _, _ := strings.Cut(strings.TrimPrefix(string(out), "$dcmtk: "), " $")
	return version + "\n" + what
}

// scuTranscripts are what DCMTK's requestors say to our Server.
var scuTranscripts = []struct {
	name, what string
	tool       string
	args       []string
	options    []dicomtest.Options // files to send
	called     string
}{
	{"echoscu", "C-ECHO", "echoscu", nil, nil, "ENDOGATE"},
	{"echoscu-four-contexts", "C-ECHO, three transfer syntaxes in each of four contexts", "echoscu", []string{"--propose-ts", "3", "--propose-pc", "4"}, nil, "ENDOGATE"},
	{"echoscu-abort", "C-ECHO, then A-ABORT", "echoscu", []string{"--abort"}, nil, "ENDOGATE"},
	{"echoscu-rejected", "called AE title not recognised", "echoscu", nil, nil, "SOMEONE"},
	{"storescu-explicit", "two stills, Explicit VR Little Endian", "storescu", []string{"-R"}, []dicomtest.Options{{Rows: 12, Columns: 16}, {Rows: 12, Columns: 16, Instance: 2}}, "ENDOGATE"},
	{"storescu-implicit", "a still, Implicit VR Little Endian", "storescu", []string{"-R", "-xi"}, []dicomtest.Options{{Rows: 12, Columns: 16, TransferSyntax: dicom.ImplicitVRLittleEndian}}, "ENDOGATE"},
	{"storescu-jpeg", "a still, JPEG Baseline", "storescu", []string{"-R", "-xy"}, []dicomtest.Options{{Rows: 16, Columns: 16, TransferSyntax: dicom.JPEGBaseline8Bit}}, "ENDOGATE"},
	{"storescu-rle", "two frames, RLE Lossless", "storescu", []string{"-R", "-xr"}, []dicomtest.Options{{Rows: 12, Columns: 16, Frames: 2, TransferSyntax: dicom.RLELossless}}, "ENDOGATE"},
	{"dcmsend", "a still, with dcmsend", "dcmsend", nil, []dicomtest.Options{{Rows: 12, Columns: 16}}, "ENDOGATE"},
	{"findscu-study", "C-FIND with two matches", "findscu", []string{"-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=P7", "-k", "StudyInstanceUID"}, nil, "ENDOGATE"},
	{"findscu", "no context is acceptable, and the association is accepted all the same", "findscu", []string{"-W", "-k", "PatientID"}, nil, "ENDOGATE"},
}

// The server answers recorded peers as it answered the real ones, byte for byte.
func TestTranscript_requestors(t *testing.T) {
	for _, row := range scuTranscripts {
		t.Run(row.name, func(t *testing.T) {
			h := new(storing)
			s := serving(studyFind, finding(t, 2))
			s.Handler = h
			addr := serve(t, s)
			var files []string
			want := make(map[dicom.UID][]byte)
			for _, o := range row.options {
				ds, req := instance(o)
				file := filepath.Join(t.TempDir(), "instance.dcm")
				writePart10(t, file, ds, req)
				files, want[req.SOPInstanceUID] = append(files, file), ds
			}
			if *update {
				installed.Require(t, row.tool)
				proxy, stop := dicomtest.Record(t, addr)
				host, port, _ := strings.Cut(proxy, ":")
				args := append(append([]string{"-aet", "SCOPE1", "-aec", row.called}, row.args...), host, port)
				_, err := dcmtk(t, row.tool, append(args, files...)...)
				var exit *exec.ExitError
				require.True(t, err == nil || errors.As(err, &exit), err)
				tr := stop()
				tr.Title = title(t, row.tool, row.what)
				tr.WriteFile(t, transcriptFile(row.name))
				h.datasets = nil
			}
			dicomtest.ReadTranscript(t, transcriptFile(row.name)).PlayRequestor(t, addr)
			require.Equal(t, len(want), h.count())
			for uid, ds := range want {
				require.True(t, bytes.Equal(ds, h.get(uid)), uid)
			}
		})
	}
}

// scpTranscripts are what our Client says to DCMTK's storescp, and hears.
var scpTranscripts = []struct {
	name, what string
	options    []string // of storescp
	wantErr    any      // an error type to be found, nil for none
	instances  []dicomtest.Options
}{
	{"storescp", "C-ECHO, two stills", []string{"+xa"}, nil, []dicomtest.Options{{Rows: 12, Columns: 16}, {Rows: 16, Columns: 16, TransferSyntax: dicom.JPEGBaseline8Bit}}},
	{"storescp-small-pdus", "a still in PDUs of 4096 bytes", []string{"-pdu", "4096"}, nil, []dicomtest.Options{{Rows: 48, Columns: 64}}},
	{"storescp-refuses", "A-ASSOCIATE-RJ", []string{"--refuse"}, new(*dicomnode.RejectError), []dicomtest.Options{{Rows: 12, Columns: 16}}},
	{"storescp-aborts", "A-ABORT in the middle of a data set", []string{"--abort-during"}, new(*dicomnode.AbortError), []dicomtest.Options{{Rows: 12, Columns: 16}}},
	{"storescp-takes-no-jpeg", "the transfer syntax is refused", []string{"+xe"}, new(*dicomnode.ContextError), []dicomtest.Options{{Rows: 16, Columns: 16, TransferSyntax: dicom.JPEGBaseline8Bit}}},
}

// The client says to recorded peers what it said to the real ones, byte for byte, and makes the same of the answers.
func TestTranscript_acceptors(t *testing.T) {
	for _, row := range scpTranscripts {
		t.Run(row.name, func(t *testing.T) {
			if *update {
				addr, _ := storescp(t, append(row.options, "--ignore")...)
				proxy, stop := dicomtest.Record(t, addr)
				checkErr(t, row.wantErr, converse(t, proxy, row.instances))
				tr := stop()
				tr.Title = title(t, "storescp", row.what)
				tr.WriteFile(t, transcriptFile(row.name))
			}
			addr := dicomtest.ReadTranscript(t, transcriptFile(row.name)).ListenAcceptor(t)
			checkErr(t, row.wantErr, converse(t, addr, row.instances))
		})
	}
}

func checkErr(t *testing.T, want any, err error) {
	t.Helper()
	if want == nil {
		require.NoError(t, err)
		return
	}
	require.ErrorAs(t, err, want)
}

// converse associates, echoes, stores and releases.
func converse(t testing.TB, addr string, instances []dicomtest.Options) error {
	var syntaxes []dicomnode.InstanceSyntax
	var requests []*dicomnode.StoreRequest
	for _, o := range instances {
		_, req := instance(o)
		requests = append(requests, req)
		syntaxes = append(syntaxes, dicomnode.InstanceSyntax{SOPClassUID: req.SOPClassUID, TransferSyntaxUID: req.TransferSyntax})
	}
	ctx := context.WithoutCancel(t.Context())
	client := &dicomnode.Client{AETitle: "ENDOGATE"}
	a, err := client.Associate(ctx, addr, "ANY-SCP", append(dicomnode.ContextsFor(syntaxes...), dicomnode.VerificationContexts()...))
	if err != nil {
		return err
	}
	defer a.Abort()
	if status, err := a.Echo(ctx); err != nil || status != dimse.Success {
		return errors.Join(err, errors.New(status.String()))
	}
	for _, req := range requests {
		if status, err := a.Store(ctx, req); err != nil || status != dimse.Success {
			return errors.Join(err, errors.New(status.String()))
		}
	}
	return a.Release(ctx)
}

// The client asks a recorded worklist as it asked the real one, and reads the same from it.
func TestTranscript_worklist(t *testing.T) {
	const name = "wlmscpfs"
	ask := func(addr string) []string {
		a, err := archive.Associate(t.Context(), addr, "WORKLIST", dicomnode.ServiceContexts(worklist))
		require.NoError(t, err)
		defer a.Abort()
		rsp, found := scheduled(t, a, "P7")
		require.Equal(t, dimse.Success, rsp.Status)
		require.NoError(t, a.Release(t.Context()))
		return found
	}
	want := []string{"Alpha^Ann: Colonoscopy"}
	if *update {
		proxy, stop := dicomtest.Record(t, wlmscpfs(t))
		require.Equal(t, want, ask(proxy))
		tr := stop()
		tr.Title = title(t, name, "C-FIND with one match")
		tr.WriteFile(t, transcriptFile(name))
	}
	require.Equal(t, want, ask(dicomtest.ReadTranscript(t, transcriptFile(name)).ListenAcceptor(t)))
}
