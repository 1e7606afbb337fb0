package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// run is what go test -json writes of package p with one test of the given end.
func run(end, ofPackage string) string {
	return `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestIt"}
{"Action":"output","Package":"p","Test":"TestIt","Output":"    p_test.go:1: the log\n"}
{"Action":"` + end + `","Package":"p","Test":"TestIt","Elapsed":0}
{"Action":"output","Package":"p","Output":"a line of the package\n"}
{"Action":"output","Package":"p","Output":"` + ofPackage + `\tp\t0.1s\n"}
{"Action":"` + map[bool]string{true: "fail", false: "pass"}[ofPackage == "FAIL"] + `","Package":"p"}
`
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct{ name, events, prints, wrong string }{
		{"all pass", run("pass", "ok"), "ok\tp\t0.1s\n", ""},
		{"a package runs twice", run("pass", "ok") + run("pass", "ok"), "ok\tp\t0.1s\nok\tp\t0.1s\n", ""},
		{"a test fails", run("fail", "FAIL"), "    p_test.go:1: the log\na line of the package\nFAIL\tp\t0.1s\n", "verdict: failed: p"},
		{"a test skips", run("skip", "ok"), "ok\tp\t0.1s\nskipped: p TestIt\n    p_test.go:1: the log\n", "1 tests were skipped"},
		{
			"a test never ends", strings.Replace(run("pass", "FAIL"), `{"Action":"pass","Package":"p","Test":"TestIt","Elapsed":0}`, "", 1),
			"    p_test.go:1: the log\na line of the package\nFAIL\tp\t0.1s\n", "verdict: failed: p TestIt",
		},
		{
			"no tests", `{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}
{"Action":"skip","Package":"p"}`, "?   \tp\t[no test files]\n", "",
		},
		{
			"does not build", `{"ImportPath":"p [p.test]","Action":"build-output","Output":"p.go:3:32: wrong\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`, "p.go:3:32: wrong\nFAIL\tp [build failed]\n", "verdict: failed: p",
		},
		{"nothing", "", "", "nothing ran"},
		{"not JSON", "go: no such tool", "", "not what go test -json writes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			err := judgeAll([]string{write(t, tt.events)}, &b).err
			assert.Equal(t, tt.prints, b.String())
			if tt.wrong == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, tt.wrong)
			}
		})
	}
}

func TestDrills(t *testing.T) {
	events := `{"Time":"2026-03-04T05:06:07.5Z","Action":"run","Package":"endogate/q","Test":"TestB"}
{"Action":"attr","Package":"endogate/q","Test":"TestB","Key":"drill","Value":"{\"tried\":\"9 kills\",\"kept\":500,\"idle\":2048,\"peak\":4096}"}
{"Action":"attr","Package":"endogate/q","Test":"TestB","Key":"another","Value":"?"}
{"Action":"pass","Package":"endogate/q","Test":"TestB"}
{"Time":"2026-03-04T06:36:07.5Z","Action":"pass","Package":"endogate/q"}
` + strings.ReplaceAll(run("pass", "ok"), `{"Action":"output","Package":"p","Test"`, `{"Action":"attr","Package":"p","Test":"TestIt","Key":"drill","Value":"{\"tried\":\"a cut\",\"lost\":1}"}
{"Action":"output","Package":"p","Test"`)
	all := judge(strings.NewReader(events), new(strings.Builder))
	assert.NoError(t, all.err)
	assert.Equal(t, 90*time.Minute, all.took)
	all.took = 89 * time.Second
	text := string(document(all, "v1", 1))
	assert.Contains(t, text, "tried on v1, in 1m0s on ")
	assert.True(t, strings.HasSuffix(text, `
| 9 kills | 500 | 0 | 0 | 2 → 4 | `+"`q`"+` TestB |
| a cut | 0 | 1 | 0 |  | `+"`p`"+` TestIt |
`), text)
	err := judge(strings.NewReader(`{"Action":"attr","Package":"p","Test":"TestIt","Key":"drill","Value":"?"}`), new(strings.Builder)).err
	assert.ErrorContains(t, err, "drill of TestIt")
}

// TestJudgeAll: a run in parts took as long as its parts, and what failed in one has to hold in a later one, which is said.
func TestJudgeAll(t *testing.T) {
	part := func(end, ofPackage, tried string) string {
		text := strings.Replace(run(end, ofPackage), `{"Action":"start"`, `{"Time":"2026-03-04T05:00:00Z","Action":"start"`, 1)
		return write(t, text+`{"Time":"2026-03-04T05:10:00Z","Action":"attr","Package":"p","Test":"TestIt","Key":"drill","Value":"{\"tried\":\"`+tried+`\"}"}`)
	}
	judge := func(files ...string) *judged { return judgeAll(files, new(strings.Builder)) }
	regular := func(end, ofPackage, tried string) string { // testing prints a line of its own where it comes to its end
		text, err := os.ReadFile(part(end, ofPackage, tried))
		assert.NoError(t, err)
		return write(t, strings.Replace(string(text), `"a line of the package\n"`, `"FAIL\n"`, 1))
	}
	good, bad := part("pass", "ok", "a cut"), regular("fail", "FAIL", "half a cut")
	all := judge(good, part("pass", "ok", "another cut"))
	assert.NoError(t, all.err)
	assert.Equal(t, 20*time.Minute, all.took)
	assert.Len(t, all.drills, 1)
	assert.Equal(t, "another cut", all.drills[0].Tried)
	assert.NotContains(t, string(document(all, "v1", 2)), "Failed at first")

	all = judge(bad, good)
	assert.NoError(t, all.err)
	assert.Len(t, all.drills, 1)
	text := string(document(all, "v1", 2))
	assert.Contains(t, text, "tried on v1, in 2 parts of 20m0s together")
	assert.Contains(t, text, "Failed at first, and held when tried again with what was at fault mended: `p` TestIt.")

	assert.ErrorContains(t, judge(good, bad).err, "verdict: failed: p TestIt")
	assert.ErrorContains(t, judge(part("fail", "FAIL", "half a cut"), good).err, "verdict: failed: p", "it panicked: others did not run")
	ended := part("pass", "FAIL", "it")
	assert.ErrorContains(t, judge(ended, good).err, "verdict: failed: p", "no test of it did: that is not made good by one")
	assert.ErrorContains(t, judge(good, filepath.Join(t.TempDir(), "none")).err, "none")
}

// write returns the name of a file with the text.
func write(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "events")
	assert.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
