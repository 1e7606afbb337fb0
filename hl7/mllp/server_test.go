package mllp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/secure"
	"endogate/dicomnode/secure/securetest"
	"endogate/hl7/mllp/mllptest"
)

// echoing answers with AA and the control ID.
func echoing(_ context.Context, _ Peer, message []byte) ([][]byte, error) {
	return [][]byte{fmt.Appendf(nil, "MSH|^~\\&|B|H|A|H|20260102||ACK|1|P|2.5.1\rMSA|AA|%s\r", controlID(message))}, nil
}

// serve runs s until the test ends, and returns its address.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	if s.Handler == nil {
		s.Handler = echoing
	}
	if s.Allow == nil {
		s.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		assert.ErrorIs(t, <-served, ErrServerClosed)
	})
	return ln.Addr().String()
}

// sender is a connection of a test, from a loopback address of its own.
type sender struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, address, from string) *sender {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	nc, err := dialer.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(3*time.Minute)))
	return &sender{t, nc, bufio.NewReader(nc)}
}

func (s *sender) write(b string) {
	s.t.Helper()
	_, err := io.WriteString(s, b)
	require.NoError(s.t, err)
}

// answered returns the MSA of the next answer, or closed.
func (s *sender) answered() string {
	s.t.Helper()
	frame, err := s.r.ReadString(cr)
	for err == nil && !strings.HasSuffix(frame, "\x1c\r") {
		var more string
		more, err = s.r.ReadString(cr)
		frame += more
	}
	if err != nil {
		var timeout net.Error
		require.False(s.t, errors.As(err, &timeout) && timeout.Timeout(), "silence")
		return "closed"
	}
	i := strings.Index(frame, "MSA")
	return strings.TrimRight(frame[i:], "\r\x1c")
}

func framed(id string) string { return "\x0b" + string(mllptest.Message(id)) + "\x1c\r" }

