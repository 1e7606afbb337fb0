package configs

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConfig_secretFiles(t *testing.T) {
	cfg, err := parse([]byte(`data_dir: d
http: {tls: {cert_file: page.crt, key_file: page.key}}
auth: {oidc: {issuer: "https://login.example", client_id: e, client_secret_file: oidc.secret, redirect_url: "https://g.example/signin/callback", roles_claim: groups, roles: {viewer: [all]}}}
audit: {key_file: audit.key}
destinations:
  - {name: pacs, kind: dicom, ae_title: PACS, address: "127.0.0.1:104", tls: {on: true, cert_file: p.crt, key_file: p.key}}
  - {name: two, kind: dicom, ae_title: TWO, address: "127.0.0.1:105", identity: {jwt_file: t}}
  - {name: three, kind: dicom, ae_title: THREE, address: "127.0.0.1:106", identity: {user: u, passcode_file: p}}
  - {name: emr, kind: fhir, url: "https://emr.example/fhir", token_file: emr.token}
`), nil, Default())
	require.NoError(t, err)
	found := map[string]string{}
	for _, f := range cfg.SecretFiles() {
		found[f.Key] = f.Path
	}
	assert.Equal(t, map[string]string{
		"http.tls.key_file": "page.key", "auth.oidc.client_secret_file": "oidc.secret", "audit.key_file": "audit.key",
		"destinations[0].tls.key_file": "p.key", "destinations[1].identity.jwt_file": "t", "destinations[2].identity.passcode_file": "p", "destinations[3].token_file": "emr.token",
	}, found)
	assert.Empty(t, Default().SecretFiles())
}
