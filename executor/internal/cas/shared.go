package cas

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// shareable reports what keeps this user from using a shared store together with
// those who use it already, before the first of its folders refuses something in
// the middle of a build. What this user can put right is put right.
//
// As in git's shared repositories, what is written has the group of the root,
// whatever group and umask its writer has, because the folders are setgid and
// writable for the group. Blobs are readable for whoever reaches them and are
// never written to; to replace one takes write access to its folder alone.
func (s *Disk) shareable(root fs.FileInfo) error {
	st, ok := root.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if why := unshared(root, st); why != "" {
		return s.refuse(st, s.root, why)
	}
	for _, top := range []string{"cas", "ac"} {
		dir := filepath.Join(s.root, top)
		if err := s.share(dir, st); err != nil {
			return err
		}
		es, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) && !errors.Is(err, unix.ENOTDIR) {
			return s.refuse(st, dir, "cannot be listed: "+reason(err))
		}
		for _, e := range es {
			if !e.IsDir() {
				continue
			}
			if err := s.share(filepath.Join(dir, e.Name()), st); err != nil {
				return err
			}
		}
	}
	return nil
}

// share makes dir, a folder of the store, as open as its root is.
func (s *Disk) share(dir string, root *syscall.Stat_t) error {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return nil // it is made when it is needed
	}
	st := info.Sys().(*syscall.Stat_t)
	grouped := s.mode&fs.ModeSetgid != 0
	if mine := int(st.Uid) == os.Geteuid(); mine && (grouped && st.Gid != root.Gid || info.Mode()&(fs.ModePerm|fs.ModeSetgid)|s.mode != info.Mode()&(fs.ModePerm|fs.ModeSetgid)) {
		if grouped && st.Gid != root.Gid {
			err = os.Lchown(dir, -1, int(root.Gid))
		}
		if err == nil {
			err = os.Chmod(dir, s.mode|info.Mode().Perm())
		}
		if err != nil {
			return s.refuse(root, dir, "cannot be opened for the group: "+reason(err))
		}
		return nil
	}
	if grouped && int(st.Uid) != os.Geteuid() && (st.Gid != root.Gid || info.Mode()&fs.ModeSetgid == 0 || info.Mode().Perm()&0o070 != 0o070) {
		return s.refuse(root, dir, fmt.Sprintf("was made by user %d and is not open to the group", st.Uid))
	}
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return s.refuse(root, dir, fmt.Sprintf("belongs to user %d: %v", st.Uid, err))
	}
	return nil
}

// unshared says why a root of this kind cannot be used by this user; "" if it can.
func unshared(info fs.FileInfo, st *syscall.Stat_t) string {
	mode := info.Mode()
	if int(st.Uid) == os.Geteuid() || mode.Perm()&0o007 == 0o007 {
		return ""
	}
	groups, err := os.Getgroups()
	member := os.Geteuid() == 0 || os.Getegid() == int(st.Gid) || err == nil && slices.Contains(groups, int(st.Gid))
	switch {
	case mode.Perm()&0o070 != 0o070:
		return fmt.Sprintf("belongs to user %d, who shares it with nobody (mode %04o)", st.Uid, mode.Perm())
	case !member:
		return fmt.Sprintf("belongs to user %d and group %d, of which you are no member", st.Uid, st.Gid)
	case mode&fs.ModeSetgid == 0:
		return fmt.Sprintf("belongs to user %d and is not setgid, so that what one of you stores the others could not replace", st.Uid)
	}
	return ""
}

func (s *Disk) refuse(root *syscall.Stat_t, p, why string) error {
	group := strconv.Itoa(int(root.Gid))
	what := "it"
	if p != s.root {
		what = "its folder " + p
	}
	return fmt.Errorf(`cache folder %[1]s cannot be shared: %[3]s %[4]s
    To share it with a group whose members you both are, its owner or root runs, with the group's name for %[2]s:
        chgrp -R %[2]s %[1]s
        find %[1]s -type d -exec chmod g+rwxs {} +
    Otherwise name another folder with --disk_cache`, s.root, group, what, why)
}

// reason is an error without its path.
func reason(err error) string {
	if e, ok := err.(*fs.PathError); ok {
		err = e.Err
	}
	return err.Error()
}
