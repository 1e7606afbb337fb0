package dicomnode_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// counting reads data sets and counts them.
type counting struct {
	mu sync.Mutex
	n  int
}

func (h *counting) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	if _, err := io.Copy(io.Discard, req.Dataset); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	return nil
}

// throw sends bytes to the server as they are, says that no more will come, and waits for the end of the connection.
func throw(t *testing.T, addr string, b []byte) { throwFrom(t, nil, addr, b) }

// chatting is a service that does all that one can do: it reads, sends pending responses or asks the peer in turn.
func chatting(ctx context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
	b, err := io.ReadAll(io.LimitReader(req.Dataset, 1<<20))
	if err != nil {
		return nil, err
	}
	for i := 0; i < 3 && req.CommandField == dimse.CFindRQ; i++ {
		if err := req.Pending(&dicomnode.Response{Dataset: b}); err != nil {
			return nil, err
		}
	}
	event := func(ctx context.Context, req *dicomnode.Request) error {
		_, err := req.Send(ctx, &dicomnode.Request{
			Request: dimse.Request{CommandField: dimse.NEventReportRQ, SOPClassUID: commitment, SOPInstanceUID: commitmentInstance},
			Dataset: bytes.NewReader(b),
		})
		return err
	}
	if req.CommandField != dimse.NActionRQ {
		return nil, nil
	}
	return &dicomnode.Response{Dataset: b, Then: event}, event(ctx, req)
}

// chat is a conversation with it: two requests, what it asks answered, one request cancelled.
func chat(t *testing.T) [][]byte {
	request := dicomtest.Request("SCOPE1", "ENDOGATE", []string{string(dicom.ImplicitVRLittleEndian)}, string(studyFind), string(commitment))
	request.User.Roles = []pdu.RoleSelection{{SOPClassUID: string(commitment), SCU: true, SCP: true}}
	keys := encode(t, dicom.Dataset{dicom.PatientID: dicom.Text{"P7"}}, dicom.ImplicitVRLittleEndian)
	answer := func(id uint16) pdu.PDU {
		return dicomtest.Command(3, &dimse.Response{CommandField: dimse.NEventReportRQ | dimse.ResponseBit, MessageIDBeingRespondedTo: id})
	}
	var b [][]byte
	for _, p := range []pdu.PDU{
		request,
		dicomtest.Command(3, &dimse.Request{CommandField: dimse.NActionRQ, MessageID: 1, SOPClassUID: commitment, SOPInstanceUID: commitmentInstance, HasDataset: true}),
		dicomtest.Fragment(3, true, keys), answer(1), answer(2),
		dicomtest.Command(1, &dimse.Request{CommandField: dimse.CFindRQ, MessageID: 2, SOPClassUID: studyFind, HasDataset: true}),
		dicomtest.Fragment(1, true, keys), dicomtest.Command(1, &dimse.Request{CommandField: dimse.CCancelRQ, MessageID: 2}),
		&pdu.ReleaseRQ{},
	} {
		b = append(b, arrival(t, p))
	}
	return b
}

