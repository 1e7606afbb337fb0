package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
	"endogate/inference"
	"endogate/inference/jobs"
)

// cluster is two gateways without workers, and workers without a gateway, on a cluster of three brokers.
type cluster struct {
	t        *testing.T
	brokers  *peers.NATSCluster
	gateways []*testGateway
	pacs     []*peers.StoreSCP // of each gateway
	sent     []int             // instances to each gateway
	before   []int             // of them that were sent before the last ones
	studies  int
	sending  []chan error
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, brokers: peers.StartNATSCluster(t, 3), sent: make([]int, 2), before: make([]int, 2)}
	for range 2 {
		scp := peers.StartStoreSCP(t)
		// What a route wants is done elsewhere as well.
		g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ", heatmaps: [{method: guided-gradcam}]")+
			fmt.Sprintf("nats: {url: %q, replicas: 3}\njobs: {workers: 0, ack_wait: 2s, max_deliver: 20}\n", c.brokers.URL()))
		g.apart = true
		c.gateways, c.pacs = append(c.gateways, g), append(c.pacs, scp)
	}
	return c
}

// work starts a worker alone that reaches the brokers at url and has a model bundle.
func (c *cluster) work(url, bundle string) *peers.Process {
	c.t.Helper()
	config := filepath.Join(c.t.TempDir(), "worker.yaml")
	text := fmt.Sprintf("nats: {url: %q}\nmodels: [{dir: %q}]\njobs: {workers: 1}\n", url, bundle)
	require.NoError(c.t, os.WriteFile(config, []byte(text), 0o600))
	p := peers.Start(c.t, exec.Command(shipped.path(c.t), "work", "--config", config))
	peers.Wait(c.t, time.Minute, "a worker to be up", func() bool {
		require.False(c.t, p.Exited(), "the worker ended: %s", p.Log())
		return strings.Contains(p.Log(), "worker is up")
	})
	return p
}

// send sends studies of so many instances to each gateway, however often it is killed meanwhile.
func (c *cluster) send(ctx context.Context, studies, each int) {
	c.t.Helper()
	for i, g := range c.gateways {
		instances, done := polyps(c.t, c.studies, studies, each), make(chan error, 1)
		go func() { done <- sendUntilAcknowledged(ctx, g.scp, instances) }()
		c.sending = append(c.sending, done)
		c.studies += studies
		c.before[i] = c.sent[i]
		c.sent[i] += studies * each
	}
}

// progress waits until each gateway has results of what was sent last.
func (c *cluster) progress() {
	c.t.Helper()
	for i, g := range c.gateways {
		g.waitFor("work to go on", func() bool { done, _ := g.analysed(); return done > c.before[i] })
	}
}

// Whoever is killed or cut off, and whenever: nothing is lost, nothing is twice in a PACS, and no word of whose the
// pictures are is ever on a broker.
func TestGateway_workersOnACluster(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c := newCluster(t)
	demo := filepath.Join(peers.Root(t), "testdata/models/demo")
	stranger := c.work(c.brokers.URL(), otherVersion(t, demo))
	for _, g := range c.gateways {
		g.start()
		g.watched()
	}
	studies, each := installed.Scaled(1, 5), installed.Scaled(4, 10)
	c.send(ctx, studies, each)
	g := c.gateways[0]
	g.waitFor("jobs to wait for somebody who has the model", func() bool {
		done, received := g.analysed()
		return received == studies*each && done == 0
	})
	_, ready := g.ready()
	var said string
	for _, check := range ready.Checks {
		if check.Name == "a worker for every model" {
			said = check.Reason
		}
	}
	assert.Equal(t, "no worker has model demo-colon version 1.0.0", said)

	killed := c.work(c.brokers.URL(), demo)
	c.work(c.brokers.URL(), demo)
	network := peers.StartNetwork(t, c.brokers.Addr(1))
	c.work("nats://"+network.Addr, demo)
	c.progress()
	secrets := secretsOf(t)
	for _, fault := range []func() (repair func()){
		func() func() { killed.Kill(); return func() { c.work(c.brokers.URL(), demo) } },
		func() func() { c.gateways[1].process.Kill(); return c.gateways[1].start },
		func() func() { c.brokers.Kill(0); return func() { c.brokers.Start(0) } },
		func() func() { network.Cut(); return network.Heal },
	} {
		c.send(ctx, studies, each)
		g.waitFor("new work", func() bool { _, received := g.analysed(); return received > c.before[0] })
		repair := fault()
		requireNowhere(t, c.brokers.Dirs, secrets)
		time.Sleep(3 * time.Second) // longer than a silent worker is waited for
		repair()
		c.progress()
	}
	for _, done := range c.sending {
		require.NoError(t, <-done)
	}
	for i, g := range c.gateways {
		g.waitFor("all to be analysed", func() bool { done, received := g.analysed(); return done == received && received == c.sent[i] })
		g.waitDelivered(c.studies / 2)
		assertEachOnce(t, g, c.pacs[i], c.sent[i])
		assert.Empty(t, g.parked())
	}
	requireNowhere(t, c.brokers.Dirs, secrets)
	assert.NotContains(t, stranger.Log(), "job=", "a worker with another version has nothing to do")
	installed.Tried(t, installed.Drill{
		Tried: "two gateways and three workers on a broker of three nodes; kill -9 of a worker, a gateway and a node, and a network cut, one after the other",
		Kept:  c.sent[0] + c.sent[1], Memory: g.watch.Memory(),
	})
}

