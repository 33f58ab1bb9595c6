package process

import "golang.org/x/sys/unix"

// PrivateFiles has the process make files and directories for its own user only,
// whichever library makes them and whatever mode it asks for. Processes that serve
// keep logs, rows and events in directories of their own, and give none to other users.
func PrivateFiles() { unix.Umask(0o077) }