// stillServes: an echo and a store go through.
func stillServes(t *testing.T, addr string) {
	t.Helper()
	_, req := instance(dicomtest.Options{})
	a := associate(t, addr, contextsFor(req))
	status, err := a.Echo(t.Context())
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	status, err = a.Store(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.NoError(t, a.Release(t.Context()))
}

// heap returns the bytes in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// hostileServer logs everything into the buffer, and counts the connections that ended badly.
func hostileServer(t *testing.T, log io.Writer) (addr string, ended *atomic.Int64) {
	ended = new(atomic.Int64)
	s := newServer(new(counting))
	s.Contexts = append(s.Contexts, dicomnode.ServiceContexts(studyFind, commitment)...)
	s.Services = map[dicom.UID]dicomnode.Service{studyFind: dicomnode.ServiceFunc(chatting), commitment: dicomnode.ServiceFunc(chatting)}
	s.MaxAssociations, s.MaxPerPeer = 64, 64
	s.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Observe.Rejected = func(*dicomnode.RejectError) { ended.Add(1) }
	s.Observe.Aborted = func(string) { ended.Add(1) }
	return serve(t, s), ended
}

func TestHostile_garbage(t *testing.T) {
	var log syncBuffer
	addr, _ := hostileServer(t, &log)
	request := arrival(t, echoRequest)
	huge := func(typ byte, n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{typ, 0}, n) }
	for name, b := range map[string][]byte{
		"an HTTP request":         []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a TLS hello":             {0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3},
		"zeros":                   make([]byte, 100_000),
		"ones":                    bytes.Repeat([]byte{0xFF}, 100_000),
		"a request of 4 GiB":      huge(1, 0xFFFFFFFF),
		"a request of 2 MiB":      append(huge(1, 2<<20), make([]byte, 2<<20)...),
		"a megabyte of a request": append(huge(1, 1<<20), make([]byte, 1<<20)...),
		"a data PDU of 4 GiB":     append(slices.Clone(request), huge(4, 0xFFFFFFFF)...),
		"a data PDU of 129 KiB":   append(slices.Clone(request), huge(4, 129<<10)...),
		"half a request":          request[:len(request)/2],
		"a request twice":         append(slices.Clone(request), request...),
		"a thousand items":        append(append(huge(1, 68+4000), request[6:74]...), bytes.Repeat([]byte{0x7F, 0, 0, 0}, 1000)...),
	} {
		t.Run(name, func(t *testing.T) {
			before := len(log.String())
			throw(t, addr, b)
			require.Eventually(t, func() bool { return strings.Contains(log.String()[before:], "association ended without release") }, patience, tick)
			line := log.String()[before:]
			require.Contains(t, line, "remote=127.0.0.1:")
			require.Contains(t, line, "error=")
		})
	}
	stillServes(t, addr)
}

// A thousand random mutations of recorded associations: no panic, no goroutine left, no memory kept, an end for
// each, and the server goes on. The seed is fixed, so a failure comes again.
func TestHostile_mutations(t *testing.T) {
	var log syncBuffer
	addr, ended := hostileServer(t, &log)
	var originals [][][]byte
	for _, name := range []string{"storescu-explicit", "storescu-jpeg", "echoscu", "storescu-rle"} {
		originals = append(originals, dicomtest.ReadTranscript(t, transcriptFile(name)).Requestor())
	}
	originals = append(originals, chat(t), chat(t))
	throw(t, addr, slices.Concat(chat(t)...))
	require.Zero(t, ended.Load(), "as it is, the conversation ends well")
	stillServes(t, addr)
	before, goroutines := heap(), runtime.NumGoroutine()
	const rounds, workers = 1000, 8
	var wg sync.WaitGroup
	for w := range workers {
		random := rand.New(rand.NewPCG(20261121, uint64(w)))
		wg.Go(func() {
			for i := range rounds / workers {
				throw(t, addr, mutate(random, originals[i%len(originals)]))
			}
		})
	}
	wg.Wait()
	eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "goroutines are left")
	require.Less(t, heap()-before-int64(len(log.String())), int64(8<<20), "memory is kept")
	stillServes(t, addr)

	ends := int(ended.Load())
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "association released") {
			ends++
		}
		require.NotContains(t, line, "Test^Patient")
		require.NotContains(t, line, "panic")
	}
	require.GreaterOrEqual(t, ends, rounds)
}

