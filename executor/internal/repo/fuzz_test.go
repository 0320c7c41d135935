package repo

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// FuzzUnpack: whatever an archive holds, unpacking it ends without a fault and
// changes nothing outside its folder.
func FuzzUnpack(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "d/l", Linkname: "../../outside", Typeflag: tar.TypeSymlink},
		{Name: "h", Linkname: "d/l", Typeflag: tar.TypeLink},
		{Name: "d/l/x", Typeflag: tar.TypeReg, Mode: 0o644},
	} {
		if err := w.WriteHeader(&h); err != nil {
			f.Fatal(err)
		}
	}
	w.Close()
	f.Add(b.Bytes(), "tar", "")
	for kind, compress := range map[string]func(io.Writer) (io.WriteCloser, error){
		"tar.gz":  func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"tar.xz":  func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		"tar.zst": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	} {
		var c bytes.Buffer
		cw, err := compress(&c)
		if err != nil {
			f.Fatal(err)
		}
		_, err = cw.Write(b.Bytes())
		if err := errors.Join(err, cw.Close()); err != nil {
			f.Fatal(err)
		}
		f.Add(c.Bytes(), kind, "d")
	}
	f.Add([]byte("BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00"), "tar.bz2", "") // nothing, compressed
	var z bytes.Buffer
	zw := zip.NewWriter(&z)
	for _, name := range []string{"a/b", "../outside", "/abs"} {
		if _, err := zw.Create(name); err != nil {
			f.Fatal(err)
		}
	}
	zw.Close()
	f.Add(z.Bytes(), "zip", "a")
	f.Add([]byte{}, "tar.gz", "")
	f.Add([]byte{0x1f, 0x8b}, "", "..")
	f.Fuzz(func(t *testing.T, archive []byte, kind, strip string) {
		root := t.TempDir()
		file, dir := filepath.Join(root, "archive"), filepath.Join(root, "into")
		if err := os.WriteFile(file, archive, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		r, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := unpack(file, r, kind, strip, nil, Limits{Bytes: 1 << 20, Entries: 100}); err == nil { // an error is as good
			inside(t, dir)
		}
		es, err := os.ReadDir(root)
		if err != nil || len(es) != 2 {
			t.Errorf("outside of the folder: %v %v", es, err)
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, archive) {
			t.Errorf("the archive itself was changed: %v", err)
		}
	})
}

// inside fails if a link below dir leads out of it.
func inside(t *testing.T, dir string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSymlink != 0 {
			if real, err := filepath.EvalSymlinks(p); err == nil && real != dir && !strings.HasPrefix(real, dir+"/") {
				t.Errorf("%s leads to %s", p, real)
			}
		}
		return nil
	})
}
