package gateway_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// hostileGateway keeps what it is sent and does nothing with it. SLOW and SCOPE1 may come.
func hostileGateway(t *testing.T) *testGateway {
	t.Helper()
	g := newGateway(t, "log: {level: warn}\n")
	g.replace(`max_per_peer: 64, peers: [{ae_title: "*", hosts: [127.0.0.0/8]}]`,
		`artim: 1s, max_associations: 24, max_per_peer: 16, peers: [{ae_title: SLOW, hosts: [127.0.0.0/8]}, {ae_title: SCOPE1, hosts: [127.0.0.0/8]}]`)
	g.replace("models: [", "# models: [")
	g.apart = true
	g.start()
	return g
}

// assertServes sends an echo and an instance.
func assertServes(t *testing.T, g *testGateway) {
	t.Helper()
	status, err := associationAs("SCOPE1", "ENDOGATE", g.scp)
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	storeAll(t, g.scp, drawn(dicomtest.Options{}))
}

// Garbage, lies about lengths and changed transcripts: the gateway answers or closes, serves on, and does not grow.
func TestGateway_hostileBytes(t *testing.T) {
	t.Parallel()
	g := hostileGateway(t)
	assertServes(t, g)
	transcript := transcriptOf(t, g)
	random := rand.New(rand.NewPCG(1, 2))
	attack := func(rounds int) {
		var wave sync.WaitGroup
		for range rounds {
			for _, b := range [][]byte{
				[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
				bytes.Repeat([]byte{0xFF}, 100_000),
				append([]byte{1, 0}, bytes.Repeat([]byte{0xFF}, 4)...),                                   // a request of 4 GiB
				append(binary.BigEndian.AppendUint32([]byte{1, 0}, 1<<20), make([]byte, 1<<20)...),       // a megabyte of zeros as a request
				append(slices.Clone(transcript[:len(transcript)/3]), 4, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1), // data of 4 GiB
				transcript[:random.IntN(len(transcript))],
				mutated(transcript, random), mutated(transcript, random), mutated(transcript, random), mutated(transcript, random),
			} {
				wave.Go(func() { throwAt(t, g.scp, b) })
			}
			wave.Wait()
		}
	}
	attack(20)
	assertServes(t, g)
	before := g.idle()
	attack(installed.Scaled(80, 800))
	assertServes(t, g)
	require.False(t, g.Exited(), g.Log())
	assert.NotContains(t, g.Log(), "panic")
	peak := g.memory("VmHWM")
	assert.LessOrEqual(t, peak-before, maxGrowth, "KiB of resident memory above what it had after the first wave")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("%d connections with garbage, lies about lengths and changed associations", 10*installed.Scaled(80, 800)), Memory: installed.Memory{Idle: before, Peak: peak},
	})
}

// transcriptOf records what our SCU sends for one instance.
func transcriptOf(t *testing.T, g *testGateway) []byte {
	t.Helper()
	var sent recording
	client := &dicomnode.Client{AETitle: "SCOPE1", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &recorded{conn, &sent}, err
	}}
	instance := drawn(dicomtest.Options{Instance: 2})
	assoc, err := client.Associate(t.Context(), g.scp, "ENDOGATE", dicomnode.ContextsFor(dicomnode.InstanceSyntax{
		SOPClassUID: instance.classUID, TransferSyntaxUID: instance.syntax,
	}))
	require.NoError(t, err)
	status, err := assoc.Store(t.Context(), instance.request())
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.NoError(t, assoc.Release(t.Context()))
	require.Greater(t, sent.Len(), len(instance.content))
	return sent.Bytes()
}

type recording struct{ bytes.Buffer }

type recorded struct {
	net.Conn
	sent *recording
}

func (r *recorded) Write(p []byte) (int, error) {
	r.sent.Write(p)
	return r.Conn.Write(p)
}

// mutated changes, drops and doubles some bytes of a transcript.
func mutated(transcript []byte, random *rand.Rand) []byte {
	b := slices.Clone(transcript)
	for range 1 + random.IntN(4) {
		at := random.IntN(min(len(b), 1<<10)) // where the structure is; behind it are pixels
		switch random.IntN(4) {
		case 0:
			b[at] = byte(random.Uint32())
		case 1:
			b[at] ^= 1 << random.IntN(8)
		case 2:
			b = slices.Delete(b, at, min(at+1+random.IntN(8), len(b)))
		case 3:
			b = slices.Insert(b, at, b[at:min(at+8, len(b))]...)
		}
	}
	return b
}

// throwAt sends bytes as they are and waits until the gateway has closed the connection.
func throwAt(t *testing.T, address string, b []byte) {
	conn, err := net.Dial("tcp", address)
	if !assert.NoError(t, err) {
		return
	}
	defer conn.Close()
	var written sync.WaitGroup
	written.Go(func() { // it may be closed before everything was read
		_, _ = conn.Write(b)
		_ = conn.(*net.TCPConn).CloseWrite()
	})
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, err = io.Copy(io.Discard, conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Error("the gateway neither answers nor closes")
	}
	written.Wait()
}

// Connections that say nothing and associations that go on for ever take no place from another modality.
func TestGateway_slowPeers(t *testing.T) {
	t.Parallel()
	g := hostileGateway(t)
	assertServes(t, g)
	before := g.idle()

	const silent = 24 // max_associations
	var conns []net.Conn
	for i := range silent {
		conn, err := net.Dial("tcp", g.scp)
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte{1, 0, 0, 0, 1, 0}[:i%7])
		require.NoError(t, err)
		conns = append(conns, conn)
	}
	assertServes(t, g)
	for _, conn := range conns { // ARTIM ends them all
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
		_, err := io.Copy(io.Discard, conn)
		timeout, ok := err.(net.Error)
		require.False(t, ok && timeout.Timeout(), "a silent connection stays open")
	}

	instance := drawn(dicomtest.Options{Instance: 3})
	for range 16 { // max_per_peer: each begins an instance and never ends it
		assoc := associateAs(t, "SLOW", g.scp, instance)
		request := instance.request()
		stalled := &gate{reached: make(chan struct{}), open: make(chan struct{})}
		request.Dataset = io.MultiReader(bytes.NewReader(instance.content[:512]), stalled)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = assoc.Store(context.Background(), request)
		}()
		<-stalled.reached
		t.Cleanup(func() { _ = assoc.Abort(); close(stalled.open); <-ended })
	}
	_, err := associationAs("SLOW", "ENDOGATE", g.scp)
	assertRejected(t, err, pdu.RejectedTransient, pdu.RejectProviderPresentation, pdu.LocalLimitExceeded)
	assertServes(t, g)
	peak := g.memory("VmHWM")
	assert.LessOrEqual(t, peak-before, maxGrowth, "KiB of resident memory above idle")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("%d connections that say nothing, then 16 associations that never end an instance, with a modality served beside them", silent), Memory: installed.Memory{Idle: before, Peak: peak},
	})
}
