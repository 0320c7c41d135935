package repo

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// unpacker writes the entries of one archive below a folder. It goes through
// os.Root, so that no name and no chain of links leads out of that folder.
type unpacker struct {
	root   *os.Root
	strip  string // folder taken off all names; entries outside of it are left out
	rename map[string]string

	tops    map[string]bool // first path segments seen, for messages
	written int
	links   []string
}

// unpack extracts the archive at file into dir, which exists. kind is Bazel's
// type attribute, "" to tell by name and content.
func unpack(file, dir, kind, strip string, rename map[string]string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	u := &unpacker{root: root, strip: strings.Trim(path.Clean("/"+strip), "/"), rename: rename, tops: map[string]bool{}}
	if kind, err = archiveKind(f, kind); err != nil {
		return err
	}
	if kind == "zip" {
		err = u.zip(f)
	} else {
		err = u.tarball(f, kind)
	}
	if err != nil {
		return err
	}
	if u.written == 0 && u.strip != "" {
		return fmt.Errorf("strip_prefix %q is not in the archive, which has %s", strip, strings.Join(sorted(u.tops), ", "))
	}
	return u.checkLinks()
}

// archiveKinds maps suffixes to formats.
var archiveKinds = []struct{ suffix, kind string }{
	{"tar.gz", "gz"}, {"tgz", "gz"}, {"crate", "gz"}, {"tar.xz", "xz"}, {"txz", "xz"}, {"tar.zst", "zst"}, {"tzst", "zst"},
	{"tar.bz2", "bz2"}, {"tbz", "bz2"}, {"tar", "tar"}, {"zip", "zip"}, {"jar", "zip"}, {"war", "zip"}, {"aar", "zip"}, {"nupkg", "zip"}, {"whl", "zip"},
}

// archiveMagics are what the formats begin with.
var archiveMagics = []struct{ magic, kind string }{
	{"\x1f\x8b", "gz"}, {"\xfd7zXZ\x00", "xz"}, {"\x28\xb5\x2f\xfd", "zst"}, {"BZh", "bz2"}, {"PK\x03\x04", "zip"}, {"PK\x05\x06", "zip"},
}

func archiveKind(f *os.File, kind string) (string, error) {
	if kind != "" {
		for _, k := range archiveKinds {
			if k.suffix == strings.TrimPrefix(kind, ".") {
				return k.kind, nil
			}
		}
		return "", fmt.Errorf("archive type %q is not known: use zip, tar, tar.gz, tar.xz, tar.zst, tar.bz2 or crate", kind)
	}
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = head[:n]
	for _, m := range archiveMagics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.kind, nil
		}
	}
	if n == 512 && bytes.HasPrefix(head[257:], []byte("ustar")) {
		return "tar", nil
	}
	for _, k := range archiveKinds {
		if strings.HasSuffix(f.Name(), "."+k.suffix) {
			return k.kind, nil
		}
	}
	return "", fmt.Errorf("%s is no archive of a known format: give its type", path.Base(f.Name()))
}

