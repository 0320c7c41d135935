package repo_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"gorules/executor/internal/repo"
)

// entry is one entry of a test archive: "name" a file, "name/" a folder,
// "name -> to" a symbolic link, "name => to" a hard link, "name!" an executable.
func tarOf(t *testing.T, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(e))}
		if name, to, ok := strings.Cut(e, " -> "); ok {
			h = &tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}
		} else if name, to, ok := strings.Cut(e, " => "); ok {
			h = &tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeLink}
		} else if strings.HasSuffix(e, "/") {
			h = &tar.Header{Name: e, Typeflag: tar.TypeDir, Mode: 0o700}
		} else if strings.HasSuffix(e, "!") {
			h.Mode = 0o6755
		} else if strings.HasSuffix(e, "?") {
			h = &tar.Header{Name: e, Typeflag: tar.TypeFifo}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, e)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compressed(t *testing.T, content []byte, f func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := f(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t *testing.T, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e, Method: zip.Deflate}
		content := e
		if name, to, ok := strings.Cut(e, " -> "); ok {
			h.Name, content = name, to
			h.SetMode(fs.ModeSymlink | 0o777)
		} else if strings.HasSuffix(e, "!") {
			h.SetMode(0o755)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// listing shows every file below dir with mode and, for links, what they lead to.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if d.Type()&fs.ModeSymlink != 0 {
			to, _ := os.Readlink(p)
			rel += " -> " + to
		} else if info.Mode() != 0o644 {
			rel += fmt.Sprintf(" %o", uint32(info.Mode()))
		}
		out = append(out, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, ", ")
}

