package broker

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// do makes a request, changed by change.
func (w *world) do(method, path string, body []byte, change func(*http.Request)) (*http.Response, []byte) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, testOrigin+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	resp, err := w.http().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp, must(io.ReadAll(resp.Body))
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	resp, body := w.do("GET", wire.PathHealth, nil, nil)
	var h Health
	if err := json.Unmarshal(body, &h); err != nil || resp.StatusCode != 200 || h.Status != "ok" || h.Broker != w.b.Key() {
		t.Fatalf("%s %s %v", resp.Status, body, err)
	}
	if resp, _ := w.do("POST", wire.PathHealth, nil, nil); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Fatal(resp.Status)
	}
}

// The page of a link has no script, so it cannot read the fragment; and it is
// whole in itself.
func TestInvitePage(t *testing.T) {
	w := newWorld(t)
	resp, body := w.do("GET", wire.PathInvite, nil, nil)
	page := strings.ToLower(string(body))
	for _, bad := range []string{"<script", "javascript:", "onload", "http://", "https://", "src=", "href=", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if !strings.Contains(page, "claudemesh join") {
		t.Error("the page does not say what to run")
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "script") {
		t.Error(csp)
	}
	if resp.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Error("a referrer could carry the address on")
	}
}

// No web page reaches the broker of its reader's machine, neither by its own
// name (DNS rebinding) nor from another origin.
func TestWebPagesKeptOut(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name, host, origin string
		status             int
	}{
		{"own host", "mesh.test", "", 200},
		{"own host and origin", "mesh.test", "http://mesh.test", 200},
		{"rebound name", "evil.example", "", 403},
		{"rebound name and its origin", "evil.example", "http://evil.example", 403},
		{"another page", "mesh.test", "http://evil.example", 403},
		{"another port", "mesh.test", "http://mesh.test:3000", 403},
		{"another scheme", "mesh.test", "https://mesh.test", 403},
		{"a file or sandbox", "mesh.test", "null", 403},
		{"no host", "", "http://mesh.test", 200}, // Go's client puts the URL's
	}
	for _, tt := range tests {
		for _, path := range []string{wire.PathHealth, wire.PathSocket, wire.PathMeshes} {
			resp, body := w.do("GET", path, nil, func(r *http.Request) {
				r.Host = tt.host
				if tt.origin != "" {
					r.Header.Set("Origin", tt.origin)
				}
			})
			if refused := resp.StatusCode == 403; refused != (tt.status == 403) {
				t.Errorf("%s, %s: %s %s", tt.name, path, resp.Status, body)
			}
		}
	}
	_, _, err := websocket.Dial(t.Context(), "ws://mesh.test"+wire.PathSocket, &websocket.DialOptions{
		HTTPClient: w.http(), Subprotocols: []string{wire.Subprotocol}, HTTPHeader: http.Header{"Origin": {"http://evil.example"}},
	})
	if err == nil {
		t.Error("a page opened a WebSocket")
	}
	if _, _, err := websocket.Dial(t.Context(), "ws://mesh.test"+wire.PathSocket, &websocket.DialOptions{HTTPClient: w.http()}); err == nil {
		t.Error("upgraded without the subprotocol")
	}
}

// post creates a mesh over HTTP and gives the status and the body.
func (w *world) post(entries []signed.Object, token string) (int, []byte) {
	w.t.Helper()
	resp, body := w.do("POST", wire.PathMeshes, must(signed.Encode(wire.CreateRequest{Entries: entries})), func(r *http.Request) {
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
	})
	return resp.StatusCode, body
}

func errorCode(body []byte) wire.Code {
	var e wire.Error
	_ = json.Unmarshal(body, &e)
	return e.Code
}

