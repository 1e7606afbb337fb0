package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/hl7"
	"endogate/hl7/mllp"
	"endogate/hl7/mllp/mllptest"
)

// order is a new one, known by its number.
func order(n int) []byte {
	return []byte(strings.ReplaceAll(strings.ReplaceAll(`MSH|^~\&|RIS|HOSP|ENDOGATE|ENDO|20260102101500||ORM^O01^ORM_O01|m%|P|2.5.1||||||UNICODE UTF-8
PID|1||P%^^^HOSP^MR||Grønvold^Åse||19600101|F
ORC|NW|PL%|FI%||SC
OBR|1|PL%|FI%|73761001^Colonoscopy^SCT||||||||||||||A%|RP%|SP%||||ES
ZDS|1.2.826.0.1.3680043.10.999.%.3^^Application^DICOM
`, "%", fmt.Sprint(100_000+n)), "\n", "\r"))
}

// killRepeatedly kills the gateway and starts it again, until done and at least so many times.
func (g *testGateway) killRepeatedly(least int, done <-chan error) {
	g.t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	for kills, ended := 0, false; !ended || kills < least; {
		select {
		case err := <-done:
			require.NoError(g.t, err)
			ended, done = true, nil
		case <-time.After(time.Duration(50+random.IntN(400)) * time.Millisecond):
		}
		if kills < least {
			g.process.Kill()
			g.start()
			kills++
		}
	}
}

// A gateway is killed again and again while orders come. Each is sent until it is acknowledged, under the same control
// ID, and some once more, because the answer was lost: what was acknowledged is there, and once.
func TestGateway_killedBetweenReceiptAndAcknowledgement(t *testing.T) {
	t.Parallel()
	listen := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g := newGateway(t, routeTo("PACS", "127.0.0.1:1", "")+fmt.Sprintf(`hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}
log: {level: warn}
`, listen))
	g.apart = true
	g.start()
	g.watched()
	const senders = 4
	each := installed.Scaled(100, 1500)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	sent := make(chan error, 1)
	go func() {
		errs := make([]error, senders)
		var all sync.WaitGroup
		for i := range senders {
			all.Go(func() { errs[i] = sendOrders(ctx, listen, i*each, each) })
		}
		all.Wait()
		sent <- errors.Join(errs...)
	}()
	g.killRepeatedly(installed.Scaled(6, 30), sent)

	accessions := map[string]int{}
	for offset := 0; ; {
		var answer struct {
			Orders []struct{ Accession string }
			Total  int
		}
		g.get(fmt.Sprintf("/api/v1/orders?limit=500&offset=%d", offset), &answer)
		for _, o := range answer.Orders {
			accessions[o.Accession]++
		}
		if offset += len(answer.Orders); len(answer.Orders) == 0 || offset >= answer.Total {
			break
		}
	}
	for n := range senders * each {
		assert.Equal(t, 1, accessions[fmt.Sprintf("A%d", 100_000+n)], "order %d", n)
	}
	assert.Equal(t, senders*each, len(accessions), "orders")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("kill -9 of the gateway, %d times, while orders come by HL7, every tenth of them twice", installed.Scaled(6, 30)), Kept: senders * each, Memory: g.watch.Memory(),
	})
}

// sendOrders sends each order until it was acknowledged, and every tenth once more.
func sendOrders(ctx context.Context, address string, first, n int) error {
	client := &mllp.Client{Address: address, Timeout: 10 * time.Second}
	defer client.Close()
	for i := first; i < first+n; i++ {
		message := order(i)
		for again := i % 10 / 9; again >= 0; {
			answer, err := client.Exchange(ctx, message)
			if ctx.Err() != nil {
				return fmt.Errorf("order %d: %w", i, ctx.Err())
			}
			if err != nil {
				time.Sleep(20 * time.Millisecond) // the gateway is being killed
				continue
			}
			ack, err := hl7.Parse(answer, hl7.Options{})
			if err != nil {
				return err
			}
			if verdict, reason := hl7.Judge(ack.Get("MSA-2"), ack); verdict != hl7.Done {
				return fmt.Errorf("order %d: %s", i, reason)
			}
			again--
		}
	}
	return nil
}

