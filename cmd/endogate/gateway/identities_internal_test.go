package gateway

import (
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/configs"
	"endogate/dicomnode"
)

// However many associations guess at the same time, as many passcodes are looked at as one after the other.
func TestIdentities_guessesAtOnce(t *testing.T) {
	who, looked := newIdentities(time.Now), atomic.Int32{}
	p := dicomnode.Presented{CallingAE: "SCOPE1", Host: netip.MustParseAddr("127.0.0.1")}
	let := make(chan struct{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := who.tried(p, "anna", func() (string, error) {
				looked.Add(1)
				<-let
				return "", &dicomnode.IdentityError{Reason: "wrong"}
			})
			assert.Error(t, err)
		})
	}
	require.Eventually(t, func() bool { return looked.Load() > 0 }, time.Minute, time.Millisecond)
	close(let)
	wg.Wait()
	assert.LessOrEqual(t, looked.Load(), int32(50/8)) // of five the wait is nothing
}

// What cannot be used of a peer's identity is found when the gateway starts, and by doctor.
func TestCheckIdentities(t *testing.T) {
	for name, identity := range map[string]configs.Identity{
		"a hash that is cut off": {Policy: "required", Users: []configs.IdentityUser{{Name: "anna", PasscodeHash: "$argon2id$v=19$m=19456"}}},
		"no keys":                {Policy: "required", JWT: configs.JWT{Issuer: "https://login.example", Audience: "endogate", KeysFile: filepath.Join(t.TempDir(), "none")}},
		"a file without keys":    {Policy: "required", JWT: configs.JWT{Issuer: "https://login.example", Audience: "endogate", KeysFile: "identities_internal_test.go"}},
	} {
		_, err := CheckIdentities(configs.Config{DICOM: configs.DICOM{Peers: []configs.Peer{{Identity: identity}}}})
		assert.ErrorContains(t, err, "dicom.peers[0].identity", name)
	}
}