// mutate changes an association, given as PDUs, in one to four places.
func mutate(random *rand.Rand, original [][]byte) []byte {
	pdus := make([][]byte, len(original))
	for i := range original {
		pdus[i] = slices.Clone(original[i])
	}
	for range 1 + random.IntN(4) {
		i := random.IntN(len(pdus))
		p := pdus[i]
		if len(p) == 0 {
			continue
		}
		at := random.IntN(len(p))
		if random.IntN(3) == 0 {
			at = random.IntN(min(len(p), 100)) // headers and items more often than pixels
		}
		switch random.IntN(10) {
		case 0: // a bit
			p[at] ^= 1 << random.IntN(8)
		case 1: // a byte
			p[at] = byte(random.Uint32())
		case 2: // cut off
			pdus[i] = p[:at]
		case 3: // bytes left out
			pdus[i] = slices.Delete(p, at, min(len(p), at+1+random.IntN(8)))
		case 4: // bytes put in
			pdus[i] = slices.Insert(p, at, []byte{byte(random.Uint32()), 0, 0xFF, byte(random.Uint32())}...)
		case 5: // PDU twice
			pdus = slices.Insert(pdus, i, p)
		case 6: // PDU left out
			pdus = slices.Delete(pdus, i, i+1)
		case 7: // PDUs in another order
			j := random.IntN(len(pdus))
			pdus[i], pdus[j] = pdus[j], pdus[i]
		case 8: // PDU length
			if len(p) >= 6 {
				binary.BigEndian.PutUint32(p[2:], []uint32{0, 1, 5, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, random.Uint32()}[random.IntN(7)])
			}
		case 9: // a length somewhere
			if at+4 <= len(p) {
				binary.BigEndian.PutUint32(p[at:], []uint32{0, 1, 0xFFFF, 0xFFFFFFFF}[random.IntN(4)])
			}
		}
		if len(pdus) == 0 {
			return nil
		}
	}
	return slices.Concat(pdus...)
}

// Ten thousand bytes of nothing on each of many connections leave nothing behind.
func TestHostile_manyConnections(t *testing.T) {
	var log syncBuffer
	addr, _ := hostileServer(t, &log)
	goroutines := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				nc, err := net.Dial("tcp", addr)
				if assert.NoError(t, err) {
					_ = nc.Close()
				}
			}
		})
	}
	wg.Wait()
	// Connections are accepted in order: once this one is served, no earlier one waits to be, and the limit of connections is no longer met.
	eventually(t, func() bool {
		a, err := (&dicomnode.Client{AETitle: "SCOPE1"}).Associate(t.Context(), addr, "ENDOGATE", dicomnode.VerificationContexts())
		return err == nil && a.Release(t.Context()) == nil
	}, "no association is accepted")
	eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "goroutines are left")
	stillServes(t, addr)
}

// writerFunc is a writer that is one function.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// An object that is far larger than memory should be passes through with a few buffers, on both sides.
func TestStore_memoryOfALargeObject(t *testing.T) {
	size := int64(2 << 30)
	if raceEnabled || testing.Short() {
		size = 256 << 20
	}
	var (
		received int64
		peak     uint64
		idle     uint64
	)
	measure := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	s := newServer(handlerFunc(func(_ context.Context, req *dicomnode.StoreRequest) error {
		_, err := io.Copy(writerFunc(func(p []byte) (int, error) {
			if before := received; before>>25 != (before+int64(len(p)))>>25 { // each 32 MiB
				peak = max(peak, measure())
			}
			received += int64(len(p))
			return len(p), nil
		}), req.Dataset)
		return err
	}))
	_, req := instance(dicomtest.Options{})
	a := associate(t, serve(t, s), contextsFor(req))
	runtime.GC()
	idle = measure()
	req.Dataset = io.LimitReader(zeros{}, size)
	start := time.Now()
	status, err := a.Store(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.Equal(t, size, received)
	require.NoError(t, a.Release(t.Context()))
	t.Logf("%d MB in %v, heap %d KB idle, %d KB at most", size>>20, time.Since(start).Round(time.Millisecond), idle>>10, peak>>10)
	require.Less(t, int64(peak)-int64(idle), int64(8<<20), "of the 32 MB that are allowed; the rest is for the handler")
}
