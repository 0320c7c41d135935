package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mutated is a workspace whose cache is changed behind gorules' back: chains of
// actions, a folder of many files that is shown as a whole, folders as outputs,
// tests.
const mutated = `
[genrule(
    name = "g%%d" %% i,
    srcs = ["in"] + ([":g%%d" %% (i - 1)] if i %% 4 else []),
    outs = ["o%%d" %% i],
    cmd = "cat $(SRCS) > $@; echo %%d >> $@" %% i,
) for i in range(%d)]

genrule(name = "all", srcs = ["many/%%d" %% i for i in range(20)] + ["in"], outs = ["all.txt"], cmd = "cat $(SRCS) > $@")

sh_test(name = "test", srcs = ["t.sh"], data = ["o1", "many/0"])
`

// A mutation changes one thing at p, which is no folder, or with dirs may be one.
type mutation struct {
	name string
	dirs bool
	do   func(rng *rand.Rand, p string, all []string) error
}

// keepTimes sets the times of p back to those that it had.
func keepTimes(p string, info fs.FileInfo) error { return os.Chtimes(p, time.Time{}, info.ModTime()) }

func rewrite(p string, change func([]byte) []byte) error {
	b, err := os.ReadFile(p)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(change(b))
	return errors.Join(err, f.Close())
}

