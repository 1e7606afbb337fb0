package peers

import (
	"context"
	"slices"
	"sync"
	"testing"

	"endogate/cmd/endogate/installed"

	"github.com/chromedp/chromedp"
)

// startBrowser starts a headless Chromium with software rendering and a fresh profile, which chromedp makes and removes;
// it and all its children end with the test.
func startBrowser(t testing.TB) context.Context {
	t.Helper()
	installed.Require(t, "chromium")
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath("chromium"),
		chromedp.WindowSize(1440, 900),
		chromedp.Headless,
		chromedp.NoSandbox, // tests may run as root
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.DisableGPU,
		chromedp.Flag("use-gl", "angle"),
		chromedp.Flag("use-angle", "swiftshader"),
		chromedp.Flag("enable-unsafe-swiftshader", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-extensions", true),
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("peers: chromium: %v", err)
	}
	return ctx
}

// console collects what the page writes to its console from now on; the function it returns gives all so far.
func console(t testing.TB, ctx context.Context) func() []chromedp.ConsoleMessage {
	t.Helper()
	var (
		mu       sync.Mutex
		messages []chromedp.ConsoleMessage
		wg       sync.WaitGroup
	)
	stream := chromedp.Console(ctx)
	wg.Go(func() {
		for m, err := range stream {
			if err != nil {
				return // the browser has gone
			}
			mu.Lock()
			messages = append(messages, m)
			mu.Unlock()
		}
	})
	t.Cleanup(wg.Wait)
	return func() []chromedp.ConsoleMessage {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(messages)
	}
}
