// Package process runs programs for tests: it starts them, keeps what they
// print, waits for facts, kills them by process id, and leaves none behind.
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// Patience is how long the waits of this package and its neighbours last
	// before they fail the test: far beyond what anything takes on a loaded
	// machine with two cores, so that only what never comes runs into it.
	Patience = 90 * time.Second
	// grace is how long Stop waits for a clean end.
	grace = 30 * time.Second
	// maxLineBytes cuts the lines of a program's output.
	maxLineBytes = 64 << 10
	// tailLines is how much of a log a failing test shows.
	tailLines = 40
)

// Process is one started program.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  string // path of what it printed

	done chan struct{} // closed when it has ended and its output is read
	err  error         // how it ended; set before done is closed

	mu struct {
		sync.Mutex
		lines []string
		more  chan struct{} // closed and replaced when lines grows
	}
}

// Start starts cmd under a name for logs. What it prints can be waited for line
// by line. When the test ends the process is killed. A failed test shows the
// end of what was printed and keeps all of it in .cache/integration/<test>/<name>.log
// of the repository.
//
// cmd must have no Stdout, Stderr and SysProcAttr of its own. Output counts as
// ended when the children that hold it have ended, too.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: name, cmd: cmd, done: make(chan struct{})}
	p.mu.more = make(chan struct{})
	dir := logDir(t)
	p.log = filepath.Join(dir, name+".log")
	file, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(file, "== %s %s\n", time.Now().Format(time.RFC3339), cmd)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	cmd.SysProcAttr = sysProcAttr()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	writer.Close()
	go func() {
		p.read(reader, file)
		reader.Close()
		file.Close()
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the last of %s: %s", p.log, p.Tail())
			return
		}
		os.Remove(p.log)
		os.Remove(dir) // goes with the last log in it
	})
	return p
}

// logDir returns the directory for the logs of the test, which is made.
func logDir(t testing.TB) string {
	t.Helper()
	name := regexp.MustCompile(`[^A-Za-z0-9_.-]+`).ReplaceAllString(t.Name(), "_")
	dir := filepath.Join(Root(t), ".cache", "integration", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Root returns the directory of go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}

// read collects the output until the process and all its children closed it.
func (p *Process) read(from io.Reader, to io.Writer) {
	lines := bufio.NewReaderSize(from, maxLineBytes)
	for {
		line, _, err := lines.ReadLine() // a longer line comes in pieces
		if err != nil {
			return
		}
		fmt.Fprintf(to, "%s\n", line)
		p.mu.Lock()
		p.mu.lines = append(p.mu.lines, string(line))
		close(p.mu.more)
		p.mu.more = make(chan struct{})
		p.mu.Unlock()
	}
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// CPU returns how long the process has run on a processor, user and system; of one that
// runs, to a hundredth of a second.
func (p *Process) CPU(t testing.TB) time.Duration {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	default:
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if errors.Is(err, os.ErrNotExist) { // it has just ended
		<-p.done
		return p.CPU(t)
	}
	var user, system int64
	_, rest, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if err == nil && (!ok || len(fields) < 13) {
		err = fmt.Errorf("%q", text)
	}
	if err == nil {
		_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	}
	if err != nil {
		t.Fatalf("processor time of %s: %v", p.name, err)
	}
	return time.Duration(user+system) * (time.Second / 100)
}

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Line waits until the process has printed a line that matches pattern, since
// its start, and returns the first one's submatches. The test fails if the
// process ends without one.
func (p *Process) Line(t testing.TB, pattern string) []string {
	t.Helper()
	match := regexp.MustCompile(pattern)
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for seen := 0; ; {
		ended := false
		select {
		case <-p.done: // before the lines are read, so that none is missed
			ended = true
		default:
		}
		p.mu.Lock()
		lines, more := p.mu.lines[seen:], p.mu.more
		seen = len(p.mu.lines)
		p.mu.Unlock()
		for _, line := range lines {
			if found := match.FindStringSubmatch(line); found != nil {
				return found
			}
		}
		if ended {
			t.Fatalf("%s ended (%v) without printing %q: %s", p.name, p.err, pattern, p.Tail())
		}
		select {
		case <-more:
		case <-p.done:
		case <-ctx.Done():
			t.Fatalf("%s has not printed %q within %v: %s", p.name, pattern, Patience, p.Tail())
		}
	}
}

// Output returns the lines printed so far.
func (p *Process) Output() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.mu.lines...)
}

// Tail returns the last lines printed, for messages.
func (p *Process) Tail() string {
	lines := p.Output()
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return "\n\t" + strings.Join(lines, "\n\t")
}

// Kill ends the process at once, as a crash does (SIGKILL), and returns when it
// has ended. A process that has ended already is left alone.
func (p *Process) Kill() {
	select {
	case <-p.done:
		return
	default:
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(fmt.Sprintf("kill %s (%d): %v", p.name, p.PID(), err))
	}
	<-p.done
}

// Stop asks the process to end (SIGTERM) and returns its exit code. The test
// fails if it has not ended soon.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("stop %s: %v", p.name, err)
	}
	return p.exitCode(t, grace)
}

// Wait waits until the process has ended by itself and returns its exit code.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	return p.exitCode(t, Patience)
}

func (p *Process) exitCode(t testing.TB, patience time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s has not ended within %v: %s", p.name, patience, p.Tail())
	}
	return p.cmd.ProcessState.ExitCode()
}
