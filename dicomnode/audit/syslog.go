package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"endogate/dicomnode/durable"
)

// sdID names the structured data with the chain's head in a syslog message. 32473 is the number that RFC 5612 gives to whom
// has none.
const sdID = "endogate@32473"

// Forwarder sends a log to a syslog server over TLS (RFC 5424, RFC 5425). The log is its spool: what was not yet taken is sent
// again, after a restart too, so that an entry may come twice, under the same number.
type Forwarder struct {
	Log     *Log
	Address string
	TLS     func() *tls.Config // of each connection anew: certificates may have been renewed
	Host    string             // who sends it
	Timeout time.Duration
	// Settle is how long a connection stays open behind what was sent before that counts as taken: syslog has no answers, and a
	// server that goes down has read less than its system acknowledged.
	Settle time.Duration
	Logger *slog.Logger
	// Backoff is the wait before try n, from 1 on, after a failure.
	Backoff func(n int) time.Duration
}

// Sent is the file in a log's folder that says how much of it the server took. It is of that very log, and no part of a copy.
const Sent = "sent"

// maxFrame is what every receiver must take (RFC 5425 4.3.1 wants 2048 and says 8192 is better; PS3.15 A.6 wants 32768).
const maxFrame = 32 << 10

// Run sends until ctx is done.
func (f *Forwarder) Run(ctx context.Context) error {
	failed := 0
	for ctx.Err() == nil {
		sent, err := f.session(ctx)
		if sent {
			failed = 0
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		if failed++; failed == 1 {
			f.Logger.Warn("audit: the syslog server does not take the audit trail; it is kept and sent later", "address", f.Address, "reason", err)
		}
		select {
		case <-time.After(f.Backoff(failed)):
		case <-ctx.Done():
		}
	}
	return nil
}

// session sends what there is, and waits for more, on one connection; sent: something was taken.
func (f *Forwarder) session(ctx context.Context) (sent bool, err error) {
	at, err := f.cursor()
	if err != nil {
		return false, err
	}
	dial, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	plain, err := new(net.Dialer).DialContext(dial, "tcp", f.Address)
	if err != nil {
		return false, err
	}
	config := f.TLS().Clone()
	if host, _, err := net.SplitHostPort(f.Address); err == nil && config.ServerName == "" {
		config.ServerName = host
	}
	conn := tls.Client(plain, config)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	if err := conn.HandshakeContext(dial); err != nil {
		_ = plain.Close()
		return false, err
	}
	ended := make(chan error, 1)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer func() { _ = conn.Close() }()
	reader.Go(func() {
		_, err := io.Copy(io.Discard, conn) // it has nothing to say
		ended <- cmp.Or(err, io.EOF)
	})
	for {
		if err := conn.SetWriteDeadline(time.Now().Add(f.Timeout)); err != nil {
			return sent, err
		}
		reached, err := f.send(conn, at)
		if err != nil {
			return sent, err
		}
		if reached > at {
			select {
			case <-time.After(f.Settle):
			case err := <-ended:
				return sent, err
			case <-ctx.Done():
				return sent, nil
			}
			if err := acknowledged(plain); err != nil {
				return sent, err
			}
			if err := f.keep(reached); err != nil {
				return sent, err
			}
			sent, at = true, reached
		}
		select {
		case <-f.Log.grown:
		case <-time.After(f.Timeout): // another process may have written
		case err := <-ended:
			return sent, err
		case <-ctx.Done():
			return sent, nil
		}
	}
}

// send writes what the log has behind an offset, and returns the offset behind that.
func (f *Forwarder) send(conn net.Conn, at int64) (int64, error) {
	out := bufio.NewWriterSize(conn, maxFrame)
	err := each(f.Log.dir, at, func(e entry, after int64) error {
		at = after
		return f.frame(out, e)
	})
	return at, errors.Join(err, out.Flush())
}

// frame writes one message: its length, a space, and itself (RFC 5425 4.3).
func (f *Forwarder) frame(out *bufio.Writer, e entry) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<85>1 %s %s endogate - DICOM+RFC3881 [%s seq=\"%d\" mac=\"%s\"] \xef\xbb\xbf", e.At.Format("2006-01-02T15:04:05.000000Z07:00"), f.Host, sdID, e.Sequence, e.MAC)
	b.WriteString(strings.ReplaceAll(e.Message, "\n", " "))
	if _, err := fmt.Fprintf(out, "%d ", b.Len()); err != nil {
		return err
	}
	_, err := out.Write(b.Bytes())
	return err
}

// acknowledged says whether the other side's system has all bytes of a connection.
func acknowledged(conn net.Conn) error {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var left int
	err = errors.Join(raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }), err)
	if err == nil && left > 0 {
		err = errors.New("it does not take what was sent")
	}
	return err
}

// cursor is how much of the log was taken.
func (f *Forwarder) cursor() (int64, error) {
	var at int64
	text, err := os.ReadFile(f.cursorPath())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &at)
	}
	return at, err
}

func (f *Forwarder) keep(at int64) error {
	text, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return durable.WriteFile(f.cursorPath(), text)
}

func (f *Forwarder) cursorPath() string { return filepath.Join(f.Log.dir, Sent) }
