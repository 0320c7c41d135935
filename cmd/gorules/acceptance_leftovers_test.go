package main_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// halt interrupts a command; see runRefusals.
func halt(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 4, "halt N FILE=TEXT CODE ARG...")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	name, text, _ := strings.Cut(args[1], "=")
	file := ts.MkAbs(name)
	out, err := os.Create(file)
	ts.Check(err)
	defer out.Close()
	path, err := exec.LookPath("gorules")
	ts.Check(err)
	cmd := exec.Command(path, args[3:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), append(realEnv(ts.Getenv("HOME")), "TMPDIR="+ts.Getenv("TMPDIR"))
	cmd.Stdout, cmd.Stderr = out, out
	ts.Check(cmd.Start())
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(data), text) {
			break
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			ts.Fatalf("%q did not appear:\n%s", text, data)
		}
	}
	for range n {
		ts.Check(cmd.Process.Signal(syscall.SIGINT))
		time.Sleep(50 * time.Millisecond) // two equal pending signals would be one
	}
	sent := time.Now()
	got := strconv.Itoa(exitCode(ts, cmd.Wait()))
	data, err := os.ReadFile(file)
	ts.Check(err)
	ts.Logf("ended %s after the last signal:\n%s", time.Since(sent).Round(time.Millisecond), data)
	if got != args[2] {
		ts.Fatalf("exit code %s, want %s", got, args[2])
	}
}

// clearOfGorules fails if anything of the script's gorules commands is left:
// processes, mounts, temporary files.
func clearOfGorules(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 0, "clear")
	home := ts.Getenv("HOME")
	var left []string
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		// The kernel takes its time to bury what a SIGKILL hit.
		left = processesOf(home)
		if len(left) == 0 || time.Now().After(deadline) {
			break
		}
	}
	left = append(left, temporaries(home)...)
	if len(left) > 0 {
		ts.Fatalf("left behind:\n  %s", strings.Join(left, "\n  "))
	}
}

// processesOf lists processes, but for zombies, that have or see something of
// the folder home: in their environment, arguments, working folder or mounts.
// The host's own mounts are in every process's list.
func processesOf(home string) []string {
	var left []string
	ds, _ := os.ReadDir("/proc")
	for _, d := range ds {
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		dir := filepath.Join("/proc", d.Name())
		for _, what := range []string{"environ", "cmdline", "mountinfo"} {
			data, err := os.ReadFile(filepath.Join(dir, what))
			if err == nil && strings.Contains(string(data), home) {
				cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
				left = append(left, fmt.Sprintf("process %s (%s): %s", d.Name(), strings.ReplaceAll(string(cmdline), "\x00", " "), what))
				break
			}
		}
	}
	return left
}

// temporaries lists temporary files of gorules below a HOME.
func temporaries(home string) []string {
	var left []string
	err := filepath.WalkDir(home, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(home, p)
		if err != nil || rel == "." {
			return err
		}
		name := d.Name()
		in := filepath.Base(filepath.Dir(p))
		if in == "tmp" && filepath.Dir(filepath.Dir(p)) == home || in == "scratch" ||
			strings.HasPrefix(name, ".tmp") || strings.HasPrefix(name, "tmp-") || strings.HasPrefix(name, ".gone-") {
			left = append(left, "temporary "+rel)
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		if (in == "external" || in == "mirrors") && d.IsDir() || name == "repos" {
			return fs.SkipDir // what was fetched, and the workspace's own files, may have any name
		}
		return nil
	})
	if err != nil {
		left = append(left, err.Error())
	}
	return left
}

// keptKey is where a script keeps what `keep` saw.
type keptKey struct{}

func keep(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 2, "keep NAME PATH...")
	ts.Value(keptKey{}).(map[string]map[string]string)[args[0]] = contents(ts, args[1:])
}

func kept(ts *testscript.TestScript, neg bool, args []string) {
	more := len(args) > 0 && args[0] == "-more"
	if more {
		args = args[1:]
	}
	usage(ts, !neg && len(args) >= 2, "kept [-more] NAME PATH...")
	before := ts.Value(keptKey{}).(map[string]map[string]string)[args[0]]
	if len(before) == 0 {
		ts.Fatalf("nothing was kept as %s", args[0])
	}
	after := contents(ts, args[1:])
	if more {
		maps.DeleteFunc(after, func(p, _ string) bool { return before[p] == "" })
	}
	if changes := differences(before, after); len(changes) > 0 {
		ts.Fatalf("changed:\n  %s", strings.Join(changes, "\n  "))
	}
}

// contents maps every file, link and folder at the paths to what it holds.
func contents(ts *testscript.TestScript, paths []string) map[string]string {
	out := map[string]string{}
	for _, p := range paths {
		found, err := contentsOf(ts.MkAbs(p))
		ts.Check(err)
		for k, v := range found {
			out[filepath.Join(p, k)] = v
		}
	}
	return out
}

// contentsOf maps every path below root, which may be a link to a folder, to
// what is there: mode and digest, or a link's target.
func contentsOf(root string) (map[string]string, error) {
	out := map[string]string{}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(real, p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.Type().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			out[rel] = fmt.Sprintf("%v %x", info.Mode(), sha256.Sum256(data))
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			out[rel] = "-> " + target
		default:
			out[rel] = info.Mode().String()
		}
		return nil
	})
	return out, err
}

// differences lists the first paths that differ.
func differences(before, after map[string]string) []string {
	var out []string
	for p, v := range before {
		switch now, ok := after[p]; {
		case !ok:
			out = append(out, "gone: "+p)
		case now != v:
			out = append(out, fmt.Sprintf("%s: was %s, is %s", p, v, now))
		}
	}
	for p := range after {
		if _, ok := before[p]; !ok {
			out = append(out, "new: "+p)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 20)]
}
