package access

import (
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A name that nobody has costs what one does that somebody has: how long an answer takes tells nothing.
func TestVerify_nobodyCostsTheSame(t *testing.T) {
	params, salt, key, err := argon2id.DecodeHash(nobodys)
	require.NoError(t, err)
	assert.Equal(t, hashing, params)
	assert.Len(t, salt, int(hashing.SaltLength))
	assert.Len(t, key, int(hashing.KeyLength))
}
