package narrate

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/schedule"
)

// printed is what of a process's text is meant for people: stdout, unless that is
// an output, and stderr.
func (n *Narrator) printed(s *action.Spec, o *schedule.Outcome) string {
	text := ""
	if s.Stdout == nil {
		text = n.text(s, o.Stdout.File)
	}
	return text + n.text(s, o.Stderr.File)
}

func (n *Narrator) text(s *action.Spec, d digest.Digest) string {
	if d.Size == 0 {
		return ""
	}
	r, err := n.opt.Open(n.ctx, d)
	if err != nil {
		return "(its output is gone: " + err.Error() + ")"
	}
	defer r.Close()
	var out excerpt
	lines := bufio.NewReaderSize(r, 64<<10)
	var message strings.Builder // a line that may be a message
	for {
		piece, err := lines.ReadSlice('\n')
		switch {
		case s.Messages == nil || s.Messages.Show == "" || message.Len() == 0 && (len(piece) == 0 || piece[0] != '{'):
			out.WriteString(string(piece))
		case errors.Is(err, bufio.ErrBufferFull) && message.Len() < maxShown:
			message.Write(piece)
		default:
			message.Write(piece)
			out.WriteString(rendered(s.Messages, message.String()))
			message.Reset()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if !errors.Is(err, io.EOF) {
				out.WriteString("(the rest of its output is gone: " + err.Error() + ")\n")
			}
			return out.String()
		}
	}
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
