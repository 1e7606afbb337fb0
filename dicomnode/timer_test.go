package dicomnode_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// pipes is a listener whose connections are in memory, so that time can be synctest's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// pipeEnd is an end of a net.Pipe that seems to come from this machine.
type pipeEnd struct{ net.Conn }

func (pipeEnd) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *pipes) Addr() net.Addr { return pipeEnd{}.RemoteAddr() }

func (l *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	l.conns <- pipeEnd{theirs}
	return ours, nil
}

// inBubble runs f against a server whose time is synctest's: ARTIM 10 s, idle 60 s, PDU 30 s.
func inBubble(t *testing.T, h dicomnode.Handler, f func(t *testing.T, s *dicomnode.Server, l *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(h)
		s.ARTIM, s.IdleTimeout, s.PDUTimeout = 10*time.Second, time.Minute, 30*time.Second
		l := newPipes()
		stopped := make(chan error, 1)
		go func() { stopped <- s.Serve(l) }()
		f(t, s, l)
		require.NoError(t, s.Shutdown(context.Background()))
		require.ErrorIs(t, <-stopped, dicomnode.ErrServerClosed)
	})
}

func encoded(t *testing.T, pdus ...pdu.PDU) []byte {
	var b []byte
	for _, p := range pdus {
		b = append(b, arrival(t, p)...)
	}
	return b
}

// until reads everything up to the end of the connection and how long that took.
func until(t *testing.T, nc net.Conn) ([]byte, time.Duration) {
	start := time.Now()
	b, err := io.ReadAll(nc)
	require.NoError(t, err)
	return b, time.Since(start)
}

// answerTo writes and reads one PDU.
func answerTo(t *testing.T, nc net.Conn, pdus ...pdu.PDU) {
	_, err := nc.Write(encoded(t, pdus...))
	require.NoError(t, err)
	head := make([]byte, pdu.HeaderLength)
	_, err = io.ReadFull(nc, head)
	require.NoError(t, err)
	_, err = io.CopyN(io.Discard, nc, int64(head[4])<<8|int64(head[5]))
	require.NoError(t, err)
}

var providerAbort = &pdu.Abort{Source: pdu.AbortServiceProvider}

// ARTIM bounds the time from the connection to the whole A-ASSOCIATE-RQ; at its end the connection is just closed.
func TestTimer_ARTIM(t *testing.T) {
	request := encoded(t, echoRequest)
	inBubble(t, new(storing), func(t *testing.T, _ *dicomnode.Server, l *pipes) {
		silent, err := l.dial(context.Background(), "", "")
		require.NoError(t, err)
		b, took := until(t, silent)
		require.Empty(t, b)
		require.Equal(t, 10*time.Second, took)

		trickling, err := l.dial(context.Background(), "", "")
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, c := range request {
				if _, err := trickling.Write([]byte{c}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		b, took = until(t, trickling)
		wg.Wait()
		require.Empty(t, b)
		require.Equal(t, 10*time.Second, took)
	})
}

func TestTimer_idle(t *testing.T) {
	inBubble(t, new(storing), func(t *testing.T, _ *dicomnode.Server, l *pipes) {
		nc, err := l.dial(context.Background(), "", "")
		require.NoError(t, err)
		answerTo(t, nc, echoRequest)
		for range 3 { // messages keep it alive
			time.Sleep(59 * time.Second)
			answerTo(t, nc, echoRQ)
		}
		b := make([]byte, 10)
		start := time.Now()
		_, err = io.ReadFull(nc, b)
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(start))
		require.Equal(t, encoded(t, providerAbort), b)
		_, took := until(t, nc)
		require.Equal(t, 10*time.Second, took, "then ARTIM for the peer to close")
	})
}

// A PDU has to be there 30 s after its first byte, and the next one of a message 30 s after it.
func TestTimer_slowPDU(t *testing.T) {
	for name, in := range map[string][]byte{
		"half a header":  encoded(t, echoRQ)[:3],
		"half a PDU":     encoded(t, echoRQ)[:20],
		"half a message": encoded(t, command(storeRQ), fragment(false, "PIX")),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, new(storing), func(t *testing.T, _ *dicomnode.Server, l *pipes) {
				nc, err := l.dial(context.Background(), "", "")
				require.NoError(t, err)
				answerTo(t, nc, storeRequest)
				_, err = nc.Write(in)
				require.NoError(t, err)
				start := time.Now()
				b := make([]byte, 10)
				_, err = io.ReadFull(nc, b)
				require.NoError(t, err)
				require.Equal(t, 30*time.Second, time.Since(start))
				require.Equal(t, encoded(t, providerAbort), b)
				require.NoError(t, nc.Close())
			})
		})
	}
}

// slowLoris sends total fragments of size bytes, a pause after each, and returns how many it got away with and how long.
func slowLoris(t *testing.T, nc net.Conn, size int, pause time.Duration, total int) (sent int, took time.Duration) {
	start := time.Now()
	_ = nc.SetWriteDeadline(time.Now().Add(time.Hour))
	for sent < total {
		if _, err := nc.Write(encoded(t, fragment(false, string(make([]byte, size))))); err != nil {
			break
		}
		sent++
		time.Sleep(pause)
	}
	return sent, time.Since(start)
}

// Keeping each deadline is not enough: a message has to come at 1 KiB/s on average once 30 s are used up.
func TestTimer_slowLoris(t *testing.T) {
	inBubble(t, new(storing), func(t *testing.T, _ *dicomnode.Server, l *pipes) {
		nc, err := l.dial(context.Background(), "", "")
		require.NoError(t, err)
		answerTo(t, nc, storeRequest)
		_, err = nc.Write(encoded(t, command(storeRQ)))
		require.NoError(t, err)
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		_, took := slowLoris(t, nc, 1, 20*time.Second, 1000)
		require.Less(t, took, 2*time.Minute)
		require.NoError(t, nc.Close())
	})
}

