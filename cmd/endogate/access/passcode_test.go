package access

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPasscodes(t *testing.T) {
	hash, err := HashPasscode("sesame")
	require.NoError(t, err)
	again, err := HashPasscode("sesame")
	require.NoError(t, err)
	assert.NotEqual(t, hash, again)
	p := NewPasscodes()
	for _, tt := range []struct {
		kept, given string
		want        bool
	}{
		{hash, "sesame", true},
		{hash, "sesame", true}, // remembered
		{hash, "Sesame", false},
		{hash, "", false},
		{hash, hash, false},
		{hash, strings.Repeat("s", 1<<16), false},
		{again, "sesame", true},
		{"sesame", "sesame", true},
		{"sesame", "sesam", false},
		{"sesame", hash, false},
		{"", "", false},
		{"", "sesame", false},
	} {
		got, err := p.Match(t.Context(), tt.kept, tt.given)
		require.NoError(t, err)
		assert.Equal(t, tt.want, got, "%q %.20q", tt.kept, tt.given)
	}
	assert.Len(t, p.right, 2)
	_, err = p.Match(t.Context(), "$argon2id$rubbish", "sesame")
	require.Error(t, err)
	p.hashing <- struct{}{}
	p.hashing <- struct{}{}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Match(ended, hash, "another")
	require.ErrorIs(t, err, context.Canceled, "no more are computed at once")
	match, err := p.Match(ended, hash, "sesame")
	assert.True(t, match && err == nil, "what was right needs no place")
	for _, bad := range []string{"", strings.Repeat("x", 257)} {
		_, err := HashPasscode(bad)
		require.Error(t, err)
	}
}
