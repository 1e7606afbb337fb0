package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
)

const (
	crashFileEnv = "ENDOGATE_LEDGER_CRASH_FILE"
	crashStepEnv = "ENDOGATE_LEDGER_CRASH_STEP" // "row 7": kill at the seventh; "": the parent kills
)

// stepReached begins the last line of a child that is killed at a step.
const stepReached = "killed at "

// killAt lets a process be killed at a step: amid a transaction, before its commit and behind it.
func killAt(l *Ledger, at string) error {
	var steps atomic.Int64
	step := func(name string) {
		if strings.HasPrefix(at, name+" ") && at == fmt.Sprintf("%s %d", name, steps.Add(1)) {
			fmt.Println(stepReached + name)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	l.writes.done = func(bool) { step("committed") }
	return l.writes.tx.conn.Raw(func(driver any) error {
		c := driver.(seenConn)
		c.RegisterUpdateHook(func(int, string, string, int64) { step("row") })
		c.RegisterCommitHook(func() int { step("commit"); return 0 })
		return nil
	})
}

// crashChild does a gateway's work on the ledger, writing a line for each step that was
// acknowledged, until it is killed.
func crashChild(path string) {
	l, err := Open(path)
	if err == nil {
		err = killAt(l, os.Getenv(crashStepEnv))
	}
	if err == nil {
		var wg sync.WaitGroup
		failed := make(chan error, 4)
		for _, work := range []func(*Ledger) error{childReceive, childAnalyse, childReport, childDeliver} {
			wg.Go(func() {
				for {
					if err := work(l); err != nil {
						failed <- err
					}
				}
			})
		}
		err = <-failed
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func crashReceipt(n int) Receipt {
	r := receipt(n)
	r.Header.StudyInstanceUID = dicom.UID(fmt.Sprintf("1.2.%d", n/5))
	r.Forward = []string{"archive"}
	return r
}

func childReceive(l *Ledger) error {
	ctx := context.Background()
	p, err := l.Position(ctx)
	if err != nil {
		return err
	}
	var rs []Receipt
	for i := range 3 {
		rs = append(rs, crashReceipt(int(p)+1+i))
	}
	if _, err = l.Receive(ctx, rs, p+3); err == nil {
		fmt.Printf("received %d %d %d .\n", p+1, p+2, p+3)
	}
	return err
}

func childAnalyse(l *Ledger) error {
	ctx := context.Background()
	jobs, err := l.OpenJobs(ctx, "", 3)
	for _, j := range jobs {
		if _, err := l.StartJob(ctx, j.ID, at(1)); err != nil {
			return err
		}
		o := object(0, "pacs")
		o.Entry = "heatmap of " + j.ID
		if err := l.FinishJob(ctx, j.ID, testModel, frames(), []Object{o}, at(2)); err != nil {
			return err
		}
		fmt.Printf("finished %s .\n", j.ID)
	}
	return err
}

func childReport(l *Ledger) error {
	ctx := context.Background()
	exams, err := l.DueExams(ctx, at(1<<30), time.Second, time.Second)
	for _, e := range exams {
		o := object(0, "pacs")
		o.Entry = fmt.Sprintf("report %d %d", e.ID, e.Revision)
		if err := l.FinishReport(ctx, e, []Object{o}, at(3)); err != nil {
			return err
		}
		fmt.Printf("reported %d %d .\n", e.ID, e.Revision)
	}
	return err
}

func childDeliver(l *Ledger) error {
	ctx := context.Background()
	var errs []error
	for _, destination := range []string{"archive", "pacs"} {
		ds, err := l.DueDeliveries(ctx, destination, at(1<<30), longest, 5)
		errs = append(errs, err)
		for _, d := range ds {
			if err := l.Delivered(ctx, d.ID, d.Entry, said("0000"), at(4)); err != nil {
				return err
			}
			fmt.Printf("delivered %d .\n", d.ID)
		}
	}
	return errors.Join(errs...)
}

// TestCrash_kill kills a process that works on the ledger, at any time, amid transactions, before commits and behind them.
func TestCrash_kill(t *testing.T) {
	path := t.TempDir() + "/ledger.db"
	acknowledged, kept := map[string][]string{}, map[string]int{}
	rounds, steps := installed.Scaled(20, 450), map[string]int{}
	memory := installed.WatchedOver(t, 0)
	for round := range rounds {
		if round%25 == 24 { // a ledger that grows for ever makes each round slower than the one before
			path, acknowledged = t.TempDir()+"/ledger.db", map[string][]string{}
		}
		lines, step := 1+rand.IntN(150), ""
		if round%2 == 1 {
			lines = 0
			step = []string{fmt.Sprintf("row %d", 1+rand.IntN(1500)), fmt.Sprintf("commit %d", 1+rand.IntN(80)), fmt.Sprintf("committed %d", 1+rand.IntN(80))}[round/2%3]
		}
		for _, line := range killedChild(t, memory, path, lines, step) {
			if name, at := strings.CutPrefix(line, stepReached); at {
				steps[name]++
			}
			if fields := strings.Fields(line); len(fields) > 2 && fields[len(fields)-1] == "." {
				acknowledged[fields[0]] = append(acknowledged[fields[0]], strings.Join(fields[1:len(fields)-1], " "))
				kept[fields[0]]++
			}
		}
		l, err := Open(path)
		require.NoError(t, err)
		requireAcknowledged(t, l, acknowledged)
		require.NoError(t, l.Close())
	}
	all := 0
	for _, step := range []string{"received", "finished", "reported", "delivered"} {
		require.NotZero(t, kept[step], step)
		all += kept[step]
	}
	for _, step := range []string{"row", "commit", "committed"} {
		require.NotZero(t, steps[step], "no kill at %s", step)
	}
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("kill -9 of a process that works on the ledger, %d times: half at any time, half amid a transaction (%d), before its commit (%d) or behind it (%d)",
			rounds, steps["row"], steps["commit"], steps["committed"]),
		Kept: all, Memory: memory.Memory(),
	})
}

func requireAcknowledged(t *testing.T, l *Ledger, acknowledged map[string][]string) {
	t.Helper()
	requireTally(t, l)
	require.Equal(t, "ok", text(t, l, "PRAGMA integrity_check"))
	require.Equal(t, "0", text(t, l, "SELECT count(*) FROM pragma_foreign_key_check"))
	require.Equal(t, "1", text(t, l, "SELECT count(*) = (SELECT position FROM meta) FROM instance"), "none missing, none twice")
	for _, ns := range acknowledged["received"] {
		for n := range strings.FieldsSeq(ns) {
			require.Equal(t, "1", text(t, l, "SELECT count(*) FROM instance WHERE seq = ?", n))
		}
	}
	for _, id := range acknowledged["finished"] {
		require.Equal(t, "done 1", text(t, l, `SELECT state || ' ' || (SELECT count(*) FROM span WHERE job = job.id)
			FROM job WHERE name = ?`, id))
		require.Equal(t, "1", text(t, l, "SELECT count(*) FROM delivery WHERE entry = ?", "heatmap of "+id))
	}
	for _, r := range acknowledged["reported"] {
		require.Equal(t, "1", text(t, l, "SELECT count(*) FROM object WHERE entry = ?", "report "+r))
	}
	for _, id := range acknowledged["delivered"] {
		require.Equal(t, "done", text(t, l, "SELECT state FROM delivery WHERE id = ?", id))
	}
}

// text returns the one value of a query.
func text(t testing.TB, l *Ledger, query string, args ...any) string {
	t.Helper()
	var s string
	require.NoError(t, l.readDB.QueryRowContext(t.Context(), query, args...).Scan(&s))
	return s
}

// killedChild runs crashChild, kills it after some lines, or lets it kill itself at a step, and returns the lines.
func killedChild(t *testing.T, memory *installed.Watch, path string, lines int, step string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashFileEnv+"="+path, crashStepEnv+"="+step)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	deadline := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer deadline.Stop()
	var got []string
	for in := bufio.NewScanner(out); in.Scan(); {
		if len(got) == 0 {
			memory.Over(cmd.Process.Pid)
		}
		got = append(got, in.Text())
		if len(got) == lines {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait())
	require.Empty(t, stderr.String())
	require.GreaterOrEqual(t, len(got), lines)
	return got
}
