package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

// kind is a way in which a modality may code its stills, and how storescu is told to send it.
type kind struct {
	name   string
	syntax dicom.UID
	args   []string
	make   func(t *testing.T, native, frames, out string) // from a native still and a JPEG multi-frame
}

func convert(tool string, args ...string) func(t *testing.T, native, frames, out string) {
	return func(t *testing.T, native, _, out string) {
		t.Helper()
		peers.Run(t, tool, append(args, native, out)...)
	}
}

var kinds = []kind{
	{"explicit", dicom.ExplicitVRLittleEndian, []string{"-xe"}, convert("dcmconv", "+te")},
	{"implicit", dicom.ImplicitVRLittleEndian, []string{"-xi"}, convert("dcmconv", "+ti")},
	{"big-endian", dicom.ExplicitVRBigEndian, []string{"-xb"}, convert("dcmconv", "+tb")},
	{"rle", dicom.RLELossless, []string{"-xr"}, convert("dcmcrle")},
	{"jpeg", dicom.JPEGBaseline8Bit, []string{"-xy"}, convert("dcmcjpeg", "+eb")},
	{"jpeg-lossless", "1.2.840.10008.1.2.4.70", []string{"-xs"}, convert("dcmcjpeg", "+e1")},
	{"jpeg-frames", dicom.JPEGBaseline8Bit, []string{"-xy"}, func(t *testing.T, _, frames, out string) { peers.Run(t, "dcmconv", frames, out) }},
	{"native-frames", dicom.ExplicitVRLittleEndian, []string{"-xe"}, func(t *testing.T, _, frames, out string) { peers.Run(t, "dcmdjpeg", frames, out) }},
}

const framesOfMultiFrame = 3

// What DCMTK's storescu sends in every syntax, over one association each and over 16 at once, is analysed,
// and storescp gets the very bytes from the gateway.
func TestGateway_storescu(t *testing.T) {
	t.Parallel()
	installed.Require(t, "storescu", "dcmconv", "dcmcrle", "dcmcjpeg", "dcmdjpeg", "dcmodify")
	scp := peers.StartStoreSCP(t, peers.StoreSCPOptions{Args: []string{"+B"}})
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", forward_source: true"))
	g.start()
	dir := t.TempDir()
	native, frames := filepath.Join(dir, "native.dcm"), filepath.Join(dir, "frames.dcm")
	peers.Run(t, "dcmdjpeg", sample(t, "study1-01*")[0], native)
	multiFrame(t).file(t, frames)

	gateway := peers.Called{AETitle: "ENDOGATE", Addr: g.scp}
	var sent []string
	for _, k := range kinds {
		path := filepath.Join(dir, k.name+".dcm")
		k.make(t, native, frames, path)
		renew(t, path)
		status, out := peers.Storescu(t, gateway, append([]string{"-R"}, k.args...), path)
		require.Zero(t, status, "%s: %s", k.name, out)
		sent = append(sent, path)
	}

	const associations = 16
	var wg sync.WaitGroup
	for i := range associations {
		k := kinds[i%len(kinds)]
		path := filepath.Join(dir, fmt.Sprintf("%s-%d.dcm", k.name, i))
		copyFile(t, filepath.Join(dir, k.name+".dcm"), path)
		renew(t, path)
		sent = append(sent, path)
		wg.Go(func() {
			status, out := peers.Storescu(t, gateway, append([]string{"-R"}, k.args...), path)
			assert.Zero(t, status, "%s: %s", k.name, out)
		})
	}
	wg.Wait()
	g.waitFor("all to be delivered", func() bool {
		_, received := g.analysed()
		return received == len(sent) && allDone(g.studies())
	})

	forwarded := scp.Files(t)
	instances := map[dicom.UID]admin.Instance{}
	for _, s := range g.studies() {
		for _, i := range g.study(s.StudyInstanceUID).Instances {
			instances[i.SOPInstanceUID] = i
		}
	}
	for n, path := range sent {
		k := kinds[n%len(kinds)]
		was := readPart10(t, path)
		require.Equal(t, k.syntax, was.syntax, k.name)
		require.Contains(t, forwarded, string(was.uid), k.name)
		arrived := readPart10(t, forwarded[string(was.uid)])
		assert.Equal(t, k.syntax, arrived.syntax, "%s arrives in the syntax it was sent in", k.name)
		assert.True(t, bytes.Equal(was.content, arrived.content), "%s: %s arrives as other bytes", k.name, filepath.Base(path))
		assertPolypInEveryFrame(t, instances[was.uid], k.name)
	}
}

