//go:build !linux

package process

import "syscall"

// sysProcAttr asks for nothing special: elsewhere than on Linux a child can
// outlive tests that are killed.
func sysProcAttr() *syscall.SysProcAttr { return nil }
