package cli

import (
	"context"

	"gorules/executor"
)

const buildText = `Builds the default outputs of the targets. Everything that an action can be
served for from the cache is; the rest runs in a sandbox. Outputs are copied to
places below gorules-bin. What a program needs to be run (its runfiles) is built
with it.`

func runBuild(ctx context.Context, c *command) error {
	patterns, err := c.patterns()
	if err != nil {
		return err
	}
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	return e.Build(ctx, c.buildRequest(patterns))
}

const testText = `Builds the targets and runs the tests among them: test binaries, lints, format
checks and coverage floors. A stored verdict is shown again where nothing that
the test reads has changed.`

func runTest(ctx context.Context, c *command) error {
	patterns, err := c.patterns()
	if err != nil {
		return err
	}
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	o := c.opts
	return e.Test(ctx, executor.TestRequest{
		BuildRequest:   c.buildRequest(patterns),
		Filter:         o.testFilter,
		Args:           o.testArgs,
		Env:            c.withValues(o.testEnv),
		NoCacheResults: !o.cacheResults,
		TagFilters:     o.testTags,
		SizeFilters:    o.testSizes,
		Timeout:        o.testTimeout,
		BuildTestsOnly: o.buildTestsOnly,
	})
}