func (u *unpacker) zip(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return err
	}
	for _, e := range z.File {
		if strings.HasSuffix(e.Name, "/") {
			if err := u.dir(e.Name); err != nil {
				return err
			}
			continue
		}
		r, err := e.Open()
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		if e.Mode()&fs.ModeSymlink != 0 {
			var to []byte
			if to, err = io.ReadAll(io.LimitReader(r, 1<<16)); err == nil {
				err = u.symlink(e.Name, string(to))
			}
		} else {
			err = u.file(e.Name, e.Mode(), r)
		}
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

func decompress(r io.Reader, kind string) (io.Reader, func(), error) {
	switch kind {
	case "gz":
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	case "xz":
		z, err := xz.NewReader(r)
		return z, func() {}, err
	case "zst":
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case "bz2":
		return bzip2.NewReader(r), func() {}, nil
	}
	return r, func() {}, nil
}

func (u *unpacker) tarball(f *os.File, kind string) error {
	r, done, err := decompress(bufio.NewReaderSize(f, 1<<16), kind)
	if err != nil {
		return err
	}
	defer done()
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeGNUSparse:
			err = u.file(h.Name, fs.FileMode(h.Mode), t)
		case tar.TypeDir:
			err = u.dir(h.Name)
		case tar.TypeSymlink:
			err = u.symlink(h.Name, h.Linkname)
		case tar.TypeLink:
			err = u.hardlink(h.Name, h.Linkname)
		case tar.TypeXGlobalHeader:
		default:
			err = fmt.Errorf("%s is neither file, folder nor link", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

// name checks an entry's name and returns where it goes; ok is false for what
// is left out.
func (u *unpacker) name(entry string) (string, bool, error) {
	if !utf8.ValidString(entry) {
		return "", false, fmt.Errorf("the archive holds the name %q, which is not UTF-8", entry)
	}
	if strings.HasPrefix(entry, "/") || slices.Contains(strings.Split(entry, "/"), "..") || strings.ContainsRune(entry, 0) {
		return "", false, fmt.Errorf("the archive holds the name %q, which leads out of the folder it is unpacked into", entry)
	}
	if to, ok := u.rename[entry]; ok {
		entry = to
	}
	p := path.Clean(entry)
	top, _, _ := strings.Cut(p, "/")
	u.tops[top] = true
	if u.strip != "" {
		rest, ok := strings.CutPrefix(p, u.strip)
		if !ok || rest != "" && rest[0] != '/' {
			return "", false, nil
		}
		p = strings.TrimPrefix(rest, "/")
	}
	if p == "" || p == "." {
		return "", false, nil
	}
	if !fs.ValidPath(p) {
		return "", false, fmt.Errorf("the archive holds the name %q, which leads out of the folder it is unpacked into", entry)
	}
	u.written++
	return p, true, nil
}

// room makes the folders above p and removes what stands at p.
func (u *unpacker) room(p string) error {
	if d := path.Dir(p); d != "." {
		if err := u.root.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	return ignoreMissing(u.root.Remove(p))
}

func (u *unpacker) dir(entry string) error {
	p, ok, err := u.name(entry)
	if !ok || err != nil {
		return err
	}
	return u.root.MkdirAll(p, 0o755)
}

// file writes a file; of its mode only "executable" is kept.
func (u *unpacker) file(entry string, mode fs.FileMode, r io.Reader) error {
	p, ok, err := u.name(entry)
	if !ok || err != nil {
		return err
	}
	if err := u.room(p); err != nil {
		return err
	}
	w, err := u.root.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, modeOf(mode&0o111 != 0))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err == nil {
		err = w.Chmod(modeOf(mode&0o111 != 0)) // whatever the umask
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("unpacking %s: %w", entry, err)
	}
	return nil
}

func (u *unpacker) symlink(entry, to string) error {
	p, ok, err := u.name(entry)
	if !ok || err != nil {
		return err
	}
	if strings.HasPrefix(to, "/") || !fs.ValidPath(path.Join(path.Dir(p), to)) {
		return fmt.Errorf("the archive holds the link %s -> %s, which leads out of the folder it is unpacked into", entry, to)
	}
	if err := u.room(p); err != nil {
		return err
	}
	u.links = append(u.links, p)
	return u.root.Symlink(to, p)
}

func (u *unpacker) hardlink(entry, to string) error {
	p, ok, err := u.name(entry)
	if !ok || err != nil {
		return err
	}
	old, ok, err := u.name(to)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("the archive holds %s as a link to %s, which strip_prefix leaves out", entry, to)
	}
	u.written--
	if err := u.room(p); err != nil {
		return err
	}
	return u.root.Link(old, p)
}

// checkLinks refuses links that lead out through other links.
func (u *unpacker) checkLinks() error {
	for _, p := range u.links {
		if _, err := u.root.Stat(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the archive holds the link %s, which cannot be followed: %w", p, err)
		}
	}
	return nil
}
