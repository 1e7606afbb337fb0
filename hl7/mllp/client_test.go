package mllp

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/secure"
	"endogate/dicomnode/secure/securetest"
	"endogate/hl7/mllp/mllptest"
)

const late = 2 * time.Second // beyond the client's timeout

// Two messages are sent to each receiver. What it is that has acknowledged them is looked at by the receiver.
func TestClient_receivers(t *testing.T) {
	tests := []struct {
		mode string
		want error
		code string // of MSA-1
	}{
		{"aa", nil, "AA"},
		{"wrong-msa2", ErrWrongAnswer, ""},
		{"ae-without-text", nil, "AE"},
		{"ar-201-unsupported", nil, "AR"},
		{"ca", nil, "CA"},
		{"cr", nil, "CR"},
		{"ack-crlf", nil, "AA"},
		{"ack-no-final-cr", nil, "AA"},
		{"late", ErrNoAnswer, ""},
		{"close-after-frame", ErrBrokenOff, ""},
		{"half-ack-then-close", ErrBrokenOff, ""},
		{"ack-bytewise", nil, "AA"},
		{"two-acks", nil, "AA"},
		{"keep-alives", nil, "AA"},
		{"ack-then-lf", nil, "AA"},
		{"closes-after-each-ack", nil, "AA"},
		{"half-closes-after-ack", nil, "AA"},
		{"ack-bom", nil, "AA"},
		{"ack-spaces", nil, "AA"},
		{"nothing", ErrNoAnswer, ""},
		{"no-ack-but-a-message", ErrWrongAnswer, ""},
		{"garbage", ErrBrokenOff, ""},
	}
	require.Len(t, tests, len(mllptest.Modes(0)))
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			t.Parallel()
			r := mllptest.Start(t, mllptest.Modes(late)[tt.mode])
			client := &Client{Address: r.Addr}
			defer client.Close()
			for _, id := range []string{"1", "2", "3"} {
				client.Timeout = time.Minute
				if tt.want == ErrNoAnswer { //nolint:errorlint // of the table
					client.Timeout = late / 2
				}
				answer, err := client.Exchange(t.Context(), mllptest.Message(id))
				require.ErrorIs(t, err, tt.want)
				times, same := r.Times(id)
				require.NoError(t, same)
				if tt.want == nil {
					assert.Equal(t, tt.code, string(field(answer, "MSA", 1)))
					assert.Equal(t, id, string(acknowledges(answer)))
					assert.Equal(t, 1, times)
				} else {
					assert.Nil(t, client.nc, "what comes later is not read")
					client.Timeout = time.Minute
					answer, err := client.Exchange(t.Context(), mllptest.Message(id)) // the second receipt is answered
					require.NoError(t, err)
					assert.Equal(t, id, string(acknowledges(answer)))
					require.NoError(t, client.Close()) // on a connection that stood idle it would be tried twice
				}
			}
		})
	}
}

func TestClient_connectionIsKept(t *testing.T) {
	r := mllptest.Start(t, mllptest.AA)
	client := &Client{Address: r.Addr}
	for i := range 20 {
		_, err := client.Exchange(t.Context(), mllptest.Message(fmt.Sprint(i)))
		require.NoError(t, err)
	}
	assert.Equal(t, 1, r.Connections())
	require.NoError(t, client.Close())
	require.NoError(t, client.Close())
	_, err := client.Exchange(t.Context(), mllptest.Message("x"))
	require.NoError(t, err)
	assert.Equal(t, 2, r.Connections())
	require.NoError(t, client.Close())
}

// A receiver that closes just as it is used again has nothing against the message.
func TestClient_closedAsItIsUsedAgain(t *testing.T) {
	gone := make(chan struct{})
	r := mllptest.Start(t, func(c *mllptest.Conversation) {
		if mllptest.ControlID(c.Message) != "2" {
			mllptest.AA(c)
			return
		}
		c.Close() // the message is read, and not answered: the next receipt is
		close(gone)
	})
	client := &Client{Address: r.Addr}
	defer client.Close()
	for _, id := range []string{"1", "2"} {
		_, err := client.Exchange(t.Context(), mllptest.Message(id))
		require.NoError(t, err)
	}
	<-gone
	n, err := r.Times("2")
	require.NoError(t, err)
	assert.Equal(t, 2, n)
}

