package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTranscriptProves(t *testing.T) {
	const (
		queued     = `{"type":"queue-operation","content":"m-8fk2"}`
		result     = `{"type":"user","message":{"content":[{"type":"tool_result","content":"message m-8fk2 from bob"}]}}`
		attachment = `{"type":"attachment","text":"m-8fk2"}`
		longer     = `{"type":"user","message":{"content":"m-8fk2x"}}`
		reply      = `{"type":"assistant","message":{"content":"ok"}}`
	)
	for _, c := range []struct {
		name string
		rows []string
		want bool
	}{
		{"result, then the model", []string{result, reply}, true},
		{"attachment, then the model", []string{attachment, reply}, true},
		{"the model did not go on", []string{reply, result}, false},
		{"only queued", []string{queued, reply}, false},
		{"another id that begins the same", []string{longer, reply}, false},
		{"a broken row between", []string{result, `{"type":`, reply}, true},
		{"nothing", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "transcript.jsonl")
			if err := os.WriteFile(path, []byte(strings.Join(c.rows, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			ids := map[string]bool{"m-8fk2": false}
			if err := readTranscript(path, ids); err != nil {
				t.Fatal(err)
			}
			if ids["m-8fk2"] != c.want {
				t.Errorf("proved: %v, want %v", ids["m-8fk2"], c.want)
			}
		})
	}
}

func TestTranscriptTellsOfEsc(t *testing.T) {
	const (
		prompt = `{"type":"user","message":{"role":"user","content":"think"}}`
		result = `{"type":"user","message":{"content":[{"type":"tool_result","content":"[Request interrupted by user]"}]}}`
		esc    = `{"type":"user","message":{"role":"user","content":[{"type":"text","text":"[Request interrupted by user]"}]}}`
		mode   = `{"type":"mode","mode":"normal"}`
		reply  = `{"type":"assistant","message":{"content":[{"type":"text","text":"ok"}]}}`
	)
	for _, c := range []struct {
		name string
		rows []string
		want bool
	}{
		{"stopped", []string{prompt, reply, esc}, true},
		{"stopped, and more noted", []string{prompt, reply, esc, mode}, true},
		{"a new turn since", []string{prompt, esc, prompt}, false},
		{"the model goes on", []string{prompt, esc, reply}, false},
		{"a tool says it", []string{prompt, reply, result}, false},
		{"nothing", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "transcript.jsonl")
			if err := os.WriteFile(path, []byte(strings.Join(c.rows, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := interrupted(path); err != nil || got != c.want {
				t.Errorf("interrupted: %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestBellIsFixedText(t *testing.T) {
	for _, c := range []struct {
		messages, asks int
		want           string
	}{
		{1, 0, "claudemesh: 1 message waits (#7). Call check_messages."},
		{3, 0, "claudemesh: 3 messages wait (#7). Call check_messages."},
		{1, 1, "claudemesh: 1 question waits (#7). Call check_messages."},
		{3, 2, "claudemesh: 3 messages wait, 2 questions among them (#7). Call check_messages."},
	} {
		if got := bellText(c.messages, c.asks, 7); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if n := len(bellText(maxCounted, maxCounted-1, 1_000_000)); n >= 200 {
		t.Errorf("a bell has %d bytes", n)
	}
}

func TestWhoWroteAPrompt(t *testing.T) {
	for prompt, client := range map[string]bool{
		"fix the build":                              false,
		"what does <div> do":                         false,
		"<task-notification>\nx":                     true,
		"  <cross-session-message from=\"x\">hi":     true,
		"<system-reminder>\n[SYSTEM NOTIFICATION - ": true,
		bellText(1, 0, 1):                            true,
	} {
		if got := fromClient(prompt); got != client {
			t.Errorf("%q: the client's own: %v", prompt, got)
		}
	}
}
