package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// settingsEnv begins the environment variables of the broker's settings:
// CLAUDEMESH_BROKER_METRICS_FROM is --metrics-from.
const settingsEnv = "CLAUDEMESH_BROKER_"

// settings fills the flags that were not given: from the environment, else from a
// file, else they keep their defaults. A setting that can be given again is a list in
// the file, and separated by commas in the environment.
func settings(cmd *cobra.Command, file string, env func(string) (string, bool)) error {
	var fromFile map[string]any
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--config: %w", err)
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber() // a flag reads it as it stands there
		if err := decoder.Decode(&fromFile); err != nil {
			why := ": " + err.Error()
			if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) {
				why = "" // it speaks of this program's types
			}
			return usagef("--config: %s holds no JSON object%s", home(file), why)
		}
	}
	var failed []error
	known := map[string]bool{}
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "config" || f.Name == "help" {
			return
		}
		known[f.Name] = true
		if f.Changed {
			return
		}
		name := settingsEnv + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if text, ok := env(name); ok {
			values := []string{text}
			if f.Value.Type() == "stringArray" {
				values = strings.Split(text, ",")
			}
			failed = append(failed, setFlag(cmd, f.Name, name, values))
			return
		}
		if value, ok := fromFile[f.Name]; ok {
			failed = append(failed, setFlag(cmd, f.Name, home(file)+": "+f.Name, listOf(value)))
		}
	})
	for name := range fromFile {
		if !known[name] {
			failed = append(failed, usagef("%s: there is no setting %q; see claudemesh broker --help", home(file), name))
		}
	}
	return errors.Join(failed...)
}

// listOf is a JSON value as texts.
func listOf(value any) (all []string) {
	list, ok := value.([]any)
	if !ok {
		return []string{fmt.Sprint(value)}
	}
	for _, v := range list {
		all = append(all, fmt.Sprint(v))
	}
	return all
}

// setFlag sets a flag from elsewhere, which the error names.
func setFlag(cmd *cobra.Command, flag, from string, values []string) error {
	for _, v := range values {
		if err := cmd.Flags().Set(flag, strings.TrimSpace(v)); err != nil {
			return usagef("%s", wrongValue(from, cmd.Flags().Lookup(flag), v))
		}
	}
	return nil
}
