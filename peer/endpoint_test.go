package peer

import (
	"errors"
	"testing"
)

func TestEndpoint(t *testing.T) {
	for _, c := range []struct{ text, origin, address, shown string }{
		{"https://Mesh.Example.org", "https://mesh.example.org", "mesh.example.org:443", "mesh.example.org"},
		{"https://mesh.example.org:443/", "https://mesh.example.org", "mesh.example.org:443", "mesh.example.org"},
		{"https://10.0.0.1:7900", "https://10.0.0.1:7900", "10.0.0.1:7900", "10.0.0.1:7900"},
		{"http://127.0.0.1:7900", "http://127.0.0.1:7900", "127.0.0.1:7900", "127.0.0.1:7900"},
		{"http://[::1]:80", "http://[::1]", "[::1]:80", "[::1]"},
		{"unix:/run/broker.sock", "unix:", "/run/broker.sock", "the broker of this machine"},
	} {
		e, err := parseEndpoint(c.text, false)
		if err != nil || e.origin != c.origin || e.address != c.address || e.shown() != c.shown {
			t.Errorf("%s: %+v %v", c.text, e, err)
		}
	}
	for _, bad := range []string{"", "mesh", "ws://h", "http://10.0.0.1:7900", "https://h/path", "https://u@h", "https://h?q", "unix:"} {
		if e, err := parseEndpoint(bad, false); err == nil {
			t.Errorf("%q taken as %+v", bad, e)
		}
	}
	if _, err := parseEndpoint("http://10.0.0.1:7900", false); !errors.Is(err, errPlain) {
		t.Errorf("plain http to another machine: %v", err)
	}
}
