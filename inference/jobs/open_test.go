package jobs

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpen_storeSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	q, err := Open(Options{StoreDir: dir, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for _, j := range jobList(3) {
		require.NoError(t, q.Publish(t.Context(), j))
	}
	q.Close()

	q = openQueue(t, Options{StoreDir: dir})
	assert.Equal(t, 3, messages(t, q))
	b := newBook(jobList(3)...)
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(2)) })
	eventually(t, "all done", b.finished)
}

func TestOpen_streamOfAnOlderRelease(t *testing.T) {
	dir := t.TempDir()
	q, err := Open(Options{StoreDir: dir, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	older := q.streamConfig()
	older.MaxBytes, older.MaxAge = 1<<20, 0
	_, err = q.js.CreateStream(t.Context(), older)
	require.NoError(t, err)
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	q.Close()

	q = openQueue(t, Options{StoreDir: dir})
	info, err := q.stream(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, maxStore/2, info.Config.MaxBytes)
	assert.Equal(t, abandoned, info.Config.MaxAge)
	assert.Equal(t, 1, messages(t, q))
}

func TestOpen_brokenStoreIsSetAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nats")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	// A file stands where the store's folder has to be: the server cannot come up.
	require.NoError(t, os.WriteFile(filepath.Join(dir, server.JetStreamStoreDir), []byte("x"), 0o600))
	var log lines
	q := openQueue(t, Options{StoreDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	b := newBook(jobList(3)...)
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	eventually(t, "all done", b.finished)
	assert.Contains(t, log.String(), "job store is unreadable")
	assert.DirExists(t, dir+".unreadable")
}

func TestOpen_garbageInTheStore(t *testing.T) {
	dir := t.TempDir()
	q, err := Open(Options{StoreDir: dir, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for _, j := range jobList(3) {
		require.NoError(t, q.Publish(t.Context(), j))
	}
	q.Close()
	var spoilt int
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		spoilt++
		return os.WriteFile(path, []byte("not what was here"), 0o600)
	}))
	require.NotZero(t, spoilt)

	q = openQueue(t, Options{StoreDir: dir})
	b := newBook(jobList(5)...)
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	eventually(t, "all done", b.finished)
}

func TestOpen_noStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(Options{StoreDir: filepath.Join(file, "nats"), Log: slog.New(slog.DiscardHandler)})
	require.Error(t, err)
}

func TestOpen_listensOnNoPort(t *testing.T) {
	q := openQueue(t, Options{})
	assert.Nil(t, q.srv.Addr())
}

func external(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
		JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 16 << 20,
	})
	require.NoError(t, err)
	go srv.Start()
	require.True(t, srv.ReadyForConnections(patience))
	return srv
}

// turnOff stops a server with its clients connected: what they asked for while it stops would stay behind, and they come back after a second.
func turnOff(srv *server.Server) {
	if there, err := srv.Connz(nil); err == nil {
		for _, client := range there.Conns {
			_ = srv.DisconnectClientByID(client.Cid)
		}
	}
	stopServer(srv)
}

func TestQueue_externalServerRestarted(t *testing.T) {
	for _, tt := range []struct {
		name     string
		keepData bool
	}{{"with its store", true}, {"without its store", false}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			srv := external(t, dir, server.RANDOM_PORT)
			port := srv.Addr().(*net.TCPAddr).Port
			q := openQueue(t, Options{URL: srv.ClientURL(), Node: "n"})
			b := newBook(jobList(40)...)
			half, restarted := make(chan struct{}), make(chan struct{})
			var once sync.Once
			c := b.consumer(1)
			c.Do = func(ctx context.Context, j Job) error {
				if err := b.do(ctx, j); err != nil {
					return err
				}
				if len(b.runs) == 20 { // a job whose ack was lost comes again
					once.Do(func() { close(half); <-restarted })
				}
				return nil
			}
			start(t, func(ctx context.Context) error {
				return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Every: 100 * time.Millisecond})
			})
			start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
			<-half
			turnOff(srv)
			if !tt.keepData {
				dir = t.TempDir()
			}
			srv = external(t, dir, port)
			t.Cleanup(func() { stopServer(srv) })
			close(restarted)
			eventually(t, "all done", b.finished)
			eventually(t, "queue empty", func() bool { return q.nc.IsConnected() && messages(t, q) == 0 })
		})
	}
}

