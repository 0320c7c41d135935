// Command gorules builds and checks projects; `gorules help` says how.
package main

import (
	"context"
	"os"

	"gorules/cmd/gorules/internal/cli"
	"gorules/executor"
	"gorules/rules"
)

// version is set by the release build: -ldflags "-X main.version=1.2.3".
var version = "dev"

func main() {
	executor.Main() // never returns in a sandbox helper
	os.Exit(run())
}

func run() int {
	dir, err := os.Getwd()
	app := &cli.App{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Environ: os.Environ(),
		Dir:     dir,
		DirErr:  err,
		Version: version,
		Rules:   rules.FS,
		NewEngine: func(_ context.Context, o executor.Options) (cli.Engine, error) {
			e, err := executor.New(o)
			if err != nil {
				return nil, err // not a nil *Engine in an interface
			}
			return e, nil
		},
		Exec: replace,
	}
	return app.Main(context.Background(), os.Args[1:])
}
