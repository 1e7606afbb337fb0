package mllp_test

import (
	"context"
	"fmt"
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