func TestOpen_externalServerNotUpYet(t *testing.T) {
	srv := external(t, t.TempDir(), server.RANDOM_PORT)
	port := srv.Addr().(*net.TCPAddr).Port
	url := srv.ClientURL()
	stopServer(srv)

	q := openQueue(t, Options{Node: "n", URL: url})
	require.Error(t, q.Publish(t.Context(), testJob(1)))
	_, err := q.Lag(t.Context(), testModel("demo"))
	require.Error(t, err)
	b := newBook(testJob(1))
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	srv = external(t, t.TempDir(), port)
	t.Cleanup(func() { stopServer(srv) })
	eventually(t, "done", b.finished)
}

func TestOpen_wrongOptions(t *testing.T) {
	_, err := Open(Options{URL: "nats://127.0.0.1:1", Node: "n", CAFile: "missing.pem", Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "missing.pem")
	_, err = Open(Options{URL: "nats://127.0.0.1:1", Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "jobs: node ")
	for _, node := range []string{"a.b", "*", "a b", strings.Repeat("x", 49)} {
		_, err = Open(Options{StoreDir: t.TempDir(), Node: node, Log: slog.New(slog.DiscardHandler)})
		require.ErrorContains(t, err, "jobs: node ")
	}
	_, err = Open(Options{URL: "nats://127.0.0.1:1", Node: "n", CredentialsFile: "missing.creds", Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "missing.creds")
	text := filepath.Join(t.TempDir(), "not.pem")
	require.NoError(t, os.WriteFile(text, []byte("x"), 0o600))
	_, err = Open(Options{URL: "nats://127.0.0.1:1", Node: "n", CAFile: text, Log: slog.New(slog.DiscardHandler)})
	require.Error(t, err)
	_, err = Open(Options{URL: "nats://127.0.0.1:1", Node: "n", CertFile: text, KeyFile: text, Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "certificate")
}

func TestQueue_comesBackWhenTheDiskWasFull(t *testing.T) {
	// With no space left the server shuts JetStream down and leaves it so.
	q := openQueue(t, Options{})
	b := newBook(jobList(20)...)
	c := b.consumer(1)
	var once sync.Once
	c.Do = func(ctx context.Context, j Job) error {
		if len(b.runs) == 10 {
			once.Do(func() {
				q.finding.Lock() // what it is making meanwhile would stay behind
				defer q.finding.Unlock()
				assert.NoError(t, q.srv.ShutdownJetStream())
			})
		}
		return b.do(ctx, j)
	}
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Every: 100 * time.Millisecond})
	})
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "all done", b.finished)
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
}

func TestQueue_serverWithTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := selfSigned(t, dir)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
		TLS: true, TLSTimeout: 10,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	})
	require.NoError(t, err)
	go srv.Start()
	require.True(t, srv.ReadyForConnections(patience))
	t.Cleanup(func() { stopServer(srv) })

	url := fmt.Sprintf("tls://127.0.0.1:%d", srv.Addr().(*net.TCPAddr).Port)
	q := openQueue(t, Options{Node: "n", URL: url, CAFile: certFile})
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	distrustful := openQueue(t, Options{Node: "n", URL: url})
	require.Error(t, distrustful.Publish(t.Context(), testJob(2)), "signed by nobody the system knows")
}

// A server that asks who comes has a queue for who shows a certificate that it trusts.
func TestQueue_serverAsksForACertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := selfSigned(t, dir)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	trusted := x509.NewCertPool()
	ours, err := os.ReadFile(certFile)
	require.NoError(t, err)
	require.True(t, trusted.AppendCertsFromPEM(ours))
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
		TLS: true, TLSVerify: true, TLSTimeout: 10,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted,
		},
	})
	require.NoError(t, err)
	go srv.Start()
	require.True(t, srv.ReadyForConnections(patience))
	t.Cleanup(func() { stopServer(srv) })

	url := fmt.Sprintf("tls://127.0.0.1:%d", srv.Addr().(*net.TCPAddr).Port)
	q := openQueue(t, Options{Node: "n", URL: url, CAFile: certFile, CertFile: certFile, KeyFile: keyFile})
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	nobody := openQueue(t, Options{Node: "n", URL: url, CAFile: certFile})
	require.Error(t, nobody.Publish(t.Context(), testJob(2)), "shows none")
}