func TestCreate(t *testing.T) {
	w := newWorld(t, patient)
	if w.b.Token() != "" {
		t.Error("a token where none is needed")
	}
	objects, state := w.founding(w.b.Key())
	alice := w.alice
	status, body := w.post(objects, "")
	var a wire.CreateAnswer
	if err := signed.DecodeOpen(body, &a); err != nil || status != 200 {
		t.Fatalf("%d %s %v", status, body, err)
	}
	h := must(chain.DecodeHead(a.Head))
	if h.Verify(w.b.Key()) != nil || h.Head.At() != state.At() || h.Head.Life != 1 {
		t.Fatalf("%+v", h.Head)
	}
	// The answer was lost: asked again it is the same.
	if again, body2 := w.post(objects, ""); again != 200 || !bytes.Equal(body, body2) {
		t.Fatalf("%d %s", again, body2)
	}
	// The same genesis with something else behind it is another matter.
	if status, body := w.post(objects[:2:2], ""); status != 400 {
		t.Fatalf("%d %s", status, body)
	}
	other, _ := w.founding(must(keys.NewBrokerPrivate(rand.Reader)).Public())
	if status, body := w.post(other, ""); errorCode(body) != wire.CodeRefused && errorCode(body) != wire.CodeMalformed {
		t.Fatalf("for another broker: %d %s", status, body)
	}
	if status, body := w.post([]signed.Object{objects[1], objects[0], objects[2]}, ""); status < 400 {
		t.Fatalf("%d %s", status, body)
	}
	resp, _ := w.do("POST", wire.PathMeshes, bytes.Repeat([]byte(" "), wire.MaxCreateBody+1), nil)
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatal(resp.Status)
	}
	if resp, _ := w.do("POST", wire.PathMeshes, []byte(`{"entries":1}`), nil); resp.StatusCode != 400 {
		t.Fatal(resp.Status)
	}
	w.mesh = state.Mesh()
	w.hello(alice, wire.ReceivesLive)
}

