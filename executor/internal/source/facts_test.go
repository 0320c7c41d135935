package source_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gorules/executor/internal/action"
	"gorules/executor/internal/source"
)

var epoch = time.Unix(0, 0)

// ask asks a Snapshot everything that the tests below edit.
func ask(t testing.TB, s *source.Snapshot, dir string) {
	t.Helper()
	r := s.Under(dir)
	for _, p := range []string{"src/main.rs", "link", "chain", "via/f", "run.sh"} {
		if _, err := r.ReadFile(p); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"src", "absentdir"} {
		if _, err := r.ReadDir(p); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"README.md", "absent", "absentdir/x", "dirlink", "gone"} {
		if _, err := r.Stat(p); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

func asked(t testing.TB) (dir string, facts []byte) {
	t.Helper()
	dir = lay(t, map[string]string{
		"src/main.rs": "fn main() {}", "src/b.rs": "b", "run.sh*": "sh", "README.md": "read me", "target": "t", "other": "t",
		"link@": "target", "chain@": "mid", "mid@": "target", "v1/f@": "g", "v1/g": "1", "v2/f@": "g", "v2/g": "2", "via@": "v1",
		"dirlink@": "src", "gone@": "later",
	})
	settle()
	s := snapshot(t)
	ask(t, s, dir)
	return dir, s.Facts()
}

func relink(t testing.TB, p, text string) {
	t.Helper()
	must(t, os.Remove(p))
	must(t, os.Symlink(text, p))
}

// TestHold: every edit that changes an answer is noticed, and no other.
func TestHold(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(t testing.TB, d string)
		path string // relative, of the fact that fails; "" if all hold
	}{
		"nothing":                     {func(testing.TB, string) {}, ""},
		"content":                     {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/src/main.rs", []byte("fn main() { }"), 0o644)) }, "src/main.rs"},
		"content of one size":         {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/src/main.rs", []byte("fn moin() {}"), 0o644)) }, "src/main.rs"},
		"content with its time reset": {sameTimes, "src/main.rs"},
		"replaced by rename": {func(t testing.TB, d string) {
			put(t, d+"/new", "fn moin() {}")
			must(t, os.Rename(d+"/new", d+"/src/main.rs"))
		}, "src/main.rs"},
		"replaced by its equal": {func(t testing.TB, d string) {
			put(t, d+"/new", "fn main() {}")
			must(t, os.Rename(d+"/new", d+"/src/main.rs"))
		}, ""},
		"touched":                {func(t testing.TB, d string) { must(t, os.Chtimes(d+"/src/main.rs", time.Now(), time.Now())) }, ""},
		"touched to 1970":        {func(t testing.TB, d string) { must(t, os.Chtimes(d+"/src/main.rs", epoch, epoch)) }, ""},
		"edited and edited back": {editBack, ""},
		"executable":             {func(t testing.TB, d string) { must(t, os.Chmod(d+"/src/main.rs", 0o755)) }, "src/main.rs"},
		"no longer executable":   {func(t testing.TB, d string) { must(t, os.Chmod(d+"/run.sh", 0o644)) }, "run.sh"},
		"removed":                {func(t testing.TB, d string) { must(t, os.Remove(d+"/src/main.rs")) }, "src/main.rs"},
		"file becomes folder":    {func(t testing.TB, d string) { must(t, os.Remove(d+"/run.sh")); must(t, os.Mkdir(d+"/run.sh", 0o755)) }, "run.sh"},
		"file becomes pipe": {func(t testing.TB, d string) {
			must(t, os.Remove(d+"/run.sh"))
			must(t, syscall.Mkfifo(d+"/run.sh", 0o755))
		}, "run.sh"},
		"file becomes link":          {func(t testing.TB, d string) { relink(t, d+"/run.sh", "target") }, "run.sh"},
		"added to a listed folder":   {func(t testing.TB, d string) { put(t, d+"/src/c.rs", "") }, "src"},
		"removed from one":           {func(t testing.TB, d string) { must(t, os.Remove(d+"/src/b.rs")) }, "src"},
		"renamed in one":             {func(t testing.TB, d string) { must(t, os.Rename(d+"/src/b.rs", d+"/src/c.rs")) }, "src"},
		"type in one":                {func(t testing.TB, d string) { relink(t, d+"/src/b.rs", "x") }, "src"},
		"edited in one but not read": {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/src/b.rs", []byte("other"), 0o644)) }, ""},
		"added and removed in one": {func(t testing.TB, d string) {
			put(t, d+"/src/.swp", "")
			must(t, os.Remove(d+"/src/.swp"))
		}, ""},
		"output link in one":                        {func(t testing.TB, d string) { put(t, d+"/src/gorules-bin@", "/tmp") }, ""},
		"listed folder gone":                        {func(t testing.TB, d string) { must(t, os.Rename(d+"/src", d+"/src2")) }, "src"},
		"file not read":                             {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/README.md", []byte("other"), 0o644)) }, ""},
		"file not read, by rename":                  {func(t testing.TB, d string) { put(t, d+"/new", "other"); must(t, os.Rename(d+"/new", d+"/README.md")) }, ""},
		"stat: removed":                             {func(t testing.TB, d string) { must(t, os.Remove(d+"/README.md")) }, "README.md"},
		"stat: becomes folder":                      {func(t testing.TB, d string) { must(t, os.Remove(d+"/README.md")); put(t, d+"/README.md/x", "") }, "README.md"},
		"absent appears":                            {func(t testing.TB, d string) { put(t, d+"/absent", "") }, "absent"},
		"absent appears as link":                    {func(t testing.TB, d string) { put(t, d+"/absent@", "nowhere") }, "absent"},
		"absent folder appears":                     {func(t testing.TB, d string) { put(t, d+"/absentdir/y", "") }, "absentdir"},
		"beside all that":                           {func(t testing.TB, d string) { put(t, d+"/elsewhere", "") }, ""},
		"link's target edited":                      {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/target", []byte("T"), 0o644)) }, "target"},
		"link retargeted":                           {func(t testing.TB, d string) { relink(t, d+"/link", "README.md") }, "link"},
		"link in between retargeted":                {func(t testing.TB, d string) { relink(t, d+"/mid", "other") }, "mid"},
		"folder link retargeted, equal links in it": {func(t testing.TB, d string) { relink(t, d+"/via", "v2") }, "via/g"},
		"stat through a link: gone":                 {func(t testing.TB, d string) { relink(t, d+"/dirlink", "none") }, "dirlink"},
		"stat through a link: file for folder":      {func(t testing.TB, d string) { relink(t, d+"/dirlink", "target") }, "dirlink"},
		"dangling link gets a target":               {func(t testing.TB, d string) { put(t, d+"/later", "") }, "later"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, facts := asked(t)
			tt.edit(t, dir)
			ok, p := source.Hold(facts, nil)
			if ok != (tt.path == "") || !ok && !strings.HasPrefix(p, filepath.Join(dir, tt.path)) && tt.path != "link" {
				t.Errorf("Hold = %v, %q, want the fact of %q", ok, p, tt.path)
			}
		})
	}
}

func sameTimes(t testing.TB, d string) {
	t.Helper()
	p := d + "/src/main.rs"
	before, err := os.Stat(p)
	must(t, err)
	must(t, os.WriteFile(p, []byte("fn moin() {}"), 0o644))
	must(t, os.Chtimes(p, before.ModTime(), before.ModTime()))
	after, err := os.Stat(p)
	must(t, err)
	if after.ModTime() != before.ModTime() || after.Size() != before.Size() {
		t.Fatal("the edit shows in size or mtime")
	}
}

func editBack(t testing.TB, d string) {
	t.Helper()
	must(t, os.WriteFile(d+"/src/main.rs", []byte("x"), 0o644))
	must(t, os.WriteFile(d+"/src/main.rs", []byte("fn main() {}"), 0o644))
}

// TestHoldFresh: files edited within the kernel's clock tick after they were
// read, at any distance, are noticed: in place with the same size, and by an
// addition to a folder that had just changed.
func TestHoldFresh(t *testing.T) {
	dir := lay(t, nil)
	for i := range 30 {
		file, folder := fmt.Sprintf("%s/f%d", dir, i), fmt.Sprintf("%s/d%d", dir, i)
		put(t, file, "1")
		put(t, folder+"/a", "")
		if i%2 == 0 { // a file from an archive: its mtime says nothing
			must(t, os.Chtimes(file, epoch, epoch))
		}
		s := snapshot(t)
		if _, err := s.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ReadDir(folder); err != nil {
			t.Fatal(err)
		}
		must(t, os.WriteFile(file, []byte("2"), 0o644))
		if i%2 == 0 {
			must(t, os.Chtimes(file, epoch, epoch))
		}
		put(t, folder+"/b", "")
		if i%10 == 0 { // the facts are written long after
			settle()
		}
		facts := s.Facts()
		if ok, _ := source.Hold(facts, nil); ok {
			t.Fatalf("round %d: both edits were missed", i)
		}
		must(t, os.Remove(folder+"/b"))
		if ok, p := source.Hold(facts, nil); ok || p != file {
			t.Fatalf("round %d: the edit of the file was missed: %v, %q", i, ok, p)
		}
		put(t, folder+"/b", "")
		must(t, os.WriteFile(file, []byte("1"), 0o644))
		if ok, p := source.Hold(facts, nil); ok || p != folder {
			t.Fatalf("round %d: the addition was missed: %v, %q", i, ok, p)
		}
	}
}

// TestFreshKeysAreNotTrusted: a kernel with a coarse clock leaves the stat key
// equal after a second edit within its tick, which a test cannot bring about. So
// it looks for what makes Hold compare content then: the facts do not hold the
// ctime of what was fresh when it was read, however late they are written.
func TestFreshKeysAreNotTrusted(t *testing.T) {
	t.Parallel()
	dir := lay(t, map[string]string{"f": "1", "old": "1", "d/x": ""})
	for i, p := range []string{"old", "f", "d"} { // as from an archive: the ctime alone is fresh
		past := epoch.Add(time.Duration(i) * time.Hour)
		must(t, os.Chtimes(dir+"/"+p, past, past))
	}
	ctime := func(p string) int64 {
		var st syscall.Stat_t
		must(t, syscall.Stat(dir+"/"+p, &st))
		return st.Ctim.Nano()
	}
	for _, fresh := range []bool{true, false} {
		s := snapshot(t)
		for _, p := range []string{"f", "old"} {
			if _, err := s.ReadFile(dir + "/" + p); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.ReadDir(dir + "/d"); err != nil {
			t.Fatal(err)
		}
		inTime := time.Since(time.Unix(0, ctime("old"))) < 30*time.Millisecond // or the machine is too slow to tell
		settle()
		facts := s.Facts()
		for _, p := range []string{"f", "old", "d"} {
			if got := bytes.Contains(facts, binary.AppendUvarint(nil, uint64(ctime(p)))); got && fresh && inTime || !got && !fresh {
				t.Errorf("fresh: %v: the key of %s is trusted: %v", fresh, p, got)
			}
		}
		if ok, p := source.Hold(facts, nil); !ok {
			t.Errorf("nothing changed, and %s does not hold", p)
		}
	}
}

// TestHoldResolve: the facts of trees, with files that no query selects.
func TestHoldResolve(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(t testing.TB, d string)
		ok   bool
	}{
		"nothing":           {func(testing.TB, string) {}, true},
		"excluded":          {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/README.md", []byte("new"), 0o644)) }, true},
		"blank":             {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/src/lib.rs", []byte("new"), 0o644)) }, true},
		"ignored":           {func(t testing.TB, d string) { put(t, d+"/target/x", "") }, true},
		"selected":          {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/Cargo.toml", []byte("new"), 0o644)) }, false},
		"what is ignored":   {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/.gitignore", []byte("src"), 0o644)) }, false},
		"a new ignore file": {func(t testing.TB, d string) { put(t, d+"/src/.gitignore", "*") }, false},
		"a new file":        {func(t testing.TB, d string) { put(t, d+"/src/new.rs", "") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := lay(t, map[string]string{"Cargo.toml": "c", "README.md": "r", "src/lib.rs": "l", ".gitignore": "/target\n", "target/o": "o"})
			settle()
			s := snapshot(t)
			got := resolve(t, s, &action.Source{Root: dir, Tree: &action.TreeQuery{Gitignore: true, Exclude: globs("*.md"), Blank: globs("**/*.rs")}})
			wantList(t, "tree", show(t, got), ".gitignore", "Cargo.toml", "src/lib.rs")
			facts := s.Facts()
			tt.edit(t, dir)
			if ok, p := source.Hold(facts, nil); ok != tt.ok {
				t.Errorf("Hold = %v, %q, want %v", ok, p, tt.ok)
			}
		})
	}
}

func TestOutputFacts(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(t testing.TB, d string)
		path string
	}{
		"nothing":        {func(testing.TB, string) {}, ""},
		"edited":         {func(t testing.TB, d string) { must(t, os.WriteFile(d+"/bin/x", []byte("other!"), 0o755)) }, "bin/x"},
		"touched":        {func(t testing.TB, d string) { must(t, os.Chtimes(d+"/bin/x", epoch, epoch)) }, "bin/x"},
		"mode":           {func(t testing.TB, d string) { must(t, os.Chmod(d+"/bin/x", 0o600)) }, "bin/x"},
		"removed":        {func(t testing.TB, d string) { must(t, os.Remove(d+"/bin/deep/y")) }, "bin/deep"},
		"all removed":    {func(t testing.TB, d string) { must(t, os.RemoveAll(d+"/bin")) }, "bin"},
		"added":          {func(t testing.TB, d string) { put(t, d+"/bin/z", "") }, "bin"},
		"added beside":   {func(t testing.TB, d string) { put(t, d+"/z", "") }, ""},
		"link":           {func(t testing.TB, d string) { relink(t, d+"/l", "elsewhere") }, "l"},
		"into the empty": {func(t testing.TB, d string) { put(t, d+"/bin/empty/z", "") }, "bin/empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := lay(t, map[string]string{"bin/x*": "output", "bin/deep/y": "1", "bin/empty/": "", "l@": "bin", "log": ""})
			facts, err := source.OutputFacts([]string{dir + "/bin", dir + "/l", dir + "/log"})
			must(t, err)
			settle()
			tt.edit(t, dir)
			if ok, p := source.Hold(facts, nil); ok != (tt.path == "") || !ok && p != filepath.Join(dir, tt.path) {
				t.Errorf("Hold = %v, %q, want %q", ok, p, tt.path)
			}
		})
	}
	if _, err := source.OutputFacts([]string{filepath.Join(t.TempDir(), "none")}); !os.IsNotExist(err) {
		t.Errorf("an absent output: %v", err)
	}
	if facts, err := source.OutputFacts(nil); err != nil {
		t.Error(err)
	} else if ok, _ := source.Hold(facts, nil); !ok {
		t.Error("no outputs do not hold")
	}
}

func TestHoldCorrupt(t *testing.T) {
	_, facts := asked(t)
	if ok, _ := source.Hold(facts, nil); !ok {
		t.Fatal("the facts do not hold")
	}
	if ok, _ := source.Hold(nil, nil); ok {
		t.Error("nothing holds")
	}
	for i := range facts {
		if ok, _ := source.Hold(facts[:i], nil); ok {
			t.Errorf("cut at %d of %d they hold", i, len(facts))
		}
	}
}

// FuzzHold: whatever is taken for facts, checking them ends without a fault, and
// names no path if all of them hold.
func FuzzHold(f *testing.F) {
	_, facts := asked(f)
	f.Add(facts)
	f.Add(facts[:len(facts)/2])
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 'a'})
	f.Add([]byte{1, 9, 1, 'a', 0, 0, 0, 0, 0})
	for kind := range byte(7) {
		f.Add(append([]byte{1, kind, 1, '/', 0, 0, 0, 0, 0}, make([]byte, 40)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if ok, p := source.Hold(b, nil); ok && p != "" {
			t.Errorf("%s is named although all facts hold", p)
		}
	})
}

// BenchmarkHold checks the facts of 5,000 files in 250 folders, as a no-op
// build of a middle-sized workspace does.
func BenchmarkHold(b *testing.B) {
	dir := b.TempDir()
	for i := range 5000 {
		put(b, fmt.Sprintf("%s/d%d/f%d.rs", dir, i/20, i), "fn main() {}")
	}
	settle()
	s := snapshot(b)
	resolve(b, s, &action.Source{Root: dir, Tree: &action.TreeQuery{}})
	facts := s.Facts()
	b.ReportMetric(float64(len(facts)), "bytes")
	for b.Loop() {
		if ok, p := source.Hold(facts, nil); !ok {
			b.Fatal(p)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/op")
}
