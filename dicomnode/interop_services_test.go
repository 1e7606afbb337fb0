package dicomnode_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
)

// findscu gets its matches, encoded by us, and stops them when it has enough.
func TestInterop_findscu(t *testing.T) {
	installed.Require(t, "findscu")
	s := serving(studyFind, finding(t, 2000))
	s.Contexts = append(s.Contexts, dicomnode.ServiceContexts(worklist)...)
	s.Services[worklist] = finding(t, 3)
	addr := serve(t, s)
	keys := []string{"-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=P7", "-k", "StudyInstanceUID"}
	for name, row := range map[string]struct {
		args        []string
		least, most int
		last        string
	}{
		"all":       {[]string{"-S"}, 2000, 2000, "0x0000"},
		"worklist":  {[]string{"-W"}, 3, 3, "0x0000"},
		"cancelled": {[]string{"-S", "--cancel", "5"}, 5, 1999, "0xfe00"},
	} {
		t.Run(name, func(t *testing.T) {
			out := run(t, "findscu", append(append(append([]string{"-d"}, row.args...), keys...), aet(addr)...)...)
			pending := strings.Count(out, "DIMSE Status                  : 0xff00")
			require.GreaterOrEqual(t, pending, row.least)
			require.LessOrEqual(t, pending, row.most)
			require.Contains(t, out, "DIMSE Status                  : "+row.last)
			require.Contains(t, out, "(0010,0020) LO [P7]")
			require.Contains(t, out, "UI [1.2.2")
		})
	}
	addr = serve(t, newServer(new(storing)))
	_, err := dcmtk(t, "findscu", append([]string{"-S", "-k", "PatientID=P7"}, aet(addr)...)...)
	require.Error(t, err, "a service that is not there has no context")
}

// termscu asks by a private SOP class to shut the server down, which is not done.
func TestInterop_termscu(t *testing.T) {
	installed.Require(t, "termscu")
	addr := serve(t, newServer(new(storing)))
	_, _ = dcmtk(t, "termscu", aet(addr)...) // fails, or does not: the server is still there
	stillServes(t, addr)
}

// moving answers C-MOVE by C-STOREs to the destination, each with its originator.
func moving(t testing.TB, n int, destination string) dicomnode.ServiceFunc {
	return func(ctx context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
		if req.MoveDestination != "VIEWER" {
			return nil, &dimse.Error{Status: dimse.MoveDestinationUnknown}
		}
		count := &dimse.SubOperations{Remaining: uint16(n)}
		rsp := &dicomnode.Response{Response: dimse.Response{SubOperations: count}}
		_, first := instance(dicomtest.Options{})
		client := &dicomnode.Client{AETitle: "ENDOGATE"}
		a, err := client.Associate(ctx, destination, "VIEWER", contextsFor(first))
		if err != nil {
			return nil, &dimse.Error{Status: dimse.CannotPerformSubOperations, Err: err}
		}
		defer a.Abort()
		for i := range n {
			_, out := instance(dicomtest.Options{Instance: i + 1, Rows: 64, Columns: 64})
			out.MoveOriginatorAETitle, out.MoveOriginatorMessageID = req.CallingAE, req.MessageID
			if status, err := a.Store(ctx, out); err != nil || status != dimse.Success {
				return nil, &dimse.Error{Status: dimse.CannotPerformSubOperations, Err: err}
			}
			count.Remaining--
			count.Completed++
			pending := *rsp
			if err := req.Pending(&pending); err != nil {
				return rsp, err
			}
		}
		return rsp, a.Release(ctx)
	}
}

func TestInterop_movescu(t *testing.T) {
	installed.Require(t, "movescu")
	viewer, dir := storescp(t, "-aet", "VIEWER", "+xa")
	addr := serve(t, serving(studyMove, moving(t, 4, viewer)))
	keys := []string{"-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2"}
	out := run(t, "movescu", append(append([]string{"-d", "-S", "-aem", "VIEWER"}, keys...), aet(addr)...)...)
	require.Contains(t, out, "DIMSE Status                  : 0x0000")
	require.Contains(t, out, "Completed Suboperations       : 4")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 4)
	out, err = dcmtk(t, "movescu", append(append([]string{"-d", "-S", "-aem", "NOBODY"}, keys...), aet(addr)...)...)
	require.Error(t, err)
	require.Contains(t, out, "0xa801")
}

