package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReloaded: what a running gateway takes over, and what stays until it is started again.
func TestReloaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "endogate.yaml")
	read := func(text string) (Config, []Setting) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		c, all, err := Read(path)
		require.NoError(t, err)
		return c, all
	}
	running, inForce := read("dicom: {listen: ':11112', max_associations: 8}\nexam: {quiet: 30s}\naudit: {key_file: a}\n")
	file, now := read("dicom: {listen: ':104', max_associations: 9}\nexam: {quiet: 30s}\nspool: {retention: 24h, reserve: 1GiB}\naudit: {key_file: a}\nauth: {idle: 1h}\n")

	is, err := file.Reloaded(running)
	require.NoError(t, err)
	want := running
	want.DICOM.MaxAssociations, want.Spool.Retention = 9, file.Spool.Retention
	require.Equal(t, want, is)
	require.Equal(t, ":104", file.DICOM.Listen, "what was read stays as it is")

	at := map[string]string{}
	for _, c := range Changes(inForce, now) {
		at[c.Key] = c.Was + " " + c.Value
		require.Equal(t, NeedsRestart(c.Key), c.Restart)
	}
	require.Equal(t, map[string]string{"dicom.listen": ":11112 :104", "dicom.max_associations": "8 9", "spool.retention": "72h 24h", "spool.reserve": "2GiB 1GiB", "auth.idle": "30m 1h"}, at)
	after := ReloadedSettings(inForce, now)
	left := map[string]bool{}
	for _, c := range Changes(after, now) {
		left[c.Key] = true
	}
	require.Equal(t, map[string]bool{"dicom.listen": true, "spool.reserve": true, "auth.idle": true}, left, "they are still to come")
	require.NotEqual(t, Digest(inForce), Digest(after))
	require.NotEqual(t, Digest(now), Digest(after))

	// A configuration that holds only with what needs a restart is not taken over in part.
	running, _ = read("jobs: {workers: 1}\n")
	file, _ = read("jobs: {workers: 0}\nnats: {url: 'tls://nats.example:4222', ca_file: n.pem}\n")
	_, err = file.Reloaded(running)
	require.ErrorContains(t, err, "restart: jobs.workers")
}

// TestNeedsRestart: every section that counts from the start on is one of the configuration.
func TestNeedsRestart(t *testing.T) {
	all := map[string]bool{}
	for key := range keys(reflect.TypeFor[Config](), "") {
		all[key] = true
		for i, c := range key {
			if c == '.' {
				all[key[:i]] = true
			}
		}
	}
	for section := range fixed {
		require.True(t, all[section], section)
	}
	for _, key := range []string{"dicom.peers", "destinations", "routes", "hl7.senders", "notify", "urgent", "spool.retention", "ledger.history", "models", "jobs.workers", "http.url"} {
		require.Empty(t, NeedsRestart(key), key)
	}
	require.NotEmpty(t, NeedsRestart("http.trusted_proxies"))
}
