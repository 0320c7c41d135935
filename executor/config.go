package executor

import (
	"os"
	"strings"
	"time"

	"gorules/executor/internal/analysis"
	"gorules/executor/internal/exit"
	"gorules/executor/label"
)

// configOf reads the flags that configure analysis.
func configOf(req BuildRequest, test *TestRequest) (analysis.Config, error) {
	c := analysis.Config{
		BuildSettings: map[label.Label]string{},
		Options:       map[string]string{},
		Define:        map[string]string{},
		ActionEnv:     envMap(req.ActionEnv),
	}
	for name, value := range req.Flags {
		switch {
		case strings.HasPrefix(name, "//") || strings.HasPrefix(name, "@"):
			l, err := label.Parse(name, label.Package{})
			if err != nil {
				return c, exit.New(exit.BadCommandLine, "--%s: %w", name, err)
			}
			c.BuildSettings[l] = value
		case strings.HasPrefix(name, "define "):
			c.Define[strings.TrimPrefix(name, "define ")] = value
		case name == "platforms":
			l, err := label.Parse(value, label.Package{})
			if err != nil {
				return c, exit.New(exit.BadCommandLine, "--platforms: %w", err)
			}
			c.Platform = l
		default:
			c.Options[name] = value
		}
	}
	if test != nil {
		c.Test = analysis.TestOptions{Filter: test.Filter, Args: test.Args, Env: envMap(test.Env), Timeout: int(test.Timeout / time.Second)}
	}
	return c, nil
}

// envMap reads NAME=VALUE and NAME (from this process) settings.
func envMap(settings []string) map[string]string {
	m := map[string]string{}
	for _, s := range settings {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			value, ok = os.LookupEnv(name)
		}
		if ok {
			m[name] = value
		}
	}
	return m
}