// getscu proposes the roles and takes what comes on its own association.
func TestInterop_getscu(t *testing.T) {
	installed.Require(t, "getscu")
	s := serving(studyGet, getting(4))
	for i := range s.Contexts {
		s.Contexts[i].Roles = dicomnode.RequestorIsBoth
	}
	addr, dir := serve(t, s), t.TempDir()
	out := run(t, "getscu", append([]string{"-d", "-S", "-od", dir, "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2"}, aet(addr)...)...)
	require.Contains(t, out, "Completed Suboperations       : 4")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 4)
}

// wlmscpfs starts DCMTK's worklist with one procedure step for the patient.
func wlmscpfs(t testing.TB) (addr string) {
	installed.Require(t, "wlmscpfs")
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "WORKLIST"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "WORKLIST", "lockfile"), nil, 0o600))
	step := dicom.Dataset{
		0x00400001: dicom.Text{"SCOPE1"}, 0x00400002: dicom.Text{"20261128"}, 0x00400003: dicom.Text{"101500"}, dicom.Modality: dicom.Text{"ES"},
		0x00400009: dicom.Text{"S1"}, 0x00400007: dicom.Text{"Colonoscopy"}, 0x00400006: dicom.Text{"Doe^Ann"},
	}
	for i := range 30 {
		order := encode(t, dicom.Dataset{
			dicom.PatientName: dicom.Text{"Alpha^Ann"}, dicom.PatientID: dicom.Text{"P" + strconv.Itoa(i)}, dicom.AccessionNumber: dicom.Text{"A1"},
			dicom.StudyInstanceUID: dicom.Text{"1.2.3"}, 0x00401001: dicom.Text{"R1"}, 0x00321060: dicom.Text{"Colonoscopy"},
			0x00400100: dicom.Items{step},
		}, dicom.ExplicitVRLittleEndian)
		writePart10(t, filepath.Join(dir, "WORKLIST", fmt.Sprintf("%d.wl", i)), order, &dicomnode.StoreRequest{
			SOPClassUID: worklist, SOPInstanceUID: dicom.UID(fmt.Sprintf("1.2.3.%d", i)), TransferSyntax: dicom.ExplicitVRLittleEndian,
		})
	}
	port := peers.FreePort(t)
	return started(t, port, "WORKLIST", exec.Command("wlmscpfs", "--single-process", "-dfp", dir, strconv.Itoa(port)))
}

// started runs an SCP until the end of the test and returns its address once it takes associations. Some
// of DCMTK's crash after a connection without one.
func started(t testing.TB, port int, title dicom.AETitle, cmd *exec.Cmd) (addr string) {
	p := peers.Start(t, cmd)
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	eventually(t, func() bool {
		a, err := archive.Associate(t.Context(), addr, title, dicomnode.VerificationContexts())
		return p.Exited() || err == nil && a.Release(t.Context()) == nil
	}, cmd.Path+" does not start")
	require.False(t, p.Exited(), cmd.Path)
	return addr
}

func query(t testing.TB, a *dicomnode.Association, class dicom.UID, keys dicom.Dataset) *dicomnode.Request {
	ts, err := a.TransferSyntax(class)
	require.NoError(t, err)
	return &dicomnode.Request{Request: commandOf(dimse.CFindRQ, class), TransferSyntax: ts, Dataset: bytes.NewReader(encode(t, keys, ts))}
}

// stepsOf are the keys for the endoscopies that are scheduled for a patient, or for all.
func stepsOf(patient string) dicom.Dataset {
	return dicom.Dataset{
		dicom.PatientName: dicom.Text{}, dicom.PatientID: dicom.Text{patient}, dicom.AccessionNumber: dicom.Text{},
		0x00400100: dicom.Items{{dicom.Modality: dicom.Text{"ES"}, 0x00400007: dicom.Text{}}},
	}
}

