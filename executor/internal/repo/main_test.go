package repo_test

import (
	"os"
	"testing"

	"gorules/executor/internal/supervise"
)

func TestMain(m *testing.M) {
	supervise.Main()
	os.Exit(m.Run())
}
