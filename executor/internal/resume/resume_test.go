package resume_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/journal"
	"gorules/executor/internal/resume"
	"gorules/executor/internal/source"
	"gorules/executor/label"
)

func entry(name, input string) *journal.Entry {
	return &journal.Entry{Owner: label.Label{Name: name}, Mnemonic: "Make", Progress: "Making " + name, Digest: digest.Of([]byte(name + input)),
		Argv: []string{"make"}, Expected: []string{"/w/" + name}, Inputs: []journal.File{{Path: "/w/in", Digest: digest.Of([]byte(input))}}}
}

// A state is found as long as every fact of it holds.
func TestState(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "src")
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := &resume.Memory{Dir: filepath.Join(dir, "m"), Binary: "one", Env: map[string]string{"VAR": "1"}}
	put("x")
	s := source.New(source.LoadCache(""))
	s.Env = m.Env
	s.Getenv("VAR")
	if _, _, err := s.File(file); err != nil {
		t.Fatal(err)
	}
	outputs, err := source.OutputFacts(nil)
	if err != nil {
		t.Fatal(err)
	}
	save := func() {
		t.Helper()
		st := &resume.State{Sources: s.Facts(), Outputs: outputs, Actions: 3, Exit: 3,
			Said:    []resume.Said{{Owner: label.Label{Name: "a"}, Text: "warning"}},
			Targets: []resume.Target{{Label: label.Label{Name: "a"}, Status: "FAILED", Test: true}}, Program: &resume.Program{Argv: []string{"/x"}}}
		if err := m.Save("key", st, []*journal.Entry{entry("a", "x")}); err != nil {
			t.Fatal(err)
		}
	}
	holds := func() string {
		t.Helper()
		st, why := m.Load("key")
		if st != nil && (st.Actions != 3 || st.Exit != 3 || st.Targets[0].Status != "FAILED" || st.Said[0].Text != "warning" || st.Program.Argv[0] != "/x") {
			t.Errorf("%+v", st)
		}
		return why
	}
	if why := holds(); why != "no state" {
		t.Error(why)
	}
	save()
	if why := holds(); why != "" {
		t.Error(why)
	}
	if st, _ := m.Load("another"); st != nil {
		t.Error("a state of another request")
	}
	m.Env = map[string]string{"VAR": "2"}
	if why := holds(); why != "VAR changed" {
		t.Error(why)
	}
	m.Env["VAR"] = "1"
	m.Binary = "two"
	if why := holds(); !strings.Contains(why, "another gorules") {
		t.Error(why)
	}
	m.Binary = "one"
	put("changed")
	if why := holds(); why != file+" changed" {
		t.Error(why)
	}
	put("x")
	if es, ok := m.Journal("key"); !ok || len(es) != 1 || es[0].Owner.Name != "a" {
		t.Errorf("journal %v %v", es, ok)
	}
	if err := m.Forget("key"); err != nil {
		t.Fatal(err)
	}
	if why := holds(); why != "no state" {
		t.Error(why)
	}
	if _, ok := m.Journal("gone"); ok {
		t.Error("a journal of nothing")
	}
}

// A use is noted for who collects, at most once an hour.
func TestStateUse(t *testing.T) {
	m := &resume.Memory{Dir: t.TempDir(), Binary: "one"}
	facts, err := source.OutputFacts(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save("key", &resume.State{Sources: source.New(source.LoadCache("")).Facts(), Outputs: facts}, nil); err != nil {
		t.Fatal(err)
	}
	for age, noted := range map[time.Duration]bool{2 * time.Hour: true, 10 * time.Minute: false} {
		was := time.Now().Add(-age)
		files := []string{filepath.Join(m.Dir, "state", "key"), filepath.Join(m.Dir, "state", "key.journal")}
		for _, p := range files {
			if err := os.Chtimes(p, was, was); err != nil {
				t.Fatal(err)
			}
		}
		if st, why := m.Load("key"); st == nil {
			t.Fatal(why)
		}
		for _, p := range files {
			if info, err := os.Stat(p); err != nil || info.ModTime().After(was.Add(time.Minute)) != noted {
				t.Errorf("%s used %v ago: %v, %v", p, age, info.ModTime(), err)
			}
		}
	}
}

func TestKey(t *testing.T) {
	a, err1 := resume.Key(struct{ A, B string }{"x", "y"})
	b, err2 := resume.Key(struct{ A, B string }{"xy", ""})
	if err1 != nil || err2 != nil || a == b || a == "" || filepath.Base(a) != a {
		t.Errorf("%q %q %v %v", a, b, err1, err2)
	}
}

// Reasons tell of the last command that ran something.
func TestReasons(t *testing.T) {
	m := &resume.Memory{Dir: t.TempDir()}
	if rs := m.Reasons(); rs != nil {
		t.Errorf("before anything ran: %v", rs)
	}
	remember := func(cached bool, input string) string {
		t.Helper()
		e := entry("a", input)
		e.CacheHit = cached
		if err := m.Remember([]*journal.Entry{e}); err != nil {
			t.Fatal(err)
		}
		rs := m.Reasons()
		if len(rs) != 1 || rs[0].Owner.Name != "a" {
			t.Fatalf("%v", rs)
		}
		return rs[0].Reason
	}
	first := remember(false, "x")
	if changed := remember(false, "y"); changed == first || !strings.Contains(changed, "in") {
		t.Errorf("first %q, then %q", first, changed)
	}
	if again := remember(true, "x"); !strings.Contains(again, "in") {
		t.Errorf("after a command that only found results: %q", again)
	}
	// What was merely found is what the next is compared with.
	if back := remember(false, "y"); !strings.Contains(back, "in") {
		t.Errorf("%q", back)
	}
}

func TestReplayed(t *testing.T) {
	e := entry("a", "x")
	e.Runner, e.Wall = "linux-sandbox", time.Second
	got := resume.Replayed([]*journal.Entry{e})
	if !got[0].CacheHit || got[0].Runner != resume.UpToDate || e.CacheHit || !slices.Equal(got[0].Argv, e.Argv) {
		t.Errorf("%+v, was %+v", got[0], e)
	}
}
