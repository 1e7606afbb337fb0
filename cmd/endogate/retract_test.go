package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"endogate/cmd/endogate/peers"
)

// What the gateway says of a retraction that it does not make, the person at the shell reads.
func TestRetract_saysWhy(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		status       int
		says         []string
	}{
		{"refused", `{"error":{"what":"the results were not retracted","why":"nobody may","next":"allow it"}}`, http.StatusForbidden, []string{"the results were not retracted: nobody may; allow it"}},
		{"another server", `<html>`, http.StatusBadGateway, []string{"502", "http.listen"}},
		{"nothing named", `{"reports":0,"results":0,"retracted":[],"standing":[{"model":"polyp","version":"2"},{"model":"caecum","version":"1"}]}`, http.StatusOK, []string{"nothing stands", "polyp 2, caecum 1"}},
		{"nothing there", `{"reports":0,"results":0,"retracted":[]}`, http.StatusOK, []string{"models with results: none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.answer))
			}))
			defer s.Close()
			code, _, complaints := endogate("retract", "--config", filepath.Join(peers.Root(t), "configs/local.yaml"), "--to", strings.TrimPrefix(s.URL, "http://"), "--model", "x", "--reason", "y")
			assert.Equal(t, exitFailure, code)
			for _, words := range tt.says {
				assert.Contains(t, complaints, words)
			}
		})
	}
}
