package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// A spawn is one entry of an execution log, in the fields that tests read.
type spawn struct {
	CommandArgs []string
	Mnemonic    string
	TargetLabel string
	Runner      string
	CacheHit    bool
	ExitCode    int
	Digest      struct{ Hash string }
	Inputs      []struct{ Path string }

	EnvironmentVariables []struct{ Name, Value string }
}

// String is short enough to be read in a list.
func (s spawn) String() string {
	what := ""
	if len(s.CommandArgs) > 0 {
		what = path.Base(s.CommandArgs[0])
	}
	if name := s.after("--crate-name"); name != "" {
		what = "crate " + name
		if slices.Contains(s.CommandArgs, "--test") {
			what += " --test"
		}
		if slices.Contains(s.CommandArgs, "instrument-coverage") {
			what += " instrumented"
		}
	}
	return fmt.Sprintf("%s %s %s", s.Mnemonic, s.TargetLabel, what)
}

// after is the argument that follows flag, or "".
func (s spawn) after(flag string) string {
	if i := slices.Index(s.CommandArgs, flag); i >= 0 && i+1 < len(s.CommandArgs) {
		return s.CommandArgs[i+1]
	}
	return ""
}

// pkg is the folder of the cargo package that the action compiles, lints or
// runs ("/vendor/serde-1.0.0", "/w/crates/core"), or "".
func (s spawn) pkg() string {
	for _, v := range s.EnvironmentVariables {
		if v.Name == "CARGO_MANIFEST_DIR" {
			return v.Value
		}
	}
	return ""
}

// thirdParty says whether that package is a crate of Cargo.lock.
func (s spawn) thirdParty() bool { return strings.HasPrefix(s.pkg(), "/vendor/") }

// An execLog is the actions of one command, in the order they ended.
type execLog []spawn

// readLog reads an --execution_log_json_file.
func readLog(name string) (execLog, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var log execLog
	for d := json.NewDecoder(f); ; {
		var s spawn
		switch err := d.Decode(&s); {
		case errors.Is(err, io.EOF):
			return log, nil
		case err != nil:
			return nil, fmt.Errorf("execution log %s, entry %d: %w", name, len(log)+1, err)
		}
		log = append(log, s)
	}
}

// where is the entries that keep says yes to.
func (l execLog) where(keep func(spawn) bool) execLog {
	return slices.DeleteFunc(slices.Clone(l), func(s spawn) bool { return !keep(s) })
}

// ran is the actions that were run.
func (l execLog) ran() execLog { return l.where(func(s spawn) bool { return !s.CacheHit }) }

// count is how many actions of a mnemonic, or MNEMONIC@LABEL, ran or were hits.
func (l execLog) count(name string, hit bool) int {
	mnemonic, label, one := strings.Cut(name, "@")
	return len(l.where(func(s spawn) bool {
		return s.CacheHit == hit && s.Mnemonic == mnemonic && (!one || s.TargetLabel == label)
	}))
}
