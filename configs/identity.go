package configs

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Identity is what a peer has to say of itself beside title, address and certificate (PS3.7 D.3.3.7).
type Identity struct {
	Policy string         `koanf:"policy"` // required; optional: what is said has to be right; none or empty: it is not looked at
	Users  []IdentityUser `koanf:"users"`
	JWT    JWT            `koanf:"jwt"`
}

// IdentityUser is a name that a peer may give; without passcode the name is all that it has to know.
type IdentityUser struct {
	Name         string `koanf:"name"`
	PasscodeHash string `koanf:"passcode_hash"` // Argon2id, as endogate user hash prints it
	PasscodeFile string `koanf:"passcode_file"` // or a file that holds the passcode, or its hash
}

// JWT says which JSON Web Tokens are taken; no issuer: none.
type JWT struct {
	Issuer     string   `koanf:"issuer"`
	Audience   string   `koanf:"audience"`   // the token has to be for
	Algorithms []string `koanf:"algorithms"` // of signatures; none named: RS256 and ES256
	KeysURL    string   `koanf:"keys_url"`   // JSON Web Key Set; empty, and no file: the issuer says where
	KeysFile   string   `koanf:"keys_file"`
	CAFile     string   `koanf:"ca_file"`    // PEM, of issuer and keys; empty: the system's authorities
	NameClaim  string   `koanf:"name_claim"` // who it is; empty: sub
	Names      []string `koanf:"names"`      // who may come; none named: whoever has a token
}

// Presents is what the gateway says of itself to a destination of kind dicom.
type Presents struct {
	User         string `koanf:"user"`
	PasscodeFile string `koanf:"passcode_file"`
	JWTFile      string `koanf:"jwt_file"` // or a token; read at each association, as it expires
	Confirm      bool   `koanf:"confirm"`  // do not send where the peer does not confirm it
}

// Asked says whether the policy looks at what a peer says.
func (i Identity) Asked() bool { return i.Policy == "required" || i.Policy == "optional" }

// algorithms of signatures whose key only the issuer has (RFC 7518 3.1, RFC 8037).
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (i Identity) validate(v *faults, key string) {
	v.oneOf(key+".policy", i.Policy, "", "none", "optional", "required")
	v.check(i.Asked() || len(i.Users) == 0 && i.JWT.none(), "%s.policy: empty, and users or jwt are named; write required or optional", key)
	v.check(!i.Asked() || len(i.Users) > 0 || i.JWT.Issuer != "", "%s.users: empty, and jwt too; nobody could come in", key)
	var names []string
	for k, u := range i.Users {
		at := fmt.Sprintf("%s.users[%d]", key, k)
		v.check(u.Name != "", "%s.name: empty", at)
		v.check(!slices.Contains(names, u.Name), "%s.name: %q is there twice", at, u.Name)
		v.check(u.PasscodeHash == "" || u.PasscodeFile == "", "%s: passcode_hash and passcode_file exclude each other; leave one out", at)
		v.check(u.PasscodeHash == "" || strings.HasPrefix(u.PasscodeHash, "$argon2id$"), "%s.passcode_hash: not an Argon2id hash; print one with endogate user hash", at)
		names = append(names, u.Name)
	}
	i.JWT.validate(v, key+".jwt")
}

func (j JWT) none() bool {
	return j.Issuer+j.Audience+j.KeysURL+j.KeysFile+j.CAFile+j.NameClaim == "" && len(j.Algorithms)+len(j.Names) == 0
}

func (j JWT) validate(v *faults, key string) {
	if j.Issuer == "" {
		v.check(j.none(), "%s.issuer: empty; write what tokens have as iss", key)
		return
	}
	v.check(j.Audience != "", "%s.audience: empty; write what tokens for this gateway have as aud", key)
	for _, a := range j.Algorithms {
		v.oneOf(key+".algorithms", a, algorithms...)
	}
	v.check(j.KeysURL == "" || j.KeysFile == "", "%s: keys_url and keys_file exclude each other; leave one out", key)
	where, at := j.KeysURL, "keys_url"
	if where == "" && j.KeysFile == "" {
		where, at = j.Issuer, "issuer"
	}
	if u, err := url.Parse(where); where != "" {
		v.check(err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())),
			"%s.%s: not an https URL (http is for the loopback address alone); name it, or a file with the keys", key, at)
	}
}

// secret says whether a peer sends what others must not read on the way.
func (i Identity) secret() bool {
	return i.Asked() && (i.JWT.Issuer != "" || slices.ContainsFunc(i.Users, func(u IdentityUser) bool { return u.PasscodeHash+u.PasscodeFile != "" }))
}

// local says whether a peer is on this machine alone.
func (p Peer) local() bool {
	return !slices.ContainsFunc(p.Hosts, func(h Host) bool { return !h.Addr().Unmap().IsLoopback() })
}

func (p Presents) validate(v *faults, key string, d Destination) {
	if p == (Presents{}) {
		return
	}
	v.check((p.User == "") != (p.JWTFile == ""), "%s: write user, perhaps with passcode_file, or jwt_file", key)
	v.check(p.PasscodeFile == "" || p.User != "", "%s.user: empty; the passcode is somebody's", key)
	host, _, _ := net.SplitHostPort(d.Address)
	v.check(p.PasscodeFile+p.JWTFile == "" || d.TLS.On || loopback(host), "%s: passcode and token would be readable on the way; write tls: {on: true}", key)
}