func allDone(studies []admin.StudySummary) bool {
	for _, s := range studies {
		if s.Status != ledger.StudyDone {
			return false
		}
	}
	return true
}

func assertPolypInEveryFrame(t *testing.T, i admin.Instance, what string) {
	t.Helper()
	require.Len(t, i.Analyses, 1, what)
	a := i.Analyses[0]
	assert.Equal(t, ledger.JobDone, a.State, "%s: %s", what, a.Reason)
	assert.Len(t, a.Frames, max(i.NumberOfFrames, 1), what)
	for _, f := range a.Frames {
		classes := []string{}
		for _, finding := range f.Findings {
			classes = append(classes, finding.Class)
		}
		assert.Contains(t, classes, "polyp", "%s, frame %d", what, f.Frame)
	}
}

// multiFrame is the frame of the first sample several times over in one instance.
func multiFrame(t *testing.T) dicomBytes {
	t.Helper()
	stream, err := os.ReadFile(filepath.Join(peers.Root(t), "testdata/frames/polyp-0dad158b.jpg"))
	require.NoError(t, err)
	attributes, err := dicom.ReadAttributes(bytes.NewReader(readPart10(t, sample(t, "study1-01*")[0]).content), dicom.TransferSyntax{UID: dicom.JPEGBaseline8Bit, ExplicitVR: true, Encapsulated: true})
	require.NoError(t, err)
	rows, _ := attributes.Int(0x00280010)
	columns, _ := attributes.Int(0x00280011)
	var streams [][]byte
	for range framesOfMultiFrame {
		streams = append(streams, stream)
	}
	return drawn(dicomtest.Options{
		TransferSyntax: dicom.JPEGBaseline8Bit, JPEG: streams, Rows: rows, Columns: columns,
		More: dicom.Dataset{dicom.SOPClassUID: dicom.Text{string(dicom.MultiFrameTrueColorSecondaryCapture)}},
	})
}

// renew gives the instance in a file a new SOP Instance UID.
func renew(t *testing.T, path string) {
	t.Helper()
	peers.Run(t, "dcmodify", "-nb", "-gin", path)
}

func readPart10(t *testing.T, path string) dicomBytes {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	r := bufio.NewReader(f)
	meta, err := dicom.ReadFileMeta(r)
	require.NoError(t, err)
	content, err := io.ReadAll(r)
	require.NoError(t, err)
	return dicomBytes{classUID: meta.SOPClassUID, uid: meta.SOPInstanceUID, syntax: meta.TransferSyntaxUID, content: content}
}

// A stop in the middle of an instance and of work is orderly: the instance is taken over, and what was acknowledged
// is done after it.
func TestGateway_stopsInOrder(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	g.apart = true // a signal asks it to stop
	g.launch()
	const studies, each = 2, 10
	instances := polyps(t, 0, studies, each)
	native := filepath.Join(t.TempDir(), "native.dcm")
	peers.Run(t, "dcmdjpeg", sample(t, "study1-01*")[0], native) // several PDUs long
	long := readPart10(t, native)

	storeAll(t, g.scp, instances...)
	assoc := associateAs(t, "SCOPE1", g.scp, long)
	half := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	request := long.request()
	request.Dataset = io.MultiReader(bytes.NewReader(long.content[:len(long.content)/2]), half, bytes.NewReader(long.content[len(long.content)/2:]))
	type answer struct {
		status dimse.Status
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		status, err := assoc.Store(context.Background(), request)
		answered <- answer{status, err}
	}()
	<-half.reached
	require.NoError(t, syscall.Kill(g.process.PID(), syscall.SIGTERM))
	g.waitFor("the gateway to take no more associations", func() bool { return !answers(g.scp) })
	close(half.open)
	assert.Equal(t, answer{dimse.Success, nil}, <-answered)
	_, err := assoc.Store(t.Context(), instances[0].request())
	require.Error(t, err, "there is no next one")
	g.waitFor("the gateway to stop", g.Exited)
	assert.Zero(t, g.process.ExitCode(), g.Log())
	assert.Contains(t, g.Log(), "gateway has stopped")

	g.start()
	has := map[dicom.UID]bool{}
	for _, s := range g.studies() {
		for _, i := range g.study(s.StudyInstanceUID).Instances {
			has[i.SOPInstanceUID] = true
		}
	}
	for _, i := range append(instances, long) {
		assert.True(t, has[i.uid], "%s was acknowledged and is lost", i.uid)
	}
	g.waitDelivered(studies + 1)
	assertEachOnce(t, g, scp, studies*each+1)
}

