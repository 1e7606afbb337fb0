package configs

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOIDC_roles(t *testing.T) {
	for _, tt := range []struct {
		text string
		want map[string]string
	}{
		{"{clinician: [endoscopy, surgery], administrator: it}", map[string]string{"endoscopy": "clinician", "surgery": "clinician", "it": "administrator"}},
		{"{endoscopy: clinician, \"CN=it,OU=staff.example\": administrator}", map[string]string{"endoscopy": "clinician", "CN=it,OU=staff.example": "administrator"}},
		{"{viewer: viewer}", map[string]string{"viewer": "viewer"}},
		{"{endoscopy: doctor}", nil},
		{"{endoscopy: [viewer, clinician]}", nil},
	} {
		c, err := parse([]byte("auth:\n  oidc:\n    issuer: https://login.example\n    client_id: endogate\n    redirect_url: https://endogate.example/signin/callback\n    roles_claim: groups\n    roles: "+tt.text+"\n"), noEnvironment, Default())
		of, failed := c.Auth.OIDC.RoleOf()
		if tt.want == nil {
			require.ErrorContains(t, err, "line 7: auth.oidc.roles: ", tt.text)
			require.Error(t, failed)
			continue
		}
		assert.NotContains(t, said(err), "auth.", tt.text)
		assert.Equal(t, tt.want, of)
	}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestOrigins(t *testing.T) {
	for origin, good := range map[string]bool{
		"https://viewer.hospital": true, "https://viewer.hospital:8443": true, "http://localhost:3000": true, "http://127.0.0.1": true, "https://[2001:db8::1]:443": true,
		"*": false, "null": false, "": false, "https://*.hospital": false, "http://viewer.hospital": false, "https://viewer.hospital/": false, "https://viewer.hospital/ohif": false,
		"https://Viewer.hospital": false, "https://a@viewer.hospital": false, "viewer.hospital": false, "https://": false, "file://": false,
	} {
		_, err := parse([]byte("http: {origins: [\""+origin+"\"]}\n"), noEnvironment, Default())
		assert.Equal(t, good, err == nil, "%q: %v", origin, err)
	}
}

func TestSignInRequired(t *testing.T) {
	for _, tt := range []struct {
		listen, auth string
		required     bool
		fault        string
	}{
		{"127.0.0.1:8080", "{}", false, ""},
		{"127.0.0.1:8080", "{required: true}", true, ""},
		{"127.0.0.1:8080", "{required: true, local: false}", true, "nobody could sign in"},
		{"0.0.0.0:8080", "{}", true, "speaks without TLS"},
		{":8080", "{required: auto}", true, "speaks without TLS"},
		{":8080", "{required: false}", false, "auth.required is false"},
		{"127.0.0.1:8080", "{required: maybe}", false, "auth.required"},
		{"127.0.0.1:8080", "{idle: 24h}", false, "auth.idle"},
		{"127.0.0.1:8080", "{oidc: {issuer: \"http://login.example\"}}", false, "not an https URL"},
		{"127.0.0.1:8080", "{oidc: {client_id: x}}", false, "auth.oidc.issuer: empty"},
	} {
		c, err := parse([]byte("http: {listen: \""+tt.listen+"\"}\nauth: "+tt.auth+"\n"), noEnvironment, Default())
		assert.Equal(t, tt.required, c.SignInRequired(), "%+v", tt)
		if tt.fault != "" {
			assert.ErrorContains(t, err, tt.fault)
		} else {
			assert.NotContains(t, said(err), "auth.")
			assert.NotContains(t, said(err), "http.")
		}
	}
	c, err := parse([]byte("http: {listen: \":8080\", behind_tls: true}\n"), []string{"ENDOGATE_AUTH_REQUIRED=true"}, Default())
	assert.NotContains(t, said(err), "http.")
	assert.True(t, c.SignInRequired())
}
