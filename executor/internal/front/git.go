package front

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"gorules/executor/event"
	"gorules/executor/internal/supervise"
)

// git lists what git tracks although .gitignore says otherwise. It runs on settings of
// its own: neither those of the user nor whose folder it is decide what is seen.
func (o Options) git(ctx context.Context) func(dir string) ([]string, error) {
	missing := sync.OnceFunc(func() {
		o.Sink(event.Diagnostic{Severity: event.Warning, Text: "there is no git on PATH: files that it tracks although .gitignore matches them are not seen"})
	})
	return func(dir string) ([]string, error) {
		var out, errs bytes.Buffer
		cmd := supervise.Command{
			Program: "git", Dir: dir, Stdout: &out, Stderr: &errs,
			Argv: []string{"git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--ignored", "--exclude-per-directory=.gitignore"},
			Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/", "LC_ALL=C",
				"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_OPTIONAL_LOCKS=0"},
		}
		status, notStarted, err := cmd.Run(ctx)
		switch {
		case err != nil:
			return nil, err
		case notStarted != nil:
			missing()
			return nil, nil
		case status != 0:
			return nil, fmt.Errorf("%s", bytes.TrimSpace(errs.Bytes()))
		}
		return strings.FieldsFunc(out.String(), func(r rune) bool { return r == 0 }), nil
	}
}