func TestServer_manyMessagesInOrder(t *testing.T) {
	address := serve(t, &Server{})
	var wg sync.WaitGroup
	for c := range 4 {
		s := dial(t, address, "127.0.0.1")
		wg.Go(func() { // no sender waits for its answers
			var all strings.Builder
			for i := range 250 {
				all.WriteString(framed(fmt.Sprintf("%d-%d", c, i)))
			}
			_, err := io.WriteString(s, all.String())
			assert.NoError(t, err)
		})
		wg.Go(func() {
			for i := range 250 {
				if !assert.Equal(t, fmt.Sprintf("MSA|AA|%d-%d", c, i), s.answered()) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestServer_keepAlive: frames without a message, by which senders look whether anybody is there, are answered by nothing.
func TestServer_keepAlive(t *testing.T) {
	s := dial(t, serve(t, &Server{}), "127.0.0.1")
	for _, id := range []string{"1", "2"} {
		s.write("\x0b\x1c\r\x0b\r\n\x1c\r" + "\x0b" + string(mllptest.Message(id)) + "\x1c\r\x0b\x1c\r")
		require.Equal(t, "MSA|AA|"+id, s.answered())
	}
}

func TestServer_answers(t *testing.T) {
	none := func(context.Context, Peer, []byte) ([][]byte, error) { return nil, nil }
	two := func(ctx context.Context, p Peer, m []byte) ([][]byte, error) {
		application, _ := echoing(ctx, p, m)
		return [][]byte{bytes.Replace(application[0], []byte("AA"), []byte("CA"), 1), application[0]}, nil
	}
	tests := []struct {
		name    string
		handler func(context.Context, Peer, []byte) ([][]byte, error)
		want    []string
	}{
		{"none, and the next is answered", func(ctx context.Context, p Peer, m []byte) ([][]byte, error) {
			if string(controlID(m)) == "1" {
				return none(ctx, p, m)
			}
			return echoing(ctx, p, m)
		}, []string{"MSA|AA|2"}},
		{"accept and application", two, []string{"MSA|CA|1", "MSA|AA|1", "MSA|CA|2", "MSA|AA|2"}},
		{"not taken", func(context.Context, Peer, []byte) ([][]byte, error) { return nil, errors.New("disk full") }, []string{"closed"}},
		{"panic", func(context.Context, Peer, []byte) ([][]byte, error) { panic("Grønvold") }, []string{"closed"}},
		{"an answer that is no frame", func(context.Context, Peer, []byte) ([][]byte, error) { return [][]byte{{fs}}, nil }, []string{"closed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			server := &Server{Handler: tt.handler, Log: slog.New(slog.NewTextHandler(&log, nil))}
			t.Cleanup(func() { assert.NotContains(t, log.String(), "Grønvold") }) // after the server has ended
			s := dial(t, serve(t, server), "127.0.0.1")
			s.write(framed("1") + framed("2"))
			for _, want := range tt.want {
				assert.Equal(t, want, s.answered())
			}
		})
	}
}

// Hosts that are not listed cost nothing, however many connections they make.
func TestServer_strangersTakeNoPlace(t *testing.T) {
	var log bytes.Buffer
	var refused atomic.Int32
	server := &Server{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, MaxConnections: 2, MaxPerHost: 2,
		Log: slog.New(slog.NewTextHandler(&log, nil)), Observe: Observer{Refused: func(cause string) {
			assert.Equal(t, RefusedHost, cause)
			refused.Add(1)
		}},
	}
	address := serve(t, server)
	for range 200 {
		s := dial(t, address, "127.0.0.1")
		assert.Equal(t, "closed", s.answered())
	}
	s := dial(t, address, "127.0.0.2")
	s.write(framed("1"))
	assert.Equal(t, "MSA|AA|1", s.answered())
	assert.Equal(t, int32(200), refused.Load())
	assert.Equal(t, 1, server.Connections())
	assert.LessOrEqual(t, strings.Count(log.String(), "\n"), 21, "the log is thinned")
}

func TestServer_limits(t *testing.T) {
	address := serve(t, &Server{MaxConnections: 3, MaxPerHost: 2})
	var open []*sender
	for i, from := range []string{"127.0.0.1", "127.0.0.1", "127.0.0.2"} {
		s := dial(t, address, from)
		s.write(framed(fmt.Sprint(i)))
		require.Equal(t, fmt.Sprintf("MSA|AA|%d", i), s.answered())
		open = append(open, s)
	}
	assert.Equal(t, "closed", dial(t, address, "127.0.0.3").answered(), "all places are taken")
	require.NoError(t, open[2].Close())
	assert.Equal(t, "closed", dial(t, address, "127.0.0.1").answered(), "those of the host are taken")
	require.Eventually(t, func() bool {
		s := dial(t, address, "127.0.0.3")
		_, _ = io.WriteString(s, framed("again"))
		return s.answered() == "MSA|AA|again"
	}, time.Minute, 10*time.Millisecond)
}

func TestServer_answerThatNobodyReads(t *testing.T) {
	causes := make(chan string, 1)
	address := serve(t, &Server{
		WriteTimeout: 100 * time.Millisecond, Observe: Observer{Ended: func(c string) { causes <- c }},
		Handler: func(context.Context, Peer, []byte) ([][]byte, error) { return [][]byte{make([]byte, 32<<20)}, nil },
	})
	s := dial(t, address, "127.0.0.1")
	s.write(framed("1"))
	assert.Equal(t, CauseTimeout, <-causes)
}

func TestServer_tooLarge(t *testing.T) {
	server := &Server{MaxSize: 1 << 20, TooLarge: func(_ Peer, beginning []byte) []byte {
		return fmt.Appendf(nil, "MSH|^~\\&|\rMSA|AR|%s\r", controlID(beginning))
	}}
	address := serve(t, server)
	s := dial(t, address, "127.0.0.1")
	go func() { _, _ = io.WriteString(s, framed("1")[:100]+strings.Repeat("x", 4<<20)) }()
	assert.Equal(t, "MSA|AR|1", s.answered())
	assert.Equal(t, "closed", s.answered())
}

// All together hold no more than MaxHeld.
func TestServer_memoryOfAll(t *testing.T) {
	server := &Server{MaxSize: 1 << 20, MaxHeld: 2 << 20}
	address := serve(t, server)
	big := strings.Repeat("x", 900<<10)
	for i := range 2 {
		s := dial(t, address, fmt.Sprintf("127.0.0.%d", i+1))
		s.write("\x0bMSH|" + big) // and no end
	}
	require.Eventually(t, func() bool {
		server.mu.Lock()
		defer server.mu.Unlock()
		return server.held >= 2*(len(big)-readBuffer)
	}, time.Minute, time.Millisecond)
	s := dial(t, address, "127.0.0.3")
	_, _ = io.WriteString(s, "\x0bMSH|"+big)
	assert.Equal(t, "closed", s.answered())
	s = dial(t, address, "127.0.0.3")
	s.write(framed("small"))
	assert.Equal(t, "MSA|AA|small", s.answered())
}

func TestServer_shutdown(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	server := &Server{Handler: func(ctx context.Context, p Peer, m []byte) ([][]byte, error) {
		entered <- struct{}{}
		select {
		case <-leave:
			return echoing(ctx, p, m)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	address := serve(t, server)
	idle, inHand, half := dial(t, address, "127.0.0.1"), dial(t, address, "127.0.0.1"), dial(t, address, "127.0.0.1")
	half.write(framed("half")[:50])
	inHand.write(framed("1") + framed("2"))
	<-entered
	require.Eventually(t, func() bool {
		return busy(server) == 2
	}, time.Minute, time.Millisecond, "half a message is read")
	done := make(chan error, 1)
	go func() { done <- server.Shutdown(context.Background()) }()
	assert.Equal(t, "closed", idle.answered(), "at once")
	_, err := net.Dial("tcp", address)
	require.Error(t, err, "nobody is let in")
	require.Eventually(t, func() bool { return draining(server) == server.Connections() }, time.Minute, time.Millisecond)
	leave <- struct{}{}
	assert.Equal(t, "MSA|AA|1", inHand.answered(), "the message in hand comes to its end")
	assert.Equal(t, "closed", inHand.answered(), "the one behind it is not begun")
	half.write(framed("half")[50:])
	<-entered
	leave <- struct{}{}
	assert.Equal(t, "MSA|AA|half", half.answered(), "as does one that has begun")
	require.NoError(t, <-done)
}

// What a pipelining sender has sent beyond the message in hand does not cost it the answer to that.
func TestServer_shutdownBeforeTheRestIsRead(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	server := &Server{Handler: func(ctx context.Context, p Peer, m []byte) ([][]byte, error) {
		entered <- struct{}{}
		<-leave
		return echoing(ctx, p, m)
	}}
	s := dial(t, serve(t, server), "127.0.0.1")
	s.write(framed("1"))
	<-entered
	s.write(strings.Repeat(framed("2"), 500)) // it lies in the kernel
	done := make(chan error, 1)
	go func() { done <- server.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool { return draining(server) == 1 }, time.Minute, time.Millisecond)
	close(leave)
	assert.Equal(t, "MSA|AA|1", s.answered())
	_, err := s.r.ReadByte()
	require.ErrorIs(t, err, io.EOF, "a reset can take away an answer that is not read yet")
	require.NoError(t, s.Close())
	require.NoError(t, <-done)
}

// busy is on how many connections a message has begun, draining how many take no other.
func busy(s *Server) int     { return count(s, (*conn).isBusy) }
func draining(s *Server) int { return count(s, (*conn).isDraining) }

func count(s *Server, is func(*conn) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if is(c) {
			n++
		}
	}
	return n
}

func TestServer_shutdownThatDoesNotWait(t *testing.T) {
	entered := make(chan struct{})
	server := &Server{Handler: func(ctx context.Context, _ Peer, _ []byte) ([][]byte, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	s := dial(t, serve(t, server), "127.0.0.1")
	s.write(framed("1"))
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, server.Shutdown(ctx), context.DeadlineExceeded)
	assert.Equal(t, "closed", s.answered())
}

func TestServer_dropped(t *testing.T) {
	dropped := make(chan int64, 1)
	s := dial(t, serve(t, &Server{Observe: Observer{Dropped: func(n int64) { dropped <- n }}}), "127.0.0.1")
	s.write("log line\n" + framed("1"))
	assert.Equal(t, "MSA|AA|1", s.answered())
	assert.Equal(t, int64(7), <-dropped)
}

func TestTLS(t *testing.T) {
	ours, theirs := securetest.NewAuthority(t), securetest.NewAuthority(t)
	files := func(a *securetest.Authority, name string, trusted *securetest.Authority) secure.Files {
		f := secure.Files{CAFile: trusted.CAFile}
		if a != nil {
			f.CertFile, f.KeyFile = a.Issue(name)
		}
		return f
	}
	server := func(f secure.Files) string {
		config, err := f.Server()
		require.NoError(t, err)
		return serve(t, &Server{TLS: config, Handler: func(_ context.Context, p Peer, m []byte) ([][]byte, error) {
			return [][]byte{fmt.Appendf(nil, "MSH|^~\\&|\rMSA|AA|%s|%s\r", controlID(m), p.Subject)}, nil
		}})
	}
	mutual := server(files(ours, "gateway", ours))
	certFile, keyFile := ours.Issue("gateway")
	open := server(secure.Files{CertFile: certFile, KeyFile: keyFile})
	tests := []struct {
		name, address string
		client        secure.Files
		old           bool
		want          string // of MSA-3; refused where empty
	}{
		{"mutual", mutual, files(ours, "ris", ours), false, "CN=ris"},
		{"client without a certificate", mutual, files(nil, "", ours), false, ""},
		{"client of another authority", mutual, files(theirs, "ris", ours), false, ""},
		{"server of another authority", mutual, files(ours, "ris", theirs), false, ""},
		{"TLS 1.1", mutual, files(ours, "ris", ours), true, ""},
		{"server alone", open, files(nil, "", ours), false, "|"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, err := tt.client.Client()
			require.NoError(t, err)
			if tt.old {
				config.MinVersion, config.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
			}
			client := &Client{Address: tt.address, Dial: (&tls.Dialer{Config: config}).DialContext, Timeout: time.Minute}
			defer client.Close()
			for i := range 3 {
				answer, err := client.Exchange(t.Context(), mllptest.Message(fmt.Sprint(i)))
				if tt.want == "" {
					require.Error(t, err)
					continue
				}
				require.NoError(t, err)
				assert.Contains(t, string(answer)+"|", fmt.Sprintf("MSA|AA|%d|%s", i, strings.Trim(tt.want, "|")))
			}
		})
	}
	t.Run("no TLS", func(t *testing.T) {
		_, err := (&Client{Address: mutual}).Exchange(t.Context(), mllptest.Message("1"))
		require.Error(t, err)
	})
}
