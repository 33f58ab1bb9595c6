//go:build integration

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// commandTimeout is far above what a documented command takes on a loaded machine.
const commandTimeout = 2 * time.Minute

// shell is a bash that is given one command after another, as a reader types them.
type shell struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // what it and its background jobs print; closed at its end
}

// startShell starts a bash in a process group of its own, which ends with the test
// at the latest.
func startShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	s := &shell{t: t, cmd: exec.Command("bash"), lines: make(chan string, 1000)}
	s.cmd.Dir, s.cmd.Env = dir, append(os.Environ(), env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = in, in
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	go func() {
		defer close(s.lines)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			s.lines <- scanner.Text()
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	t.Cleanup(s.end)
	return s
}

// end kills the shell and its jobs.
func (s *shell) end() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	go func() { // what is left of the output
		for range s.lines {
		}
	}()
	_ = s.cmd.Wait()
}

const done = "@@ done "

// shellWord writes a word as a shell takes it.
func shellWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// run types a command and returns what is printed until it ends, and its exit code.
func (s *shell) run(command string) (output string, code int) {
	fmt.Fprintf(s.in, "eval %s </dev/null; code=$?; echo; echo %s$code\n", shellWord(command), shellWord(done))
	var all strings.Builder
	late := time.After(commandTimeout)
	for {
		select {
		case line, ok := <-s.lines:
			switch rest, ended := strings.CutPrefix(line, done); {
			case ended:
				_, _ = fmt.Sscan(rest, &code)
				return strings.TrimSpace(all.String()), code
			case !ok:
				return all.String() + "the shell ended", -1
			}
			all.WriteString(line + "\n")
		case <-late:
			return all.String() + fmt.Sprintf("it has not ended after %v", commandTimeout), -1
		}
	}
}

// start types a command that keeps running, and waits for a line that has the words.
// It returns what was printed.
func (s *shell) start(command, words string) (output string, ok bool) {
	fmt.Fprintf(s.in, "exec %s\n", command)
	var all strings.Builder
	late := time.After(commandTimeout)
	for {
		select {
		case line, open := <-s.lines:
			if all.WriteString(line + "\n"); !open || strings.HasPrefix(line, "thalweg: ") {
				return all.String(), false
			}
			if strings.Contains(line, words) {
				return all.String(), true
			}
		case <-late:
			return all.String(), false
		}
	}
}

// stop ends what start started as one does with ^C, and reports whether it ended well.
func (s *shell) stop() error {
	_ = syscall.Kill(s.cmd.Process.Pid, syscall.SIGINT)
	late := time.After(commandTimeout)
	for {
		select {
		case _, open := <-s.lines:
			if !open {
				return s.cmd.Wait()
			}
		case <-late:
			return fmt.Errorf("it has not ended %v after an interrupt", commandTimeout)
		}
	}
}