// A slow but honest line of 2 KiB/s is none.
func TestTimer_slowLine(t *testing.T) {
	h := new(storing)
	inBubble(t, h, func(t *testing.T, _ *dicomnode.Server, l *pipes) {
		nc, err := l.dial(context.Background(), "", "")
		require.NoError(t, err)
		answerTo(t, nc, storeRequest)
		_, err = nc.Write(encoded(t, command(storeRQ)))
		require.NoError(t, err)
		sent, took := slowLoris(t, nc, 4096, 2*time.Second, 500)
		require.Equal(t, 500, sent)
		require.Equal(t, 1000*time.Second, took)
		answerTo(t, nc, fragment(true, ""))
		require.Len(t, h.get("1.2.3"), 500*4096)
		answerTo(t, nc, &pdu.ReleaseRQ{})
		require.NoError(t, nc.Close())
	})
}

// Shutdown lets a message under way finish, and ends who idles half a second later.
func TestShutdown_drains(t *testing.T) {
	h := new(storing)
	synctest.Test(t, func(t *testing.T) {
		s, l := newServer(h), newPipes()
		stopped := make(chan error, 1)
		go func() { stopped <- s.Serve(l) }()
		idle, busy := pipeTo(t, l), pipeTo(t, l)
		answerTo(t, idle, storeRequest)
		answerTo(t, busy, storeRequest)
		_, err := busy.Write(encoded(t, command(storeRQ), fragment(false, "PIX")))
		require.NoError(t, err)
		synctest.Wait()

		start := time.Now()
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(context.Background()) }()
		require.ErrorIs(t, <-stopped, dicomnode.ErrServerClosed)
		b := make([]byte, 10)
		_, err = io.ReadFull(idle, b)
		require.NoError(t, err)
		require.Equal(t, encoded(t, providerAbort), b)
		require.Equal(t, 500*time.Millisecond, time.Since(start))
		require.NoError(t, idle.Close())

		time.Sleep(10 * time.Second)
		answerTo(t, busy, fragment(true, "ELS"))
		require.Equal(t, "PIXELS", string(h.get("1.2.3")))
		_, err = io.ReadFull(busy, b)
		require.NoError(t, err)
		require.Equal(t, encoded(t, providerAbort), b)
		require.NoError(t, busy.Close())
		require.NoError(t, <-down)
		require.Equal(t, 11*time.Second, time.Since(start))
		require.ErrorIs(t, s.Serve(newPipes()), dicomnode.ErrServerClosed)
	})
}

func pipeTo(t *testing.T, l *pipes) net.Conn {
	nc, err := l.dial(context.Background(), "", "")
	require.NoError(t, err)
	return nc
}

// When the time to drain is over, what is left is aborted and handlers are told.
func TestShutdown_deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(handlerFunc(func(ctx context.Context, req *dicomnode.StoreRequest) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		l := newPipes()
		stopped := make(chan error, 1)
		go func() { stopped <- s.Serve(l) }()
		nc := pipeTo(t, l)
		answerTo(t, nc, storeRequest)
		_, err := nc.Write(encoded(t, command(storeRQ), fragment(true, "PIXELS")))
		require.NoError(t, err)
		synctest.Wait()
		var got bytes.Buffer
		read := make(chan error, 1)
		go func() { _, err := got.ReadFrom(nc); read <- err }()

		ctx, cancel := context.WithTimeout(context.Background(), 7*time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, s.Shutdown(ctx), context.DeadlineExceeded)
		require.Equal(t, 7*time.Second, time.Since(start))
		require.NoError(t, <-read)
		require.Equal(t, encoded(t, userAbort), got.Bytes())
		require.ErrorIs(t, <-stopped, dicomnode.ErrServerClosed)
	})
}

// The client's deadlines: for the answer to A-ASSOCIATE-RQ, for a response, for A-RELEASE-RP.
func TestTimer_client(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		var script func(nc net.Conn)
		serve := func() { // one connection
			nc, _ := l.Accept()
			script(nc)
			_, _ = io.Copy(io.Discard, nc)
		}
		client := &dicomnode.Client{AETitle: "ENDOGATE", Dial: l.dial, AssociateTimeout: 11 * time.Second, ResponseTimeout: 13 * time.Second}
		associate := func() (*dicomnode.Association, error) {
			go serve()
			return client.Associate(context.Background(), "peer", "ARCHIVE", dicomnode.VerificationContexts())
		}
		start := time.Now()
		script = func(net.Conn) {}
		_, err := associate()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 11*time.Second, time.Since(start))

		ac := encoded(t, &pdu.AssociateAC{
			ProtocolVersion: 1, ApplicationContext: pdu.ApplicationContext,
			Contexts: []pdu.PresentationContextAC{{ID: 1, TransferSyntax: string(dicom.ImplicitVRLittleEndian)}},
		})
		script = func(nc net.Conn) {
			_, _ = nc.Read(make([]byte, 4096))
			_, _ = nc.Write(ac)
		}
		a, err := associate()
		require.NoError(t, err)
		start = time.Now()
		status, err := a.Echo(context.Background())
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NotEqual(t, dimse.Success, status)
		require.Equal(t, 13*time.Second, time.Since(start))

		a, err = associate()
		require.NoError(t, err)
		start = time.Now()
		require.ErrorIs(t, a.Release(context.Background()), os.ErrDeadlineExceeded)
		require.Equal(t, 11*time.Second, time.Since(start))
	})
}
