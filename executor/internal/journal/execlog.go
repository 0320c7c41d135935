package journal

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

// The types below spell Bazel's SpawnExec message (src/main/protobuf/spawn.proto)
// as protobuf's JSON mapping does: lowerCamelCase, 64-bit numbers as strings.
type spawnExec struct {
	CommandArgs          []string   `json:"commandArgs"`
	EnvironmentVariables []spawnEnv `json:"environmentVariables"`
	Platform             *platform  `json:"platform,omitempty"`
	Inputs               []file     `json:"inputs"`
	ListedOutputs        []string   `json:"listedOutputs"`
	Remotable            bool       `json:"remotable"`
	Cacheable            bool       `json:"cacheable"`
	TimeoutMillis        string     `json:"timeoutMillis"`
	Mnemonic             string     `json:"mnemonic"`
	ActualOutputs        []file     `json:"actualOutputs"`
	Runner               string     `json:"runner"`
	CacheHit             bool       `json:"cacheHit"`
	Status               string     `json:"status"`
	ExitCode             int        `json:"exitCode"`
	RemoteCacheable      bool       `json:"remoteCacheable"`
	TargetLabel          string     `json:"targetLabel"`
	Digest               *digestMsg `json:"digest"`
	Metrics              metrics    `json:"metrics"`
}

type spawnEnv struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type platform struct {
	Properties []spawnEnv `json:"properties"`
}

type file struct {
	Path   string     `json:"path"`
	Digest *digestMsg `json:"digest"`
	IsTree bool       `json:"isTree,omitempty"` // not Bazel's: a folder given as one digest
}

type digestMsg struct {
	Hash             string `json:"hash"`
	SizeBytes        string `json:"sizeBytes"`
	HashFunctionName string `json:"hashFunctionName"`
}

type metrics struct {
	TotalTime         string `json:"totalTime"`
	ExecutionWallTime string `json:"executionWallTime"`
	StartTime         string `json:"startTime,omitempty"`
}

// WriteLog writes one JSON object an entry, a line each.
func WriteLog(w io.Writer, entries []*Entry) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, e := range entries {
		if err := enc.Encode(toSpawn(e)); err != nil {
			return err
		}
	}
	return nil
}

func toSpawn(e *Entry) spawnExec {
	s := spawnExec{
		CommandArgs:          e.Argv,
		EnvironmentVariables: pairs(e.Env),
		Inputs:               toFiles(e.Inputs),
		ListedOutputs:        relAll(e.Expected),
		Remotable:            true,
		Cacheable:            true,
		RemoteCacheable:      true,
		TimeoutMillis:        strconv.FormatInt(e.Timeout.Milliseconds(), 10),
		Mnemonic:             e.Mnemonic,
		ActualOutputs:        toFiles(e.Outputs),
		Runner:               e.Runner,
		CacheHit:             e.CacheHit,
		ExitCode:             e.ExitCode,
		TargetLabel:          e.Owner.String(),
		Digest:               &digestMsg{e.Digest.Hex(), strconv.FormatInt(e.Digest.Size, 10), "SHA-256"},
		Metrics: metrics{
			TotalTime:         seconds(e.Wall),
			ExecutionWallTime: seconds(e.Wall),
		},
	}
	if !e.Start.IsZero() {
		s.Metrics.StartTime = e.Start.UTC().Format(time.RFC3339Nano)
	}
	if e.ExitCode != 0 {
		s.Status = "NON_ZERO_EXIT"
	}
	if len(e.Platform) > 0 {
		s.Platform = &platform{pairs(e.Platform)}
	}
	return s
}

func pairs(kvs []string) []spawnEnv {
	out := make([]spawnEnv, 0, len(kvs))
	for _, kv := range kvs {
		k, v, _ := strings.Cut(kv, "=")
		out = append(out, spawnEnv{k, v})
	}
	return out
}

func toFiles(fs []File) []file {
	out := make([]file, 0, len(fs))
	for _, f := range fs {
		out = append(out, file{show(f.Path), &digestMsg{f.Digest.Hex(), strconv.FormatInt(f.Digest.Size, 10), "SHA-256"}, f.Tree})
	}
	return out
}

func relAll(ps []string) []string {
	out := make([]string, 0, len(ps))
	for _, p := range ps {
		out = append(out, show(p))
	}
	return out
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
