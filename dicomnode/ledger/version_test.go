package ledger

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	asConfigured = BundleVersion{Name: "demo", Version: "2.0", Digest: "d20", Dir: "/models/demo"}
	before       = BundleVersion{Name: "demo", Version: "1.0", Digest: "d10", Dir: "/models/demo-1.0"}
	another      = BundleVersion{Name: "other", Version: "1.0", Digest: "d99", Dir: "/models/other"}
)

// entered is v as the ledger has it.
func entered(v BundleVersion, inForce bool, second int, by Actor) BundleVersion {
	v.InForce, v.Since, v.By = inForce, at(second), by
	return v
}

// TestPutInForce: which version is in force, since when and by whom, is kept, and is the same when the ledger is made anew of its journal; what
// stays in force is since it came, and what is not named is not in force any more.
func TestPutInForce(t *testing.T) {
	l, ctx := journaled(t), t.Context()
	configuration, anna, bob := Actor{ActorSystem, "configuration"}, Actor{ActorPerson, "anna"}, Actor{ActorPerson, "bob"}
	put := func(ctx context.Context, second int, all ...BundleVersion) {
		t.Helper()
		require.NoError(t, l.PutInForce(ctx, all, at(second)))
	}
	holds := func(want ...BundleVersion) {
		t.Helper()
		all, err := l.BundleVersions(ctx)
		require.NoError(t, err)
		require.Equal(t, want, all)
	}
	holds()
	put(ctx, 1, asConfigured, another)
	put(ctx, 2, asConfigured, another)
	first, other := entered(asConfigured, true, 1, configuration), entered(another, true, 1, configuration)
	holds(first, other)

	chosen := before
	chosen.OverVersion, chosen.OverDigest = asConfigured.Version, asConfigured.Digest
	chosen = entered(chosen, false, 3, anna)
	put(By(ctx, anna), 4, chosen, another)
	chosen.InForce, first.InForce = true, false
	holds(chosen, first, other)
	put(ctx, 5, chosen, another) // a start
	moved := chosen
	moved.Dir = "/elsewhere/demo-1.0"
	put(ctx, 6, moved, another)
	holds(moved, first, other)

	put(By(ctx, bob), 7, asConfigured, another)
	moved.InForce = false
	holds(entered(asConfigured, true, 7, bob), moved, other)

	configured := before // what a person had chosen, the configuration names by now
	put(ctx, 8, configured)
	other.InForce = false
	holds(entered(configured, true, 8, configuration), entered(asConfigured, false, 7, bob), other)
	put(ctx, 9)
	all, err := l.BundleVersions(ctx)
	require.NoError(t, err)
	for _, v := range all {
		require.False(t, v.InForce)
	}
}

// TestPutInForce_again: an action that was in the journal when the process ended is a row at the next start.
func TestPutInForce_again(t *testing.T) {
	j := &memoryJournal{}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	chosen := before
	chosen.OverVersion, chosen.OverDigest, chosen.Since, chosen.By = "2.0", "d20", at(1), Actor{ActorPerson, "anna"}
	require.NoError(t, l.PutInForce(t.Context(), []BundleVersion{chosen}, at(1)))
	require.Len(t, j.all, 1)
	require.NoError(t, l.PutInForce(t.Context(), []BundleVersion{chosen}, at(2)))
	require.Len(t, j.all, 1, "the same again is nothing")
	again, done := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	require.Equal(t, 1, done)
	all, err := again.BundleVersions(t.Context())
	require.NoError(t, err)
	chosen.InForce = true
	require.Equal(t, []BundleVersion{chosen}, all)
}

// TestBundleVersionsIn: what is in force can be read beside a gateway, and of a ledger that this release's gateway has not opened yet.
func TestBundleVersionsIn(t *testing.T) {
	path := unpacked(t) // of an earlier release
	all, err := BundleVersionsIn(t.Context(), path)
	require.NoError(t, err)
	require.Empty(t, all)
	_, err = OpenReadOnly(path)
	require.ErrorIs(t, err, errOlder, "it is as it was")

	l := reopen(t, path)
	require.NoError(t, l.PutInForce(t.Context(), []BundleVersion{asConfigured}, at(1)))
	for _, closed := range []bool{false, true} {
		if closed {
			require.NoError(t, l.Close())
		}
		all, err = BundleVersionsIn(t.Context(), path)
		require.NoError(t, err)
		require.Equal(t, []BundleVersion{entered(asConfigured, true, 1, Actor{ActorSystem, "configuration"})}, all)
	}
	_, err = BundleVersionsIn(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	require.Error(t, err)
}
