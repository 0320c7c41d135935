package narrate

import (
	"encoding/json"
	"strings"

	"gorules/executor/internal/action"
	"gorules/executor/internal/schedule"
)

// stderr is what of a process's stderr is meant for people.
func (n *Narrator) stderr(s *action.Spec, o *schedule.Outcome) string {
	if o.Stderr.File.Size == 0 {
		return ""
	}
	b, err := n.opt.Read(n.ctx, o.Stderr.File)
	if err != nil {
		return "(its output is gone: " + err.Error() + ")"
	}
	if s.Messages == nil || s.Messages.Show == "" {
		return string(b)
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		out.WriteString(rendered(s.Messages, line))
	}
	return out.String()
}

// rendered is what of one line is for people. A line that is no JSON object is.
func rendered(m *action.Messages, line string) string {
	var fields map[string]any
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &fields) != nil {
		return line
	}
	text, ok := fields[m.Show].(string)
	if !ok || m.Hide != nil && m.Hide.MatchString(text) {
		return ""
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}
