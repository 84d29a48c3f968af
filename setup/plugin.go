package setup

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// The plugin names our binary as it is found on the path: it is the same for
// all who install it.
const pluginBinary = "claudemesh"

// pluginVersion is told to those who have the plugin as an update when it
// changes: raise it with each release.
const pluginVersion = "0.1.0"

// monitor is a command that a plugin has running beside a session: each line
// that it writes wakes the session when it idles.
type monitor struct {
	Name        string `json:"name"`
	Command     string `json:"command"`
	Description string `json:"description"`
}

// pluginManifest is .claude-plugin/plugin.json.
type pluginManifest struct {
	Name        string            `json:"name"`
	Version     string            `json:"version"`
	Description string            `json:"description"`
	Author      map[string]string `json:"author"`
	Homepage    string            `json:"homepage"`
	Repository  string            `json:"repository"`
	License     string            `json:"license"`
	Keywords    []string          `json:"keywords"`
}

// PluginFiles returns what the plugin for Claude Code consists of, by path
// below its folder: server, hooks and skill as [PlanInstall] enters them, and a
// monitor in the place of the waiter. The folder plugin/ of the repository holds
// it, so that the repository is its marketplace.
func PluginFiles() (map[string][]byte, error) {
	hooks := struct {
		Description string                 `json:"description"`
		Hooks       map[string][]hookGroup `json:"hooks"`
	}{"Says that messages wait, and how busy the session is", map[string][]hookGroup{}}
	for _, event := range hookEvents {
		hooks.Hooks[event] = []hookGroup{hooksFor(event, pluginBinary, false)}
	}
	files := map[string][]byte{"skills/" + serverName + "/SKILL.md": skill}
	for path, content := range map[string]any{
		".claude-plugin/plugin.json": pluginManifest{
			Name:        pluginName,
			Version:     pluginVersion,
			Description: "The wire between coding agents: sessions of different people and machines find each other and talk, end-to-end encrypted",
			Author:      map[string]string{"name": "claudemesh"},
			Homepage:    "https://github.com/claudemesh/claudemesh-go",
			Repository:  "https://github.com/claudemesh/claudemesh-go",
			License:     "MIT",
			Keywords:    []string{"agents", "messages", "mcp", "end-to-end encryption"},
		},
		".mcp.json":        map[string]any{"mcpServers": map[string]server{serverName: serverFor(pluginBinary)}},
		"hooks/hooks.json": hooks,
		"monitors/monitors.json": []monitor{{
			Name: "messages", Command: pluginBinary + " hook monitor", Description: "claudemesh messages"}},
	} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(content); err != nil {
			return nil, fmt.Errorf("encode %s: %w", path, err)
		}
		files[path] = b.Bytes()
	}
	return files, nil
}