// A server that comes back with certificates of another authority is known by the files as they are then.
func TestQueue_certificatesRenewed(t *testing.T) {
	dir, port := t.TempDir(), 0
	certFile, keyFile := selfSigned(t, dir)
	serve := func() *server.Server {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		require.NoError(t, err)
		trusted := x509.NewCertPool()
		ours, err := os.ReadFile(certFile)
		require.NoError(t, err)
		require.True(t, trusted.AppendCertsFromPEM(ours))
		srv, err := server.NewServer(&server.Options{
			Host: "127.0.0.1", Port: cmp.Or(port, server.RANDOM_PORT), JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, TLS: true, TLSVerify: true, TLSTimeout: 10,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted},
		})
		require.NoError(t, err)
		go srv.Start()
		require.True(t, srv.ReadyForConnections(patience))
		port = srv.Addr().(*net.TCPAddr).Port
		return srv
	}
	srv := serve()
	q := openQueue(t, Options{Node: "n", URL: fmt.Sprintf("tls://127.0.0.1:%d", port), CAFile: certFile, CertFile: certFile, KeyFile: keyFile})
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	turnOff(srv)
	selfSigned(t, dir) // the same files, with another key
	srv = serve()
	t.Cleanup(func() { stopServer(srv) })
	eventually(t, "published", func() bool { return q.Publish(t.Context(), testJob(2)) == nil })
}

func selfSigned(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return certFile, keyFile
}

func TestQueue_twoProcessesShareTheWork(t *testing.T) {
	srv := external(t, t.TempDir(), server.RANDOM_PORT)
	t.Cleanup(func() { stopServer(srv) })
	b := newBook(jobList(100)...)
	for range 2 {
		q := openQueue(t, Options{URL: srv.ClientURL(), Node: "n"})
		start(t, func(ctx context.Context) error {
			return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Every: 50 * time.Millisecond})
		})
		start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(2)) })
	}
	eventually(t, "all done", b.finished)
}

// What a worker elsewhere must be allowed, and no more: it can offer no jobs, read no results, and touch no configuration.
var guestPermissions = &server.Permissions{
	Publish: &server.SubjectPermission{Allow: []string{
		"endogate.owner.>", "endogate.results.>", "$O.ENDOGATE.>", "_INBOX.>",
		"$JS.ACK.ENDOGATE_INSTANCES.>", "$JS.API.CONSUMER.MSG.NEXT.ENDOGATE_INSTANCES.*", "$JS.API.CONSUMER.INFO.ENDOGATE_INSTANCES.*",
		"$JS.API.STREAM.INFO.ENDOGATE_INSTANCES", "$JS.API.STREAM.INFO.OBJ_ENDOGATE",
		"$JS.API.DIRECT.GET.OBJ_ENDOGATE", "$JS.API.DIRECT.GET.OBJ_ENDOGATE.>", "$JS.API.STREAM.MSG.GET.OBJ_ENDOGATE", "$JS.API.STREAM.PURGE.OBJ_ENDOGATE",
	}},
	Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "endogate.workers"}},
}

func TestElsewhere_permissions(t *testing.T) {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 16 << 20,
		Users: []*server.User{
			{Username: "gateway", Password: "secret"},
			{Username: "worker", Password: "secret", Permissions: guestPermissions},
		},
	})
	require.NoError(t, err)
	go srv.Start()
	require.True(t, srv.ReadyForConnections(patience))
	t.Cleanup(func() { stopServer(srv) })
	url := func(user string) string { return fmt.Sprintf("nats://%s:secret@%s", user, srv.Addr()) }

	h := newHouse(t, Options{URL: url("gateway"), Node: "n"}, jobList(5)...)
	h.input = make([]byte, maxInline+1) // so that its result goes through the object store
	h.run(t)
	worker := guest(t, url("worker"), 2, nil)
	h.requireNothingLeft(t)
	there, err := h.q.Workers(t.Context())
	require.NoError(t, err)
	assert.Len(t, there, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	assert.Error(t, worker.js.DeleteStream(ctx, Stream))
}

// A stop may come while the server makes a stream that nobody waits for any more: what it makes after it was told to
// end, it would leave behind with its files open (goleak of TestMain sees it).
func TestClose_whileTheStreamIsMade(t *testing.T) {
	for i := range 40 {
		q, err := Open(Options{StoreDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		stopWhileMaking(t, q, time.Duration(i)*100*time.Microsecond)
	}
	for i := range 40 {
		srv := external(t, t.TempDir(), server.RANDOM_PORT)
		q, err := Open(Options{URL: srv.ClientURL(), Node: "n", Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		stopWhileMaking(t, q, time.Duration(i)*100*time.Microsecond)
		stopServer(srv)
	}
}

func stopWhileMaking(t *testing.T, q *Queue, after time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	made := make(chan struct{})
	go func() {
		defer close(made)
		_, _ = q.stream(ctx) // made or not: the stop decides
	}()
	time.Sleep(after)
	cancel()
	<-made
	q.Close()
}
