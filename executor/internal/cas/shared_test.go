package cas_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
)

// The users of the tests of shared stores, and their group.
const (
	ann, bob, carl = 41001, 41002, 41003
	team           = 42000
)

const (
	sharedUser = "CAS_TEST_USER"
	sharedRoot = "CAS_TEST_ROOT"
	sharedDo   = "CAS_TEST_DO"
)

// TestSharedChild is no test: it is another user at work. Each line of what it is
// to do is "put TEXT", "has TEXT" or "lacks TEXT".
func TestSharedChild(t *testing.T) {
	root := os.Getenv(sharedRoot)
	if root == "" {
		t.Skip("run by the tests of shared stores")
	}
	var id int
	if _, err := fmt.Sscan(os.Getenv(sharedUser), &id); err != nil {
		t.Fatal(err)
	}
	groups := []int{team}
	if id == carl {
		groups = nil
	}
	if err := errors.Join(syscall.Setgroups(groups), syscall.Setgid(id), syscall.Setuid(id)); err != nil {
		t.Fatal(err)
	}
	syscall.Umask(0o077)
	s, err := cas.OpenDisk(root, cas.DiskOptions{Shared: true})
	if err != nil {
		fmt.Println("REFUSED", err)
		return
	}
	for _, do := range strings.Split(os.Getenv(sharedDo), "\n") {
		verb, text, _ := strings.Cut(do, " ")
		switch verb {
		case "put":
			if _, err := cas.PutBytes(t.Context(), s, []byte(text)); err != nil {
				t.Fatal(err)
			}
		case "has", "lacks":
			m, err := s.Missing(t.Context(), []digest.Digest{digest.Of([]byte(text))})
			if err != nil || (len(m) == 0) != (verb == "has") {
				t.Fatalf("%s: missing %v, %v", do, m, err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("DONE")
}

// as does something as another user.
func as(t *testing.T, user int, root string, do ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSharedChild$")
	cmd.Env = append(os.Environ(), fmt.Sprint(sharedUser, "=", user), sharedRoot+"="+root, sharedDo+"="+strings.Join(do, "\n"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("user %d, %q: %v\n%s", user, do, err, out)
	}
	return string(out)
}

// A store is shared as git's shared repositories are, or refused with the reason.
func TestSharedByGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be two users")
	}
	base := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(filepath.Dir(base), 0o755))
	root := filepath.Join(base, "shared")
	must(errors.Join(os.Mkdir(root, 0o700), os.Chown(root, ann, ann)))
	refused := func(user int, want string) {
		t.Helper()
		out := as(t, user, root)
		for _, part := range []string{"REFUSED", root, want, "chgrp -R", "chmod g+rwxs"} {
			if !strings.Contains(out, part) {
				t.Errorf("user %d: %q is not in\n%s", user, part, out)
			}
		}
	}
	allowed := func(user int, do ...string) {
		t.Helper()
		if out := as(t, user, root, do...); !strings.Contains(out, "DONE") {
			t.Errorf("user %d: %s", user, out)
		}
	}
	var texts []string // in many of the folders
	for i := range 40 {
		texts = append(texts, fmt.Sprint("put text ", i))
	}

	allowed(ann, texts[:10]...)
	refused(bob, "shares it with nobody")
	must(os.Chmod(root, 0o770))
	refused(bob, "of which you are no member")
	must(errors.Join(os.Chown(root, ann, team), os.Chmod(root, 0o770)))
	refused(bob, "is not setgid")
	must(os.Chmod(root, 0o770|fs.ModeSetgid))
	refused(bob, "not open to the group") // cas, of before

	// Its owner's next command opens what it made before.
	allowed(ann, texts[10:20]...)
	allowed(bob, append(texts, "has text 3", "has text 13", "put of bob")...)
	allowed(ann, append(texts, "has of bob")...)
	refused(carl, "of which you are no member")

	// What is there has the group, whatever the umask; each may replace what the other stored.
	must(filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		want := fs.FileMode(0o644)
		if e.IsDir() {
			want = fs.ModeDir | fs.ModeSetgid | 0o770
			if st.Gid != team {
				t.Errorf("%s: group %d", p, st.Gid)
			}
		}
		if info.Mode() != want {
			t.Errorf("%s: mode %v, want %v", p, info.Mode(), want)
		}
		return nil
	}))
	d := digest.Of([]byte("text 3"))
	file := filepath.Join(root, "cas", d.Hex()[:2], d.Hex())
	must(os.WriteFile(file, []byte("TEXT 3"), 0))
	allowed(bob, "lacks text 3", "put text 3", "has text 3")
	allowed(ann, "has text 3")

	// A folder that one of them made without its group is named, before a build fails in it.
	closed := filepath.Dir(file)
	must(os.Chmod(closed, 0o700))
	st := stat(t, closed)
	other := ann
	if int(st.Uid) == ann {
		other = bob
	}
	refused(other, closed)
	allowed(int(st.Uid), "has text 3")
	allowed(other, "has text 3")
}
