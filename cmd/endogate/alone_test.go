package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAlone_nothingRaces: what deploy/unit.sh tests without the race detector starts no goroutine, neither itself nor in its tests nor in what
// it imports of ours, and has nothing that only goroutines need.
func TestAlone_nothingRaces(t *testing.T) {
	script, err := os.ReadFile("../../deploy/unit.sh")
	require.NoError(t, err)
	list := regexp.MustCompile(`(?s)\nalone=\((.*?)\)`).FindSubmatch(script)
	require.NotNil(t, list)
	alone := strings.Fields(string(list[1]))
	require.NotEmpty(t, alone)
	for _, name := range alone {
		for _, p := range goList(t, name) {
			files := slices.Concat(p.GoFiles, p.CgoFiles)
			if p.ImportPath == name {
				files = slices.Concat(files, p.TestGoFiles, p.XTestGoFiles)
			}
			for _, file := range files {
				require.Empty(t, together(t, filepath.Join(p.Dir, file)), "%s is tested without the race detector; see deploy/unit.sh", name)
			}
		}
	}
}

// source is a package of ours as go list knows it.
type source struct {
	ImportPath, Dir                              string
	GoFiles, CgoFiles, TestGoFiles, XTestGoFiles []string
}

// goList lists a package and those of ours that it needs.
func goList(t *testing.T, name string) (sources []source) {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles", name).Output()
	require.NoError(t, err)
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var s source
		require.NoError(t, decoder.Decode(&s))
		if strings.HasPrefix(s.ImportPath, "endogate/") {
			sources = append(sources, s)
		}
	}
	require.NotEmpty(t, sources)
	return sources
}

// together names what a file has things happen at once by, or keeps them apart with.
func together(t *testing.T, path string) (found []string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, 0)
	require.NoError(t, err)
	for _, i := range file.Imports {
		if slices.Contains([]string{`"sync"`, `"sync/atomic"`, `"golang.org/x/sync/errgroup"`}, i.Path.Value) {
			found = append(found, set.Position(i.Pos()).String())
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, set.Position(n.Pos()).String())
		case *ast.SelectorExpr:
			if n.Sel.Name == "Parallel" {
				found = append(found, set.Position(n.Pos()).String())
			}
		}
		return true
	})
	return found
}
