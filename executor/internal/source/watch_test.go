package source_test

import (
	"bytes"
	"testing"

	"gorules/executor/internal/source"
)

// What one Snapshot noted, another adopts. Variables are known by digest.
func TestAdopt(t *testing.T) {
	dir := lay(t, map[string]string{"a": "1", "d/x": "2"})
	one, all := snapshot(t), snapshot(t)
	one.Env = map[string]string{"VAR": "secret", "PATH": dir}
	if v, ok := one.Getenv("VAR"); v != "secret" || !ok {
		t.Errorf("VAR = %q, %v", v, ok)
	}
	if p := one.Which("a"); p != "" {
		t.Errorf("a is no program, and found: %s", p)
	}
	one.Watch(dir + "/a")
	one.WatchTree(dir + "/d")
	one.Program(dir + "/a")
	facts := one.Facts()
	if bytes.Contains(facts, []byte("secret")) {
		t.Error("the facts hold a variable's value")
	}
	all.Adopt(facts)
	all.Adopt(facts)
	if len(all.Facts()) != len(facts) {
		t.Errorf("%d bytes of facts, of %d", len(all.Facts()), len(facts))
	}
	holds := func(env map[string]string) string {
		t.Helper()
		ok, p := source.Hold(all.Facts(), env)
		if ok != (p == "") {
			t.Errorf("Hold = %v, %q", ok, p)
		}
		return p
	}
	if p := holds(one.Env); p != "" {
		t.Errorf("%s changed", p)
	}
	if p := holds(map[string]string{"VAR": "other"}); p != "VAR" {
		t.Errorf("another value: %q", p)
	}
	put(t, dir+"/d/x", "3")
	if p := holds(one.Env); p != dir+"/d/x" {
		t.Errorf("an edit: %q", p)
	}
	// Two that differ: what holds for one cannot hold for the other.
	put(t, dir+"/d/x", "2")
	one.Watch(dir + "/d/x")
	put(t, dir+"/d/x", "4")
	one.Watch(dir + "/d/x")
	if ok, p := source.Hold(one.Facts(), one.Env); ok {
		t.Error("read twice, changed in between, and holds")
	} else if p != dir+"/d/x" {
		t.Errorf("read twice: %q", p)
	}
}
