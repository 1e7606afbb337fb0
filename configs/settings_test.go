package configs

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "endogate.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`# a gateway
dicom:
  ae_title: ENDO1
  tls: {listen: ":2762", cert_file: c.pem, key_file: k.pem, ca_file: a.pem}
  peers: [{ae_title: SCOPE1, hosts: [10.1.2.0/24], identity: {policy: required, users: [{name: scope, passcode_hash: "$argon2id$secret"}]}}]
spool: {retention: 36h, reserve: 512MiB}
destinations: [{name: chat, kind: webhook, url: "https://hooks.example/T0/secret", key_file: w.key}, {name: pager, kind: webhook, url: "https://hooks.example", key_file: w.key}]
nats: {url: "tls://gateway:secret%2Cwith%40more-secret@nats.example:4222", ca_file: n.pem}
`), 0o600))
	t.Setenv("ENDOGATE_LOG_LEVEL", "debug")
	all, err := Settings(path)
	require.NoError(t, err)
	found := map[string]Setting{}
	for _, s := range all {
		require.NotContains(t, found, s.Key)
		require.NotContains(t, s.Value, "secret")
		found[s.Key] = s
	}
	require.Len(t, found, len(keys(reflect.TypeFor[Config](), "")), "every key, and no other")
	for _, want := range []Setting{
		{"dicom.ae_title", "ENDO1", FromFile, "line 3", ""},
		{"dicom.tls.listen", ":2762", FromFile, "line 4", ""},
		{"dicom.peers", `[{"ae_title":"SCOPE1","hosts":["10.1.2.0/24"],"identity":{"policy":"required","users":[{"name":"scope","passcode_hash":"***"}]}}]`, FromFile, "line 5", ""},
		{"spool.retention", "36h", FromFile, "line 6", ""},
		{"spool.reserve", "512MiB", FromFile, "line 6", ""},
		{"spool.segment_size", "64MiB", FromDefault, "", ""},
		{"destinations", `[{"key_file":"w.key","kind":"webhook","name":"chat","url":"https://hooks.example/***"},{"key_file":"w.key","kind":"webhook","name":"pager","url":"https://hooks.example"}]`, FromFile, "line 7", ""},
		{"nats.url", "tls://***@nats.example:4222", FromFile, "line 8", ""},
		{"log.level", "debug", FromEnvironment, "ENDOGATE_LOG_LEVEL", ""},
		{"dicom.max_pdu_length", "128KiB", FromDefault, "", ""},
		{"dicom.artim", "10s", FromDefault, "", ""},
		{"jobs.limit", "5m", FromDefault, "", ""},
		{"ledger.history", "17520h", FromDefault, "", ""},
		{"models", "[]", FromDefault, "", ""},
		{"auth.local", "true", FromDefault, "", ""},
	} {
		got := found[want.Key]
		got.whole = ""
		assert.Equal(t, want, got)
	}

	// What is secret is not shown, and that it is another one is.
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(text, []byte("secret"), []byte("other")), 0o600))
	later, err := Settings(path)
	require.NoError(t, err)
	var changed []string
	for i, s := range later {
		require.Equal(t, all[i].Value, s.Value)
		if !s.Equal(all[i]) {
			changed = append(changed, s.Key)
		}
	}
	require.ElementsMatch(t, []string{"dicom.peers", "destinations", "nats.url"}, changed)

	require.NoError(t, os.WriteFile(path, []byte("exam: {quite: 5s}\n"), 0o600))
	_, err = Settings(path)
	require.ErrorContains(t, err, "exam.quite")
	_, err = Settings(path + ".gone")
	require.ErrorIs(t, err, os.ErrNotExist)
}