// gate is an empty part of a stream that is passed when open is closed.
type gate struct{ reached, open chan struct{} }

func (g *gate) Read([]byte) (int, error) {
	close(g.reached)
	<-g.open
	return 0, io.EOF
}

func answers(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

const maxGrowth = 32 << 10 // KiB that the gateway may need above idle

// digesting hashes what a PACS is sent.
type digesting struct{ digest chan string }

func (d digesting) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, req.Dataset); err != nil {
		return err
	}
	d.digest <- hex.EncodeToString(sum.Sum(nil))
	return nil
}

// An object far larger than the memory allowed is taken in, kept and passed on.
func TestGateway_memoryOfLargeObject(t *testing.T) {
	t.Parallel()
	size := installed.Scaled[int64](256<<20, 2<<30)
	pacs := digesting{make(chan string, 1)}
	address := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	serveHandler(t, "PACS", address, pacs)
	g := newGateway(t, fmt.Sprintf(`routes: [{name: large, match: {modality: [ES]}, destinations: [pacs], forward_source: true}]
destinations: [{name: pacs, kind: dicom, ae_title: PACS, address: %q}]
`, address))
	if free := freeDisk(t, g.dir); free < size+(1<<30) {
		installed.Lacking(t, "needs %d GiB of free disk in %s", (size+1<<30)>>30, g.dir)
	}
	g.apart = true
	g.start()
	storeAll(t, g.scp, drawn(dicomtest.Options{Instance: 2})) // so that idle is after the first use
	<-pacs.digest
	idle := g.idle()

	instance, dataset, sum := largeInstance(size)
	assoc := associateAs(t, "SCOPE1", g.scp, instance)
	request := instance.request()
	request.Dataset = dataset
	status, err := assoc.Store(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.NoError(t, assoc.Release(t.Context()))
	received := g.memory("VmHWM")
	want := hex.EncodeToString(sum.Sum(nil))
	select {
	case got := <-pacs.digest:
		assert.Equal(t, want, got, "the PACS got other bytes")
	case <-time.After(installed.Scaled(time.Minute, 5*time.Minute)):
		require.Fail(t, "the PACS got nothing", g.Log())
	}
	for _, i := range onlyStudy(g).Instances {
		if i.SOPInstanceUID == instance.uid {
			assert.Equal(t, want, i.Digest)
		}
	}
	delivered := g.memory("VmHWM")
	t.Logf("%d MiB object: idle %d KiB, at most %d KiB more to receive it, %d KiB more to deliver it", size>>20, idle, received-idle, delivered-idle)
	assert.LessOrEqual(t, delivered-idle, maxGrowth, "KiB of resident memory above idle")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("an object of %d MiB taken in, kept and passed on, byte for byte", size>>20), Kept: 1, Memory: installed.Memory{Idle: idle, Peak: delivered},
	})
}

// largeInstance is a still with size bytes of pixel data, made as they are read; sum is of what was read.
func largeInstance(size int64) (dicomBytes, io.Reader, hash.Hash) {
	instance := drawn(dicomtest.Options{})
	const pixels = 64 * 48 * 3 // the last element of what is drawn
	head := bytes.Clone(instance.content[:len(instance.content)-pixels])
	binary.LittleEndian.PutUint32(head[len(head)-4:], uint32(size))
	sum := sha256.New()
	return instance, io.TeeReader(io.MultiReader(bytes.NewReader(head), io.LimitReader(new(counter), size)), sum), sum
}

// counter is a stream of numbers, no two alike.
type counter struct{ n uint64 }

func (c *counter) Read(p []byte) (int, error) {
	read := 0
	for ; len(p)-read >= 8; read += 8 {
		c.n++
		binary.LittleEndian.PutUint64(p[read:], c.n)
	}
	if read == 0 {
		return copy(p, make([]byte, 8)), nil
	}
	return read, nil
}
