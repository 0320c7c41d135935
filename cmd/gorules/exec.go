package main

import (
	"fmt"
	"os"
	"syscall"
)

// replace turns this process into another program, which so keeps the
// terminal, the standard streams and the exit code. It returns only on failure.
func replace(argv, env []string, dir string) error {
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("enter the program's folder: %w", err)
	}
	return syscall.Exec(argv[0], argv, env)
}
