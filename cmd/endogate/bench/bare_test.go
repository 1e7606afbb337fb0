//go:build bench

package bench_test

import (
	"context"
	"fmt"
	"io"
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

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/spool"
)

// asBare in the environment names a folder and a port: the test binary is then the bare receiver.
const asBare = "ENDOGATE_BENCH_AS_BARE"

const bareName = "its SCP and spool alone"

// bare starts a receiver of endogate's own SCP and spool and nothing else: what the ledger and all behind it cost
// is the difference.
func bare(t *testing.T, dir string) receiver {
	t.Helper()
	mkdir(t, dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(peers.FreePort(t))
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asBare+"="+dir+":"+port)
	process := peers.Start(t, cmd)
	addr := "127.0.0.1:" + port
	peers.Wait(t, time.Minute, "the bare receiver to listen", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return receiver{
		name: bareName, durable: true, aeTitle: "BARE", addr: addr, pid: process.PID(),
		received: func() int {
			seen, _ := strconv.Atoi(lastLine(process.Log()))
			return seen
		},
	}
}

// lastLine is the last whole line of a text.
func lastLine(text string) string {
	end := strings.LastIndexByte(text, '\n')
	if end < 0 {
		return ""
	}
	return text[strings.LastIndexByte(text[:end], '\n')+1 : end]
}

// runBare is the bare receiver. It prints how many instances it has whenever there are new ones, and runs until it is killed.
func runBare(where string) error {
	dir, port, _ := strings.Cut(where, ":")
	s, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{})
	if err != nil {
		return err
	}
	s.MakeAhead() // as the gateway's
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	go func() {
		for last := uint64(0); ; time.Sleep(50 * time.Millisecond) {
			if now := s.Last(); now != last {
				fmt.Println(now)
				last = now
			}
		}
	}()
	return (&dicomnode.Server{
		AETitle: "BARE", Contexts: dicomnode.StorageContexts(dicom.StorageSOPClasses), Handler: bareHandler{s}, MaxPerPeer: 64,
		Peers: []dicomnode.Peer{{AETitle: "*", Hosts: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
		Log:   slog.New(slog.DiscardHandler),
	}).Serve(ln)
}

type bareHandler struct{ spool *spool.Spool }

func (h bareHandler) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	w, err := h.spool.Create()
	if err != nil {
		return err
	}
	defer w.Abort() // nothing happens after Commit
	if _, err := io.Copy(w, req.Dataset); err != nil {
		return err
	}
	header := dicom.Header{SOPInstance: dicom.SOPInstance{SOPClassUID: req.SOPClassUID, SOPInstanceUID: req.SOPInstanceUID}}
	_, err = w.Commit(spool.Entry{Kind: spool.Received, Header: header, TransferSyntaxUID: req.TransferSyntax, At: time.Now()})
	return err
}
