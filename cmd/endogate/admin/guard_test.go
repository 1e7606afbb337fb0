package admin

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKnownHost(t *testing.T) {
	hosts := []string{"gateway.hospital.example"}
	for host, want := range map[string]bool{
		"127.0.0.1:8080": true, "10.1.2.3": true, "[::1]:8080": true, "[fe80::1]": true, "localhost": true, "LOCALHOST:80": true,
		"Gateway.Hospital.example:443": true, "evil.example": false, "": false, "127.0.0.1.evil.example": false, "localhost.evil.example:80": false,
	} {
		require.Equal(t, want, knownHost(host, hosts), host)
	}
}
