package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"endogate/cmd/endogate/access"
	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode"
	"endogate/reports/outbox"
)

// identities find out who the nodes are that come in (PS3.7 D.3.3.7), by the configuration of each peer.
type identities struct {
	passcodes *access.Passcodes
	throttle  *access.Throttle
	now       func() time.Time
}

// CheckIdentities looks at the files that the identities of peers name, and says of how many peers one is asked.
func CheckIdentities(cfg configs.Config) (asked int, err error) {
	who := newIdentities(time.Now)
	for i, p := range cfg.DICOM.Peers {
		policy, err := who.policy(p)
		if err != nil {
			return asked, fmt.Errorf("dicom.peers[%d].identity: %w", i, err)
		}
		if policy != nil {
			asked++
		}
	}
	return asked, nil
}

func newIdentities(now func() time.Time) *identities {
	return &identities{passcodes: access.NewPasscodes(), throttle: access.NewThrottle(now), now: now}
}

// policy is what a peer has to say of itself; nil: what it says is not looked at. Files that it names are read here once, to find
// what is wrong with them, and again whenever somebody comes.
func (i *identities) policy(peer configs.Peer) (*dicomnode.IdentityPolicy, error) {
	c := peer.Identity
	if !c.Asked() {
		return nil, nil
	}
	users := map[string]configs.IdentityUser{}
	for _, u := range c.Users {
		users[u.Name] = u
		secret, err := kept(u)
		if err == nil {
			err = access.CheckPasscode(secret)
		}
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Name, err)
		}
	}
	token, err := tokens(c.JWT, i.now)
	if err != nil {
		return nil, err
	}
	return &dicomnode.IdentityPolicy{Required: c.Policy == "required", Verify: func(ctx context.Context, p dicomnode.Presented) (string, error) {
		switch {
		case p.Type == dicomnode.IdentityName || p.Type == dicomnode.IdentityPasscode:
			return i.user(ctx, users, p)
		case p.Type == dicomnode.IdentityJWT && token != nil:
			return i.token(ctx, token, p)
		}
		return "", &dicomnode.IdentityError{Reason: "it is not taken of this peer; user name, passcode or JSON Web Token are, as dicom.peers has them"}
	}}, nil
}

// user holds a name, and a passcode where it has one, against those that are listed.
func (i *identities) user(ctx context.Context, users map[string]configs.IdentityUser, p dicomnode.Presented) (string, error) {
	u, listed := users[string(p.Primary)]
	passcode, err := kept(u)
	if err != nil {
		return u.Name, err
	}
	if listed && passcode == "" && len(p.Secondary) == 0 {
		return u.Name, nil
	}
	if p.Type == dicomnode.IdentityPasscode && i.passcodes.Known(passcode, string(p.Secondary)) {
		return u.Name, nil // however many associations it makes at once
	}
	return i.tried(p, u.Name, func() (string, error) {
		match, err := i.passcodes.Match(ctx, passcode, string(p.Secondary))
		if err == nil && (!match || p.Type == dicomnode.IdentityName) {
			err = &dicomnode.IdentityError{Reason: "name or passcode is wrong"}
		}
		return u.Name, err
	})
}

// token holds a token against its issuer.
func (i *identities) token(ctx context.Context, j *admin.JWT, p dicomnode.Presented) (string, error) {
	name, err := j.Verify(ctx, string(p.Primary)) // nobody guesses a signature
	if err != nil && !errors.Is(err, admin.ErrKeys) {
		err = &dicomnode.IdentityError{Reason: err.Error()}
	}
	return name, err
}

// tried has whoever guesses wait: a title's tries of a name, from an address.
func (i *identities) tried(p dicomnode.Presented, name string, prove func() (string, error)) (string, error) {
	try := access.Try{Name: string(p.CallingAE) + " " + name, Address: p.Host}
	if i.throttle.Begin(try) > 0 {
		return name, &dicomnode.IdentityError{Reason: "too many tries; it is not looked at now", Passing: true}
	}
	user, err := prove()
	if err == nil {
		i.throttle.Hit(try)
	}
	return user, err
}

// kept is the passcode of a user, or its hash; empty: the user has none.
func kept(u configs.IdentityUser) (string, error) {
	if u.PasscodeFile == "" {
		return u.PasscodeHash, nil
	}
	return outbox.Secret(u.PasscodeFile)
}

// tokens are those that a configuration takes; nil: none.
func tokens(c configs.JWT, now func() time.Time) (*admin.JWT, error) {
	if c.Issuer == "" {
		return nil, nil
	}
	j := &admin.JWT{
		Issuer: c.Issuer, Audience: c.Audience, Algorithms: c.Algorithms, KeysFile: c.KeysFile, KeysURL: c.KeysURL,
		Claim: cmp.Or(c.NameClaim, "sub"), Names: c.Names, Now: now,
	}
	if len(j.Algorithms) == 0 {
		j.Algorithms = []string{"RS256", "ES256"}
	}
	if err := j.Check(); err != nil {
		return nil, fmt.Errorf("jwt.keys_file: %w", err)
	}
	transport, err := transportOf(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("jwt.ca_file: %w", err)
	}
	j.Client = &http.Client{Transport: transport, Timeout: 5 * time.Second}
	return j, nil
}

// presents is what the gateway says of itself to a destination; nil: nothing.
func presents(c configs.Presents) func() (*dicomnode.Identity, error) {
	return Presents(c.User, c.PasscodeFile, c.JWTFile, c.Confirm)
}

// Presents is an identity whose secret is read at each association: a user with the passcode of a file, or the token of one;
// nil where there is neither.
func Presents(user, passcodeFile, jwtFile string, confirm bool) func() (*dicomnode.Identity, error) {
	file := passcodeFile + jwtFile // one of them
	if user+file == "" {
		return nil
	}
	return func() (*dicomnode.Identity, error) {
		identity := &dicomnode.Identity{Type: dicomnode.IdentityName, Primary: []byte(user), Confirm: confirm}
		if file == "" {
			return identity, nil
		}
		secret, err := outbox.Secret(file)
		switch {
		case err != nil:
			return nil, err
		case jwtFile != "":
			identity.Type, identity.Primary = dicomnode.IdentityJWT, []byte(strings.TrimSpace(secret))
		default:
			identity.Type, identity.Secondary = dicomnode.IdentityPasscode, []byte(secret)
		}
		return identity, nil
	}
}
