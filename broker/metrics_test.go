package broker

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// scrape reads /metrics as from an address, which says for whom, if it is a proxy's.
func (w *world) scrape(from net.IP, forwardedFor ...string) (int, string) {
	w.t.Helper()
	w.l.remote = &net.TCPAddr{IP: from, Port: 1}
	defer func() { w.l.remote = nil }()
	resp, body := w.do(http.MethodGet, pathMetrics, nil, func(r *http.Request) {
		for _, address := range forwardedFor {
			r.Header.Add("X-Forwarded-For", address)
		}
	})
	return resp.StatusCode, string(body)
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.MetricsFrom = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesReplies)
		a.wantAck(a.message(bob.Public(), "marker-body"), wire.StateQueued)
		a.wantAck(a.message(bob.Public(), "marker-body"), wire.StateQueued)
		b := w.hello(bob, wire.ReceivesLive)
		b.receive()
		synctest.Wait() // those who closed are gone
		status, text := w.scrape(net.IPv4(127, 0, 0, 1))
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		for _, line := range []string{
			`claudemesh_messages_total\{class="message",priority="next"\} 2`,
			`claudemesh_message_bytes_total 22`,
			`claudemesh_acks_total\{state="queued"\} 2`,
			`claudemesh_ack_seconds_count 1`,
			`claudemesh_commit_seconds_count [1-9]\d*`,
			`claudemesh_commit_operations_sum [1-9]\d*`,
			`claudemesh_commit_failures_total 0`,
			`claudemesh_hellos_refused_total \d+`,
			`claudemesh_meshes 1`,
			`claudemesh_connections 2`,
			`claudemesh_peers_online 1`,
			`claudemesh_queue_messages [12]`,
			`claudemesh_queue_oldest_seconds \S+`,
			`go_goroutines \d+`,
		} {
			if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(text) {
				t.Errorf("no line %s", line)
			}
		}
		for _, secret := range []string{"marker", "bob", "desk", "alice", w.alice.Public().String(), bob.Public().String(), w.mesh.String()} {
			if strings.Contains(text, secret) {
				t.Errorf("the metrics tell %q", secret)
			}
		}
		if status, _ := w.scrape(net.IPv4(10, 1, 2, 3)); status != http.StatusOK {
			t.Errorf("from a network that was named: %d", status)
		}
		if status, text := w.scrape(net.IPv4(198, 51, 100, 7)); status != http.StatusNotFound || strings.Contains(text, "claudemesh_") {
			t.Errorf("from anywhere: %d %s", status, text)
		}
	})
}

// What a proxy on this machine brings may be anybody's: that it sets no header, or
// passes on what its client claims, makes nobody this machine.
func TestMetricsBehindProxy(t *testing.T) {
	loopback := netip.MustParsePrefix("127.0.0.1/32")
	for _, tt := range []struct {
		name        string
		metricsFrom []netip.Prefix
		from        net.IP
		header      []string
		want        int
	}{
		{"no header", nil, net.IPv4(127, 0, 0, 1), nil, http.StatusNotFound},
		{"claims to be this machine", nil, net.IPv4(127, 0, 0, 1), []string{"127.0.0.1"}, http.StatusNotFound},
		{"a client", nil, net.IPv4(127, 0, 0, 1), []string{"198.51.100.7"}, http.StatusNotFound},
		{"beside the proxy", nil, net.IPv4(127, 0, 0, 2), nil, http.StatusOK},
		{"named", []netip.Prefix{loopback}, net.IPv4(127, 0, 0, 1), nil, http.StatusOK},
		{"named, a client", []netip.Prefix{loopback}, net.IPv4(127, 0, 0, 1), []string{"198.51.100.7"}, http.StatusNotFound},
		{"named, a client that claims to be this machine", []netip.Prefix{loopback}, net.IPv4(127, 0, 0, 1), []string{"127.0.0.1", "198.51.100.7"}, http.StatusNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(o *Options) {
					o.BehindProxy, o.MetricsFrom = []netip.Prefix{loopback}, tt.metricsFrom
				})
				if status, _ := w.scrape(tt.from, tt.header...); status != tt.want {
					t.Errorf("%d, want %d", status, tt.want)
				}
			})
		})
	}
}

// unready is a store that keeps nothing.
type unready struct {
	store.Store
	failing atomic.Bool
}

func (s *unready) SetSetting(ctx context.Context, name, value string) error {
	if s.failing.Load() {
		return store.ErrFull
	}
	return s.Store.SetSetting(ctx, name, value)
}

func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := &unready{}
		w := newWorld(t, func(o *Options) {
			full.Store = must(store.OpenSQLite(t.Context(), o.Dir))
			t.Cleanup(func() {
				if err := full.Close(); err != nil {
					t.Error(err)
				}
			})
			o.Store = full
		})
		if resp, body := w.do(http.MethodGet, pathReady, nil, nil); resp.StatusCode != http.StatusOK || string(body) != `{"status":"ready"}`+"\n" {
			t.Fatalf("%s %s", resp.Status, body)
		}
		// Serving as it is, but nothing can be kept: asked again, since an answer counts
		// for a second.
		full.failing.Store(true)
		w.b.readiness.mu.Lock()
		w.b.readiness.at = w.b.readiness.at.Add(-readyEvery)
		w.b.readiness.mu.Unlock()
		if resp, body := w.do(http.MethodGet, pathReady, nil, nil); resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(string(body), "disk") {
			t.Fatalf("%s %s", resp.Status, body)
		}
		if resp, _ := w.do(http.MethodPost, pathReady, nil, nil); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Fatal(resp.Status)
		}
	})
}
