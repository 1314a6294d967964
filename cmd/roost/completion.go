//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// completionFlags are those of the completion command.
type completionFlags struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is shown by 'roost completion -h'.
func (completionFlags) Help() string {
	return "For this shell only: 'source <(roost completion bash)', the same with zsh, or 'roost completion fish | source'. " +
		"To stay, write it to /etc/bash_completion.d/roost, to a file _roost in a folder of zsh's $fpath, or to ~/.config/fish/completions/roost.fish."
}

// runCompletion is the completion command. The scripts are made from the flags, and
// know them without running roost.
func runCompletion(f *completionFlags, model *kong.Application, stdout, stderr io.Writer) int {
	script := map[string]func([]completed) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[f.Shell]
	if _, err := io.WriteString(stdout, script(completions(model))); err != nil {
		fmt.Fprintln(stderr, "roost:", err)
		return exitFailure
	}
	return exitOK
}

// completed is a command as a shell knows it.
type completed struct {
	name, help string
	flags      []completedFlag
	words      []string // that it takes beside flags
}

type completedFlag struct {
	name, help string
	value      string // what it is called; "" when it takes none
	choices    []string
}

// completions lists the commands, serve first.
func completions(model *kong.Application) []completed {
	all := make([]completed, 0, len(model.Children))
	for _, node := range model.Children {
		c := completed{name: node.Name, help: brief(node.Help)}
		for _, p := range node.Positional {
			c.words = append(c.words, p.EnumSlice()...)
		}
		for _, group := range node.AllFlags(true) {
			for _, f := range group {
				flag := completedFlag{name: f.Name, help: brief(f.Help)}
				if !f.IsBool() {
					flag.value = f.FormatPlaceHolder()
					if strings.Contains(flag.value, "|") {
						flag.choices = strings.Split(flag.value, "|")
					}
				}
				c.flags = append(c.flags, flag)
			}
		}
		all = append(all, c)
	}
	return all
}

// brief is the first sentence of a help text, as far as its first colon.
func brief(help string) string {
	help, _, _ = strings.Cut(help, ". ")
	help, _, _ = strings.Cut(help, ": ")
	return strings.TrimSuffix(help, ".")
}

func names(commands []completed) []string {
	var all []string
	for _, c := range commands {
		all = append(all, c.name)
	}
	return all
}

// bashCompletion is asked for the word under the cursor; "=" is a word of its own there.
func bashCompletion(commands []completed) string {
	var values, words strings.Builder
	for _, c := range commands {
		all := c.words
		for _, f := range c.flags {
			all = append(all, "--"+f.name)
			switch arm := fmt.Sprintf("\t'%s --%s') ", c.name, f.name); {
			case f.choices != nil:
				fmt.Fprintf(&values, "%smapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\") ;;\n", arm, strings.Join(f.choices, " "))
			case f.value == "FILE":
				fmt.Fprintf(&values, "%scompopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n", arm)
			case f.value == "DIR":
				fmt.Fprintf(&values, "%scompopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n", arm)
			case f.value != "":
				fmt.Fprintf(&values, "%s;;\n", arm)
			}
		}
		fmt.Fprintf(&words, "\t\t%s) words='%s' ;;\n", c.name, strings.Join(all, " "))
	}
	return fmt.Sprintf(`# Completion of roost for bash.
_roost() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' word words
	[[ $cur != '=' ]] || cur=''
	[[ $prev != '=' ]] || prev=${COMP_WORDS[COMP_CWORD - 2]}
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		%s)
			command=$word
			break
			;;
		esac
	done
	COMPREPLY=()
	case "${command:-%s} $prev" in
%s	*)
		case ${command:-%[2]s} in
%[4]s		esac
		[[ -n $command ]] || words+=' %[5]s'
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		;;
	esac
}
complete -F _roost roost
`, strings.Join(names(commands), "|"), commands[0].name, values.String(), words.String(), strings.Join(names(commands), " "))
}

func zshCompletion(commands []completed) string {
	// Within _arguments colons and brackets have a meaning, so they are escaped.
	escape := strings.NewReplacer("'", `'\''`, ":", `\:`, "[", `\[`, "]", `\]`)
	var list, arms strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&list, "\t\t'%s:%s'\n", c.name, escape.Replace(c.help))
		fmt.Fprintf(&arms, "\t%s)\n\t\targuments=(\n", c.name)
		for _, f := range c.flags {
			var action string
			switch {
			case f.choices != nil:
				action = "(" + strings.Join(f.choices, " ") + ")"
			case f.value == "FILE":
				action = "_files"
			case f.value == "DIR":
				action = "_files -/"
			case f.value != "":
				action = " "
			}
			option := "--" + f.name
			if action != "" {
				option += "="
			}
			fmt.Fprintf(&arms, "\t\t\t'*%s[%s]", option, escape.Replace(f.help))
			if action != "" {
				fmt.Fprintf(&arms, ":%s:%s", escape.Replace(f.value), action)
			}
			arms.WriteString("'\n")
		}
		if c.words != nil {
			fmt.Fprintf(&arms, "\t\t\t'*: :(%s)'\n", strings.Join(c.words, " "))
		}
		arms.WriteString("\t\t)\n\t\t;;\n")
	}
	return fmt.Sprintf(`#compdef roost
# Completion of roost for zsh.
_roost() {
	local -a commands arguments
	local command='' i
	commands=(
%s	)
	for ((i = 2; i < CURRENT; i++)); do
		case $words[i] in
		%s)
			command=$words[i]
			break
			;;
		esac
	done
	case ${command:-%s} in
%s	esac
	if [[ -z $command ]]; then
		arguments+=('1: :{_describe command commands}')
	else
		# What comes before the command has been said.
		shift $((i - 1)) words
		((CURRENT -= i - 1))
	fi
	_arguments $arguments
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
	_roost "$@"
else
	compdef _roost roost
fi
`, list.String(), strings.Join(names(commands), "|"), commands[0].name, arms.String())
}

func fishCompletion(commands []completed) string {
	escape := strings.NewReplacer(`\`, `\\`, "'", `\'`)
	var b strings.Builder
	b.WriteString("# Completion of roost for fish.\ncomplete -c roost -f\n")
	others := strings.Join(names(commands[1:]), " ")
	for i, c := range commands {
		fmt.Fprintf(&b, "complete -c roost -n __fish_use_subcommand -a %s -d '%s'\n", c.name, escape.Replace(c.help))
		when := "__fish_seen_subcommand_from " + c.name
		if i == 0 { // what happens without a command
			when = "not __fish_seen_subcommand_from " + others
		}
		if c.words != nil {
			fmt.Fprintf(&b, "complete -c roost -n '%s' -a '%s'\n", when, strings.Join(c.words, " "))
		}
		for _, f := range c.flags {
			fmt.Fprintf(&b, "complete -c roost -n '%s' -l %s -d '%s'", when, f.name, escape.Replace(f.help))
			switch {
			case f.choices != nil:
				fmt.Fprintf(&b, " -x -a '%s'", strings.Join(f.choices, " "))
			case f.value == "FILE":
				b.WriteString(" -r -F")
			case f.value == "DIR":
				b.WriteString(" -x -a '(__fish_complete_directories)'")
			case f.value != "":
				b.WriteString(" -x")
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