func flip(rng *rand.Rand, p string) error {
	return rewrite(p, func(b []byte) []byte {
		if len(b) > 0 {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		return b
	})
}

// instead puts something else in the place of p.
func instead(p string, put func() error) error {
	aside := p + ".aside"
	return errors.Join(os.Rename(p, aside), put(), removeTree(aside))
}

var mutations = []mutation{
	{"flip a bit", false, func(rng *rand.Rand, p string, _ []string) error { return flip(rng, p) }},
	{"flip a bit, times kept", false, func(rng *rand.Rand, p string, _ []string) error {
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		return errors.Join(flip(rng, p), keepTimes(p, info))
	}},
	{"cut", false, func(rng *rand.Rand, p string, _ []string) error {
		return rewrite(p, func(b []byte) []byte { return b[:rng.IntN(len(b)+1)] })
	}},
	{"lengthen", false, func(_ *rand.Rand, p string, _ []string) error {
		return rewrite(p, func(b []byte) []byte { return append(b, "more"...) })
	}},
	{"fill with zeros, times kept", false, func(_ *rand.Rand, p string, _ []string) error {
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		return errors.Join(rewrite(p, func(b []byte) []byte { return make([]byte, len(b)) }), keepTimes(p, info))
	}},
	{"swap with another", true, func(rng *rand.Rand, p string, all []string) error {
		var like []string // of the same kind, and neither within the other
		for _, q := range all {
			if isDir(q) == isDir(p) && !strings.HasPrefix(q, p) && !strings.HasPrefix(p, q) && (rng.IntN(3) == 0 || filepath.Dir(p) == filepath.Dir(q)) {
				like = append(like, q)
			}
		}
		if len(like) == 0 {
			return nil
		}
		q := like[rng.IntN(len(like))]
		return errors.Join(os.Rename(p, p+".swap"), os.Rename(q, p), os.Rename(p+".swap", q))
	}},
	{"copy over another", false, func(rng *rand.Rand, p string, all []string) error {
		q := all[rng.IntN(len(all))]
		if info, err := os.Lstat(q); err != nil || !info.Mode().IsRegular() || p == q {
			return err
		}
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(q)
		return errors.Join(err, rewrite(p, func([]byte) []byte { return b }), keepTimes(p, info))
	}},
	{"a folder instead", true, func(_ *rand.Rand, p string, _ []string) error {
		return instead(p, func() error { return os.MkdirAll(filepath.Join(p, "x"), 0o755) })
	}},
	{"a FIFO instead", true, func(_ *rand.Rand, p string, _ []string) error {
		return instead(p, func() error { return syscall.Mkfifo(p, 0o644) })
	}},
	{"a file instead", true, func(_ *rand.Rand, p string, _ []string) error {
		return instead(p, func() error { return os.WriteFile(p, []byte("odd"), 0o644) })
	}},
	{"a link instead", true, func(rng *rand.Rand, p string, all []string) error {
		to := []string{"/dev/zero", "nowhere", all[rng.IntN(len(all))], os.Getenv(victim)}[rng.IntN(4)]
		return instead(p, func() error { return os.Symlink(to, p) })
	}},
	{"nothing instead", true, func(_ *rand.Rand, p string, _ []string) error { return removeTree(p) }},
	{"mode 000", true, func(_ *rand.Rand, p string, _ []string) error {
		if info, err := os.Lstat(p); err != nil || info.Mode()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chmod(p, 0)
	}},
	{"changed in the future", true, func(_ *rand.Rand, p string, _ []string) error {
		if info, err := os.Lstat(p); err != nil || info.Mode()&fs.ModeSymlink != 0 {
			return err
		}
		later := time.Now().Add(1000 * time.Hour)
		return os.Chtimes(p, later, later)
	}},
}

// victim names a folder beside the cache that nothing may be written to.
const victim = "GORULES_TEST_VICTIM"

func isDir(p string) bool {
	info, err := os.Lstat(p)
	return err == nil && info.IsDir()
}

// TestMutations changes the cache at random, between commands: whatever it was,
// the next command ends, succeeds and makes the right outputs, and writes to no
// place that a link leads to. GORULES_MUTATIONS says how many (60).
func TestMutations(t *testing.T) {
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("this host refuses user namespaces: %v %s", err, out)
	}
	rounds, seed := 60, uint64(1)
	for name, set := range map[string]func(n int){"GORULES_MUTATIONS": func(n int) { rounds = n }, "GORULES_SEED": func(n int) { seed = uint64(n) }} {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			set(n)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	home, err := os.MkdirTemp("", "gorules-home-")
	must(err)
	t.Cleanup(func() { removeAll(t, home) })
	kept := t.TempDir()
	must(os.WriteFile(filepath.Join(kept, "file"), []byte("mine"), 0o644))
	t.Setenv(victim, kept)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		must(errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o755)))
	}
	write("WORKSPACE", "")
	write("BUILD", fmt.Sprintf(mutated, chained))
	write("t.sh", "#!/bin/bash\nexit 0\n")
	many := ""
	for i := range 20 {
		write(fmt.Sprint("many/", i), fmt.Sprint("file ", i, "\n"))
		many += fmt.Sprint("file ", i, "\n")
	}
	in := ""
	command := func(rng *rand.Rand) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		args := [][]string{{"build", "//..."}, {"test", "//..."}, {"build", "-k", "//...", "--execution_log_json_file=log"}}[rng.IntN(3)]
		cmd := exec.CommandContext(ctx, self, args...)
		cmd.Args[0], cmd.Dir = "gorules", dir
		cmd.Env = append(os.Environ(), useEngine+"=real", "HOME="+home, "XDG_CACHE_HOME="+home, "GORACE=atexit_sleep_ms=0")
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Run(); err != nil {
			return fmt.Sprintf("%v: %v, %v\n%s", args, err, context.Cause(ctx), said.String())
		}
		want := map[string]string{"all.txt": many + in}
		for i, text := range chainContents(in) {
			want[fmt.Sprint("o", i)] = text
		}
		if args[0] == "test" {
			want = nil // it lays out no outputs but those of tests
		}
		for name, text := range want {
			if got, err := os.ReadFile(filepath.Join(dir, "gorules-bin", name)); err != nil || string(got) != text {
				return fmt.Sprintf("%v: %s is %q, want %q (%v)\n%s", args, name, got, text, err, said.String())
			}
		}
		if es, err := os.ReadDir(kept); err != nil || len(es) != 1 {
			return fmt.Sprintf("%v: written through a link: %v, %v", args, es, err)
		}
		return ""
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	root := filepath.Join(home, "gorules")
	did := map[string]int{}
	for round := range rounds {
		if round%3 == 0 {
			in = fmt.Sprintf("%d\n", rng.IntN(12)) // often one whose results are known
			write("in", in)
		}
		if round > 0 {
			var all []string
			must(filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
				if p != root {
					all = append(all, p)
				}
				if errors.Is(err, fs.ErrPermission) { // of an earlier round, where nobody needed it since
					return fs.SkipDir
				}
				return err
			}))
			p := all[rng.IntN(len(all))]
			if rng.IntN(2) == 0 { // half of them to what is no blob
				if few := slices.DeleteFunc(slices.Clone(all), func(p string) bool { return strings.Contains(p, "/cas/") || strings.Contains(p, "/ac/") }); len(few) > 0 {
					p = few[rng.IntN(len(few))]
				}
			}
			m := mutations[rng.IntN(len(mutations))]
			info, err := os.Lstat(p)
			must(err)
			if !m.dirs && !info.Mode().IsRegular() {
				m = mutations[len(mutations)-3] // nothing instead
			}
			if err := m.do(rng, p, all); !errors.Is(err, fs.ErrPermission) {
				must(err)
			}
			did[m.name]++
			if wrong := command(rng); wrong != "" {
				t.Fatalf("round %d, seed %d: %s: %s\n%s", round, seed, strings.TrimPrefix(p, root), m.name, wrong)
			}
			continue
		}
		if wrong := command(rng); wrong != "" {
			t.Fatal(wrong)
		}
	}
	t.Logf("%d mutations, nothing wrong: %v", rounds-1, did)
}
