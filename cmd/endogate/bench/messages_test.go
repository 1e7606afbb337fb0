//go:build bench

package bench_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/hl7/mllp"
	"endogate/hl7/mllp/mllptest"
)

// orm is an order as a RIS sends it; CONTROL is its number.
const orm = "MSH|^~\\&|RIS|HOSP|ENDOGATE|ENDO|20260102101500||ORM^O01^ORM_O01|mCONTROL|P|2.5.1||||||UNICODE UTF-8\r" +
	"PID|1||PCONTROL^^^HOSP^MR||Grønvold^Åse||19600101|F\rORC|NW|PLCONTROL|FICONTROL||SC\r" +
	"OBR|1|PLCONTROL|FICONTROL|73761001^Colonoscopy^SCT||||||||||||||ACONTROL|RPCONTROL|SPCONTROL||||ES\r" +
	"ZDS|1.2.826.0.1.3680043.10.999.CONTROL.3^^Application^DICOM\r"

// TestMessagesIn measures orders that are taken: by endogate, where each is in spool and ledger before it is answered, and by a
// plain server of python3-hl7, which keeps nothing, or a copy in a file.
func TestMessagesIn(t *testing.T) {
	installed.RequirePython(t, "hl7")
	dir := folder(t)
	listen := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	endogate(t, filepath.Join(dir, "endogate"), fmt.Sprintf("hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}\nlog: {level: warn}\n", listen))
	receivers := []struct{ name, address string }{
		{endogateName + ", durable", listen},
		{"python3-hl7, keeps nothing", pythonServer(t)},
		{"python3-hl7, durable", pythonServer(t, filepath.Join(dir, "messages"))},
	}
	const messages = 600
	next := 0
	rates := map[string]map[int]series{}
	connections := []int{1, 4, 16}
	eachRound(t, func(int) {
		for _, n := range connections {
			for _, r := range receivers {
				if rates[r.name] == nil {
					rates[r.name] = map[int]series{}
				}
				next += messages
				took := sendMessages(t, r.address, next, messages, n)
				rates[r.name][n] = append(rates[r.name][n], messages/took.Seconds())
			}
		}
	})
	var rows [][]string
	for _, r := range receivers {
		row := []string{r.name}
		for _, n := range connections {
			row = append(row, rates[r.name][n].String())
			if r.address == listen {
				row = append(row, "–")
			} else {
				row = append(row, rates[receivers[0].name][n].over(rates[r.name][n]).String())
			}
		}
		rows = append(rows, row)
	}
	head := []string{"receiver"}
	for _, n := range connections {
		head = append(head, fmt.Sprintf("%d connections: messages/s", n), "endogate to it")
	}
	table("Orders of 400 bytes taken, each sender waits for its answer", head, rows)
}

func pythonServer(t *testing.T, args ...string) string {
	t.Helper()
	port := peers.FreePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p := peers.Start(t, exec.Command(installed.Python, append([]string{"testdata/server.py", strconv.Itoa(port)}, args...)...))
	peers.Wait(t, time.Minute, "python3-hl7 to listen", func() bool {
		require.False(t, p.Exited(), p.Log())
		nc, err := net.Dial("tcp", address)
		if err == nil {
			_ = nc.Close()
		}
		return err == nil
	})
	return address
}

// sendMessages sends n orders, numbered from first, over so many connections.
func sendMessages(t *testing.T, address string, first, n, connections int) time.Duration {
	t.Helper()
	var all sync.WaitGroup
	errs := make([]error, connections)
	began := time.Now()
	for c := range connections {
		all.Go(func() { errs[c] = sendSome(address, first+c, first+n, connections) })
	}
	all.Wait()
	took := time.Since(began)
	require.NoError(t, errors.Join(errs...))
	return took
}

func sendSome(address string, from, to, step int) error {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer nc.Close()
	answers := bufio.NewReader(nc)
	for i := from; i < to; i += step {
		number := fmt.Sprint(1_000_000 + i)
		framed, err := mllp.Append(nil, []byte(strings.ReplaceAll(orm, "CONTROL", number)))
		if err != nil {
			return err
		}
		if _, err := nc.Write(framed); err != nil {
			return err
		}
		answer, err := answers.ReadBytes(0x1C)
		if err != nil {
			return err
		}
		if !bytes.Contains(answer, []byte("MSA|AA|m"+number)) {
			return fmt.Errorf("message %s was answered %q", number, answer)
		}
		if _, err := answers.Discard(1); err != nil {
			return err
		}
	}
	return nil
}

