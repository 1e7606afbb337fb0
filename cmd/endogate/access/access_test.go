package access

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const password = "correct horse battery"

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func opened(t *testing.T, c *clock) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "access"), c.now)
	require.NoError(t, err)
	return s
}

func TestIdentity_may(t *testing.T) {
	all := []Right{Look, Identify, Report, Retract, Operate, Measure, Administer}
	for role, may := range map[Role][]Right{
		Viewer: {Look}, Clinician: {Look, Identify, Report, Retract}, Operator: {Look, Operate, Measure},
		Administrator: {Look, Operate, Retract, Measure, Administer}, "": nil, "root": nil,
	} {
		for _, r := range all {
			assert.Equal(t, slices.Contains(may, r), Identity{Role: role}.May(r), "%s %s", role, r)
		}
	}
	scoped := Identity{Role: Operator, Scope: []Right{Measure, Identify}}
	assert.True(t, scoped.May(Measure))
	assert.False(t, scoped.May(Look), "the scope takes away")
	assert.False(t, scoped.May(Identify), "and never adds")
	assert.False(t, Identity{}.May(Look))
}

func TestUser(t *testing.T) {
	c := newClock()
	s, ctx := opened(t, c), t.Context()
	require.NoError(t, s.AddUser("anna", Clinician))
	require.ErrorIs(t, s.AddUser("anna", Viewer), ErrExists)
	_, err := s.Verify(ctx, "anna", "")
	require.ErrorIs(t, err, ErrRefused, "no password yet")

	require.NoError(t, s.SetPassword(ctx, "anna", password))
	u, err := s.Verify(ctx, "anna", password)
	require.NoError(t, err)
	assert.Equal(t, Clinician, u.Role)
	for _, wrong := range []string{"", password + " ", strings.ToUpper(password), strings.Repeat("a", 1<<20)} {
		_, err := s.Verify(ctx, "anna", wrong)
		require.ErrorIs(t, err, ErrRefused)
	}
	for _, nobody := range []string{"", "ANNA", "bert", "../users/anna", "anna\x00", strings.Repeat("a", 1<<20)} {
		_, err := s.Verify(ctx, nobody, password)
		require.ErrorIs(t, err, ErrRefused)
	}
	for _, file := range files(t, s) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotContains(t, string(text), password)
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.EqualValues(t, 0o600, info.Mode().Perm())
	}

	c.pass(time.Minute)
	require.NoError(t, s.SetRole("anna", Operator))
	changed, err := s.User("anna")
	require.NoError(t, err)
	assert.Equal(t, Operator, changed.Role)
	assert.True(t, changed.Changed.After(u.Changed), "sessions from before end")
	require.NoError(t, s.RemoveUser("anna"))
	require.ErrorIs(t, s.RemoveUser("anna"), ErrUnknown)
	_, err = s.Verify(ctx, "anna", password)
	require.ErrorIs(t, err, ErrRefused)
}

func files(t *testing.T, s *Store) []string {
	t.Helper()
	users, err := filepath.Glob(filepath.Join(s.dir, "users", "*"))
	require.NoError(t, err)
	tokens, err := filepath.Glob(filepath.Join(s.dir, "tokens", "*"))
	require.NoError(t, err)
	return append(users, tokens...)
}

func TestAddUser_refuses(t *testing.T) {
	s := opened(t, newClock())
	for _, name := range []string{"", "Anna", ".anna", "an na", "ann/a", "änna", "anna\n", strings.Repeat("a", 65), "-a"} {
		require.ErrorIs(t, s.AddUser(name, Viewer), ErrName, "%q", name)
	}
	require.ErrorIs(t, s.AddUser("anna", "root"), ErrRole)
	require.ErrorIs(t, s.SetRole("anna", "root"), ErrRole)
	require.ErrorIs(t, s.SetRole("anna", Viewer), ErrUnknown)
	require.ErrorIs(t, s.SetPassword(t.Context(), "anna", password), ErrUnknown)
	require.NoError(t, s.AddUser("anna", Viewer))
	for _, bad := range []string{"", "elevenchars", strings.Repeat("x", 257), "my name is ANNA!"} {
		require.ErrorIs(t, s.SetPassword(t.Context(), "anna", bad), ErrPassword, "%q", bad)
	}
	// The same letters, composed or not, are the same password.
	require.NoError(t, s.SetPassword(t.Context(), "anna", "Gru\u0308n Gru\u0308n Gru\u0308n"))
	_, err := s.Verify(t.Context(), "anna", "Gr\u00fcn Gr\u00fcn Gr\u00fcn")
	require.NoError(t, err)
}