func TestExtract(t *testing.T) {
	tgz := func(entries ...string) []byte {
		return compressed(t, tarOf(t, entries...), func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	}
	for _, tt := range []struct {
		name, file string
		content    []byte
		args, want string
	}{
		{"tar", "a.tar", tarOf(t, "top/", "top/a", "top/run!", "top/l -> a", "top/h => top/a"), "", "top/a, top/h, top/l -> a, top/run! 755"},
		{"gz strip", "a.tar.gz", tgz("top/a", "top/d/b", "other"), ", strip_prefix = 'top'", "a, d/b"},
		{"crate", "x-1.crate", tgz("x-1/a"), ", stripPrefix = 'x-1/'", "a"},
		{"zst", "a.tar.zst", compressed(t, tarOf(t, "a"), func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }), "", "a"},
		{"xz", "a.tar.xz", compressed(t, tarOf(t, "a"), func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }), "", "a"},
		{"zip", "a.zip", zipOf(t, "d/", "d/a", "d/run!", "d/l -> a"), "", "d/a, d/l -> a, d/run! 755"},
		{"by content", "noname", tgz("a"), "", "a"},
		{"type", "noname", tarOf(t, "a"), ", type = 'tar'", "a"},
		{"rename", "a.tar", tarOf(t, "a", "b"), ", rename_files = {'a': 'c/d'}", "b, c/d"},
		{"link into a folder", "a.tar", tarOf(t, "d/x", "l -> d", "l/y"), "", "d/x, d/y, l -> d"},
		{"twice", "a.tar", tarOf(t, "a -> b", "a"), "", "a"},
		{"dangling", "a.tar", tarOf(t, "a -> b"), "", "a -> b"},

		{"up", "a.tar", tarOf(t, "../a"), "", `ERR the archive holds the name "../a", which leads out`},
		{"up inside", "a.tar", tarOf(t, "d/../../a"), "", `ERR the archive holds the name "d/../../a", which leads out`},
		{"absolute", "a.tar", tarOf(t, "/a"), "", `ERR the archive holds the name "/a", which leads out`},
		{"zip up", "a.zip", zipOf(t, "../a"), "", `ERR the archive holds the name "../a", which leads out`},
		{"link up", "a.tar", tarOf(t, "a -> .."), "", "ERR the archive holds the link a -> .., which leads out"},
		{"link absolute", "a.tar", tarOf(t, "a -> /etc/passwd"), "", "ERR the archive holds the link a -> /etc/passwd, which leads out"},
		{"zip link", "a.zip", zipOf(t, "a -> ../../x"), "", "ERR the archive holds the link a -> ../../x, which leads out"},
		{"links in a row", "a.tar", tarOf(t, "d/e/", "x -> d/e", "y -> x/../../../z"), "", "ERR the archive holds the link y -> x/../../../z, which leads out"},
		{"links in a row, lexically fine", "a.tar", tarOf(t, "d/", "d/up -> ..", "d/out -> up/../d"), "", "ERR the archive holds the link d/out, which leads out by way of others"},
		{"hard link up", "a.tar", tarOf(t, "a => ../../seen"), "", `ERR the archive holds the name "../../seen", which leads out`},
		{"fifo", "a.tar", tarOf(t, "a?"), "", "ERR a? is neither file, folder nor link"},
		{"not UTF-8", "a.tar", tarOf(t, "a\xff"), "", `ERR the archive holds the name "a\xff", which is not UTF-8`},
		{"cut", "a.tar.gz", tgz("a", "b")[:60], "", "ERR unexpected EOF"},
		{"strip missing", "a.tar", tarOf(t, "top/a", "o"), ", strip_prefix = 'tpo'", `ERR strip_prefix "tpo" is not in the archive, which has o, top`},
		{"no archive", "x.txt", []byte("hello"), "", "ERR x.txt is no archive of a known format: give its type"},
		{"bad type", "x.rar", []byte("hello"), ", type = 'rar'", `ERR archive type "rar" is not known`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "-- seen --\n")
			if err := os.WriteFile(w.path(tt.file), tt.content, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := run(w, "ctx.extract('"+w.path(tt.file)+"', 'x'"+tt.args+")")
			if want, ok := strings.CutPrefix(tt.want, "ERR "); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := listing(t, w.path("out/external/r/x")); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestDownload(t *testing.T) {
	archive := tarOf(t, "top/BUILD", "top/a.txt")
	archive = bytes.Replace(archive, []byte("top/BUILD\x00\x00"), []byte("top/BUILD\x00\x00"), 1)
	sum := fmt.Sprintf("%x", sha256.Sum256(archive))
	hits := map[string]int{}
	var asked time.Time
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits[r.URL.Path]++
		switch r.URL.Path {
		case "/a.tar":
			w.Write(archive)
		case "/flaky.tar":
			if hits[r.URL.Path] == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Write(archive)
		case "/soon.tar": // and no try before that
			if hits[r.URL.Path] == 1 {
				asked = time.Now()
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			if d := time.Since(asked); d < 900*time.Millisecond {
				t.Errorf("asked again after %v", d)
			}
			w.Write(archive)
		case "/later.tar":
			w.Header().Set("Retry-After", time.Now().Add(2*time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/down.tar":
			w.WriteHeader(http.StatusBadGateway)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	archiveRule := func(args string) string {
		return "-- ws/BUILD --\n-- ws/WORKSPACE --\nhttp_archive(name = 'r', strip_prefix = 'top', build_file_content = 'filegroup(name = \"x\", srcs = [\"a.txt\"])', " +
			strings.ReplaceAll(args, "URL", srv.URL) + ")\n"
	}
	for _, tt := range []struct{ name, args, want string }{
		{"sha256", "url = 'URL/a.tar', sha256 = '" + sum + "'", ""},
		{"mirror", "urls = ['URL/none.tar', 'URL/a.tar'], sha256 = '" + sum + "'", ""},
		{"again", "url = 'URL/flaky.tar', sha256 = '" + sum + "'", ""},
		{"again when the server says", "url = 'URL/soon.tar', sha256 = '" + sum + "'", ""},
		{"much later", "url = 'URL/later.tar', sha256 = '" + sum + "'", "ERR the server answered 503 Service Unavailable, and asks to come back in "},
		{"down", "url = 'URL/down.tar', sha256 = '" + sum + "'", "ERR " + srv.URL + "/down.tar: the server answered 502 Bad Gateway"},
		{"integrity", "url = 'URL/a.tar', integrity = 'sha256-bad'", "ERR integrity: expected sha256-, sha384- or sha512-BASE64"},
		{"mismatch", "url = 'URL/a.tar', sha256 = '" + strings.Repeat("0", 64) + "'", "ERR checksum mismatch of " + srv.URL + "/a.tar\n    expected sha256 " + strings.Repeat("0", 64) + "\n    got      sha256 " + sum},
		{"missing", "url = 'URL/none.tar', sha256 = '" + sum + "'", "ERR download failed:\n    " + srv.URL + "/none.tar: the server answered 404 Not Found"},
		{"scheme", "url = 'ftp://x/a.tar', sha256 = '" + sum + "'", "ERR expected a http, https or file URL"},
		{"no url", "sha256 = '" + sum + "'", "ERR give url or urls"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, archiveRule(tt.args))
			_, err := w.target("@r//:x")
			if want, ok := strings.CutPrefix(tt.want, "ERR "); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := w.read("out/external/r/a.txt"); got != "top/a.txt" {
				t.Errorf("a.txt = %q", got)
			}
		})
	}
	if hits["/later.tar"] != 1 || hits["/down.tar"] != 3 || hits["/none.tar"] != 2 {
		t.Errorf("requests %v; want one where a try is no use, three where it is", hits)
	}
	t.Run("offline afterwards", func(t *testing.T) {
		w := newWorld(t, archiveRule("url = 'URL/a.tar', sha256 = '"+sum+"'"))
		if _, err := w.target("@r//:x"); err != nil {
			t.Fatal(err)
		}
		before := hits["/a.tar"]
		os.RemoveAll(w.path("out/external"))
		if r, err := w.target("@r//:x"); err != nil || r.Fetches() != 1 || hits["/a.tar"] != before {
			t.Errorf("%d fetches, %d requests, %v", r.Fetches(), hits["/a.tar"]-before, err)
		}
	})
	t.Run("no checksum", func(t *testing.T) {
		w := newWorld(t, archiveRule("url = 'URL/a.tar'"))
		w.mode = repo.LockError
		if _, err := w.target("@r//:x"); err == nil || !strings.Contains(err.Error(), "has neither sha256 nor integrity, nor a line in gorules.lock") {
			t.Errorf("error = %v", err)
		}
		w.mode = repo.LockUpdate
		if _, err := w.target("@r//:x"); err != nil {
			t.Fatal(err)
		}
		if got, want := w.read("ws/gorules.lock"), "download:"+srv.URL+"/a.tar sha256:"+sum+"\n"; !strings.HasSuffix(got, want) {
			t.Errorf("gorules.lock = %q, want %q", got, want)
		}
		w.mode = repo.LockError
		os.RemoveAll(w.path("out"))
		if _, err := w.target("@r//:x"); err != nil {
			t.Error(err)
		}
	})
	t.Run("http_file", func(t *testing.T) {
		w := newWorld(t, "-- ws/BUILD --\n-- ws/WORKSPACE --\nhttp_file(name = 'r', url = '"+srv.URL+"/a.tar', sha256 = '"+sum+"', executable = True)\n")
		if _, err := w.target("@r//file:file"); err != nil {
			t.Fatal(err)
		}
		if got := listing(t, w.path("out/external/r")); got != "file/BUILD.bazel, file/downloaded 755" {
			t.Errorf("files: %s", got)
		}
	})
}

func TestNewLocalRepository(t *testing.T) {
	w := newWorld(t, `
-- lib/a.txt --
-- lib/BUILD --
broken(
-- ws/BUILD --
-- ws/WORKSPACE --
new_local_repository(name = "r", path = "../lib", build_file_content = "filegroup(name = 'x', srcs = ['a.txt'])")
`)
	if _, err := w.target("@r//:x"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.target("@r//:a.txt"); err != nil {
		t.Error(err)
	}
}

// An interrupted command kills what a rule started.
func TestInterrupt(t *testing.T) {
	if _, err := exec.LookPath("sleep"); err != nil {
		t.Skip(err)
	}
	w := newWorld(t, "-- ws/BUILD --\n-- ws/WORKSPACE --\nload('//:r.bzl', 'r')\nr(name = 'r')\n-- ws/r.bzl --\ndef _impl(ctx):\n    ctx.execute(['sh', '-c', 'echo $$ > ROOT/pid; sleep 600'])\n\nr = repository_rule(implementation = _impl)\n")
	ctx, cancel := contextUntil(t, w.path("pid"))
	defer cancel()
	_, err := w.open().View(ctx, "r")
	if err == nil {
		t.Fatal("no error")
	}
	waitGone(t, strings.TrimSpace(w.read("pid")))
}
