package peers

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Page is a page in a headless Chromium.
type Page struct {
	t   testing.TB
	ctx context.Context
}

// OpenPage opens a page in a window of a size.
func OpenPage(t testing.TB, url string, width, height int64) *Page {
	t.Helper()
	p := &Page{t, startBrowser(t)}
	p.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
	return p
}

func (p *Page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatalf("peers: page: %v", err)
	}
}

// Evaluate is the value of a JavaScript expression in a page.
func Evaluate[T any](p *Page, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("peers: page: %s: %v", expression, err)
	}
	return v
}

// Until waits until a JavaScript expression is true.
func (p *Page) Until(expression string) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); !Evaluate[bool](p, "!!("+expression+")"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("peers: page: never true: %s; it shows: %s", expression, Evaluate[string](p, `document.body?.innerText ?? ""`))
		}
	}
}

// Click clicks on an element.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// Scheme sets what the system prefers, dark or light.
func (p *Page) Scheme(name string) {
	p.t.Helper()
	params := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, params); err != nil {
		p.t.Fatalf("peers: page: %v", err)
	}
}

// Size sets that of the window.
func (p *Page) Size(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}

// Picture writes what is shown to a file, the whole page or what the window shows of it.
func (p *Page) Picture(path string, whole bool) {
	p.t.Helper()
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	b, err := chromedp.Run(p.ctx, take)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		p.t.Fatalf("peers: page: %v", err)
	}
}
