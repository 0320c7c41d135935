package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A spawn is what the benchmark reads of one object of an execution log.
type spawn struct {
	Mnemonic string
	CacheHit bool `json:"cacheHit"`
	Digest   struct{ Hash string }
	Metrics  struct {
		ExecutionWallTime string `json:"executionWallTime"`
	}
}

// readLog reads the file of --execution_log_json_file.
func readLog(file string) ([]spawn, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("execution log: %w", err)
	}
	defer f.Close()
	var out []spawn
	for dec := json.NewDecoder(f); ; {
		var s spawn
		if err := dec.Decode(&s); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("execution log %s, object %d: %w", file, len(out)+1, err)
		}
		out = append(out, s)
	}
}

// shared adds up how long those actions of wanted took that ran in earlier.
func shared(earlier, wanted []spawn) (time.Duration, error) {
	need := map[string]bool{}
	for _, s := range wanted {
		need[s.Digest.Hash] = true
	}
	var all time.Duration
	for _, s := range earlier {
		if s.CacheHit || !need[s.Digest.Hash] {
			continue
		}
		d, err := time.ParseDuration(s.Metrics.ExecutionWallTime)
		if err != nil {
			return 0, fmt.Errorf("execution log: executionWallTime of %s %s: %w", s.Mnemonic, s.Digest.Hash, err)
		}
		all += d
		need[s.Digest.Hash] = false // once, however often it stands there
	}
	return all, nil
}