// TestMessagesOut measures messages that are delivered one after the other to a receiver that answers at once: by endogate,
// whose ledger knows of each that it is delivered before the next is sent, and by the plain client of python3-hl7.
func TestMessagesOut(t *testing.T) {
	installed.RequirePython(t, "hl7")
	dir := folder(t)
	const messages = 500
	var ours, plain series
	eachRound(t, func(round int) {
		ours = append(ours, messages/outOfEndogate(t, filepath.Join(dir, strconv.Itoa(round)), messages).Seconds())
		plain = append(plain, messages/outOfPython(t, messages).Seconds())
	})
	table("Messages of 200 bytes delivered, one at a time", []string{"sender", "messages/s", "endogate to it"}, [][]string{
		{endogateName + ", durable", ours.String(), "–"},
		{"python3-hl7", plain.String(), ours.over(plain).String()},
	})
}

// outOfEndogate is the time from the first message of a gateway that starts with so many to the last.
func outOfEndogate(t *testing.T, dir string, n int) time.Duration {
	t.Helper()
	times := receivedAt(t, n)
	prepared := filepath.Join(dir, "data")
	prepareMessages(t, prepared, n)
	g := endogate(t, dir, fmt.Sprintf("destinations: [{name: ris, kind: hl7, address: %q}]\nlog: {level: warn}\n", times.address))
	took := times.wait(t)
	g.process.Stop()
	return took
}

// prepareMessages makes the stores of a gateway that has messages to deliver.
func prepareMessages(t *testing.T, data string, n int) {
	t.Helper()
	mkdir(t, data)
	kept, err := spool.Open(filepath.Join(data, "spool"), spool.Options{})
	require.NoError(t, err)
	defer kept.Close()
	l, err := ledger.Open(filepath.Join(data, "ledger.db"))
	require.NoError(t, err)
	defer l.Close()
	source, err := kept.Append(spool.Entry{
		Kind: spool.Received, TransferSyntaxUID: dicom.ExplicitVRLittleEndian, At: time.Now(), Header: dicom.Header{SOPInstance: dicom.SOPInstance{
			SOPClassUID: dicom.VLEndoscopicImageStorage, SOPInstanceUID: "2.25.1.1.1", SeriesInstanceUID: "2.25.1.1", StudyInstanceUID: "2.25.1",
		}},
	}, []byte("nobody looks at it"))
	require.NoError(t, err)
	_, err = l.Receive(t.Context(), []ledger.Receipt{{
		ID: source.ID, Seq: source.Seq, Header: source.Header, TransferSyntaxUID: source.TransferSyntaxUID, At: source.At, Size: source.Size, Digest: source.Digest,
	}}, source.Seq)
	require.NoError(t, err)
	var out []ledger.Outgoing
	for i := range n {
		e, err := kept.Append(spool.Entry{Kind: spool.Message, MediaType: "x-application/hl7-v2+er7", At: time.Now()}, mllptest.Message(fmt.Sprintf("e%06d", i)))
		require.NoError(t, err)
		out = append(out, ledger.Outgoing{Kind: ledger.KindHL7, Entry: e.ID, Digest: e.Digest, Purpose: "oru", Destination: "ris"})
	}
	require.NoError(t, l.PutDraft(t.Context(), ledger.Draft{
		Study: source.Header.StudyInstanceUID, Number: 1, Version: 1, Event: ledger.DraftDrafted, Standing: "draft", System: true, At: time.Now(), Document: []byte("{}"),
	}, nil, out))
}

func outOfPython(t *testing.T, n int) time.Duration {
	t.Helper()
	times := receivedAt(t, n)
	_, port, err := net.SplitHostPort(times.address)
	require.NoError(t, err)
	cmd := exec.Command(installed.Python, "testdata/sender.py", port, strconv.Itoa(n))
	cmd.Stdin = bytes.NewReader(mllptest.Message("CONTROL"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return times.wait(t)
}

// receipts are when messages came.
type receipts struct {
	address string
	all     chan time.Duration
}

// receivedAt runs a receiver that answers at once, and measures from its first message to the n-th.
func receivedAt(t *testing.T, n int) receipts {
	t.Helper()
	r := receipts{all: make(chan time.Duration, 1)}
	var mu sync.Mutex
	var began time.Time
	got := 0
	server := &mllp.Server{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: slog.New(slog.DiscardHandler),
		Handler: func(_ context.Context, _ mllp.Peer, message []byte) ([][]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			if got++; got == 1 {
				began = time.Now()
			}
			if got == n {
				r.all <- time.Since(began)
			}
			return [][]byte{fmt.Appendf(nil, "MSH|^~\\&|RIS|H|ENDOGATE|H|20260102||ACK|a|P|2.5.1\rMSA|AA|%s\r", mllptest.ControlID(message))}, nil
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.address = ln.Addr().String()
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	})
	return r
}

func (r receipts) wait(t *testing.T) time.Duration {
	t.Helper()
	select {
	case took := <-r.all:
		return took
	case <-time.After(2 * time.Minute):
		t.Fatal("the messages did not all come")
		return 0
	}
}
