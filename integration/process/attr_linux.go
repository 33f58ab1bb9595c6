package process

import "syscall"

// sysProcAttr has the kernel kill the child when its parent dies, so that not
// even a test that is killed leaves it behind; and puts it in a group of its
// own, so that an interrupt of the tests is not its own.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
