package main

import (
	"fmt"
	"os"
	"strings"
)

// completionCmd prints what lets a shell complete purser's words.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh" help:"bash or zsh."`
}

// Help is shown by purser completion --help.
func (*completionCmd) Help() string {
	return `Put one of these into your shell's start-up file:
  bash  eval "$(purser completion bash)"
  zsh   eval "$(purser completion zsh)"`
}

// The shells ask purser itself, which answers when COMP_LINE is set. What it does not know, files are tried for.
var completionScripts = map[string]string{
	"bash": `complete -o default -C PURSER purser
`,
	"zsh": `autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
complete -o default -C PURSER purser
`,
}

// Run prints the script.
func (c *completionCmd) Run(a *app) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	quoted := "'" + strings.ReplaceAll(program, "'", `'\''`) + "'"
	_, err = fmt.Fprint(a.stdout, strings.ReplaceAll(completionScripts[c.Shell], "PURSER", quoted))
	return err
}
