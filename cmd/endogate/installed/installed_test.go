package installed

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

// verdict is a test that notes how it was ended.
type verdict struct {
	testing.TB
	said string
}

func (v *verdict) Helper()                        {}
func (v *verdict) Fatalf(format string, a ...any) { v.end("failed: "+format, a) }
func (v *verdict) Skipf(format string, a ...any)  { v.end("skipped: "+format, a) }
func (v *verdict) end(format string, a []any)     { v.said = fmt.Sprintf(format, a...); runtime.Goexit() }

func said(require func(testing.TB)) string {
	v := new(verdict)
	done := make(chan struct{})
	go func() { defer close(done); require(v) }()
	<-done
	return v.said
}

func TestRequire(t *testing.T) {
	there := func(t testing.TB) { Require(t, "sh", "/bin/sh") }
	missing := func(t testing.TB) { Require(t, "sh", "nosuchtool", "/no/such/file") }
	module := func(t testing.TB) { RequirePython(t, "nosuchmodule") }
	t.Setenv(required, "")
	assert.Empty(t, said(there))
	assert.Equal(t, "skipped: not installed: nosuchtool, /no/such/file; make setup-test brings it", said(missing))
	assert.Contains(t, said(module), "skipped: not installed: ")
	t.Setenv(required, "1")
	assert.Empty(t, said(there))
	assert.Equal(t, "failed: not installed: nosuchtool, /no/such/file; make setup-test brings it", said(missing))
	assert.Contains(t, said(module), "failed: not installed: ")
}
