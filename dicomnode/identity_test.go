package dicomnode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

const secretText = "sesame-0815"

// knows is a policy that takes anna with her passcode, the token of a program, and the name of tom alone.
func knows(required bool) *dicomnode.IdentityPolicy {
	return &dicomnode.IdentityPolicy{Required: required, Verify: func(_ context.Context, p dicomnode.Presented) (string, error) {
		switch {
		case p.Type == dicomnode.IdentityPasscode && string(p.Primary) == "anna" && string(p.Secondary) == secretText:
			return "anna", nil
		case p.Type == dicomnode.IdentityName && string(p.Primary) == "tom":
			return "tom", nil
		case p.Type == dicomnode.IdentityJWT && string(p.Primary) == secretText:
			return "program", nil
		case string(p.Primary) == "busy":
			return "", &dicomnode.IdentityError{Reason: "too many tries", Passing: true}
		case string(p.Primary) == "broken":
			return "", errors.New("disk")
		}
		return "", &dicomnode.IdentityError{Reason: "name or passcode is wrong"}
	}}
}

// refusals are those that a server tells of.
type refusals struct {
	mu  sync.Mutex
	all []dicomnode.Refusal
}

func (r *refusals) add(f dicomnode.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, f)
}

func (r *refusals) whys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, f := range r.all {
		all = append(all, f.Why)
	}
	return all
}

// userOf keeps who stored last.
type userOf struct {
	storing
	user string
}

func (u *userOf) Store(ctx context.Context, req *dicomnode.StoreRequest) error {
	u.user = req.User
	return u.storing.Store(ctx, req)
}

func TestIdentity(t *testing.T) {
	permanent := &dicomnode.RejectError{Result: pdu.RejectedPermanent, Source: pdu.RejectServiceUser, Reason: pdu.UserNoReason}
	transient := &dicomnode.RejectError{Result: pdu.RejectedTransient, Source: pdu.RejectServiceUser, Reason: pdu.UserNoReason}
	passcode := func(name, code string) *dicomnode.Identity {
		return &dicomnode.Identity{Type: dicomnode.IdentityPasscode, Primary: []byte(name), Secondary: []byte(code), Confirm: true}
	}
	for _, tt := range []struct {
		name    string
		policy  *dicomnode.IdentityPolicy
		present *dicomnode.Identity
		want    error
		user    string
		why     string
	}{
		{"right", knows(true), passcode("anna", secretText), nil, "anna", ""},
		{"right where it need not be", knows(false), passcode("anna", secretText), nil, "anna", ""},
		{"a name alone", knows(true), &dicomnode.Identity{Type: dicomnode.IdentityName, Primary: []byte("tom"), Confirm: true}, nil, "tom", ""},
		{"a token", knows(true), &dicomnode.Identity{Type: dicomnode.IdentityJWT, Primary: []byte(secretText), Confirm: true}, nil, "program", ""},
		{"none where it need not be", knows(false), nil, nil, "", ""},
		{"none", knows(true), nil, permanent, "", "no user identity is presented, and the peer is to have one"},
		{"wrong", knows(true), passcode("anna", "x"), permanent, "", "user name and passcode: name or passcode is wrong"},
		{"wrong where it need not be", knows(false), passcode("anna", "x"), permanent, "", "user name and passcode: name or passcode is wrong"},
		{"later", knows(true), passcode("busy", "x"), transient, "", "user name and passcode: too many tries"},
		{"a fault of ours", knows(true), passcode("broken", "x"), transient, "", "who it is could not be found out"},
		{"of no type", knows(true), &dicomnode.Identity{Type: 99, Primary: []byte("x")}, permanent, "", "user identity of type 99: name or passcode is wrong"},
		{"not looked at", nil, passcode("anna", "x"), dicomnode.ErrNotConfirmed, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, told := new(userOf), new(refusals)
			s := newServer(h)
			var log bytes.Buffer
			s.Log = slog.New(slog.NewJSONHandler(&log, nil))
			s.Observe.Refused = told.add
			s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: loopback, Identity: tt.policy}}
			t.Run("associate", func(t *testing.T) {
				addr := serve(t, s)
				client := &dicomnode.Client{AETitle: "SCOPE1", Identity: func() (*dicomnode.Identity, error) { return tt.present, nil }}
				ds, req := instance(dicomtest.Options{})
				a, err := client.Associate(t.Context(), addr, "ENDOGATE", contextsFor(req))
				if tt.want != nil {
					var rejected *dicomnode.RejectError
					if want, ok := tt.want.(*dicomnode.RejectError); ok {
						require.ErrorAs(t, err, &rejected)
						assert.Equal(t, want, rejected)
					} else {
						require.ErrorIs(t, err, tt.want)
					}
					return
				}
				require.NoError(t, err)
				req.Dataset = bytes.NewReader(ds)
				status, err := a.Store(t.Context(), req)
				require.NoError(t, err)
				require.Equal(t, dimse.Success, status)
				require.NoError(t, a.Release(t.Context()))
				assert.Equal(t, tt.user, h.user)
			})
			var want []string
			if tt.why != "" {
				want = []string{tt.why}
				assert.Contains(t, log.String(), tt.why)
			}
			assert.Equal(t, want, told.whys())
			assert.NotContains(t, log.String(), secretText)
		})
	}
}

