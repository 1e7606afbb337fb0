package spool

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBackup backs up a spool that is written, released and compacted at the same time: a backup has all that was committed
// before it began and is not released when it ends, whole, and nothing in it is damaged.
func TestBackup(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := Open(dir, Options{SegmentSize: 64 << 10, InlineLimit: 8 << 10})
			require.NoError(t, err)
			var mu sync.Mutex
			kept := map[string][]byte{} // committed and not to be released
			var wg sync.WaitGroup
			stop := make(chan struct{})
			for n := range uint64(3) {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(seed, n))
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						size := r.IntN(6 << 10)
						if r.IntN(10) == 0 {
							size += 8 << 10 // a file of its own
						}
						data := bytes.Repeat([]byte{byte(r.Uint32())}, size)
						id := commitBytes(t, s, data)
						if r.IntN(4) > 0 {
							mu.Lock()
							gone := id
							if r.IntN(2) == 0 { // an older one
								for gone = range kept {
									break
								}
								kept[id] = data
							}
							delete(kept, gone)
							mu.Unlock()
							if err := s.Release(gone); err != nil {
								t.Error(err)
							}
							continue
						}
						mu.Lock()
						kept[id] = data
						mu.Unlock()
					}
				})
			}
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						if _, err := s.Compact(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
			})
			for range 6 {
				mu.Lock()
				before := map[string][]byte{}
				for id, data := range kept {
					before[id] = data
				}
				mu.Unlock()
				to := filepath.Join(t.TempDir(), "backup")
				done, err := Backup(t.Context(), dir, to)
				require.NoError(t, err)
				mu.Lock()
				for id := range before {
					if _, still := kept[id]; !still {
						delete(before, id)
					}
				}
				mu.Unlock()
				b, err := Open(to, Options{SegmentSize: 64 << 10, InlineLimit: 8 << 10})
				require.NoError(t, err)
				require.Empty(t, b.Recovered().Damaged)
				require.Zero(t, b.Recovered().TornBytes)
				require.Equal(t, done.Newest, b.Recovered().Newest)
				for id, data := range before {
					_, r, err := b.Open(id)
					require.NoError(t, err)
					got, err := io.ReadAll(r)
					require.NoError(t, err)
					require.True(t, bytes.Equal(data, got))
					require.NoError(t, r.Close())
				}
				commitBytes(t, b, []byte("goes on"))
				require.NoError(t, b.Close())
			}
			close(stop)
			wg.Wait()
			require.NoError(t, s.Close())
		})
	}
}

func commitBytes(t *testing.T, s *Spool, data []byte) string {
	w, err := s.Create()
	if err == nil {
		_, err = w.Write(data)
	}
	var e Entry
	if err == nil {
		e, err = w.Commit(Entry{Kind: Message, MediaType: "text/plain"})
	}
	if err != nil {
		t.Error(err)
	}
	return e.ID
}

// TestBackup_damaged takes what is damaged along as it is: what is behind it is worth having.
func TestBackup_damaged(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	require.NoError(t, err)
	first, second := commitBytes(t, s, []byte("first")), commitBytes(t, s, []byte("second"))
	require.NoError(t, s.Close())
	segment := filepath.Join(dir, "log", segmentName(1))
	content, err := os.ReadFile(segment)
	require.NoError(t, err)
	content[bytes.Index(content, []byte("first"))] ^= 1
	require.NoError(t, os.WriteFile(segment, content, 0o600))
	to := filepath.Join(t.TempDir(), "backup")
	_, err = Backup(t.Context(), dir, to)
	require.NoError(t, err)
	b, err := Open(to, Options{})
	require.NoError(t, err)
	require.False(t, b.Has(first))
	require.True(t, b.Has(second))
	require.NotEmpty(t, b.Recovered().Damaged)
	require.NoError(t, b.Close())
	_, err = Backup(t.Context(), filepath.Join(dir, "none"), filepath.Join(t.TempDir(), "backup"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
