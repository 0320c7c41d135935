package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// body matches a line that opens the body of an ordinary function. Functions
// in macros ($name), const and extern ones are left alone: the added line
// could not stand there.
var body = regexp.MustCompile(`^\s*(pub(\([a-z]+\))? )?fn [^;$]*\{$`)

// AddLine puts one statement at the start of the first function body of Rust
// source text. The statement is what rustfmt would write, no lint complains
// of it, and n makes it different from one round to the next. ok is false where
// there is no such body.
func AddLine(text string, n int) (edited string, ok bool) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !body.MatchString(line) {
			continue
		}
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		step := "    "
		if strings.HasPrefix(indent, "\t") || i+1 < len(lines) && strings.HasPrefix(lines[i+1], "\t") {
			step = "\t"
		}
		added := fmt.Sprintf("%s%sstd::hint::black_box(%d);", indent, step, n)
		return strings.Join(slices.Insert(lines, i+1, added), "\n"), true
	}
	return text, false
}

// An edit is a source file and what it holds before and after.
type edit struct {
	file   string // relative to the project
	before string
}

// findEdit chooses the file that the edit measure changes in dir: the root of
// a library of the project, of a program if there is none, or the first file
// beside it with a function that can be edited.
func findEdit(ctx context.Context, dir string) (edit, error) {
	text, err := cargo(ctx, dir, "metadata", "--format-version=1", "--no-deps", "--offline")
	if err != nil {
		return edit{}, err
	}
	var meta struct {
		Packages []struct {
			Targets []struct {
				Kind []string
				Src  string `json:"src_path"`
			}
		}
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return edit{}, fmt.Errorf("what `cargo metadata` printed of %s: %w", dir, err)
	}
	var roots []string
	for _, kind := range []string{"lib", "bin"} {
		for _, p := range meta.Packages {
			for _, t := range p.Targets {
				if slices.Contains(t.Kind, kind) {
					roots = append(roots, t.Src)
				}
			}
		}
	}
	for _, root := range roots {
		for _, file := range append([]string{root}, beside(root)...) {
			source, err := os.ReadFile(file)
			if err != nil {
				return edit{}, err
			}
			if _, ok := AddLine(string(source), 0); !ok {
				continue
			}
			rel, err := filepath.Rel(dir, file)
			if err != nil {
				return edit{}, err
			}
			return edit{file: rel, before: string(source)}, nil
		}
	}
	return edit{}, fmt.Errorf("project %s: no library or program of it has a function that can be edited", dir)
}

// beside returns the other Rust files of root's folder, sorted.
func beside(root string) []string {
	entries, err := os.ReadDir(filepath.Dir(root))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.Type()&fs.ModeType == 0 && strings.HasSuffix(e.Name(), ".rs") && e.Name() != filepath.Base(root) {
			out = append(out, filepath.Join(filepath.Dir(root), e.Name()))
		}
	}
	return out
}

// apply writes the file, edited for round n, or as it was for n == 0.
func (e edit) apply(dir string, n int) error {
	text := e.before
	if n > 0 {
		text, _ = AddLine(text, n)
	}
	if err := os.WriteFile(filepath.Join(dir, e.file), []byte(text), 0o666); err != nil {
		return fmt.Errorf("edit: %w", err)
	}
	return nil
}
