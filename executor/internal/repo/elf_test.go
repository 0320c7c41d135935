package repo_test

import (
	"os"
	"slices"
	"testing"

	"gorules/executor/internal/repo"
)

// A program of which something is missing takes no other one with it.
func TestELFClosure(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"script": "#!/bin/sh\n", "broken": "#!/no/such/shell\n", "cut": "\x7fELF", "text": "x"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	shell := repo.ELFClosure([]string{"/bin/sh"})
	if !slices.Contains(shell, "/bin/sh") {
		t.Errorf("%q", shell)
	}
	want := slices.Sorted(slices.Values(append(shell, dir+"/script", dir+"/text")))
	if got := repo.ELFClosure([]string{dir + "/broken", dir + "/cut", dir + "/gone", dir + "/script", dir + "/text"}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
