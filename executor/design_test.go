package executor_test

import (
	"os"
	"path"
	"strings"
	"testing"
)

// Every package of the table of layers is named on the map that people read.
func TestDesignPageNamesEveryPackage(t *testing.T) {
	page, err := os.ReadFile("../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		long, short := strings.TrimPrefix(l.pkg, "executor/"), path.Base(l.pkg)
		if !strings.Contains(string(page), long+"`") && !strings.Contains(string(page), "`"+short+"`") {
			t.Errorf("docs/design.md does not name package %s", l.pkg)
		}
	}
}