// scheduled asks a worklist for the steps of a patient.
func scheduled(t testing.TB, a *dicomnode.Association, patient string) (*dicomnode.Response, []string) {
	req := query(t, a, worklist, stepsOf(patient))
	var found []string
	rsp, err := a.Send(t.Context(), req, func(rsp *dicomnode.Response) error {
		match := decode(t, bytes.NewReader(rsp.Dataset), req.TransferSyntax)
		found = append(found, match.Text(dicom.PatientName)+": "+match.Item(0x00400100, 0).Text(0x00400007))
		return nil
	})
	require.NoError(t, err)
	return rsp, found
}

func TestInterop_wlmscpfs(t *testing.T) {
	a, err := archive.Associate(t.Context(), wlmscpfs(t), "WORKLIST", dicomnode.ServiceContexts(worklist))
	require.NoError(t, err)
	defer a.Abort()
	rsp, found := scheduled(t, a, "P7")
	require.Equal(t, dimse.Success, rsp.Status)
	require.Equal(t, []string{"Alpha^Ann: Colonoscopy"}, found)

	seen := 0
	rsp, err = a.Send(t.Context(), query(t, a, worklist, stepsOf("")), func(*dicomnode.Response) error {
		if seen++; seen == 2 {
			return dicomnode.ErrCanceled
		}
		return nil
	})
	require.ErrorIs(t, err, dicomnode.ErrCanceled)
	require.Equal(t, 2, seen)
	require.Contains(t, []dimse.Status{dimse.Canceled, dimse.Success}, rsp.Status, "DCMTK may have sent all before it looks")
	require.NoError(t, a.Release(t.Context()))
}

// pacs is an archive with three instances of one study, and what it knows our server as.
type pacs struct {
	addr  string
	title dicom.AETitle
	study dicom.UID
}

// dcmqrscp starts DCMTK's archive, which moves to our server at destination.
func dcmqrscp(t testing.TB, destination string) pacs {
	installed.Require(t, "dcmqrscp")
	dir, port := t.TempDir(), peers.FreePort(t)
	_, ourPort, err := net.SplitHostPort(destination)
	require.NoError(t, err)
	config := filepath.Join(dir, "dcmqrscp.cfg")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "store"), 0o700))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `NetworkTCPPort = %d
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
endogate = (ENDOGATE, 127.0.0.1, %s)
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
ARCHIVE %s RW (10, 100mb) ANY
AETable END
`, port, ourPort, filepath.Join(dir, "store")), 0o600))
	return filled(t, started(t, port, "ARCHIVE", exec.Command("dcmqrscp", "--fork", "-c", config)), "ARCHIVE")
}

// filled stores three instances.
func filled(t testing.TB, addr string, title dicom.AETitle) pacs {
	var study dicom.UID
	_, req := instance(dicomtest.Options{})
	a, err := archive.Associate(t.Context(), addr, title, contextsFor(req))
	require.NoError(t, err)
	defer a.Abort()
	for i := range 3 {
		ds, req := instance(dicomtest.Options{Instance: i + 1})
		study = dicom.UID(decode(t, bytes.NewReader(ds), req.TransferSyntax).Text(dicom.StudyInstanceUID))
		status, err := a.Store(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, dimse.Success, status)
	}
	require.NoError(t, a.Release(t.Context()))
	return pacs{addr, title, study}
}

