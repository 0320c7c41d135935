package repo_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// deep is a folder so deep that a link in it may climb far by its text.
const deep = "a/b/c/d/e/f/g/h/i/j"

func climb(n int) string { return strings.Repeat("../", n) }

func link(name, to string) tar.Header {
	return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}
}

func hard(name, to string) tar.Header {
	return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeLink}
}

func file(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 5}
}

// TestHostileTar: each of these in each compression is refused, by a message that
// names the entry, and nothing outside of the repository is touched or readable.
func TestHostileTar(t *testing.T) {
	formats := map[string]func(io.Writer) (io.WriteCloser, error){
		"tar":     nil,
		"tar.gz":  func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"tar.xz":  func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		"tar.zst": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	}
	for name, c := range map[string]struct {
		entries []tar.Header
		want    string
	}{
		"name up":                   {[]tar.Header{file("../out")}, `"../out", which leads out`},
		"name up inside":            {[]tar.Header{file("x/../../out")}, `"x/../../out", which leads out`},
		"name absolute":             {[]tar.Header{file("/out")}, `"/out", which leads out`},
		"folder up":                 {[]tar.Header{{Name: "../out/", Typeflag: tar.TypeDir, Mode: 0o755}}, `"../out/", which leads out`},
		"link up":                   {[]tar.Header{link("l", "../out")}, "l -> ../out, which leads out"},
		"link absolute":             {[]tar.Header{link("l", "/etc/passwd")}, "l -> /etc/passwd, which leads out"},
		"link to nothing":           {[]tar.Header{link("l", "")}, "l -> , which leads out"},
		"link deep":                 {[]tar.Header{link(deep+"/l", climb(11)+"out")}, "which leads out"},
		"write through a link":      {[]tar.Header{link("l", "x/../.."), file("l/f")}, "which leads out"},
		"links by way of links":     {[]tar.Header{file("d/f"), link("d/up", ".."), link("d/out", "up/../x")}, "the archive holds the link d/out, which leads out by way of others"},
		"link before its way":       {[]tar.Header{link("d/out", "up/../x"), link("d/up", "..")}, "the archive holds the link d/out, which leads out by way of others"},
		"three steps":               {[]tar.Header{link("one", "two"), link("two", "d/three"), link("d/three", "up/../out"), link("d/up", "..")}, "which leads out by way of others"},
		"hard link up":              {[]tar.Header{hard("h", "../out/secret")}, `"../out/secret", which leads out`},
		"hard link absolute":        {[]tar.Header{hard("h", "/etc/passwd")}, `"/etc/passwd", which leads out`},
		"hard link to a deep link":  {[]tar.Header{link(deep+"/l", climb(10)+"f"), hard("top", deep+"/l")}, "top -> " + climb(10) + "f, which leads out"},
		"hard link to moved chain":  {[]tar.Header{link("d/up", ".."), hard("up", "d/up")}, "up -> .., which leads out"},
		"hard link to a folder":     {[]tar.Header{{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, hard("h", "d")}, "h as a link to d, which is no file"},
		"hard link to nothing":      {[]tar.Header{hard("h", "missing")}, "missing"},
		"fifo":                      {[]tar.Header{{Name: "p", Typeflag: tar.TypeFifo}}, "p is neither file, folder nor link"},
		"character device":          {[]tar.Header{{Name: "c", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, "c is neither file, folder nor link"},
		"block device":              {[]tar.Header{{Name: "b", Typeflag: tar.TypeBlock, Devmajor: 7}}, "b is neither file, folder nor link"},
		"not UTF-8":                 {[]tar.Header{file("a\xff")}, "not UTF-8"},
		"through a file":            {[]tar.Header{file("f"), file("f/g")}, "f"},
		"folder replaced by a link": {[]tar.Header{file("d/f"), link("d2", "d"), file("d2/../../out")}, "which leads out"},
	} {
		for suffix, compress := range formats {
			t.Run(name+" "+suffix, func(t *testing.T) {
				var b bytes.Buffer
				w := tar.NewWriter(&b)
				for _, h := range c.entries {
					if err := w.WriteHeader(&h); err != nil {
						t.Fatal(err)
					}
					if h.Size > 0 {
						io.WriteString(w, "PWNED")
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				content := b.Bytes()
				if compress != nil {
					content = compressed(t, content, compress)
				}
				refused(t, "x."+suffix, content, c.want)
			})
		}
	}
}

// A chain of links leads out however long it is, up to where the kernel gives up.
func TestLongChains(t *testing.T) {
	const deep = "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t"
	for _, n := range []int{1, 7, 8, 9, 12, 30, 37} {
		var entries []string
		for i := range n - 1 {
			entries = append(entries, fmt.Sprintf("%s/u%d -> u%d", deep, i, i+1))
		}
		// To the root of the repository, and from there to the world beside it: by
		// their texts both stay inside.
		entries = append(entries, fmt.Sprintf("%s/u%d -> %s", deep, n-1, climb(20)), deep+"/top -> u0/"+climb(2)+"secret")
		w := newWorld(t, "-- out/secret --\nsecret\n")
		if err := os.WriteFile(w.path("x.tar"), tarOf(t, entries...), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := run(w, "ctx.extract('"+w.path("x.tar")+"')")
		if err == nil || !strings.Contains(err.Error(), "top, which leads out by way of others") {
			t.Errorf("%d links: error = %v", n, err)
		}
		if p, err := filepath.EvalSymlinks(w.path("out/external/r/" + deep + "/top")); err == nil {
			t.Errorf("%d links: %s is left", n, p)
		}
	}
}

// A link that is moved by the rule leads elsewhere.
func TestMovedLink(t *testing.T) {
	w := newWorld(t, "-- out/secret --\nsecret\n")
	if err := os.WriteFile(w.path("x.tar"), tarOf(t, "a/b/q/f", "a/b/q/l -> ../../../secret", "a/b/ok -> q/f"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := run(w, "ctx.extract('"+w.path("x.tar")+"'), ctx.rename('a/b/q', 'q')"); err == nil || !strings.Contains(err.Error(), "the link q/l, which leads out") {
		t.Errorf("error = %v", err)
	}
	if _, err := run(w, "ctx.extract('"+w.path("x.tar")+"'), ctx.rename('a/b', 'a/c')"); err != nil {
		t.Errorf("moved inside: %v", err)
	}
}

// No folder is made outside before a write there is refused.
func TestNoFoldersOutside(t *testing.T) {
	w := newWorld(t, "-- victim/f --\n")
	for _, call := range []string{"ctx.file('v/new/deep/x')", "ctx.symlink('f', 'v/new/l')", "ctx.download('file://" + w.path("victim/f") + "', 'v/new/d')"} {
		if _, err := run(w, "ctx.symlink('"+w.path("victim")+"', 'v'), "+call); err == nil || !strings.Contains(err.Error(), "outside") {
			t.Errorf("%s: error = %v", call, err)
		}
	}
	if got := listing(t, w.path("victim")); got != "f" {
		t.Errorf("the folder holds %s", got)
	}
	if es, _ := os.ReadDir(w.path("victim")); len(es) != 1 {
		t.Errorf("the folder holds %v", es)
	}
}

// refused extracts an archive, which must fail, and looks around afterwards.
func refused(t *testing.T, name string, content []byte, want string) {
	t.Helper()
	w := newWorld(t, "-- out/external/out/secret --\nsecret\n-- out/secret --\nsecret\n")
	if err := os.WriteFile(w.path(name), content, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := run(w, "ctx.extract('"+w.path(name)+"')")
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want %s", err, want)
	}
	fs.WalkDir(os.DirFS(w.root), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(p, "out/external/r/") {
			if b, _ := os.ReadFile(w.path(p)); string(b) == "PWNED" {
				t.Errorf("%s was written", p)
			}
		}
		return nil
	})
	for _, p := range []string{"out/external/out/secret", "out/secret"} {
		if got := w.read(p); got != "secret\n" {
			t.Errorf("%s is %q", p, got)
		}
	}
}

type zipEntry struct {
	name, text string
	mode       fs.FileMode
	flags      uint16
}

func zipEntries(t *testing.T, entries ...zipEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Store, Flags: e.flags,
			CRC32: crc32.ChecksumIEEE([]byte(e.text)), CompressedSize64: uint64(len(e.text)), UncompressedSize64: uint64(len(e.text))}
		h.SetMode(e.mode)
		h.Name = e.name
		f, err := w.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, e.text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHostileZip(t *testing.T) {
	honest := zipEntries(t, zipEntry{name: "f", text: "PWNED", mode: 0o644})
	changed := func(from, to string) []byte {
		b := bytes.Replace(honest, []byte(from), []byte(to), 1)
		if bytes.Equal(b, honest) {
			t.Fatal("nothing was changed")
		}
		return b
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"name up":        {zipEntries(t, zipEntry{name: "../out", text: "PWNED", mode: 0o644}), `"../out", which leads out`},
		"name absolute":  {zipEntries(t, zipEntry{name: "/out", text: "PWNED", mode: 0o644}), `"/out", which leads out`},
		"folder up":      {zipEntries(t, zipEntry{name: "../out/", mode: fs.ModeDir | 0o755}), `"../out/", which leads out`},
		"link up":        {zipEntries(t, zipEntry{name: "l", text: "../out", mode: fs.ModeSymlink | 0o777}), "l -> ../out, which leads out"},
		"link absolute":  {zipEntries(t, zipEntry{name: "l", text: "/etc", mode: fs.ModeSymlink | 0o777}), "l -> /etc, which leads out"},
		"link as folder": {zipEntries(t, zipEntry{name: "l/", text: "..", mode: fs.ModeSymlink | 0o777}), "l/ is neither file, folder nor link"},
		"long link":      {zipEntries(t, zipEntry{name: "l", text: strings.Repeat("x/", 5000), mode: fs.ModeSymlink | 0o777}), "the target of the link l has more than"},
		"chain": {zipEntries(t, zipEntry{name: "d/up", text: "..", mode: fs.ModeSymlink | 0o777},
			zipEntry{name: "d/out", text: "up/../x", mode: fs.ModeSymlink | 0o777}), "the link d/out, which leads out by way of others"},
		"fifo":         {zipEntries(t, zipEntry{name: "p", mode: fs.ModeNamedPipe | 0o644}), "p is neither file, folder nor link"},
		"device":       {zipEntries(t, zipEntry{name: "c", mode: fs.ModeDevice | fs.ModeCharDevice | 0o644}), "c is neither file, folder nor link"},
		"socket":       {zipEntries(t, zipEntry{name: "s", mode: fs.ModeSocket | 0o644}), "s is neither file, folder nor link"},
		"encrypted":    {zipEntries(t, zipEntry{name: "f", text: "PWNED", mode: 0o644, flags: 1}), "f is encrypted"},
		"bad checksum": {changed("PWNED", "pwned"), "checksum error"},
		"cut":          {honest[:len(honest)-10], "not a valid zip file"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, "x.zip", c.content, c.want) })
	}
}

// What the checksum of the whole says is heard, also behind the last entry.
func TestDamagedArchives(t *testing.T) {
	gz := compressed(t, tarOf(t, "a", "b"), func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	sum := bytes.Clone(gz)
	sum[len(sum)-8] ^= 1
	header := tarOf(t, "a")
	header[0] ^= 1
	xzBytes := compressed(t, tarOf(t, "a"), func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) })
	zst := compressed(t, tarOf(t, "a"), func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
	for name, c := range map[string]struct {
		file    string
		content []byte
		want    string
	}{
		"gzip's checksum":       {"x.tar.gz", sum, "checksum"},
		"gzip without its end":  {"x.tar.gz", gz[:len(gz)-8], "unexpected EOF"},
		"a tar header":          {"x.tar", header, "invalid tar header"},
		"xz without its end":    {"x.tar.xz", xzBytes[:len(xzBytes)-20], "EOF"},
		"zstd without its end":  {"x.tar.zst", zst[:len(zst)-6], "EOF"},
		"a file that ends soon": {"x.tar", tarOf(t, "a")[:512], "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.file, c.content, c.want) })
	}
	w := newWorld(t, "")
	if err := os.WriteFile(w.path("x.tar.gz"), append(gz, make([]byte, 512)...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := run(w, "ctx.extract('"+w.path("x.tar.gz")+"')"); err != nil {
		t.Errorf("padding behind the data: %v", err)
	}
}

// A second archive cannot go through links of the first, nor make them lead out.
func TestSecondArchive(t *testing.T) {
	for name, c := range map[string]struct {
		one, two     []string
		first, later string // where they are unpacked
		want         string
	}{
		"output is a link":      {[]string{"d/f", "sub -> d"}, []string{"x"}, "", "sub", ""},
		"output below a link":   {[]string{"d/f", "sub -> d"}, []string{"x"}, "", "sub/deeper", ""},
		"what leads nowhere":    {[]string{"d/e -> f/../.."}, []string{"d/f -> ."}, "", "", "the archive holds the link d/e, which leads out by way of others"},
		"in another folder":     {[]string{"e -> g/f/../../.."}, []string{"f -> ../.."}, "p/q", "p/q/g", "leads out"},
		"a name below the link": {[]string{"d/f", "l -> d"}, []string{"l/../../x"}, "", "", `"l/../../x", which leads out`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "-- out/secret --\nsecret\n")
			for file, entries := range map[string][]string{"one.tar": c.one, "two.tar": c.two} {
				if err := os.WriteFile(w.path(file), tarOf(t, entries...), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := run(w, fmt.Sprintf("ctx.extract('%s', '%s'), ctx.extract('%s', '%s')", w.path("one.tar"), c.first, w.path("two.tar"), c.later))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error = %v, want %q", err, c.want)
			}
		})
	}
}

// A rule's own link to the outside is no way out for an archive.
func TestArchiveThroughRulesLink(t *testing.T) {
	w := newWorld(t, "-- victim/f --\nvictim\n")
	if err := os.WriteFile(w.path("one.tar"), tarOf(t, "f"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, output := range []string{"sub", "sub/deeper"} {
		_, err := run(w, fmt.Sprintf("ctx.symlink('%s', 'sub'), ctx.extract('%s', '%s')", w.path("victim"), w.path("one.tar"), output))
		if err == nil || !strings.Contains(err.Error(), "escapes") {
			t.Errorf("output %s: error = %v", output, err)
		}
	}
	if got := w.read("victim/f"); got != "victim\n" {
		t.Errorf("written through the link: %q", got)
	}
}

func TestArchiveLimits(t *testing.T) {
	zeros := func(n int64) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, err := w.Create("zeros")
		if err == nil {
			_, err = io.CopyN(f, zeroReader{}, n)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprint(i))
	}
	for name, c := range map[string]struct {
		file    string
		content []byte
		want    string
	}{
		"ratio":    {"x.zip", zeros(200 << 20), "becomes more than 64 times its size of"},
		"left out": {"x.tar", tarOf(t, "top/a", strings.Repeat("out", 60), strings.Repeat("of it", 60)), "more than 400 bytes; allow more with --max_archive_size"},
		"entries":  {"x.tar", tarOf(t, many...), "more than 150 entries; allow more with --max_archive_entries"},
		"bytes":    {"x.tar", tarOf(t, strings.Repeat("long", 60), strings.Repeat("name", 60)), "more than 400 bytes; allow more with --max_archive_size"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			w.limits.Entries = 150
			strip := ""
			if name == "bytes" || name == "left out" {
				w.limits.Bytes = 400
			}
			if name == "left out" {
				strip = ", strip_prefix = 'top'"
			}
			if err := os.WriteFile(w.path(c.file), c.content, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := run(w, "ctx.extract('"+w.path(c.file)+"'"+strip+")")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %s", err, c.want)
			}
		})
	}
	w := newWorld(t, "-- file --\n"+strings.Repeat("x", 1000)+"\n")
	w.limits.Download = 1000
	_, err := run(w, "ctx.download('file://"+w.path("file")+"', 'f')")
	if err == nil || !strings.Contains(err.Error(), "larger than 1000 bytes; allow more with --max_download_size") {
		t.Errorf("download: %v", err)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A FIFO in place of an archive or a download would never end.
func TestFIFOs(t *testing.T) {
	w := newWorld(t, "")
	w.shell("mkfifo x.tar")
	for _, call := range []string{"ctx.extract('" + w.path("x.tar") + "')", "ctx.download('file://" + w.path("x.tar") + "', 'f')"} {
		if _, err := run(w, call); err == nil || !strings.Contains(err.Error(), "it is a FIFO, not a file") {
			t.Errorf("%s: %v", call, err)
		}
	}
}
