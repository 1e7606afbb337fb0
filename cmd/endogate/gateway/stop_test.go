package gateway_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
)

// When the gateway is asked to stop, both edges take no more at once, whatever the other still does: a page's question that
// hangs is given up, and an instance under way is taken over.
func TestGateway_edgesStopTogether(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // a PACS that is connected to and says nothing
	require.NoError(t, err)
	defer mute.Close()
	asked := make(chan net.Conn, 1)
	go func() {
		if conn, err := mute.Accept(); err == nil {
			asked <- conn
		}
	}()
	g := newGateway(t, routeTo("MUTE", mute.Addr().String(), ", forward_source: true")+"drain: 40s\n")
	g.replace("models: [", "# models: [")
	g.replace("models: [demo], ", "")
	g.start()
	here := g.running.(*inProcess)

	answered := make(chan error, 1)
	go func() {
		request, err := http.NewRequest(http.MethodPost, "http://"+g.web+"/api/v1/destinations/pacs/echo", nil)
		if err == nil {
			request.Header.Set(admin.ActionHeader, "test")
			var response *http.Response
			if response, err = http.DefaultClient.Do(request); err == nil {
				response.Body.Close()
			}
		}
		answered <- err
	}()
	conn := <-asked // the request hangs from here on
	defer conn.Close()

	instance := drawn(dicomtest.Options{Rows: 400, Columns: 400})
	assoc := associateAs(t, "SCOPE1", g.scp, instance)
	half := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	request := instance.request()
	middle := len(instance.content) / 2
	request.Dataset = io.MultiReader(bytes.NewReader(instance.content[:middle]), half, bytes.NewReader(instance.content[middle:]))
	var status dimse.Status
	stored := make(chan error, 1)
	go func() {
		var err error
		status, err = assoc.Store(context.Background(), request)
		stored <- err
	}()
	<-half.reached

	began := time.Now()
	here.stop()
	g.waitFor("both edges to take no more", func() bool { return !answers(g.scp) && !answers(g.web) })
	assert.Less(t, time.Since(began), 10*time.Second)
	<-answered
	assert.Less(t, time.Since(began), 10*time.Second, "the page's question was not given up")
	require.False(t, g.Exited(), "an instance is under way")
	close(half.open)
	require.NoError(t, <-stored)
	assert.Equal(t, dimse.Success, status)
	g.waitFor("the gateway to stop", g.Exited)
	assert.Less(t, time.Since(began), 20*time.Second, "it did not wait for the end of drain")
}

// A stop that was asked for while the gateway starts is no failure, wherever the start has come to.
func TestGateway_stoppedWhileStarting(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "")
	cfg, err := configs.Load(g.config)
	require.NoError(t, err)
	for _, at := range []string{"", "spool is open", "gateway is up"} {
		ctx, stop := context.WithCancel(t.Context())
		if at == "" {
			stop()
		}
		log := &syncBuffer{}
		handler := slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.MessageKey && a.Value.String() == at {
				stop()
			}
			return a
		}})
		require.NoError(t, gateway.Run(ctx, cfg, gateway.Build{Version: "test", Config: g.config}, slog.New(handler)), at)
		require.Contains(t, log.String(), "gateway has stopped", at)
		require.Error(t, ctx.Err(), log.String())
	}
}

// Whoever reads the log may end: the gateway goes on, and says that lines are lost. By SIGHUP it reads its configuration again, and the
// association that stands goes on; asked to stop, it does in order.
func TestGateway_logGone(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "log: {level: debug}\n")
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer write.Close()
	cmd := exec.Command(shipped.path(t), "serve", "--config", g.config)
	cmd.Stdout, cmd.Stderr = write, write
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, read) // until read is closed
	}()
	ready := func() (reason string, ok bool) {
		response, err := http.Get("http://" + g.web + "/readyz")
		if err != nil {
			return err.Error(), false
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return response.Status, false
		}
		_, answer := g.ready()
		for _, c := range answer.Checks {
			if c.Name == "log can be written" {
				return c.Reason, c.OK
			}
		}
		return "no such check", false
	}
	g.waitFor("the gateway to be ready", func() bool { _, ok := ready(); return ok })
	require.NoError(t, read.Close())
	<-drained
	instance := drawn(dicomtest.Options{})
	storeAll(t, g.scp, instance)
	g.waitFor("the lack to be told", func() bool {
		reason, ok := ready()
		return !ok && strings.Contains(reason, "broken pipe")
	})
	study := g.studyOf(instance) // waited for
	assert.Equal(t, study, dicom.UID(g.studies()[0].StudyInstanceUID))

	assoc := associateAs(t, "SCOPE1", g.scp, instance)
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	g.waitFor("the reload", func() bool { c := g.configuration(); return c.Reloaded != nil && c.Reloaded.OK })
	status, err := assoc.Store(t.Context(), instance.request())
	require.NoError(t, err)
	require.Equal(t, dimse.Success, status)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-ended, "it stops in order")
}