// A gateway is killed again and again while it sends messages: each is acknowledged in the end, what comes twice has the
// same control ID and the same bytes, and when all is delivered nothing comes any more.
func TestGateway_killedBetweenDeliveryAndAcknowledgement(t *testing.T) {
	t.Parallel()
	ris := mllptest.Start(t, func(c *mllptest.Conversation) {
		time.Sleep(5 * time.Millisecond) // it is killed while it waits for the answer
		mllptest.AA(c)
	})
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [], forward_source: true, destinations: [pacs]}]
destinations:
  - {name: pacs, kind: dicom, ae_title: PACS, address: "127.0.0.1:1"}
  - {name: ris, kind: hl7, address: %q}
log: {level: warn}
`, ris.Addr))
	g.apart = true
	g.start()
	g.watched()
	image := drawn(dicomtest.Options{})
	storeAll(t, g.scp, image)
	g.waitFor("the study to be in the ledger", func() bool { return len(g.studies()) == 1 })
	study := g.studies()[0].StudyInstanceUID
	g.process.Stop()
	n := installed.Scaled(300, 3000)
	g.outgoing(study, "ris", 1, 0, n)
	g.start()
	done := make(chan error, 1)
	go func() {
		for deadline := time.Now().Add(4 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if distinct(ris.Got()) == n {
				done <- nil
				return
			}
		}
		done <- fmt.Errorf("%d of %d messages came", distinct(ris.Got()), n)
	}()
	g.killRepeatedly(installed.Scaled(6, 30), done)
	g.waitFor("nothing to be left for the receiver", func() bool { return g.destination("ris").Counts.Pending == 0 })
	came := len(ris.Got())
	t.Logf("%d of %d messages came twice", came-n, n)
	g.process.Stop()
	g.outgoing(study, "ris", 2, n, 1)
	g.start()
	g.waitFor("one message more", func() bool {
		times, err := ris.Times(controlID(n))
		return err == nil && times == 1 && g.destination("ris").Counts.Pending == 0
	})
	assert.Equal(t, came+1, len(ris.Got()), "what is acknowledged is not sent again, after a restart either")
	for i := range n {
		times, err := ris.Times(controlID(i))
		require.NoError(t, err)
		assert.Positive(t, times)
	}
	assert.LessOrEqual(t, came, n+installed.Scaled(6, 30), "a kill repeats one message at most: the one that was not acknowledged, or whose acknowledgement was not yet durable")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("kill -9 of the gateway, %d times, while it sends HL7 messages; twice are those whose acknowledgement a kill took, under the same control ID", installed.Scaled(6, 30)),
		Kept:  n, Twice: came - n, Memory: g.watch.Memory(),
	})
}

func controlID(i int) string { return fmt.Sprintf("oru%06d", i) }

func distinct(messages [][]byte) int {
	ids := map[string]bool{}
	for _, m := range messages {
		ids[mllptest.ControlID(m)] = true
	}
	return len(ids)
}

// outgoing puts n messages to a destination into the stores of a gateway that is stopped, as a version of a draft does.
func (g *testGateway) outgoing(study dicom.UID, destination string, version, first, n int) {
	g.t.Helper()
	data := filepath.Join(g.dir, "data")
	kept, err := spool.Open(filepath.Join(data, "spool"), spool.Options{})
	require.NoError(g.t, err)
	defer kept.Close()
	l, err := ledger.Open(filepath.Join(data, "ledger.db"))
	require.NoError(g.t, err)
	defer l.Close()
	var out []ledger.Outgoing
	for i := first; i < first+n; i++ {
		e, err := kept.Append(spool.Entry{Kind: spool.Message, MediaType: "x-application/hl7-v2+er7", At: time.Now()}, mllptest.Message(controlID(i)))
		require.NoError(g.t, err)
		out = append(out, ledger.Outgoing{Kind: ledger.KindHL7, Entry: e.ID, Digest: e.Digest, Purpose: "oru", Destination: destination})
	}
	require.NoError(g.t, l.PutDraft(g.t.Context(), ledger.Draft{
		Study: study, Number: 1, Version: version, Event: ledger.DraftDrafted, Standing: "draft", System: true, At: time.Now(), Document: []byte("{}"),
	}, nil, out))
}
