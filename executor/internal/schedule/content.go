package schedule

import (
	"fmt"
	"strconv"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// ExitText returns the content of an exit code artifact.
func ExitText(code int) []byte { return strconv.AppendInt(nil, int64(code), 10) }

func exitContent(code int) action.Content { return action.Content{File: digest.Of(ExitText(code))} }

func filesOf(c action.Content) ([]string, error) {
	if c.Tree == nil {
		return nil, fmt.Errorf("not a directory")
	}
	var files []string
	err := c.Tree.Walk(func(p string, _ tree.Entry) error {
		files = append(files, p)
		return nil
	})
	return files, err
}
