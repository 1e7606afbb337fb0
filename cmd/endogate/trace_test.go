package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTrace_besideTheGateway reads a ledger that a gateway has open.
func TestTrace_besideTheGateway(t *testing.T) {
	g := newGateway(t, "")
	trace := func() (string, string, int) {
		var out, errs strings.Builder
		code := execute(context.Background(), []string{"trace", "--config", g.config, "1.2"}, console{&out, &errs})
		return out.String(), errs.String(), code
	}
	_, complaint, code := trace()
	require.NotZero(t, code)
	require.Contains(t, complaint, "ledger.db")

	s := openStoresAt(t, filepath.Join(g.dir, "data"))
	s.receive("1")
	out, complaint, code := trace()
	require.Zero(t, code, complaint)
	require.Contains(t, out, "1.2.3.1")
	_, err := s.ledger.Position(t.Context())
	require.NoError(t, err, "the gateway goes on")
}