func TestSetUp(t *testing.T) {
	c := newClock()
	s, ctx := opened(t, c), t.Context()
	require.NoError(t, s.AddUser("anna", Administrator))
	first, err := s.SetupSecret("anna", time.Hour)
	require.NoError(t, err)
	second, err := s.SetupSecret("anna", time.Hour)
	require.NoError(t, err)

	_, err = s.SetUp(ctx, first, password)
	require.ErrorIs(t, err, ErrRefused, "a later link makes it void")
	for _, wrong := range []string{"", ".", "YW5uYQ.", "YW5uYQ", second + "x", "!" + second, strings.Repeat("A", 1<<16)} {
		_, err = s.SetUp(ctx, wrong, password)
		require.ErrorIs(t, err, ErrRefused, "%.40q", wrong)
	}
	_, err = s.SetUp(ctx, second, "short")
	require.ErrorIs(t, err, ErrPassword, "and the link is good as before")
	name, err := s.SetUp(ctx, second, password)
	require.NoError(t, err)
	assert.Equal(t, "anna", name)
	_, err = s.SetUp(ctx, second, password+password)
	require.ErrorIs(t, err, ErrRefused, "once")
	_, err = s.Verify(ctx, "anna", password)
	require.NoError(t, err)

	late, err := s.SetupSecret("anna", time.Hour)
	require.NoError(t, err)
	c.pass(time.Hour)
	_, err = s.SetUp(ctx, late, password)
	require.ErrorIs(t, err, ErrRefused, "too late")
	_, err = s.SetupSecret("bert", time.Hour)
	require.ErrorIs(t, err, ErrUnknown)
}

func TestSetUp_onceOfMany(t *testing.T) {
	s := opened(t, newClock())
	require.NoError(t, s.AddUser("anna", Administrator))
	link, err := s.SetupSecret("anna", time.Hour)
	require.NoError(t, err)
	var wg sync.WaitGroup
	done := make(chan error, 6)
	for range cap(done) {
		wg.Go(func() {
			_, err := s.SetUp(context.Background(), link, password)
			done <- err
		})
	}
	wg.Wait()
	close(done)
	good := 0
	for err := range done {
		if err == nil {
			good++
		} else {
			require.ErrorIs(t, err, ErrRefused)
		}
	}
	assert.Equal(t, 1, good)
}

func TestToken(t *testing.T) {
	c := newClock()
	s := opened(t, c)
	text, token, err := s.CreateToken("scraper", Operator, []Right{Measure}, 24*time.Hour)
	require.NoError(t, err)
	who, err := s.ByToken(text)
	require.NoError(t, err)
	assert.Equal(t, Identity{Name: "scraper", Role: Operator, Method: ByToken, Scope: []Right{Measure}}, who)

	elsewhere, err := Open(s.dir, c.now) // as another process has it
	require.NoError(t, err)
	_, err = elsewhere.ByToken(text)
	require.NoError(t, err)

	other, _, err := s.CreateToken("scraper", Viewer, nil, time.Hour)
	require.NoError(t, err, "names of tokens may be the same")
	for _, wrong := range []string{
		"", "endogate_", text + "A", text[:len(text)-1], strings.TrimPrefix(text, "endogate_"), strings.ToLower(text), token.Secret,
		"endogate_" + token.ID + "_" + token.Secret, "endogate_" + token.ID + "_", text[:36] + other[36:], "endogate_../../x_y",
	} {
		_, err := s.ByToken(wrong)
		require.ErrorIs(t, err, ErrRefused, "%q", wrong)
	}
	for _, file := range files(t, s) {
		kept, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotContains(t, string(kept), text[36:])
	}

	c.pass(time.Hour)
	_, err = s.ByToken(other)
	require.ErrorIs(t, err, ErrRefused, "expired")
	require.NoError(t, elsewhere.RevokeToken(token.ID))
	_, err = s.ByToken(text)
	require.ErrorIs(t, err, ErrRefused, "revoked, by another process")
	require.ErrorIs(t, s.RevokeToken(token.ID), ErrUnknown)

	_, _, err = s.CreateToken("x", Viewer, []Right{Report}, time.Hour)
	require.ErrorIs(t, err, ErrScope)
	_, _, err = s.CreateToken("x", "root", nil, time.Hour)
	require.ErrorIs(t, err, ErrRole)
	_, _, err = s.CreateToken("", Viewer, nil, time.Hour)
	require.ErrorIs(t, err, ErrName)
	_, _, err = s.CreateToken("x", Viewer, nil, 0)
	require.Error(t, err)
}

