package repo_test

import (
	"context"
	"os"
	"testing"
	"time"
)

// contextUntil returns a context that is cancelled when a file has content.
func contextUntil(t *testing.T, file string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	go func() {
		for ctx.Err() == nil {
			if b, err := os.ReadFile(file); err == nil && len(b) > 0 {
				cancel()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return ctx, cancel
}

// waitGone fails the test unless the process ends soon.
func waitGone(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat("/proc/" + pid); err != nil {
			return
		}
	}
	t.Errorf("process %s is still there", pid)
}
