package ledger

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// failingReads is a library that has the next read of one place of a ledger fail, as the file says that ENDOGATE_TEST_EIO names.
const failingReads = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int fd, off64_t at) {
	char link[64], path[4096];
	long long where = -1;
	const char *flag = getenv("ENDOGATE_TEST_EIO");
	FILE *f = flag ? fopen(flag, "r") : NULL;
	if (!f) return 0;
	if (fscanf(f, "%lld", &where) != 1) where = -1;
	fclose(f);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path);
	return where == at && n > 9 && !memcmp(path + n - 9, "ledger.db", 9) && !unlink(flag);
}

#define WRAP(name, type) \
ssize_t name(int fd, void *b, size_t n, type at) { \
	static ssize_t (*real)(int, void *, size_t, type); \
	if (!real) real = dlsym(RTLD_NEXT, #name); \
	if (fails(fd, at)) { errno = EIO; return -1; } \
	return real(fd, b, n, at); \
}
WRAP(pread, off_t)
WRAP(pread64, off64_t)

ssize_t read(int fd, void *b, size_t n) {
	static ssize_t (*real)(int, void *, size_t);
	if (!real) real = dlsym(RTLD_NEXT, "read");
	off64_t at = lseek64(fd, 0, SEEK_CUR);
	if (at >= 0 && fails(fd, at)) { errno = EIO; return -1; }
	return real(fd, b, n);
}
`

const (
	unreadEnv     = "ENDOGATE_TEST_EIO"
	unreadFileEnv = "ENDOGATE_TEST_EIO_LEDGER"
)

// TestUnread has the disk not give a page of a ledger at once, each in turn, in a process of its own: no check and no question takes that
// for damage, and it is over as soon as the disk gives it.
func TestUnread(t *testing.T) {
	if path := os.Getenv(unreadFileEnv); path != "" {
		unreadChild(t, path)
		return
	}
	dir := t.TempDir()
	source, library := filepath.Join(dir, "reads.c"), filepath.Join(dir, "reads.so")
	require.NoError(t, os.WriteFile(source, []byte(failingReads), 0o600))
	out, err := exec.Command("cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl").CombinedOutput()
	require.NoError(t, err, string(out))
	file, _ := worked(t)
	path := filepath.Join(dir, "ledger.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))

	child := exec.Command(os.Args[0], "-test.run=^TestUnread$", "-test.v")
	child.Env = append(os.Environ(), "LD_PRELOAD="+library, unreadEnv+"="+filepath.Join(dir, "where"), unreadFileEnv+"="+path)
	out, err = child.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "looked at every page")
}

func unreadChild(t *testing.T, path string) {
	ctx, where := t.Context(), os.Getenv(unreadEnv)
	info, err := os.Stat(path)
	require.NoError(t, err)
	l, err := Open(path)
	require.NoError(t, err)
	require.Equal(t, hindered, kindOf((&Ledger{path: filepath.Dir(path)}).readable(ctx)), "it cannot be read at all")
	told := 0
	for at := int64(0); at < info.Size(); at += 4096 {
		for _, look := range []func() ([]string, error){
			func() ([]string, error) { return l.Check(ctx) },
			func() ([]string, error) { return l.CheckQuickly(ctx) },
			func() ([]string, error) { return CheckFile(ctx, path) },
		} {
			require.NoError(t, os.WriteFile(where, []byte(strconv.FormatInt(at, 10)), 0o600))
			problems, err := look()
			require.Empty(t, problems, at)
			if err != nil {
				told++
			}
			if is := l.Trouble(); is != nil {
				require.NotContains(t, is.Error(), "is damaged", "at %d", at)
			}
			require.NoFileExists(t, where, "it was not read")
			l.Look(ctx)
			require.NoError(t, l.Trouble(), "it is over")
		}
	}
	require.Greater(t, told, int(info.Size()/4096), "the reads did not fail")
	require.NoError(t, l.Close())
	for at := int64(0); at < info.Size(); at += 4096 {
		require.NoError(t, os.WriteFile(where, []byte(strconv.FormatInt(at, 10)), 0o600))
		l, err := Open(path)
		if err != nil {
			require.NotContains(t, err.Error(), "is damaged", "at %d", at)
			continue
		}
		_, _, err = l.Studies(ctx, StudyFilter{})
		_ = os.Remove(where)
		if err != nil {
			require.NotContains(t, l.Trouble().Error(), "is damaged", "at %d", at)
		}
		l.Look(ctx)
		require.NoError(t, l.Trouble(), "it is over")
		require.NoError(t, l.Close())
	}
	t.Log("looked at every page")
}

// TestTrouble_moved: while another file, or none, is where the ledger's was opened, nothing is written that the next start would not find.
func TestTrouble_moved(t *testing.T) {
	for _, end := range []string{"", "-wal"} {
		for _, another := range []bool{false, true} {
			l := openLedger(t)
			receive(t, l, receipt(1))
			l.Look(t.Context())
			require.NoError(t, l.Trouble())
			require.NoError(t, os.Rename(l.path+end, l.path+".aside"))
			if another {
				require.NoError(t, os.WriteFile(l.path+end, nil, 0o600))
			}
			changed := l.Changed()
			l.Look(t.Context())
			<-changed
			require.ErrorContains(t, l.Trouble(), "in place of the ledger's")
			_, err := l.Receive(t.Context(), []Receipt{receipt(2)}, 2)
			require.True(t, IsTrouble(err), "%v", err)
			l.Look(t.Context())
			require.Error(t, l.Trouble(), "it is still so")
			require.NoError(t, os.Rename(l.path+".aside", l.path+end))
			l.Look(t.Context())
			require.NoError(t, l.Trouble())
			receive(t, l, receipt(2))
		}
	}
}
