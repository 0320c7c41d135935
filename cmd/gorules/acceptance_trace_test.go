package main_test

import (
	"encoding/json"
	"fmt"
	"os"
)

// An execed is one successful execve.
type execed struct {
	Argv []string
	By   int // the index of what the process, or the nearest ancestor that executed anything, executed before; -1 for the first
}

// readTrace reads what exectrace wrote.
func readTrace(name string) ([]execed, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var out []execed
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("trace %s: %w", name, err)
	}
	return out, nil
}