// Our SCU finds a study, has it moved to our server, and gets it on its own association.
func TestInterop_queryAndRetrieve(t *testing.T) {
	for name, start := range map[string]func(t testing.TB, destination string) pacs{
		"dcmqrscp": dcmqrscp,
		"Orthanc": func(t testing.TB, destination string) pacs {
			o := orthancFor(t, destination)
			return filled(t, o.Addr, dicom.AETitle(o.AETitle))
		},
	} {
		t.Run(name, func(t *testing.T) {
			moved := new(storing)
			pacs := start(t, serve(t, newServer(moved)))
			got := new(storing)
			class := dicom.VLEndoscopicImageStorage
			client := &dicomnode.Client{AETitle: "ENDOGATE", Services: map[dicom.UID]dicomnode.Service{class: dicomnode.Storage{Handler: got}}}
			contexts := append(dicomnode.ServiceContexts(studyFind, studyMove, studyGet), dicomnode.ServiceContexts(class)...)
			contexts[3].Roles = dicomnode.RequestorIsSCP
			a, err := client.Associate(t.Context(), pacs.addr, pacs.title, contexts)
			require.NoError(t, err)
			defer a.Abort()

			keys := dicom.Dataset{queryLevel: dicom.Text{"STUDY"}, dicom.StudyInstanceUID: dicom.Text{string(pacs.study)}, dicom.PatientID: dicom.Text{}}
			req := query(t, a, studyFind, keys)
			var found []string
			rsp, err := a.Send(t.Context(), req, func(rsp *dicomnode.Response) error {
				found = append(found, decode(t, bytes.NewReader(rsp.Dataset), req.TransferSyntax).Text(dicom.StudyInstanceUID))
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, dimse.Success, rsp.Status)
			require.Equal(t, []string{string(pacs.study)}, found)

			delete(keys, dicom.PatientID)
			req = query(t, a, studyMove, keys)
			req.CommandField, req.MoveDestination = dimse.CMoveRQ, "ENDOGATE"
			pending := 0
			rsp, err = a.Send(t.Context(), req, func(rsp *dicomnode.Response) error {
				pending++
				assert.NotNil(t, rsp.SubOperations)
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, dimse.Success, rsp.Status, rsp.ErrorComment)
			require.Equal(t, uint16(3), rsp.SubOperations.Completed)
			require.Equal(t, 3, moved.count())
			require.Positive(t, pending)
			require.Equal(t, dicom.AETitle("ENDOGATE"), moved.requests[0].MoveOriginatorAETitle)

			req = query(t, a, studyGet, keys)
			req.CommandField = dimse.CGetRQ
			rsp, err = a.Send(t.Context(), req, nil)
			require.NoError(t, err)
			require.Equal(t, dimse.Success, rsp.Status, rsp.ErrorComment)
			require.Equal(t, uint16(3), rsp.SubOperations.Completed)
			require.Equal(t, 3, got.count())
			require.NoError(t, a.Release(t.Context()))
		})
	}
}

// orthancFor starts an Orthanc that knows our server at addr.
func orthancFor(t testing.TB, addr string) *peers.Orthanc {
	_, text, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	return peers.StartOrthanc(t, peers.OrthancOptions{Setting: map[string]any{
		"DicomModalities": map[string]any{"endogate": map[string]any{
			"AET": "ENDOGATE", "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": true,
			"AllowFind": true, "AllowMove": true, "AllowGet": true, "AllowStore": true, "AllowEcho": true,
		}},
	}})
}

// Storage Commitment with Orthanc in both roles: what it answers to our N-ACTION comes as an N-EVENT-REPORT on an
// association of its own, and the other way round.
func TestInterop_storageCommitment(t *testing.T) {
	const failedSequence, referencedSequence, referencedClass, referencedInstance dicom.Tag = 0x00081198, 0x00081199, 0x00081150, 0x00081155
	events := make(chan string, 10)
	asked := make(chan *dicom.Attributes, 1)
	s := serving(commitment, func(_ context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
		ds := decode(t, req.Dataset, req.TransferSyntax)
		switch req.CommandField {
		case dimse.NActionRQ:
			asked <- ds
		case dimse.NEventReportRQ:
			_, one := ds.Get(failedSequence)
			events <- fmt.Sprintf("event %d of %s, failed: %v", req.EventTypeID, ds.Text(transactionUID), one)
		default:
			return nil, dicomnode.ErrNotOffered
		}
		return nil, nil
	})
	s.Contexts[len(s.Contexts)-1].Roles = dicomnode.RequestorIsBoth
	s.AETitle = "ENDOGATE"
	o := orthancFor(t, serve(t, s))
	filled(t, o.Addr, dicom.AETitle(o.AETitle))
	client := &dicomnode.Client{AETitle: "ENDOGATE"}

	// We ask: for what is there, and for what is not.
	a, err := client.Associate(t.Context(), o.Addr, dicom.AETitle(o.AETitle), dicomnode.ServiceContexts(commitment))
	require.NoError(t, err)
	defer a.Abort()
	ask := func(transaction string, instance dicom.UID) {
		ts, err := a.TransferSyntax(commitment)
		require.NoError(t, err)
		rsp, err := a.Send(t.Context(), &dicomnode.Request{
			Request: dimse.Request{CommandField: dimse.NActionRQ, SOPClassUID: commitment, SOPInstanceUID: commitmentInstance, ActionTypeID: 1},
			Dataset: bytes.NewReader(encode(t, dicom.Dataset{
				transactionUID: dicom.Text{transaction},
				referencedSequence: dicom.Items{{
					referencedClass: dicom.Text{string(dicom.VLEndoscopicImageStorage)}, referencedInstance: dicom.Text{string(instance)},
				}},
			}, ts)),
		}, nil)
		require.NoError(t, err)
		require.Equal(t, dimse.Success, rsp.Status)
	}
	_, there := instance(dicomtest.Options{Instance: 1})
	ask("1.2.1", there.SOPInstanceUID)
	require.Equal(t, "event 1 of 1.2.1, failed: false", soon(t, events))
	ask("1.2.2", "1.2.3.4")
	require.Equal(t, "event 2 of 1.2.2, failed: true", soon(t, events))
	require.NoError(t, a.Release(t.Context()))

	// Orthanc asks: it gets its report from us as the SCP of an association of ours.
	body := fmt.Sprintf(`{"DicomInstances": [{"SOPClassUID": %q, "SOPInstanceUID": %q}]}`, there.SOPClassUID, there.SOPInstanceUID)
	var job struct{ ID string }
	rest(t, http.MethodPost, o.URL+"/modalities/endogate/storage-commitment", body, &job)
	ds := soon(t, asked)
	require.Equal(t, string(there.SOPInstanceUID), ds.Item(referencedSequence, 0).Text(referencedInstance))
	contexts := dicomnode.ServiceContexts(commitment)
	contexts[0].Roles = dicomnode.RequestorIsSCP
	a, err = client.Associate(t.Context(), o.Addr, dicom.AETitle(o.AETitle), contexts)
	require.NoError(t, err)
	defer a.Abort()
	require.Equal(t, dicomnode.RequestorIsSCP, a.Contexts[0].Roles)
	ts, err := a.TransferSyntax(commitment)
	require.NoError(t, err)
	rsp, err := a.Send(t.Context(), &dicomnode.Request{
		Request: dimse.Request{CommandField: dimse.NEventReportRQ, SOPClassUID: commitment, SOPInstanceUID: commitmentInstance, EventTypeID: 1},
		Dataset: bytes.NewReader(encode(t, dicom.Dataset{
			transactionUID: dicom.Text{ds.Text(transactionUID)},
			referencedSequence: dicom.Items{{
				referencedClass: dicom.Text{string(there.SOPClassUID)}, referencedInstance: dicom.Text{string(there.SOPInstanceUID)},
			}},
		}, ts)),
	}, nil)
	require.NoError(t, err)
	require.Equal(t, dimse.Success, rsp.Status)
	require.NoError(t, a.Release(t.Context()))
	var report struct{ Status string }
	rest(t, http.MethodGet, o.URL+"/storage-commitment/"+ds.Text(transactionUID), "", &report)
	require.Equal(t, "Success", report.Status)
}

func soon[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("it does not come")
		panic("not reached")
	}
}

func rest(t testing.TB, method, url, body string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, "%s", b)
	require.NoError(t, json.Unmarshal(b, into), "%s", b)
	http.DefaultClient.CloseIdleConnections()
}