func TestStore_damaged(t *testing.T) {
	s := opened(t, newClock())
	require.NoError(t, s.AddUser("anna", Viewer))
	require.NoError(t, os.WriteFile(s.path(usersFolder, "anna"), []byte("{"), 0o600))
	_, err := s.Verify(t.Context(), "anna", password)
	require.Error(t, err)
	assert.NotErrorIs(t, err, ErrRefused, "a fault of the store is not the user's")
	_, err = s.Users()
	require.Error(t, err)
	require.Error(t, s.AddUser("anna", Viewer), "and nothing is written over it")
}

func TestThrottle(t *testing.T) {
	c := newClock()
	throttle := NewThrottle(c.now)
	from := func(name, address string) Try { return Try{Name: name, Address: addr(address)} }
	guess := from("anna", "192.0.2.1")
	for range freeMisses {
		require.Zero(t, throttle.Wait(guess))
		throttle.Missed(guess)
	}
	assert.Equal(t, time.Second, throttle.Wait(guess))
	assert.Zero(t, throttle.Wait(from("anna", "192.0.2.2")), "the name is free elsewhere")
	assert.Zero(t, throttle.Wait(from("bert", "192.0.2.1")), "and the address for others")
	waits := []time.Duration{}
	for range 12 {
		c.pass(throttle.Wait(guess))
		require.Zero(t, throttle.Wait(guess))
		throttle.Missed(guess)
		waits = append(waits, throttle.Wait(guess))
	}
	assert.True(t, slices.IsSorted(waits))
	assert.Equal(t, longestWait, waits[len(waits)-1])

	mine := guess
	mine.Device = throttle.Mark("anna")
	assert.Zero(t, throttle.Wait(mine), "a browser that anna used is a place of its own")
	stolen := Try{Name: "bert", Address: guess.Address, Device: mine.Device}
	for range freeMisses {
		throttle.Missed(stolen)
	}
	assert.NotZero(t, throttle.Wait(stolen), "and no key to others")
	forged := guess
	forged.Device = mine.Device + "x"
	assert.NotZero(t, throttle.Wait(forged))

	c.pass(longestWait)
	throttle.Missed(guess)
	throttle.Hit(guess)
	assert.Zero(t, throttle.Wait(guess), "what was right ends it")
}

func TestThrottle_address(t *testing.T) {
	c := newClock()
	throttle := NewThrottle(c.now)
	name := []byte("a")
	for range 4 * freeOfAddress { // one address, many names
		throttle.Missed(Try{Name: string(name), Address: addr("2001:db8::1")})
		name = append(name, 'a')
	}
	wait := throttle.Wait(Try{Name: "anna", Address: addr("2001:db8::2")})
	assert.Positive(t, wait, "all of a network of 64 bits is one place")
	assert.LessOrEqual(t, wait, longestAddress, "and others behind it are slowed, not locked out")
	assert.Zero(t, throttle.Wait(Try{Name: "anna", Address: addr("2001:db8:1::2")}))
	assert.Zero(t, throttle.Wait(Try{Name: "anna", Address: addr("2001:db8::2"), Device: throttle.Mark("anna")}))
	c.pass(2 * forgottenAfter)
	throttle.Missed(Try{Name: "anna", Address: addr("2001:db8::2")})
	assert.Zero(t, throttle.Wait(Try{Name: "anna", Address: addr("2001:db8::2")}))
}

func TestThrottle_bounded(t *testing.T) {
	throttle := NewThrottle(newClock().now)
	for i := range mostTries + 10 {
		throttle.Missed(Try{Name: strconv.Itoa(i), Address: addr("192.0.2.1")})
	}
	assert.LessOrEqual(t, len(throttle.tries), mostTries+2)
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// TestRights_documented holds the table that people read to the one that counts.
func TestRights_documented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "security.md"))
	require.NoError(t, err)
	documented := map[Role][]Right{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		right := Right(strings.Trim(cells[0], " `"))
		if len(cells) != 2+len(Roles) || !slices.Contains(allRights, right) {
			continue
		}
		for i, role := range Roles {
			if strings.TrimSpace(cells[2+i]) == "x" {
				documented[role] = append(documented[role], right)
			}
		}
	}
	for _, role := range Roles {
		assert.ElementsMatch(t, role.Rights(), documented[role], "%s", role)
	}
}
