package admin

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

var screenshots = flag.String("screenshots", "", "folder to write pictures of the page to")

// browser is a page of a headless Chromium on a server, as of a person of its own, with whatever the page complained about.
type browser struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	problems []string
}

// chromium is started by the first test that looks at the page, and serves all of the package: a start costs seconds.
var chromium = sync.OnceValues(func() (context.Context, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.WindowSize(1600, 1000))
	ctx, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx)
	endChromium = func() error {
		defer endAllocator()
		return chromedp.Cancel(ctx)
	}
	return ctx, chromedp.Do(ctx)
})

// endChromium ends what was started.
var endChromium = func() error { return nil }

// open opens h's page in a browser; the test fails when the page throws, or violates its own content policy.
func open(t *testing.T, h *hospital) *browser {
	t.Helper()
	return openAt(t, serve(t, newServer(t, h)))
}

// openAt is open on the page of a server that runs.
func openAt(t *testing.T, base string) *browser {
	t.Helper()
	installed.Require(t, "chromium")
	b := &browser{t: t, base: base}
	all, err := chromium()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(all, 6*time.Minute)
	t.Cleanup(cancel)
	b.ctx, _ = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext()) // with cookies, storage and cache of its own, which end with it
	t.Cleanup(func() { require.NoError(t, chromedp.Cancel(b.ctx)) })
	require.NoError(t, chromedp.Listen(b.ctx, b.hear))
	_, err = chromedp.Call(b.ctx, log.Enable, cdp.Empty{})
	require.NoError(t, err)
	b.size(1600, 1000)
	b.scheme("dark")
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		require.Empty(t, b.problems)
	})
	return b
}

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, fmt.Sprintf("%s: %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			b.problems = append(b.problems, e.Entry.Text)
		}
	}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

func run[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, action)
	require.NoError(b.t, err)
	return v
}

// visit opens a view and waits for what it shows.
func (b *browser) visit(path, shows string) {
	b.t.Helper()
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.base+path))
	b.see(shows)
}

// see waits for an element to be visible.
func (b *browser) see(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`!!document.querySelector(%q)?.checkVisibility()`, selector))
}

// until asks again and again until a JavaScript expression is true. (chromedp.Poll runs in the page, whose
// content policy forbids evaluation of strings.)
func (b *browser) until(expression string) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if holds {
			return
		}
		if time.Now().After(end) || b.ctx.Err() != nil { // amid a navigation there may be no page, or no body
			require.Fail(b.t, "never true", "%s (%v)\non a page that shows:\n%s", expression, err, eval[string](b, `document.body?.innerText ?? ""`))
		}
	}
}

func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	return run(b, chromedp.Evaluate[T](expression))
}

func (b *browser) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`document.querySelector(%q).innerText`, selector))
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// write types into a field.
func (b *browser) write(selector, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// eager makes the page ask now, as it does when its tab is looked at again.
func (b *browser) eager() {
	b.t.Helper()
	eval[bool](b, `document.dispatchEvent(new Event("visibilitychange"))`)
}

// size sets the window, as a phone or a reading room would.
func (b *browser) size(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

// scheme sets what the system prefers: dark or light.
func (b *browser) scheme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
	require.NoError(b.t, err)
}

// asks sets the languages that the browser asks for.
func (b *browser) asks(languages string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: "Chromium", AcceptLanguage: languages})
	require.NoError(b.t, err)
}

// picture writes what is shown to -screenshots, if given.
func (b *browser) picture(name string, whole bool) {
	b.t.Helper()
	if *screenshots == "" {
		return
	}
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	require.NoError(b.t, os.WriteFile(filepath.Join(*screenshots, name+".png"), run(b, take), 0o644))
}
