package dicomnode_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// from returns a client's Dial that comes from the address.
func from(address string) func(context.Context, string, string) (net.Conn, error) {
	return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext
}

func dialFrom(t *testing.T, address, to string) *dicomtest.Peer {
	t.Helper()
	nc, err := from(address)(t.Context(), "tcp", to)
	require.NoError(t, err)
	return dicomtest.NewPeer(t, nc)
}

// Silent connections of strangers, and of one listed host, leave room for the others.
func TestServe_silentConnectionsLeaveRoom(t *testing.T) {
	s := newServer(new(storing))
	s.MaxAssociations = 4
	s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/31")}}}
	var refused atomic.Int64
	s.Observe.Rejected = func(*dicomnode.RejectError) { refused.Add(1) }
	addr := serve(t, s)
	for range 60 {
		dialFrom(t, "127.0.0.66", addr)
	}
	for range 30 { // of 24 for listed hosts one may hold 18
		dialFrom(t, "127.0.0.3", addr)
	}
	eventually(t, func() bool { return refused.Load() == 60-8+30-18 }, "the crowd is not bounded")
	client := &dicomnode.Client{AETitle: "SCOPE1", Dial: from("127.0.0.2")}
	for range 4 {
		a, err := client.Associate(t.Context(), addr, "ENDOGATE", dicomnode.VerificationContexts())
		require.NoError(t, err)
		status, err := a.Echo(t.Context())
		require.NoError(t, err)
		require.Equal(t, dimse.Success, status)
		defer a.Abort()
	}
}

// A connection that has associated takes no place of those that have not yet.
func TestServe_associationsAreNotOfTheCrowd(t *testing.T) {
	s := newServer(new(storing))
	s.MaxAssociations, s.MaxPerPeer = 40, 40
	addr := serve(t, s)
	for range 40 { // more than one host may have waiting
		a := associate(t, addr, dicomnode.VerificationContexts())
		defer a.Abort()
	}
}

// Whoever has many associations leaves a place for each listed title that has none.
func TestServe_aPlaceForEveryTitle(t *testing.T) {
	s := newServer(new(storing))
	s.MaxAssociations, s.MaxPerPeer = 6, 6
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: here}, {AETitle: "SCOPE2", Hosts: here}, {AETitle: "SCOPE3", Hosts: here}, {AETitle: "*", Hosts: here}}
	addr := serve(t, s)
	for _, row := range []struct {
		title dicom.AETitle
		may   bool
	}{
		{"SCOPE1", true},
		{"SCOPE1", true},
		{"ANY", true},
		{"SCOPE1", true},
		{"SCOPE1", false},
		{"ANY", false},
		{"SCOPE2", true},
		{"SCOPE2", false},
		{"SCOPE3", true},
		{"SCOPE3", false},
	} {
		a, err := (&dicomnode.Client{AETitle: row.title}).Associate(t.Context(), addr, "ENDOGATE", dicomnode.VerificationContexts())
		if !row.may {
			var reject *dicomnode.RejectError
			require.ErrorAs(t, err, &reject, row.title)
			require.Equal(t, pdu.LocalLimitExceeded, reject.Reason)
			continue
		}
		require.NoError(t, err, row.title)
		defer a.Abort()
	}
}

// A peer that never speaks, over TLS and beyond every bound, holds up nobody but itself.
func TestServe_silentTLSPeers(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := newServer(new(storing))
	s.MaxAssociations, s.ARTIM = 2, time.Minute
	room, turnedAway := s.MaxAssociations/2+16, 32
	stopped := make(chan error, 1)
	go func() { stopped <- s.Serve(tls.NewListener(inner, &tls.Config{Certificates: web.TLS.Certificates})) }()
	var silent []net.Conn
	for range room + turnedAway + 20 {
		nc, err := net.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		defer nc.Close()
		silent = append(silent, nc)
	}
	_, err = silent[len(silent)-1].Read(make([]byte, 1))
	require.Error(t, err, "more than can be turned away in order are just closed")
	for _, nc := range silent[:room] {
		require.NoError(t, nc.Close())
	}
	client := &dicomnode.Client{
		AETitle: "SCOPE1",
		Dial:    (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext, //nolint:gosec // the certificate is not what is tested
	}
	eventually(t, func() bool {
		a, err := client.Associate(t.Context(), inner.Addr().String(), "ENDOGATE", dicomnode.VerificationContexts())
		return err == nil && a.Release(t.Context()) == nil
	}, "the listener is held up")

	last, err := net.Dial("tcp", inner.Addr().String()) // its handshake is never done
	require.NoError(t, err)
	defer last.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_ = s.Shutdown(ctx) // an error only if it had to cut
	require.Less(t, time.Since(began), patience/2, "a handshake under way does not hold up the end")
	require.ErrorIs(t, <-stopped, dicomnode.ErrServerClosed)
}

// A stranger is told why, and the log says what of it is listed.
func TestServe_strangersAreAnswered(t *testing.T) {
	var log syncBuffer
	s := newServer(new(storing))
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}}
	addr := serve(t, s)
	for _, row := range []struct {
		title     dicom.AETitle
		from, say string
	}{
		{"SCOPE1", "127.0.0.66", "the title is listed, but not with this address"},
		{"SCOPE2", "127.0.0.2", "the address is listed, but not with this title"},
		{"SCOPE2", "127.0.0.66", "neither title nor address is listed"},
	} {
		before := len(log.String())
		_, err := (&dicomnode.Client{AETitle: row.title, Dial: from(row.from)}).Associate(t.Context(), addr, "ENDOGATE", dicomnode.VerificationContexts())
		var reject *dicomnode.RejectError
		require.ErrorAs(t, err, &reject)
		require.Equal(t, pdu.CallingAETitleNotRecognized, reject.Reason)
		require.Contains(t, log.String()[before:], row.say)
	}
}

// Who connects a thousand times gets some lines, and then a count.
func TestServe_repeatedLinesAreThinnedOut(t *testing.T) {
	var log syncBuffer
	inBubble(t, new(storing), func(t *testing.T, s *dicomnode.Server, l *pipes) {
		s.Log = slog.New(slog.NewTextHandler(&log, nil))
		wrong := *echoRequest
		wrong.CalledAE = "SOMEONE"
		knock := func() {
			nc := pipeTo(t, l)
			answerTo(t, nc, &wrong)
			require.NoError(t, nc.Close())
			synctest.Wait()
		}
		for range 1000 {
			knock()
		}
		require.Equal(t, 20, strings.Count(log.String(), "association rejected"))
		time.Sleep(time.Minute)
		knock()
		require.Equal(t, 21, strings.Count(log.String(), "association rejected"))
		require.Contains(t, log.String(), "left_out=980")
	})
}
