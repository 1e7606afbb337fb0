package mllp_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/secure"
	"endogate/dicomnode/secure/securetest"
	"endogate/hl7"
	"endogate/hl7/mllp"
	"endogate/hl7/mllp/mllptest"
)

// The client sends to servers that nobody here wrote: they read what was sent, and their acknowledgements are taken.
func TestClient_otherServers(t *testing.T) {
	for name, command := range map[string]func(testing.TB, string, ...string) *exec.Cmd{"server.py": peers.PythonHL7, "server.js": peers.NodeHL7} {
		t.Run(name, func(t *testing.T) {
			port := peers.FreePort(t)
			p := peers.Start(t, command(t, name, strconv.Itoa(port)))
			client := &mllp.Client{Address: fmt.Sprintf("127.0.0.1:%d", port), Timeout: 2 * time.Minute}
			defer client.Close()
			peers.Wait(t, time.Minute, name+" to listen", func() bool { return !p.Exited() && client.Connect(t.Context()) == nil })
			large := append(mllptest.Message("large"), "OBX|1|ED|PDF||^Application^PDF^Base64^"+strings.Repeat("A", 3<<20)+"\r"...)
			for i, message := range [][]byte{mllptest.Message("0"), mllptest.Message("1"), large, mllptest.Message("3")} {
				answer, err := client.Exchange(t.Context(), message)
				require.NoError(t, err, "message %d\n%s", i, p.Log())
				ack, err := hl7.Parse(answer, hl7.Options{})
				require.NoError(t, err)
				verdict, reason := hl7.Judge(mllptest.ControlID(message), ack)
				assert.Equal(t, hl7.Done, verdict, reason)
			}
			for _, id := range []string{"0", "1", "large", "3"} {
				assert.Contains(t, p.Log(), id+" Grønvold\n")
			}
		})
	}
}

// TestInterop_tls: python3-hl7 over Python's own TLS, both ways and with certificates of both sides. Of another authority it gets
// nothing through.
func TestInterop_tls(t *testing.T) {
	authority, stranger := securetest.NewAuthority(t), securetest.NewAuthority(t)
	ours, theirs := secure.Files{CAFile: authority.CAFile}, secure.Files{CAFile: authority.CAFile}
	ours.CertFile, ours.KeyFile = authority.Issue("gateway")
	theirs.CertFile, theirs.KeyFile = authority.Issue("ris")
	another := theirs
	another.CertFile, another.KeyFile = stranger.Issue("ris")

	port := peers.FreePort(t)
	receiver := peers.Start(t, peers.PythonHL7(t, "server.py", strconv.Itoa(port), theirs.CertFile, theirs.KeyFile, theirs.CAFile))
	dialer, err := ours.Dialer()
	require.NoError(t, err)
	client := &mllp.Client{Address: fmt.Sprintf("127.0.0.1:%d", port), Dial: dialer.DialContext, Timeout: 2 * time.Minute}
	defer client.Close()
	peers.Wait(t, time.Minute, "the receiver to listen", func() bool { return !receiver.Exited() && client.Connect(t.Context()) == nil })
	answer, err := client.Exchange(t.Context(), mllptest.Message("1"))
	require.NoError(t, err, receiver.Log())
	assert.Contains(t, string(answer), "MSA|AA|1")

	config, err := ours.Server()
	require.NoError(t, err)
	heard := make(chan string, 10)
	server := &mllp.Server{
		TLS: config, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: slog.New(slog.DiscardHandler),
		Handler: func(_ context.Context, p mllp.Peer, b []byte) ([][]byte, error) {
			message, err := hl7.Parse(b, hl7.Options{})
			if err != nil {
				return nil, err
			}
			heard <- p.Subject + " " + message.Get("MSH-10")
			return [][]byte{hl7.Ack(message, hl7.AA, nil, time.Now()).Bytes()}, nil
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	defer func() {
		require.NoError(t, server.Shutdown(context.Background()))
		require.ErrorIs(t, <-served, mllp.ErrServerClosed)
	}()
	file := filepath.Join(t.TempDir(), "1")
	require.NoError(t, os.WriteFile(file, mllptest.Message("1"), 0o600))
	for _, row := range []struct {
		files secure.Files
		taken bool
	}{{theirs, true}, {another, false}} {
		kind := strings.Join([]string{"tls", row.files.CertFile, row.files.KeyFile, row.files.CAFile}, ":")
		sender := peers.Start(t, peers.PythonHL7(t, "client.py", kind, strconv.Itoa(ln.Addr().(*net.TCPAddr).Port), file))
		peers.Wait(t, time.Minute, "the sender to end", sender.Exited)
		assert.Equal(t, row.taken, sender.ExitCode() == 0, sender.Log())
		assert.Equal(t, row.taken, strings.Contains(sender.Log(), "AA|1"), sender.Log())
	}
	assert.Equal(t, "CN=ris 1", <-heard)
	assert.Empty(t, heard)
}

// The server takes messages of senders that nobody here wrote, and they take its answers.
func TestServer_otherClients(t *testing.T) {
	heard := make(chan string, 10)
	server := &mllp.Server{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Handler: func(_ context.Context, _ mllp.Peer, b []byte) ([][]byte, error) {
			message, err := hl7.Parse(b, hl7.Options{})
			if err != nil {
				return nil, err
			}
			heard <- message.Get("MSH-10") + " " + message.Get("PID-5.1")
			return [][]byte{hl7.Ack(message, hl7.AA, nil, time.Now()).Bytes()}, nil
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	defer func() {
		require.NoError(t, server.Shutdown(context.Background()))
		require.ErrorIs(t, <-served, mllp.ErrServerClosed)
	}()
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	var files []string
	for i := range 3 {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i))
		require.NoError(t, os.WriteFile(path, mllptest.Message(fmt.Sprint(i)), 0o600))
		files = append(files, path)
	}
	for name, cmd := range map[string]*exec.Cmd{
		"python, blocking": peers.PythonHL7(t, "client.py", append([]string{"blocking", port}, files...)...),
		"python, stream":   peers.PythonHL7(t, "client.py", append([]string{"stream", port}, files...)...),
		"node":             peers.NodeHL7(t, "client.js", append([]string{port}, files...)...),
	} {
		t.Run(name, func(t *testing.T) {
			p := peers.Start(t, cmd)
			peers.Wait(t, time.Minute, name+" to end", p.Exited)
			require.Zero(t, p.ExitCode(), p.Log())
			assert.Equal(t, "AA|0\nAA|1\nAA|2\n", p.Log())
			for i := range 3 {
				assert.Equal(t, fmt.Sprintf("%d Grønvold", i), <-heard)
			}
		})
	}
}
