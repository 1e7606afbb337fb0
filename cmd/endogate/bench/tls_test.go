//go:build bench

package bench_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/secure"
	"endogate/dicomnode/secure/securetest"
)

// tlsAssociations are made in a run, by so many at once.
const tlsAssociations, tlsAtOnce = 200, 4

// TestTLS measures what TLS with certificates of both sides costs: associations made and released, with full handshakes and
// with sessions that are taken up again, beside storescp; and ingest of 100 KB objects, each as a part of the same in clear.
func TestTLS(t *testing.T) {
	dir, a := folder(t), securetest.NewAuthority(t)
	cert, key := a.Issue("endogate")
	secured := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	ours := endogateWith(t, filepath.Join(dir, "endogate"), fmt.Sprintf(", tls: {listen: %q, cert_file: %q, key_file: %q, ca_file: %q}", secured, cert, key, a.CAFile), ", clear_text: true", "")
	oursTLS := ours
	oursTLS.addr = secured
	theirs := storescp(t, filepath.Join(dir, "storescp"), "storescp --fork", nodelay)
	scpCert, scpKey := a.Issue("storescp")
	theirsTLS := storescp(t, filepath.Join(dir, "storescp-tls"), "storescp --fork +tls", nodelay, "+tls", scpKey, scpCert, "+cf", a.CAFile)
	clientCert, clientKey := a.Issue("bench")
	config, err := secure.Files{CertFile: clientCert, KeyFile: clientKey, CAFile: a.CAFile}.Client()
	if err != nil {
		t.Fatal(err)
	}
	var resumed atomic.Int64
	dial := func(again bool) func(context.Context, string, string) (net.Conn, error) {
		c := config.Clone()
		if again {
			c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		}
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := (&tls.Dialer{Config: c}).DialContext(ctx, network, address)
			if err == nil && nc.(*tls.Conn).ConnectionState().DidResume {
				resumed.Add(1)
			}
			return nc, err
		}
	}
	ways := []struct {
		name string
		r    receiver
		dial func(context.Context, string, string) (net.Conn, error)
	}{
		{"endogate, clear", ours, nil},
		{"endogate, full", oursTLS, dial(false)},
		{"endogate, resumed", oursTLS, dial(true)},
		{"storescp --fork, clear", theirs, nil},
		{"storescp --fork, full", theirsTLS, dial(false)},
		{"storescp --fork, resumed", theirsTLS, dial(true)},
	}
	rates, again := make([]series, len(ways)), make([]series, len(ways))
	tpl := smallTemplate(t)
	clear, overTLS := map[int]series{}, map[int]series{}
	eachRound(t, func(round int) {
		for k := range ways {
			i := (k + round) % len(ways)
			before := resumed.Load()
			rates[i] = append(rates[i], associate(t, ways[i].r, ways[i].dial))
			again[i] = append(again[i], float64(resumed.Load()-before)/tlsAssociations)
		}
		for _, n := range associations {
			oursTLS.dial = dial(false)
			first, second := ours, oursTLS
			if round%2 == 1 {
				first, second = oursTLS, ours
			}
			for _, r := range []receiver{first, second} {
				rate := measure(t, r, tpl, *small, n).perSecond()
				if r.addr == secured {
					overTLS[n] = append(overTLS[n], rate)
				} else {
					clear[n] = append(clear[n], rate)
				}
			}
		}
	})
	var rows [][]string
	for i, w := range ways {
		rows = append(rows, []string{w.name, rates[i].String(), rates[i].over(rates[i/3*3]).String(), again[i].String()})
	}
	table(fmt.Sprintf("Associations/s, made and released with %d at once, mutual TLS: median [lowest–highest]", tlsAtOnce), []string{"receiver", "associations/s", "÷ the same in clear", "sessions resumed, of 1"}, rows)
	rows = nil
	for _, n := range associations {
		rows = append(rows, []string{fmt.Sprint(n), clear[n].String(), overTLS[n].String(), overTLS[n].over(clear[n]).String()})
	}
	table("Ingest of 100 KB objects by associations, objects/s", []string{"associations", "clear", "mutual TLS", "TLS ÷ clear"}, rows)
}

// associate makes and releases associations, and returns how many a second.
func associate(t *testing.T, r receiver, dial func(context.Context, string, string) (net.Conn, error)) float64 {
	t.Helper()
	client := &dicomnode.Client{AETitle: "BENCH", Dial: dial}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, tlsAtOnce)
	began := time.Now()
	for i := range tlsAtOnce {
		wg.Go(func() {
			for next.Add(1) <= tlsAssociations && errs[i] == nil {
				a, err := client.Associate(t.Context(), r.addr, dicom.AETitle(r.aeTitle), dicomnode.VerificationContexts())
				if err == nil {
					_, err = a.Echo(t.Context()) // TLS 1.3 gives its tickets after the handshake
				}
				if err == nil {
					err = a.Release(t.Context())
				}
				errs[i] = err
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
	}
	return tlsAssociations / time.Since(began).Seconds()
}
