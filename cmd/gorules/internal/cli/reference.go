package cli

import (
	"fmt"
	"slices"
	"strings"
)

// Reference returns the lists of verbs, flags and exit codes as Markdown, made
// from the tables that the parser reads. docs/command-line.md holds this text,
// and a test keeps it so.
func Reference() string {
	var b strings.Builder
	b.WriteString("### Verbs\n\n| verb | what it does |\n|---|---|\n")
	for _, v := range verbs() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.TrimSpace("gorules "+v.name+" "+strings.ReplaceAll(v.args, "|", `\|`)), v.short)
	}
	b.WriteString("\n### Flags\n\n| flag | verbs | |\n|---|---|---|\n")
	for _, f := range defaults().table().Flags {
		who := "all"
		switch {
		case slices.Equal(f.Verbs, engined):
			who = "all that start the engine"
		case f.Verbs != nil:
			who = strings.Join(f.Verbs, ", ")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.ReplaceAll(flagName(f), "|", `\|`), who, flagText(f))
	}
	b.WriteString("\nA flag that a rule file defines (a build setting) is set as `--//pkg:flag=VALUE`, and `--no//pkg:flag` where it is a boolean.\n")
	b.WriteString("\n### Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "| %d | %s |\n", e.code, e.text)
	}
	return b.String()
}
