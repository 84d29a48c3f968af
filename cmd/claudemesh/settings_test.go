package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/broker"
)

// Each setting comes from the first of flag, environment, file and default that has it,
// whatever its type.
func TestSettingsPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broker.json")
	if err := os.WriteFile(file, []byte(`{"peer-rate": 4000000, "address-rate": 5, "url": ["https://file.example.org"], "create": "open", "listen": "127.0.0.1:1", "go-on": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"CLAUDEMESH_BROKER_ADDRESS_RATE": "6", "CLAUDEMESH_BROKER_LISTEN": "127.0.0.1:2",
		"CLAUDEMESH_BROKER_URL": "https://one.example.org, https://two.example.org", "CLAUDEMESH_BROKER_GO_ON": "false",
	}
	lookup := func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
	c := (&app{ui: &ui{}}).brokerCommand()
	if err := c.ParseFlags([]string{"--listen", "127.0.0.1:3"}); err != nil {
		t.Fatal(err)
	}
	if err := settings(c, file, lookup); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"listen":       "127.0.0.1:3",                                       // flag, before environment and file
		"address-rate": "6",                                                 // environment, before file
		"url":          "[https://one.example.org,https://two.example.org]", // all of them from one place
		"go-on":        "false",
		"peer-rate":    "4000000", // file
		"create":       "open",
		"cert":         "", // default
	} {
		if got := c.Flags().Lookup(name).Value.String(); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// The rates reach the broker, and one that is none is refused.
func TestRatesOfTheBroker(t *testing.T) {
	o := brokerOptions{listen: "127.0.0.1:0", create: "token", peerRate: 7, addressRate: 8}
	got, err := o.check()
	if err != nil || got.Limits != (broker.Limits{Messages: 7, MessagesAddr: 8}) {
		t.Errorf("%+v, %v", got.Limits, err)
	}
	o.peerRate = -1
	if _, err := o.check(); err == nil || !strings.Contains(err.Error(), "--peer-rate") {
		t.Errorf("a negative rate: %v", err)
	}
}
