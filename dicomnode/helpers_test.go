package dicomnode_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// storing is a handler that keeps what it gets.
type storing struct {
	mu       sync.Mutex
	datasets map[dicom.UID][]byte
	requests []dicomnode.StoreRequest
	fails    error // what Store returns after reading the data set
}

func (h *storing) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	b, err := io.ReadAll(req.Dataset)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.datasets == nil {
		h.datasets = make(map[dicom.UID][]byte)
	}
	h.datasets[req.SOPInstanceUID] = b
	h.requests = append(h.requests, *req)
	return h.fails
}

func (h *storing) get(uid dicom.UID) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.datasets[uid]
}

func (h *storing) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.datasets)
}

// handlerFunc is a handler that is one function.
type handlerFunc func(ctx context.Context, req *dicomnode.StoreRequest) error

func (f handlerFunc) Store(ctx context.Context, req *dicomnode.StoreRequest) error {
	return f(ctx, req)
}

// newServer returns a server that takes endoscopic images and secondary captures from any title of this machine.
func newServer(h dicomnode.Handler) *dicomnode.Server {
	return &dicomnode.Server{
		AETitle: "ENDOGATE", Handler: h,
		Contexts: dicomnode.StorageContexts(append(dicom.StorageGroup(dicom.GroupEndoscopic), dicom.StorageGroup(dicom.GroupSecondaryCapture)...)),
		Peers:    []dicomnode.Peer{{Hosts: loopback}},
		ARTIM:    5 * time.Second,
		Log:      slog.New(slog.DiscardHandler),
	}
}

// serve starts s on a free port and returns its address. At the end of the test it has to drain.
func serve(t testing.TB, s *dicomnode.Server) string {
	t.Helper()
	return serveOn(t, s, func(ln net.Listener) net.Listener { return ln })
}

// serveOn is serve on what within makes of the listener.
func serveOn(t testing.TB, s *dicomnode.Server, within func(net.Listener) net.Listener) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	stopped := make(chan error, 1)
	go func() { stopped <- s.Serve(within(ln)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, s.Shutdown(ctx))
		assert.ErrorIs(t, <-stopped, dicomnode.ErrServerClosed)
	})
	return ln.Addr().String()
}

// instance builds a VL Endoscopic Image and the request that sends it.
func instance(o dicomtest.Options) ([]byte, *dicomnode.StoreRequest) {
	if o.TransferSyntax == "" {
		o.TransferSyntax = dicom.ExplicitVRLittleEndian
	}
	ds, h := dicomtest.Endoscopic(o)
	return ds, &dicomnode.StoreRequest{
		SOPClassUID: h.SOPClassUID, SOPInstanceUID: h.SOPInstanceUID, TransferSyntax: o.TransferSyntax, Dataset: bytes.NewReader(ds),
	}
}

func contextsFor(req *dicomnode.StoreRequest) []dicomnode.PresentationContext {
	return append(dicomnode.ContextsFor(dicomnode.InstanceSyntax{SOPClassUID: req.SOPClassUID, TransferSyntaxUID: req.TransferSyntax}),
		dicomnode.VerificationContexts()...)
}

func associate(t testing.TB, addr string, contexts []dicomnode.PresentationContext) *dicomnode.Association {
	t.Helper()
	c := &dicomnode.Client{AETitle: "SCOPE1"}
	a, err := c.Associate(t.Context(), addr, "ENDOGATE", contexts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Abort() })
	return a
}

// syncBuffer collects log lines of several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// patience and tick are for what happens soon, and only if the test fails not at all.
const (
	patience = 2 * time.Minute
	tick     = 5 * time.Millisecond
)

// eventually polls in the test's own goroutine, so that conditions about goroutines count right.
func eventually(t testing.TB, condition func() bool, what string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(tick) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

var errTest = errors.New("the handler says no")
