package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// TestGateway_killedWhileReceiving sends 150 instances (500 in a drill) to a gateway that is killed again and again,
// sends anew what was not acknowledged, as a modality does, and counts what the PACS has at the end. A job that a process ended
// with five times is not given up here: on a slow machine the kills find the same one again and again.
func TestGateway_killedWhileReceiving(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs]}]
destinations: [{name: pacs, kind: dicom, ae_title: STORESCP, address: %q}]
exam: {quiet: 15s}
jobs: {max_deliver: 100}
log: {level: warn}
`, scp.Addr))
	g.apart = true
	g.start()
	g.watched()

	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	const each = 10
	studies := installed.Scaled(15, 50)
	sent := make(chan error, 1)
	go func() { sent <- sendUntilAcknowledged(ctx, g.scp, polyps(t, 0, studies, each)) }()
	random := rand.New(rand.NewPCG(1, 2))
	wanted, kills := installed.Scaled(6, 40), 0
	for sending := true; sending || kills < wanted; {
		select {
		case err := <-sent:
			require.NoError(t, err)
			sending = false
		case <-time.After(time.Duration(100+random.IntN(900)) * time.Millisecond):
		}
		if kills < wanted {
			g.process.Kill()
			g.start()
			kills++
		}
	}
	g.waitFor("every study to be delivered", func() bool {
		var answer struct{ Total int }
		g.get("/api/v1/studies?status=done&limit=1", &answer)
		return answer.Total == studies
	})

	for uid := range scp.Files(t) {
		assert.True(t, dicom.UID(uid).Valid())
	}
	assert.Equal(t, map[string]int{
		"SC":  studies * each, // a heatmap of each instance
		"SR3": studies,
		"KO":  studies,
	}, classesOf(t, scp), "distinct derived objects in the PACS, by storescp's abbreviation of the class")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("kill -9 of the gateway, %d times, while a modality sends to it; kept are the instances, each with its heatmap, report and key images in the PACS", kills),
		Kept:  studies * each, Memory: g.watch.Memory(),
	})
}

// polyps makes instances of one sample that shows a polyp: other UIDs of the same length. Its studies are numbered
// from first.
func polyps(t *testing.T, first, studies, each int) []dicomBytes {
	t.Helper()
	original := readPart10(t, sample(t, "study1-01*")[0])
	root := strings.TrimSuffix(string(sampleStudy), ".1")
	var made []dicomBytes
	for study := first; study < first+studies; study++ {
		newRoot := fmt.Sprintf("%s%05d", root[:len(root)-5], 10000+study)
		inStudy := bytes.ReplaceAll(original.content, []byte(root), []byte(newRoot))
		for instance := range each {
			uid := fmt.Sprintf("%s.1.1.%d", newRoot, instance)
			made = append(made, dicomBytes{
				classUID: original.classUID, syntax: original.syntax, uid: dicom.UID(uid),
				content: bytes.ReplaceAll(inStudy, []byte(newRoot+".1.1.1"), []byte(uid)),
			})
		}
	}
	return made
}

type dicomBytes struct {
	classUID, uid, syntax dicom.UID
	content               []byte
}

// sendUntilAcknowledged sends every instance until its status was success, over as many associations as it takes.
func sendUntilAcknowledged(ctx context.Context, address string, instances []dicomBytes) error {
	client := &dicomnode.Client{AETitle: "SCOPE1"}
	contexts := dicomnode.ContextsFor(dicomnode.InstanceSyntax{SOPClassUID: instances[0].classUID, TransferSyntaxUID: instances[0].syntax})
	for next := 0; next < len(instances); {
		assoc, err := client.Associate(ctx, address, "ENDOGATE", contexts)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond) // the gateway is being killed
			continue
		}
		for next < len(instances) {
			status, err := assoc.Store(ctx, &dicomnode.StoreRequest{
				SOPClassUID: instances[next].classUID, SOPInstanceUID: instances[next].uid,
				TransferSyntax: instances[next].syntax, Dataset: bytes.NewReader(instances[next].content),
			})
			if err != nil || status != dimse.Success {
				break
			}
			next++
		}
		_ = assoc.Abort() // it may be gone already
	}
	return nil
}
