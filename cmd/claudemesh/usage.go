package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/claudemesh/claudemesh-go/peer"
)

// usagef says that the command was called wrongly.
func usagef(format string, args ...any) error {
	return &failure{class: peer.ClassUsage, sentence: fmt.Sprintf(format, args...)}
}

// asUsage makes wrong usage of whatever the library said before a command ran.
func asUsage(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	return &failure{class: peer.ClassUsage, sentence: err.Error(), hint: "See: claudemesh help", err: err}
}

// wrongFlag says what is wrong with a flag, and where its command's flags stand.
func wrongFlag(cmd *cobra.Command, err error) error {
	sentence := err.Error()
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		sentence = wrongValue("--"+value.GetFlag().Name, value.GetFlag(), value.GetValue())
	}
	return &failure{class: peer.ClassUsage, sentence: sentence, hint: "See: " + cmd.CommandPath() + " --help", err: err}
}

// wrongValue says that a value does not suit a flag; from is where it was given.
func wrongValue(from string, f *pflag.Flag, value string) string {
	want := map[string]string{"int": "a whole number", "bool": "true or false", "duration": "a span of time, as in 10m"}[f.Value.Type()]
	return fmt.Sprintf("%s: %q is not %s", from, value, want)
}

// usageOf is how a command is called, without its flags.
func usageOf(cmd *cobra.Command) string { return strings.TrimSuffix(cmd.UseLine(), " [flags]") }

// exactly wants one argument for each name, and says which are missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing: %s", strings.Join(names[len(args):], " and "), usageOf(cmd))
		case len(args) > len(names):
			return usagef("%q is one word too many: %s", args[len(names)], usageOf(cmd))
		}
		return nil
	}
}

// upTo wants n arguments at most.
func upTo(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("%q is one word too many: %s", args[n], usageOf(cmd))
		}
		return nil
	}
}

// atLeastOne wants arguments, and says what is missing where there is none.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s is missing: %s", what, usageOf(cmd))
		}
		return nil
	}
}

// onlyCommands is for a command that only has others below it: an argument is one
// that does not exist.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	sentence := fmt.Sprintf("there is no command %q", cmd.CommandPath()+" "+args[0])
	cmd.SuggestionsMinimumDistance = max(1, min(2, len(args[0])/2)) // in short words two slips make any other
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		sentence += ". Did you mean " + strings.Join(near, " or ") + "?"
	}
	return &failure{class: peer.ClassUsage, sentence: sentence, hint: "See: " + cmd.CommandPath() + " --help"}
}