// On a broker that others reach, one token makes one mesh.
func TestCreateByToken(t *testing.T) {
	w := &world{t: t, opts: Options{Dir: t.TempDir(), URLs: []string{"https://mesh.example.org"}}}
	w.start()
	t.Cleanup(func() { w.stop() })
	token := w.b.Token()
	parsed, err := keys.ParseCreateToken(token)
	if err != nil || parsed.Broker() != w.b.Key().Fingerprint() || !strings.HasPrefix(token, "ct-") {
		t.Fatalf("%v", err)
	}
	objects, _ := w.founding(w.b.Key())
	wrong := must(keys.NewCreateToken(w.b.Key(), zeroReader{})).Export()
	for _, bad := range []string{"", "ct-abc", wrong} {
		if status, body := w.post(objects, bad); errorCode(body) != wire.CodeToken {
			t.Fatalf("%q: %d %s", bad, status, body)
		}
	}
	if status, body := w.post(objects, token); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if w.b.Token() != "" {
		t.Error("still shown")
	}
	second, _ := w.founding(w.b.Key())
	if status, body := w.post(second, token); errorCode(body) != wire.CodeToken {
		t.Fatalf("used twice: %d %s", status, body)
	}
	older := must(w.b.NewToken(t.Context()))
	newer := must(w.b.NewToken(t.Context()))
	if _, body := w.post(second, older); errorCode(body) != wire.CodeToken {
		t.Fatalf("an older one: %s", body)
	}
	if status, body := w.post(second, newer); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	w.restart() // there is a mesh: no token by itself
	if w.b.Token() != "" {
		t.Error("a token at the next start")
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Behind a proxy the client is who the last untrusted hop was.
func TestForwardedFor(t *testing.T) {
	b := &Broker{opts: Options{BehindProxy: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	tests := []struct{ remote, header, want string }{
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "192.0.2.7", "192.0.2.7"},
		{"10.0.0.1:1", "1.1.1.1, 192.0.2.7, 10.2.3.4", "192.0.2.7"},
		{"10.0.0.1:1", "garbage", "10.0.0.1"},
		{"198.51.100.1:1", "192.0.2.7", "198.51.100.1"},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.remote
		if tt.header != "" {
			r.Header.Set("X-Forwarded-For", tt.header)
		}
		if got := b.requestOf(r).addr; got.String() != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestNormalOrigin(t *testing.T) {
	for in, out := range map[string]string{
		"https://Mesh.Example.org":      "https://mesh.example.org",
		"https://mesh.example.org:443/": "https://mesh.example.org",
		"http://127.0.0.1:7900":         "http://127.0.0.1:7900",
		"http://[2001:DB8::1]:80":       "http://[2001:db8::1]",
		"unix:/run/broker.sock":         "unix:",
		"unix:":                         "unix:",
	} {
		if got, err := normalOrigin(in); err != nil || got != out {
			t.Errorf("%s: %s %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "mesh.example.org", "ftp://x", "https://", "https://x/y", "https://u@x", "https://x?y", "https://x#y", "null", "https://:1"} {
		if got, err := normalOrigin(bad); err == nil {
			t.Errorf("%q: %s", bad, got)
		}
	}
}

// The certificate is of the broker's own key: a peer accepts it by the pin,
// and nothing older than TLS 1.3 is spoken.
func TestOwnTLS(t *testing.T) {
	w := newWorld(t, patient, func(o *Options) { o.Listen = []Listen{{Addr: "127.0.0.1:0", TLS: true, Hosts: []string{"box.local"}}} })
	var url string
	for _, u := range w.b.URLs() {
		if strings.HasPrefix(u, "https://127.") {
			url = u
		}
	}
	addr := strings.TrimPrefix(url, "https://")
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cert := c.ConnectionState().PeerCertificates[0]
	pub := w.b.Key()
	if !cert.PublicKey.(ed25519.PublicKey).Equal(ed25519.PublicKey(pub[:])) || c.ConnectionState().Version != tls.VersionTLS13 {
		t.Fatal("another key, or an old version")
	}
	if err := cert.VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
	if err := cert.VerifyHostname("box.local"); err != nil {
		t.Error(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: pool}); err != nil {
		t.Error(err)
	}
	if c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		c.Close()
		t.Error("TLS 1.2")
	}
	// A whole handshake over it, with the origin that was dialled.
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	ws, _, err := websocket.Dial(t.Context(), "wss://"+addr+wire.PathSocket, &websocket.DialOptions{
		HTTPClient: hc, Subprotocols: []string{wire.Subprotocol},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	cl := &client{t: t, ws: ws}
	ch := want[*wire.Challenge](cl)
	body := w.helloBody(w.alice.Public(), ch)
	body.Origin = url
	cl.sayHello(body, w.alice)
	want[*wire.Welcome](cl)
}

func TestUnixSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // a socket there has no mode
	}
	path := filepath.Join(t.TempDir(), "run", "broker.sock")
	w := newWorld(t, patient, func(o *Options) { o.Listen = []Listen{{Addr: "unix:" + path}} })
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	if _, err := New(Options{Dir: t.TempDir(), Listen: []Listen{{Addr: "unix:" + path}}}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("a second one: %v", err)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	ws, _, err := websocket.Dial(t.Context(), "ws://localhost"+wire.PathSocket, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dial}}, Subprotocols: []string{wire.Subprotocol},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	c := &client{t: t, ws: ws}
	ch := want[*wire.Challenge](c)
	body := w.helloBody(w.alice.Public(), ch)
	body.Origin = "unix:"
	c.sayHello(body, w.alice)
	want[*wire.Welcome](c)
	c.bye()
	// A socket left behind by a kill is no obstacle.
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	stale := must(net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}))
	stale.SetUnlinkOnClose(false)
	stale.Close()
	w.start()
}

func TestBusyPort(t *testing.T) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	_, err := New(Options{Dir: t.TempDir(), Listen: []Listen{{Addr: l.Addr().String()}}})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatal(err)
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"no folder":           {},
		"half a certificate":  {CertFile: "cert.pem"},
		"no such certificate": {CertFile: "cert.pem", KeyFile: "key.pem", Listen: []Listen{{Addr: "127.0.0.1:0", TLS: true}}},
		"URL":                 {URLs: []string{"mesh.example.org"}},
		"plain for all":       {Listen: []Listen{{Addr: "0.0.0.0:0", Plain: true}}},
		"address":             {Listen: []Listen{{Addr: "nonsense"}}},
	} {
		if name != "no folder" {
			o.Dir = t.TempDir()
		}
		if b, err := New(o); err == nil {
			b.Close()
			t.Errorf("%s: taken", name)
		}
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	first, err := loadKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadKey(dir)
	if err != nil || !again.Equal(first) {
		t.Fatal("another key", err)
	}
	path := filepath.Join(dir, keyFile)
	entries := must(os.ReadDir(dir))
	if len(entries) != 1 {
		t.Fatalf("left behind: %v", entries)
	}
	if runtime.GOOS != "windows" {
		if info := must(os.Stat(path)); info.Mode().Perm() != 0o600 {
			t.Fatal(info.Mode())
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := loadKey(dir); err == nil {
			t.Fatal("others can read it")
		}
	}
	if err := os.WriteFile(path, []byte("secret-rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o600)
	if _, err := loadKey(dir); err == nil || strings.Contains(err.Error(), "rubbish") {
		t.Fatal(err)
	}
	if err := writeKey(path, first); !errors.Is(err, fs.ErrExist) {
		t.Fatal("written over another", err)
	}
}
