package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
)

func TestWatchTellsOnce(t *testing.T) {
	meshtest.Run(t, meshtest.Options{}, func(t *testing.T, m *meshtest.Mesh) {
		a, b := m.Create("alice", "laptop"), m.Join("bob", "desk")
		alice := begin(t, a, "a")
		defer alice.end()
		if text := alice.call("watch_peer", map[string]any{"to": "bob", "until": "back"}); !strings.HasPrefix(text, "watching bob: ") {
			t.Errorf("set: %q", text)
		}
		if text := alice.call("check_messages", nil); text != "no messages" {
			t.Errorf("before: %q", text)
		}
		bob := b.Live("web-shop")
		defer m.Close(bob)
		meshtest.Pass(5 * time.Second)
		if text := alice.call("list_peers", nil); !strings.HasSuffix(text, "1 message waits: call check_messages.") {
			t.Errorf("the bell in a result: %q", text)
		}
		if text := alice.call("check_messages", nil); !strings.HasPrefix(text, "watch: bob@desk is back, since ") {
			t.Errorf("told: %q", text)
		}
		if text := alice.call("check_messages", nil); text != "no messages" {
			t.Errorf("told twice: %q", text)
		}
		if text := alice.call("watch_peer", map[string]any{"to": "bob", "until": "idle"}); text != "bob@desk/web-shop is idle now" {
			t.Errorf("what holds already: %q", text)
		}
		if text := alice.call("watch_peer", map[string]any{"to": "bob", "until": "happy"}); !strings.Contains(text, "idle, back or done") {
			t.Errorf("until nothing: %q", text)
		}
	})
}
