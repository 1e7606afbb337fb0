package admin

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A request that is under way when its session is ended does not bring it back.
func TestMemory_endedStaysEnded(t *testing.T) {
	now := sampleTime
	m := &memory{now: func() time.Time { return now }, all: map[string]session{}}
	require.NoError(t, m.Commit("a", []byte("anna"), now.Add(time.Hour)))
	require.NoError(t, m.Delete("a"))
	require.NoError(t, m.Commit("a", []byte("anna"), now.Add(time.Hour)))
	_, found, err := m.Find("a")
	require.NoError(t, err)
	assert.False(t, found)
	m.each(func(string, session) bool { t.Error("it is listed"); return true })
	require.NoError(t, m.Delete("never there"))
	assert.Len(t, m.all, 1)
}

// What cannot be answered to its end is broken off, so that nobody takes what came for all.
func TestRecovered_brokenOff(t *testing.T) {
	s := newServer(t, newHospital(t))
	e := echo.New()
	e.Use(recovered(s.Log))
	e.GET("/", func(c echo.Context) error {
		c.Response().WriteHeader(http.StatusOK)
		_, _ = c.Response().Write(make([]byte, 1<<16))
		panic(http.ErrAbortHandler)
	})
	web := httptest.NewUnstartedServer(e)
	web.Config.ErrorLog = nil
	web.Start()
	defer web.Close()
	response, err := http.Get(web.URL)
	if err == nil {
		_, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	require.Error(t, err)
	assert.True(t, errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF), err)
}
