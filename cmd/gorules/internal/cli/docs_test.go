package cli_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gorules/cmd/gorules/internal/cli"
	"gorules/cmd/gorules/internal/starfmt"
)

var update = flag.Bool("update", false, "rewrite the reference in docs/command-line.md")

const root = "../../../.."

func TestReferenceInDocs(t *testing.T) {
	const begin, end = "<!-- reference: made by `go test ./cmd/gorules/internal/cli -update` -->\n", "<!-- end of reference -->\n"
	path := filepath.Join(root, "docs", "command-line.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks of the reference", path)
	}
	want := cli.Reference()
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+want+end+tail), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, old); d != "" {
		t.Errorf("%s is out of date, run the test with -update (-want +got):\n%s", path, d)
	}
}

func TestWorkspaceExampleIsFormatted(t *testing.T) {
	path := filepath.Join(root, "WORKSPACE.example")
	r, err := starfmt.File(path, "WORKSPACE.example")
	if err != nil {
		t.Fatal(err)
	}
	if r.Changed() {
		t.Errorf("not formatted:\n%s", r.Diff())
	}
}
