package jobs

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	startTimeout = 10 * time.Second
	maxMemory    = 16 << 20 // the stream is on disk; memory is for nothing of ours
)

// startServer starts a nats-server that listens on no port and keeps its streams in dir.
// A store that cannot be read is set aside: nothing lives only there.
func startServer(dir string, log *slog.Logger) (*server.Server, error) {
	srv, err := tryServer(dir, log)
	if err == nil {
		return srv, nil
	}
	if _, missing := os.Lstat(filepath.Join(dir, server.JetStreamStoreDir)); missing != nil {
		return nil, err // there is no store to blame it on
	}
	aside := filepath.Clean(dir) + ".unreadable"
	log.Error("job store is unreadable, starting with an empty one; jobs are fed again from the ledger", "store", dir, "set_aside", aside, "err", err)
	if err := errors.Join(os.RemoveAll(aside), os.Rename(dir, aside)); err != nil {
		return nil, fmt.Errorf("jobs: set unreadable store aside: %w", err)
	}
	return tryServer(dir, log)
}

func tryServer(dir string, log *slog.Logger) (*server.Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("jobs: store: %w", err)
	}
	srv, err := server.NewServer(&server.Options{
		ServerName:         "endogate",
		DontListen:         true,
		JetStream:          true,
		StoreDir:           dir,
		JetStreamMaxStore:  maxStore,
		JetStreamMaxMemory: maxMemory,
		NoSigs:             true, // signals are the process's, not the server's
	})
	if err != nil {
		return nil, fmt.Errorf("jobs: embedded nats-server: %w", err)
	}
	fatal := make(chan string, 1)
	srv.SetLoggerV2(&serverLog{log: log, fatal: fatal}, false, false, false)
	go srv.Start() // ends when Shutdown is called; stopServer waits
	if err := waitReady(srv, fatal); err != nil {
		stopServer(srv)
		return nil, fmt.Errorf("jobs: embedded nats-server with store %s: %w", dir, err)
	}
	return srv, nil
}

// waitReady waits until the server takes connections or says what it died of.
func waitReady(srv *server.Server, fatal <-chan string) error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		if srv.ReadyForConnections(50*time.Millisecond) && srv.JetStreamEnabled() {
			return nil
		}
		select {
		case reason := <-fatal:
			return errors.New(reason)
		default:
		}
	}
	return fmt.Errorf("not up within %s", startTimeout)
}

// reviveJetStream enables JetStream again where the server inside the process has given it up, as it does for good when
// the disk is full. The caller holds q.finding.
func (q *Queue) reviveJetStream() error {
	if q.srv == nil || q.srv.JetStreamEnabled() {
		return nil
	}
	config := server.JetStreamConfig{StoreDir: q.storeDir, MaxStore: maxStore, MaxMemory: maxMemory}
	if err := q.srv.EnableJetStream(&config); err != nil {
		return fmt.Errorf("jobs: enable JetStream again: %w", err)
	}
	q.log.Info("job queue is up again", "store", q.storeDir)
	return nil
}

// lostFolder says that the server inside the process has the stream, and not the folder it writes its messages to: somebody has removed
// that, or the server itself has, where a stream is made while its predecessor is still being deleted. It would never take a message again.
func (q *Queue) lostFolder() bool {
	if q.srv == nil {
		return false
	}
	_, err := os.Stat(filepath.Join(q.storeDir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT, "streams", Stream, "msgs"))
	return errors.Is(err, fs.ErrNotExist)
}

// stopServer waits for requests under way first: what they make once the server was told to end would stay behind with its files open.
func stopServer(srv *server.Server) {
	for deadline := time.Now().Add(callTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if info, err := srv.Jsz(nil); err != nil || info.API.Inflight == 0 {
			break
		}
	}
	srv.Shutdown()
	srv.WaitForShutdown()
}

// serverLog passes on what the server warns of. Its notices are of no use to a hospital.
type serverLog struct {
	log   *slog.Logger
	fatal chan<- string // takes the first
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}
func (l *serverLog) Warnf(format string, args ...any) {
	l.log.Warn("nats-server: " + fmt.Sprintf(format, args...))
}

func (l *serverLog) Errorf(format string, args ...any) {
	l.log.Error("nats-server: " + fmt.Sprintf(format, args...))
}

// Fatalf is told before the server gives up starting; the process lives on.
func (l *serverLog) Fatalf(format string, args ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, args...):
	default:
	}
}
