//go:build !integration

package main

// allPrograms: commands that call others than thalweg and the shell's own are run by
// make integration only.
const allPrograms = false
