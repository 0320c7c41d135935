// Package rc reads .gorulesrc files in the grammar of Bazel's .bazelrc: lines
// of a command (`build`, `test`, `common`, `always`, with `:config` after it
// or not) and flags, `import` and `try-import`. It turns them into the words
// that stand before those of the command line. It knows no flag but --config,
// and never prints.
package rc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"gorules/cmd/gorules/internal/flags"
	"gorules/executor/diag"
	"gorules/executor/regular"
)

// Line is one line of an rc file.
type Line struct {
	Command string // "build", "common"...; "startup" counts as "common"
	Config  string // after the colon; ""
	Words   []string
	File    string
	Number  int // from 1
}

// Origin returns where the line stands.
func (l *Line) Origin() diag.Position { return diag.Position{File: l.File, Line: l.Number} }

// File is an rc file to read.
type File struct {
	Path     string
	Optional bool // need not exist
}

// Load reads the files in order, with what they import. Workspace is the root
// that %workspace% stands for; "" where there is none. Commands is the list of
// words that may start a line, besides common, always, startup and imports. A
// file that is named twice is read once. Errors are of type *diag.Error.
func Load(files []File, workspace string, commands []string) ([]Line, error) {
	l := loader{workspace: workspace, commands: commands, done: map[string]bool{}}
	for _, f := range files {
		if err := l.load(f.Path, f.Optional, nil); err != nil {
			return nil, err
		}
	}
	return l.lines, nil
}

type loader struct {
	workspace string
	commands  []string
	done      map[string]bool
	lines     []Line
}

// load reads path; from is the chain of imports that leads to it.
func (l *loader) load(path string, optional bool, from []string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path
	}
	if slices.Contains(from, real) {
		return diag.Errorf(diag.Position{File: path}, "imports itself: %s", strings.Join(append(from, real), " -> "))
	}
	if l.done[real] {
		return nil
	}
	data, err := regular.Read(path)
	if real == os.DevNull {
		data, err = nil, nil // how people say that there is nothing
	}
	if errors.Is(err, fs.ErrNotExist) && optional {
		return nil
	}
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return diag.Errorf(diag.Position{File: path}, "cannot be read: %w", err)
	}
	l.done[real] = true
	from = append(slices.Clip(from), real)
	return l.parse(path, string(data), from)
}

func (l *loader) parse(path, data string, from []string) error {
	lines := strings.Split(strings.TrimPrefix(data, "\ufeff"), "\n") // some editors begin a file with that mark
	for i := 0; i < len(lines); i++ {
		start, text := i, strings.TrimSuffix(lines[i], "\r")
		for strings.HasSuffix(text, `\`) && i+1 < len(lines) { // a line goes on after a backslash
			i++
			text = text[:len(text)-1] + strings.TrimSuffix(lines[i], "\r")
		}
		words, err := split(text)
		if err != nil {
			return diag.Errorf(diag.Position{File: path, Line: start + 1}, "%w", err)
		}
		if len(words) == 0 {
			continue
		}
		for _, w := range words {
			if at := badByte(w); at >= 0 {
				return diag.Errorf(diag.Position{File: path, Line: start + 1}, "%q has the byte 0x%02x in it: expected text in UTF-8", w, w[at])
			}
		}
		if err := l.line(path, start+1, words, from); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) line(path string, number int, words, from []string) error {
	fail := func(format string, args ...any) error {
		return diag.Errorf(diag.Position{File: path, Line: number}, format, args...)
	}
	command, config, hasConfig := strings.Cut(words[0], ":")
	if command == "import" || command == "try-import" {
		if len(words) != 2 {
			return fail("expected `%s FILE`", command)
		}
		target := words[1]
		if rest, ok := strings.CutPrefix(target, "%workspace%"); ok {
			if l.workspace == "" {
				if command == "try-import" {
					return nil
				}
				return fail("%%workspace%% has no meaning here: the current folder is in no workspace")
			}
			target = filepath.Join(l.workspace, rest)
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		if err := l.load(target, command == "try-import", from); err != nil {
			var e *diag.Error
			if errors.As(err, &e) && e.Position().Line == 0 {
				return fail("%w", err)
			}
			return err
		}
		return nil
	}
	if hasConfig && config == "" {
		return fail("a config name is missing after %q", words[0])
	}
	if command == "startup" {
		command = "common"
	}
	if command != "common" && command != "always" && !slices.Contains(l.commands, command) {
		err := fmt.Sprintf("unknown command %q at the start of the line; expected common, always, %s, import or try-import",
			command, strings.Join(l.commands, ", "))
		if near := flags.Nearest(command, append([]string{"common", "always", "import", "try-import"}, l.commands...)); near != "" {
			err += "; did you mean " + near + "?"
		}
		return fail("%s", err)
	}
	l.lines = append(l.lines, Line{Command: command, Config: config, Words: words[1:], File: path, Number: number})
	return nil
}

// badByte returns where word has a byte that no text has; -1 if nowhere.
func badByte(word string) int {
	for i, r := range word {
		if _, n := utf8.DecodeRuneInString(word[i:]); r == utf8.RuneError && n == 1 || r < ' ' && r != '\t' || r == 0x7f {
			return i
		}
	}
	return -1
}

// split cuts a line into words. Quotes keep blanks together, a backslash keeps
// the next character, # starts a comment where a word could start.
func split(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
			in = true
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == ' ' || c == '\t':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		case c == '#' && !in:
			return words, nil
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
