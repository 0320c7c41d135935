package run_test

import (
	"strings"
	"testing"
	"time"

	"gorules/executor/internal/run"
)

func TestRunOnHost(t *testing.T) {
	w := newWorld(t)
	b := w.shell("cat src/a > bin/out; pwd >&2", map[string]string{"/w/src/a": "alpha"}, "/w/bin/out")
	b.NoSandbox = true
	res := w.run(b)
	if !res.OK(b) || res.Runner != run.HostRunner || w.text(res.Outputs["/w/bin/out"].File) != "alpha" {
		t.Errorf("%+v %s", res, res.StderrBytes)
	}
	b = w.shell("sleep 60 & sleep 60", nil)
	b.NoSandbox, b.Timeout = true, 50*time.Millisecond
	if res := w.run(b); !res.TimedOut || res.Wall > 5*time.Second {
		t.Errorf("timeout: %+v", res)
	}
	b = w.shell("true", nil, "/out/x")
	b.NoSandbox = true
	if res := w.run(b); !strings.Contains(run.Judge(b, res), "/out/x") {
		t.Errorf("an output outside: %+v", res)
	}
}
