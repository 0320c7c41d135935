package repo

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
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
	"golang.org/x/sys/unix"

	"gorules/executor/regular"
)

// Limits bound what comes from outside; 0 means the default of each.
type Limits struct {
	Download int64 // bytes of one download
	Bytes    int64 // bytes of all files of one archive
	Entries  int64 // entries of one archive
	Ratio    int64 // bytes unpacked for each byte of an archive, from ratioFrom on
}

// Defaults are generous: a compiler with all its sources has 150,000 files and
// 10 GB, and text is rarely packed better than 1:20.
var Defaults = Limits{Download: 16 << 30, Bytes: 32 << 30, Entries: 1_000_000, Ratio: 64}

// ratioFrom is what may be unpacked from an archive however small it is.
const ratioFrom = 64 << 20

func (l Limits) orDefaults() Limits {
	return Limits{cmp.Or(l.Download, Defaults.Download), cmp.Or(l.Bytes, Defaults.Bytes), cmp.Or(l.Entries, Defaults.Entries), cmp.Or(l.Ratio, Defaults.Ratio)}
}

// unpacker writes the entries of one archive below a folder. It goes through
// os.Root, so that no name and no chain of links leads out of that folder.
type unpacker struct {
	root   *os.Root
	strip  string // folder taken off all names; entries outside of it are left out
	rename map[string]string
	limits Limits
	packed int64 // size of the archive

	tops    map[string]bool // first path segments seen, for messages
	written int
	entries int64
	bytes   int64
	links   []string
}

// unpack extracts the archive at file into the folder of root and returns the
// symbolic links that it made. kind is Bazel's type attribute, "" to tell by name
// and content.
func unpack(file string, root *os.Root, kind, strip string, rename map[string]string, limits Limits) (links []string, err error) {
	f, err := regular.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	u := &unpacker{
		root: root, strip: strings.Trim(path.Clean("/"+strip), "/"), rename: rename,
		limits: limits.orDefaults(), packed: info.Size(), tops: map[string]bool{},
	}
	if kind, err = archiveKind(f, kind); err != nil {
		return nil, err
	}
	if kind == "zip" {
		err = u.zip(f)
	} else {
		err = u.tarball(f, kind)
	}
	if err != nil {
		return nil, err
	}
	if u.written == 0 && u.strip != "" {
		return nil, fmt.Errorf("strip_prefix %q is not in the archive, which has %s", strip, strings.Join(sorted(u.tops), ", "))
	}
	return u.links, checkLinks(root, u.links)
}

// count bounds the number of entries, also of those that are left out.
func (u *unpacker) count() error {
	if u.entries++; u.entries > u.limits.Entries {
		return fmt.Errorf("the archive holds more than %d entries; allow more with --max_archive_entries", u.limits.Entries)
	}
	return nil
}

// Write counts what is unpacked.
func (u *unpacker) Write(p []byte) (int, error) {
	u.bytes += int64(len(p))
	switch {
	case u.bytes > u.limits.Bytes:
		return 0, fmt.Errorf("the archive holds more than %d bytes; allow more with --max_archive_size", u.limits.Bytes)
	case u.bytes > ratioFrom && u.bytes/u.limits.Ratio > u.packed:
		return 0, fmt.Errorf("the archive becomes more than %d times its size of %d bytes; allow more with --max_archive_ratio", u.limits.Ratio, u.packed)
	}
	return len(p), nil
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
		if err := u.count(); err != nil {
			return err
		}
		if err := u.zipped(e); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(e *zip.File) error {
	const encrypted = 1 // general purpose bit flag 0 (APPNOTE 4.4.4)
	kind := e.Mode().Type()
	switch {
	case e.Flags&encrypted != 0:
		return fmt.Errorf("%s is encrypted", e.Name)
	case strings.HasSuffix(e.Name, "/") && (kind == 0 || kind == fs.ModeDir):
		return u.dir(e.Name)
	case strings.HasSuffix(e.Name, "/") || kind != 0 && kind != fs.ModeSymlink:
		return fmt.Errorf("%s is neither file, folder nor link", e.Name)
	}
	r, err := e.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	defer r.Close()
	if kind == 0 {
		return u.file(e.Name, e.Mode(), r)
	}
	to, err := io.ReadAll(io.LimitReader(r, maxTarget+1))
	switch {
	case err != nil:
		return fmt.Errorf("unpacking %s: %w", e.Name, err)
	case len(to) > maxTarget:
		return fmt.Errorf("the target of the link %s has more than %d bytes", e.Name, maxTarget)
	}
	return u.symlink(e.Name, string(to))
}

// maxTarget is the longest target of a symbolic link: the kernel's PATH_MAX.
const maxTarget = 4095

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
			return u.rest(r)
		}
		if err != nil {
			return err
		}
		if err := u.count(); err != nil {
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

// rest reads what follows the last entry, since the checksum of all comes at the
// end. Padding behind the compressed data is no fault.
func (u *unpacker) rest(r io.Reader) error {
	_, err := io.Copy(u, r)
	if errors.Is(err, gzip.ErrHeader) {
		return nil
	}
	return err
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

// file writes a file; of its mode only "executable" is kept. What is left out is
// unpacked, too, and counts.
func (u *unpacker) file(entry string, mode fs.FileMode, r io.Reader) error {
	p, ok, err := u.name(entry)
	if err == nil && !ok {
		_, err = io.Copy(u, r)
	}
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
	_, err = io.Copy(io.MultiWriter(u, w), r)
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
	return u.link(entry, p, to)
}

// link makes a symbolic link at p. Whether it leads out by way
// of others is for checkLinks.
func (u *unpacker) link(entry, p, to string) error {
	if to == "" || strings.HasPrefix(to, "/") || !fs.ValidPath(path.Join(path.Dir(p), to)) {
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
	info, err := u.root.Lstat(old)
	if err != nil {
		return err
	}
	if p == old {
		return nil
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0: // what it leads to depends on where it stands
		target, err := u.root.Readlink(old)
		if err != nil {
			return err
		}
		return u.link(entry, p, target)
	case !info.Mode().IsRegular():
		return fmt.Errorf("the archive holds %s as a link to %s, which is no file", entry, to)
	}
	if err := u.room(p); err != nil {
		return err
	}
	return u.root.Link(old, p)
}

// checkLinks refuses links that lead out of root in any number of steps, however
// the links on the way came there. What leads nowhere now may lead somewhere when
// more has been unpacked.
//
// The kernel is asked, whose view of a chain of links is what counts: os.Root
// gives up after fewer of them.
func checkLinks(root *os.Root, links []string) error {
	if len(links) == 0 {
		return nil
	}
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	for _, p := range links {
		fd, err := unix.Openat2(int(dir.Fd()), p, how)
		for errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			fd, err = unix.Openat2(int(dir.Fd()), p, how)
		}
		switch {
		case err == nil:
			unix.Close(fd)
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		case errors.Is(err, unix.ELOOP): // for the kernel, which is whom everybody asks
		default:
			return fmt.Errorf("the archive holds the link %s, which leads out by way of others: %w", p, err)
		}
	}
	return nil
}

// checkMoved is checkLinks when a rule has ended, for the links that stand in the
// repository then: one that was moved leads elsewhere. Absolute links are the
// rule's own; archives have none.
func (c *repoContext) checkMoved() error {
	if len(c.links) == 0 {
		return nil
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var links []string
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		if to, err := root.Readlink(p); err != nil || path.IsAbs(to) {
			return err
		}
		links = append(links, p)
		return nil
	})
	if err != nil {
		return err
	}
	return checkLinks(root, links)
}