// A receiver that says on each connection again what it said, or was too late to say, on those before gets each message once.
func TestClient_answersOfBefore(t *testing.T) {
	var mu sync.Mutex
	var before []string
	r := mllptest.Start(t, func(c *mllptest.Conversation) {
		mu.Lock()
		defer mu.Unlock()
		for _, answer := range before {
			c.Write(answer)
		}
		before = append(before, c.Ack("AA"))
		if mllptest.ControlID(c.Message) != "late" {
			mllptest.AA(c)
			c.Close()
		}
	})
	client := &Client{Address: r.Addr}
	defer client.Close()
	for _, id := range []string{"1", "late", "2", "3"} {
		client.Timeout = time.Minute
		if id == "late" {
			client.Timeout = 10 * time.Millisecond
		}
		answer, err := client.Exchange(t.Context(), mllptest.Message(id))
		times, same := r.Times(id)
		require.NoError(t, same)
		if id == "late" {
			require.ErrorIs(t, err, ErrNoAnswer)
			require.Eventually(t, func() bool { times, _ = r.Times(id); return times == 1 }, time.Minute, time.Millisecond)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, id, string(acknowledges(answer)))
		assert.Equal(t, 1, times, id)
	}
}

// A receiver that ends its side after each answer, and reads on, gets each message once, in the clear and over TLS.
func TestClient_halfClosed(t *testing.T) {
	a := securetest.NewAuthority(t)
	certFile, keyFile := a.Issue("ris")
	server, err := secure.Files{CertFile: certFile, KeyFile: keyFile}.Server()
	require.NoError(t, err)
	trusting, err := secure.Files{CAFile: a.CAFile}.Client()
	require.NoError(t, err)
	for name, config := range map[string]*tls.Config{"clear": nil, "TLS": trusting} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			if config != nil {
				ln = tls.NewListener(ln, server)
			}
			ended := make(chan struct{}, 10)
			r := mllptest.StartOn(t, ln, func(c *mllptest.Conversation) {
				mllptest.AA(c)
				c.End()
				ended <- struct{}{}
			})
			client := &Client{Address: r.Addr}
			if config != nil {
				client.Dial = (&tls.Dialer{Config: config}).DialContext
			}
			defer client.Close()
			for i := range 5 {
				_, err := client.Exchange(t.Context(), mllptest.Message(fmt.Sprint(i)))
				require.NoError(t, err)
				<-ended
			}
			assert.Equal(t, 5, r.Connections())
			require.Len(t, r.Got(), 5)
		})
	}
}

func TestClient_ctx(t *testing.T) {
	r := mllptest.Start(t, func(*mllptest.Conversation) {})
	client := &Client{Address: r.Addr}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := client.Exchange(ctx, mllptest.Message("1"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Nil(t, client.nc)
}

func TestClient_notSent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	client := &Client{Address: ln.Addr().String()}
	for _, tt := range []struct {
		message string
		want    error
	}{
		{"MSH|^~\\&|A|B|C|D|||ACK|1|P\r", ErrNoConnection},
		{"MSH|^~\\&|A|B|C|D|||ACK||P\r", ErrNoControlID},
		{"PID|1", ErrNoControlID},
		{"", ErrNoControlID},
		{"MSH|^~\\&|A|B|C|D|||ACK|1|P\x1c\r", ErrFrameBytes},
	} {
		_, err := client.Exchange(t.Context(), []byte(tt.message))
		require.ErrorIs(t, err, tt.want)
	}
}

// A large message is written to a receiver that reads slowly; the time for the answer begins after it.
func TestClient_large(t *testing.T) {
	r := mllptest.Start(t, mllptest.AA)
	client := &Client{Address: r.Addr}
	defer client.Close()
	message := append(mllptest.Message("1"), bytes.Repeat([]byte("x"), 10<<20)...)
	_, err := client.Exchange(t.Context(), message)
	require.NoError(t, err)
	require.Len(t, r.Got()[0], len(message))
}

func TestField(t *testing.T) {
	for _, tt := range []struct {
		message, segment string
		n                int
		want             string
	}{
		{"MSH|^~\\&|A|B|C|D|7||ACK| 12 |P\r", "MSH", 9, "12"},
		{"MSH#*~\\!#\rMSA#AA#12#text\r", "MSA", 2, "12"},
		{"MSH|^~\\&|\r\nMSA|AA|12\r\n", "MSA", 2, "12"},
		{"MSH|^~\\&|\rMSA|AA|12", "MSA", 2, "12"},
		{"MSH|^~\\&|\rMSA|AA\r", "MSA", 2, ""},
		{"MSH|^~\\&|\rMSAX|AA|12\r", "MSA", 2, ""},
		{"MSA|AA|12\r", "MSA", 2, ""},
		{"MSH", "MSH", 9, ""},
	} {
		assert.Equal(t, tt.want, string(field([]byte(tt.message), tt.segment, tt.n)), tt.message)
	}
}
