package cli

import (
	"fmt"
	"strings"
)

// topic is a page of help that belongs to no verb.
type topic struct{ name, short, text string }

func topicNames() []string {
	var names []string
	for _, t := range topics() {
		names = append(names, t.name)
	}
	return names
}

func topics() []topic {
	var codes strings.Builder
	for _, e := range exitCodes {
		fmt.Fprintf(&codes, " %3d  %s\n", e.code, e.text)
	}
	return []topic{
		{"target-syntax", "how targets are named", targetTopic},
		{"rc", "flags kept in .gorulesrc", rcTopic},
		{"exit-codes", "what the exit code says", "Exit codes, as in Bazel:\n\n" + codes.String()},
		{"output", "what is printed, and where to", outputTopic},
		{"environment", "variables that gorules reads", environmentTopic},
	}
}

const targetTopic = `
Targets are named as in Bazel. Without a leading // a name is relative to the
current folder.

  //a/b:c      target c of the package (folder with a BUILD file) a/b
  //a/b        the same as //a/b:b
  :c, c        target c of the package in the current folder
  a/b/c        //a/b:c or //a/b/c:c, whichever package exists
  //a:all      all rules of package a
  //a:*        all its targets, files too (also :all-targets)
  //a/...      all rules of a and of every package below it
  //...        all rules of the workspace
  ...          all rules below the current folder
  @repo//a:b   a target of another repository
  -//a/...     takes these away from what stands before it

A target with tags = ["manual"] is left out of :all and ... . Where no target is
given, ... is meant, and that is printed. --target_pattern_file=FILE reads
patterns from a file. What is taken away must exist: words after -- that begin
with a dash are such patterns, except those of gorules run.`

const rcTopic = `
gorules reads flags from these files, later ones winning over earlier ones and
the command line over all:

  /etc/gorules.gorulesrc     unless --nosystem_rc
  .gorulesrc at the root of the workspace, unless --noworkspace_rc
  ~/.gorulesrc               unless --nohome_rc
  --gorulesrc=FILE           may be repeated; /dev/null ends the list

The grammar is that of .bazelrc. A line is a verb and flags; # starts a comment,
a backslash at the end joins lines, quotes keep blanks together.

  common --color=no            every verb; verbs that lack the flag pass over it
  always --log_level=warn      every verb; an error where the verb lacks it
  build --jobs=8               build, and those that inherit from it: test, run
  test --test_output=all
  build:ci --lockfile_mode=error
  build:ci --config=shared     only with --config=ci; configs may use configs
  import %workspace%/tools/x.gorulesrc
  try-import %workspace%/user.gorulesrc      passed over where it is missing

why, fetch, clean, cache and info take from lines of build what they understand.
--announce_rc shows what was read, --ignore_all_rc_files reads nothing. The flags
that say which files are read belong on the command line: in an rc file they are
an error.`

const outputTopic = `
The lines of targets and the text of tests go to standard output, everything
about the run (status line, diagnostics, compilers' text, counts) to standard
error. With run, standard output belongs to the program alone.

On a terminal a status line is redrawn at most ten times a second, with a line
for each action that runs for more than a second. Elsewhere a line of status is
written every ten seconds. --color, --curses and NO_COLOR change that.

The last line says what a command that built something came to; it begins with
PASSED, BUILT or UP-TO-DATE where the exit code is 0, and with FAILED otherwise.
NOT BUILT is a target that needs something that failed. NOT ATTEMPTED is one of
which nothing of its own was begun, because something else failed first (-k goes
on). NOT ANALYZED is one that -k passed over because its BUILD file or rule, or
one that it depends on, is wrong.

  --test_output=errors    the text of failed tests (default); or summary, all
  --verbose_failures      the command line of an action that failed
  --subcommands, -s       each action when it starts
  --log_level, --log_format=json    messages of gorules itself, as records`

const environmentTopic = `
gorules reads these variables; no action sees them unless a flag or a rule says so.

  HOME             for ~/.gorulesrc and for ~ in flags
  XDG_CACHE_HOME   where everything outside the workspace is kept (--output_user_root)
  NO_COLOR         if set and not empty, no colours
  TERM             "dumb" means no colours and no status line`
