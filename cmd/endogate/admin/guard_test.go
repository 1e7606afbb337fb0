package admin

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckListen(t *testing.T) {
	for _, tt := range []struct {
		address string
		remote  bool
		warning string
		err     string
	}{
		{"127.0.0.1:8080", false, "", ""},
		{"[::1]:8080", false, "", ""},
		{"localhost:0", true, "", ""},
		{"127.8.9.1:80", false, "", ""},
		{":8080", false, "", "no log-in"},
		{"0.0.0.0:8080", false, "", "no log-in"},
		{"10.1.2.3:8080", false, "", "http.allow_remote"},
		{"gateway.hospital.example:8080", false, "", "no log-in"},
		{":8080", true, "whoever reaches it sees patient data", ""},
		{"8080", false, "", "not host:port"},
	} {
		t.Run(tt.address, func(t *testing.T) {
			warning, err := CheckListen(tt.address, tt.remote)
			if tt.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.err)
			}
			require.Contains(t, warning, tt.warning)
			require.Equal(t, tt.warning == "", warning == "")
		})
	}
}

func TestKnownHost(t *testing.T) {
	hosts := []string{"gateway.hospital.example"}
	for host, want := range map[string]bool{
		"127.0.0.1:8080": true, "10.1.2.3": true, "[::1]:8080": true, "[fe80::1]": true, "localhost": true, "LOCALHOST:80": true,
		"Gateway.Hospital.example:443": true, "evil.example": false, "": false, "127.0.0.1.evil.example": false, "localhost.evil.example:80": false,
	} {
		require.Equal(t, want, knownHost(host, hosts), host)
	}
}