// otherVersion is a model bundle that differs from another by its version alone.
func otherVersion(t *testing.T, bundle string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "other")
	require.NoError(t, os.CopyFS(dir, os.DirFS(bundle)))
	manifest, err := os.ReadFile(filepath.Join(dir, "model.yaml"))
	require.NoError(t, err)
	changed := bytes.Replace(manifest, []byte("version: 1.0.0"), []byte("version: 2.0.0"), 1)
	require.NotEqual(t, manifest, changed)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.yaml"), changed, 0o600))
	return dir
}

// secretsOf are what instances of polyps say of whose they are.
func secretsOf(t *testing.T) (secrets []string) {
	t.Helper()
	instance := polyps(t, 0, 1, 1)[0]
	ts, _ := dicom.LookupTransferSyntax(instance.syntax)
	a, err := dicom.ReadAttributes(bytes.NewReader(instance.content), ts)
	require.NoError(t, err)
	for _, tag := range []dicom.Tag{dicom.PatientName, dicom.PatientID, dicom.AccessionNumber} {
		text := a.Text(tag)
		require.NotEmpty(t, text, "%v", tag)
		secrets = append(secrets, text)
	}
	uid := string(instance.uid)
	return append(secrets, uid[:15]) // the root of all their UIDs
}

// requireNowhere holds that none of the texts stands in a file below the folders.
func requireNowhere(t *testing.T, dirs, texts []string) {
	t.Helper()
	require.NoError(t, holdsNowhere(dirs, texts))
}

func holdsNowhere(dirs, texts []string) error {
	files := 0
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return nil // gone in the meantime
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			files++
			for _, text := range texts {
				if bytes.Contains(content, []byte(text)) {
					return fmt.Errorf("%s is in %s", text, path)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if files == 0 {
		return errors.New("there are no files to look at")
	}
	return nil
}

// Wherever a camera puts words into its pictures, none of them is given to a broker: neither while a worker is at them nor
// thereafter.
func TestGateway_wordsAmongPixels(t *testing.T) {
	t.Parallel()
	bundle, err := inference.LoadBundle(filepath.Join(peers.Root(t), "testdata/models/demo"))
	require.NoError(t, err)
	t.Run("extract", func(t *testing.T) { wordsAmongPixels(t, bundle, "", 5, 2) })
	t.Run("prepared", func(t *testing.T) { wordsAmongPixels(t, bundle, bundle.Preparation(), 6, 0) }) // one is no JPEG to who decodes it
}

// wordsAmongPixels has seven frames with words offered to a worker that takes them prepared so: some are given to it, some stay.
func wordsAmongPixels(t *testing.T, bundle *inference.Bundle, prepares string, give, stay int) {
	const secret = "Yamada seen by Dr. Who"
	said := func(marker byte) string { return string([]byte{0xFF, marker, 0, byte(2 + len(secret))}) + secret }
	var plain bytes.Buffer
	require.NoError(t, jpeg.Encode(&plain, dicomtest.Picture(64, 48, 1), nil))
	stream := plain.String()
	begin, body, end := stream[:2], stream[2:len(stream)-2], stream[len(stream)-2:]
	var instances []dicomBytes
	for i, frame := range []string{
		begin + said(0xFE) + said(0xE1) + body + end,
		begin + body + said(0xFE) + end,
		stream + secret,
		stream + begin + said(0xE1) + body + end,
		begin + "\xff" + said(0xED) + "\xff\xff" + body + end,
		"\xff" + stream + secret, // words cannot be told from pixels here, and in the next
		begin + body + secret + secret,
	} {
		instances = append(instances, drawn(dicomtest.Options{
			TransferSyntax: dicom.JPEGBaseline8Bit, Instance: i + 1, JPEG: [][]byte{append([]byte(frame), make([]byte, len(frame)%2)...)},
		}))
	}

	brokers := peers.StartNATSCluster(t, 1)
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, "")+fmt.Sprintf("nats: {url: %q}\njobs: {workers: 0}\n", brokers.URL()))
	g.launch()
	models := []jobs.Model{{Name: bundle.Name, Version: bundle.Version, Digest: bundle.Digest}}
	queue, err := jobs.Open(jobs.Options{URL: brokers.URL(), Guest: true, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer queue.Close()
	given := make(chan string, len(instances))
	ctx, stop := context.WithCancel(t.Context())
	worked := make(chan error, 1)
	go func() {
		worked <- queue.Work(ctx, jobs.Consumer{Models: models, Slots: 1, Prepares: func(jobs.Job) string { return prepares }, Remote: func(_ context.Context, _ jobs.Job, header []byte, input io.Reader, _ jobs.Keep, _ io.Writer) error {
			pixels, err := io.ReadAll(input)
			if err != nil {
				return err
			}
			assert.NoError(t, holdsNowhere(brokers.Dirs, []string{secret}))
			given <- string(header) + string(pixels)
			return inference.Permanent(errors.New("this worker only looks"))
		}})
	}()
	storeAll(t, g.scp, instances...)
	g.waitFor("all to be given up or kept", func() bool {
		skipped, study := 0, onlyStudy(g)
		if study == nil { // the ledger is behind
			return false
		}
		for _, i := range study.Instances {
			for _, a := range i.Analyses {
				if a.State == ledger.JobSkipped {
					assert.Contains(t, a.Reason, "words cannot be told from pixels")
					skipped++
				}
			}
		}
		return len(g.parked()) == len(instances)-stay && skipped == stay
	})
	stop()
	require.NoError(t, <-worked)
	require.Len(t, given, give)
	for range len(given) {
		sent := <-given
		assert.NotContains(t, sent, secret)
		assert.Equal(t, prepares != "", strings.Contains(sent, `"prepared"`))
	}
	requireNowhere(t, brokers.Dirs, []string{secret})
}
