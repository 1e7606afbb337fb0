package spool

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkCommit stores data sets as associations do: PDUs of 128 KiB, one commit each.
// ENDOGATE_BENCH_DIR sets the folder, for a file system other than that of the temporary files.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{92_000, 3_930_000} {
		for _, writers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%dKB/writers=%d", size/1000, writers), func(b *testing.B) {
				benchmarkCommit(b, size, writers)
			})
		}
	}
}

func benchmarkCommit(b *testing.B, size, writers int) {
	s := openSpool(b, benchDir(b), Options{})
	data := randomBytes(size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	inParallel(b, writers, func() error {
		w, err := s.Create()
		if err != nil {
			return err
		}
		for p := data; len(p) > 0; p = p[min(len(p), 128<<10):] {
			if _, err := w.Write(p[:min(len(p), 128<<10)]); err != nil {
				return err
			}
		}
		e, err := w.Commit(sampleEntry())
		if err != nil {
			return err
		}
		return s.Release(e.ID)
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

// inParallel runs do b.N times, shared out among goroutines.
func inParallel(b *testing.B, goroutines int, do func() error) {
	work := make(chan struct{}, b.N)
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	done := make(chan error, goroutines)
	for range goroutines {
		go func() {
			for range work {
				if err := do(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range goroutines {
		require.NoError(b, <-done)
	}
}

// BenchmarkBareLog is what the disk gives: groups of 92 KB writes to one preallocated file, a
// sync after each group, nothing else.
func BenchmarkBareLog(b *testing.B) {
	for _, group := range []int{1, 4, 8, 32} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			const size = 64 << 20
			data := randomBytes(92_000)
			var f *os.File
			b.SetBytes(int64(len(data)))
			end := int64(size)
			for n := range b.N {
				if end+int64(len(data)) > size {
					if f != nil {
						require.NoError(b, f.Close())
						require.NoError(b, os.Remove(f.Name()))
					}
					var err error
					f, err = os.CreateTemp(benchDir(b), "log")
					require.NoError(b, err)
					require.NoError(b, preallocate(f, size))
					end = 0
				}
				_, err := f.WriteAt(data, end)
				require.NoError(b, err)
				end += int64(len(data))
				if n%group == group-1 {
					require.NoError(b, syncData(f))
				}
			}
			require.NoError(b, f.Close())
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
		})
	}
}

func benchDir(b *testing.B) string {
	if dir := os.Getenv("ENDOGATE_BENCH_DIR"); dir != "" {
		dir, err := os.MkdirTemp(dir, "spool")
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, os.RemoveAll(dir)) })
		return dir
	}
	return b.TempDir()
}
