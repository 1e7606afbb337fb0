package configs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

// TestLoad_damageAnywhere changes a file anywhere, as a disk, an editor or a copy that broke off does: it is refused with its name and in
// words, or it is a configuration that can be read so. Nothing tells a damaged digit from one that somebody wrote.
func TestLoad_damageAnywhere(t *testing.T) {
	memory := installed.Watched(t)
	sound, err := os.ReadFile("local.yaml")
	require.NoError(t, err)
	want, err := Load("local.yaml")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "local.yaml")
	tried, refused, same := 0, 0, 0
	for at := 0; at < len(sound); at += installed.Scaled(17, 1) {
		damaged := map[string][]byte{
			"cut":    sound[:at],
			"zeroed": append(bytes.Clone(sound[:at]), make([]byte, len(sound)-at)...), // as after a power cut
			"gap":    append(bytes.Clone(sound[:at]), sound[min(at+64, len(sound)):]...),
			"twice":  append(bytes.Clone(sound[:at]), sound...),
		}
		for bit := range 8 {
			b := bytes.Clone(sound)
			b[at] ^= 1 << bit
			damaged[fmt.Sprint("bit ", bit)] = b
		}
		for how, text := range damaged {
			require.NoError(t, os.WriteFile(path, text, 0o600))
			got, err := Load(path)
			tried++
			switch {
			case err != nil:
				refused++
				require.ErrorContains(t, err, path, "%s at %d", how, at)
				require.NotContains(t, err.Error(), " yaml: ", "%s at %d: the parser's words", how, at)
			default:
				if fmt.Sprint(got) == fmt.Sprint(want) {
					same++
				}
				require.NotEqual(t, "zeroed", how, "at %d: what is not text is refused", at)
			}
		}
	}
	require.NotZero(t, refused)
	installed.Tried(t, installed.Drill{
		Tried:  fmt.Sprintf("a configuration changed at any byte, cut, zeroed, with a gap or twice in one, %d ways: refused in words %d times, the same %d times, otherwise what it says", tried, refused, same),
		Memory: memory.Memory(),
	})
}
