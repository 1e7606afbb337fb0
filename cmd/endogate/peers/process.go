package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Process is a peer's child process and the file with everything it prints.
type Process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed once the process is reaped
}

// Start starts a command in a process group of its own, so that what it forks ends with it,
// and kills the group when the test ends; one that failed shows the end of what it printed.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), filepath.Base(cmd.Path)+"-*.log")
	if err != nil {
		t.Fatalf("peers: %s: %v", cmd.Path, err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	// The child must not outlive a test binary that is itself killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("peers: %v", err)
	}
	p := &Process{cmd: cmd, log: log.Name(), exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("peers: %s printed:\n%s", filepath.Base(cmd.Path), tail(p.Log()))
		}
	})
	return p
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process and all it forked with SIGKILL and waits for it. A second call does nothing.
func (p *Process) Kill() {
	if !p.Exited() {
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // gone already is as good
	}
	<-p.exited
}

// Stop asks the process to end with SIGTERM and kills it after ten seconds.
func (p *Process) Stop() {
	if !p.Exited() {
		_ = syscall.Kill(-p.PID(), syscall.SIGTERM)
	}
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
}

// Exited tells whether the process has ended.
func (p *Process) Exited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// ExitCode is what the process ended with; -1 after a signal, and before its end.
func (p *Process) ExitCode() int {
	if !p.Exited() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// Log returns what the process has printed so far.
func (p *Process) Log() string {
	text, _ := os.ReadFile(p.log) // a log that is gone reads as empty
	return string(text)
}

// waitListening waits until addr accepts connections and fails the test when the process ends first.
func (p *Process) waitListening(t testing.TB, addr string) {
	t.Helper()
	Wait(t, time.Minute, filepath.Base(p.cmd.Path)+" to listen", func() bool {
		if p.Exited() {
			t.Fatalf("peers: %s ended at its start:\n%s", filepath.Base(p.cmd.Path), tail(p.Log()))
		}
		return listens(addr)
	})
}
