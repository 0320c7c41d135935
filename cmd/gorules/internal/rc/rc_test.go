package rc_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gorules/cmd/gorules/internal/flags"
	"gorules/cmd/gorules/internal/rc"
)

var commands = []string{"build", "test", "run", "clean"}

func load(t testing.TB, text string) ([]rc.Line, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rc")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return rc.Load([]rc.File{{Path: path}}, "", commands)
}

func texts(args []flags.Arg) string {
	var out []string
	for _, a := range args {
		out = append(out, a.Text)
	}
	return strings.Join(out, " ")
}

func TestSplit(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{`build a b`, []string{"a", "b"}},
		{"build\ta  # c", []string{"a"}},
		{`build a#b "#c"`, []string{"a#b", "#c"}},
		{`build 'a b' "c d" e\ f ""`, []string{"a b", "c d", "e f", ""}},
		{`build "a\"b" 'a\b'`, []string{`a"b`, `a\b`}},
		{"build a \\\n  b \\\nc", []string{"a", "b", "c"}},
		{"build a\r\n", []string{"a"}},
		{`build x"y z"w`, []string{"xy zw"}},
	}
	for _, test := range tests {
		lines, err := load(t, test.text)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if d := cmp.Diff(test.want, lines[0].Words); d != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, d)
		}
	}
}

func TestWords(t *testing.T) {
	lines, err := load(t, `
test --t
build --b --config=in
always --a
common --c
build:in --in-b
test:in --in-t
common:in --in-c
clean --no
`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		chain []string
		line  string
		want  string
	}{
		{[]string{"build"}, "--x", "--a --c --b --in-c --in-b --x"},
		{[]string{"build", "test"}, "--x", "--a --c --b --in-c --in-b --in-t --t --x"},
		{[]string{"build"}, "--config in -- --config=in", "--a --c --b --in-c --in-b --in-c --in-b -- --config=in"},
	}
	for _, test := range tests {
		var line []flags.Arg
		for _, w := range strings.Fields(test.line) {
			line = append(line, flags.Arg{Text: w})
		}
		got, err := rc.Words(lines, test.chain, line)
		if err != nil {
			t.Fatal(err)
		}
		if s := texts(got); s != test.want {
			t.Errorf("%v %s:\ngot  %s\nwant %s", test.chain, test.line, s, test.want)
		}
	}
}

func TestErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"\n\nbiuld --x", `:3: unknown command "biuld"`},
		{"build: --x", `:1: a config name is missing`},
		{"build 'x", `:1: the quote ' is not closed`},
		{"import", ":1: expected `import FILE`"},
		{"import %workspace%/x", ":1: %workspace% has no meaning here"},
		{"a\\\nb\n\nbuild 'x", `:1: unknown command "ab"`},
	}
	for _, test := range tests {
		_, err := load(t, test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %s", test.text, err, test.want)
		}
	}
	if _, err := load(t, "try-import %workspace%/x\ntry-import none\n"); err != nil {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("build:x --a 'b' \\\n c # d\nimport x")
	f.Add("\\")
	f.Add("build \"\\")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "import") {
			t.Skip("would read files")
		}
		lines, err := load(t, text)
		if err == nil {
			if _, err := rc.Words(lines, []string{"build", "test"}, nil); err != nil && !strings.Contains(err.Error(), "config") {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// What is no text has its line; a comment may be in any encoding.
func TestBytes(t *testing.T) {
	for text, want := range map[string]string{
		"build --a\nbuild --jobs=\xff\n":     `:2: "--jobs=\xff" has the byte 0xff in it: expected text in UTF-8`,
		"\xff --a\n":                         `:1: "\xff" has the byte 0xff in it`,
		"build --a\x00b\n":                   `:1: "--a\x00b" has the byte 0x00 in it`,
		"build --a \x1b[1m":                  `:1: "\x1b[1m" has the byte 0x1b in it`,
		"\n\nimport a\xc3\n":                 `:3: "a\xc3" has the byte 0xc3 in it`,
		"build --a \\\n  --b=\xff\nbuild -c": `:1: "--b=\xff" has the byte 0xff in it`,
		"\ufeffbuild --a # caf\xe9\n":        "",
		"build \"a\tb\" --c=\u00e9\ufffd\n":  "",
	} {
		_, err := load(t, text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