func TestIdentity_printsNoSecrets(t *testing.T) {
	i := dicomnode.Identity{Type: dicomnode.IdentityPasscode, Primary: []byte("anna"), Secondary: []byte(secretText)}
	rq := pdu.AssociateRQ{User: pdu.UserInformation{UserIdentityRQ: &pdu.UserIdentity{Type: 2, Primary: []byte("anna"), Secondary: []byte(secretText)}}}
	ac := pdu.AssociateAC{User: pdu.UserInformation{UserIdentityAC: &pdu.UserIdentityResponse{Data: []byte(secretText)}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		for _, v := range []any{i, &i, dicomnode.Presented{Identity: i}, rq, &rq, rq.User, *rq.User.UserIdentityRQ, ac, *ac.User.UserIdentityAC} {
			text := fmt.Sprintf(verb, v)
			assert.NotContains(t, text, secretText)
			assert.NotContains(t, text, fmt.Sprintf("%x", secretText))
			assert.NotContains(t, text, fmt.Sprint([]byte(secretText)))
		}
	}
}

// TestInterop_storescuIdentity has DCMTK say who it is in all the ways that it can.
func TestInterop_storescuIdentity(t *testing.T) {
	installed.Require(t, "storescu")
	told := new(refusals)
	s := newServer(new(storing))
	s.Observe.Refused = told.add
	s.Peers = []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: loopback, Identity: knows(true)}}
	host, port, err := net.SplitHostPort(serve(t, s))
	require.NoError(t, err)
	dir := t.TempDir()
	ds, req := instance(dicomtest.Options{})
	file := filepath.Join(dir, "instance.dcm")
	writePart10(t, file, ds, req)
	holds := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	for _, tt := range []struct {
		options []string
		good    bool
		why     string
	}{
		{[]string{"-usr", "anna", "-pwd", secretText, "-rsp"}, true, ""},
		{[]string{"-usr", "tom", "-rsp"}, true, ""},
		{[]string{"--jwt", holds("jwt", secretText), "-rsp"}, true, ""},
		{nil, false, "no user identity"},
		{[]string{"-usr", "anna", "-pwd", "wrong"}, false, "passcode is wrong"},
		{[]string{"-usr", "anna", "-epw"}, false, "passcode is wrong"},
		{[]string{"-kt", holds("ticket", "x")}, false, "Kerberos ticket: "},
		{[]string{"--saml", holds("saml", "<x/>")}, false, "SAML assertion: "},
	} {
		t.Run(strings.Join(tt.options, " "), func(t *testing.T) {
			out, err := dcmtk(t, "storescu", append(append([]string{"-aet", "SCOPE1", "-aec", "ENDOGATE"}, tt.options...), host, port, file)...)
			assert.Equal(t, tt.good, err == nil, "%s", out)
			if !tt.good {
				assert.Contains(t, out, "Rejected Permanent")
				whys := told.whys()
				assert.Contains(t, whys[len(whys)-1], tt.why)
			}
		})
	}
}
