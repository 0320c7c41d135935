package run

import (
	"fmt"
	"strings"

	"gorules/executor/internal/action"
)

// ExitTimeout is the exit code that timeout(1) gives, and an action whose exit
// code is one of its outputs.
const ExitTimeout = 124

// Judge says in words why b failed, "" if it did not: "exit code 1", "did not
// make x.o". Equal actions may share a result and be judged differently: by
// whether the exit code is an output, which outputs may be missing, and which
// are links.
func Judge(b *action.Bound, r Result) string {
	switch {
	case r.NotStarted != "":
		return r.NotStarted
	case r.Unlike != "":
		return r.Unlike
	case r.TimedOut && !b.AnyExit:
		return fmt.Sprintf("timed out after %s", timeout(b))
	case r.TimedOut:
		return ""
	case r.Signal != 0 && !b.AnyExit:
		return fmt.Sprintf("killed by signal %d", r.Signal)
	case r.ExitCode != 0 && !b.AnyExit:
		return fmt.Sprintf("exit code %d", r.ExitCode)
	}
	var missing []string
	for _, o := range b.Outputs {
		c, ok := r.Outputs[o.Path]
		switch {
		case r.Unusable[o.Path] != "":
			return "output " + o.Path + " " + r.Unusable[o.Path]
		case !ok && !o.Optional && r.ExitCode == 0: // a stored failure owes nothing
			missing = append(missing, o.Path)
		case ok && o.Link && c.Symlink == "":
			return "output " + o.Path + " is not a symbolic link, which the rule declares"
		case ok && !o.Link && c.Symlink != "":
			return "output " + o.Path + " is a symbolic link; a link is an output only if the rule declares it with declare_symlink"
		}
	}
	if len(missing) > 0 {
		return "did not make " + strings.Join(missing, ", ")
	}
	return ""
}

// OK reports whether b succeeded, or came to a result that is as good: it ended
// by itself and was not judged a failure.
func (r Result) OK(b *action.Bound) bool {
	return !r.TimedOut && r.Signal == 0 && Judge(b, r) == ""
}

// Cacheable reports whether res may be given to the next who asks for b.
func Cacheable(b *action.Bound, res Result) bool {
	return res.OK(b) && !b.NoSandbox && !(res.Lowered && res.ExitCode != 0)
}
