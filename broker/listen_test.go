package broker

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// greetAt makes a handshake over the network, saying that origin was dialled,
// and gives the error's code, empty for a welcome.
func (w *world) greetAt(url, origin string) wire.Code {
	w.t.Helper()
	ws, _, err := websocket.Dial(w.t.Context(), "ws"+strings.TrimPrefix(url, "http")+wire.PathSocket, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DisableKeepAlives: true}},
		Subprotocols: []string{wire.Subprotocol},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	defer ws.CloseNow()
	c := &client{t: w.t, ws: ws}
	ch := want[*wire.Challenge](c)
	body := w.helloBody(w.alice.Public(), ch)
	body.Origin = origin
	c.sayHello(body, w.alice)
	for {
		r, err := c.read()
		if err != nil {
			w.t.Fatal(err)
		}
		switch f := r.frame.(type) {
		case *wire.Welcome:
			return ""
		case *wire.Error:
			return f.Code
		}
	}
}

// A broker on every address is reached by each of them, by TLS of its own key,
// and by no other name.
func TestEveryAddress(t *testing.T) {
	w := newWorld(t, patient, func(o *Options) { o.Listen = []Listen{{Addr: "0.0.0.0:0"}} })
	urls := w.b.URLs()
	var port string
	for _, u := range urls {
		if strings.HasPrefix(u, "https://") {
			port = u[strings.LastIndex(u, ":"):]
			if strings.Contains(u, "127.0.0.1") || strings.Contains(u, "localhost") {
				t.Errorf("%s is no use to others", u)
			}
		}
	}
	if port == "" {
		t.Fatalf("%v", urls)
	}
	for _, a := range machineAddresses() {
		if !strings.Contains(a, ":") && !slices.Contains(urls, "https://"+a+port) {
			t.Errorf("%s is missing in %v", a, urls)
		}
	}
	local := "https://127.0.0.1" + port
	if code := w.greetAt(local, local); code != "" {
		t.Error(code)
	}
	if code := w.greetAt(local, "https://192.0.2.1"+port); code != wire.CodeOrigin {
		t.Errorf("an address of another machine: %q", code)
	}
	if code := w.greetAt(local, "http://127.0.0.1"+port); code != wire.CodeOrigin {
		t.Errorf("without TLS: %q", code)
	}
	if w.b.createIsOpen() {
		t.Error("anybody may create meshes")
	}
}

// Plain HTTP beyond this machine answers to the proxies that were named.
func TestBehindProxy(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	w := newWorld(t, patient, func(o *Options) {
		o.BehindProxy = proxies
		o.URLs = []string{"https://mesh.example.org"}
		o.Listen = []Listen{{Addr: "0.0.0.0:0", Plain: true}}
	})
	if urls := w.b.URLs(); !slices.Equal(urls, []string{"https://mesh.example.org", testOrigin}) {
		t.Fatalf("%v", urls)
	}
	l := w.b.listeners[1]
	_, port, _ := strings.Cut(l.Addr().String(), "]:")
	// This machine itself may, for its own health checks.
	if code := w.greetAt("http://127.0.0.1:"+port, "https://mesh.example.org"); code != "" {
		t.Error(code)
	}
	for _, a := range machineAddresses() {
		if strings.Contains(a, ":") {
			continue
		}
		if resp, err := http.Get("http://" + a + ":" + port + wire.PathHealth); err == nil {
			resp.Body.Close()
			t.Errorf("%s, no proxy, was answered", a)
		}
	}
}

// A certificate from files is read again when it changes, and kept while the
// files are half written.
func TestCertFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(host string, at time.Time) {
		t.Helper()
		b := must(keys.NewBrokerPrivate(zeroReader{}))
		own := must(ownCertificate(b.Ed25519(), []string{host}))
		pkcs := must(x509.MarshalPKCS8PrivateKey(own.PrivateKey))
		for name, block := range map[string]*pem.Block{
			cert: {Type: "CERTIFICATE", Bytes: own.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: pkcs},
		} {
			if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(name, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	clock := time.Now()
	files := &certFiles{cert: cert, key: key, now: func() time.Time { return clock }}
	if _, err := files.get(); err == nil {
		t.Fatal("there is none yet")
	}
	name := func() string {
		t.Helper()
		c, err := files.get()
		if err != nil {
			t.Fatal(err)
		}
		return must(x509.ParseCertificate(c.Certificate[0])).DNSNames[0]
	}
	write("one.test", clock)
	if n := name(); n != "one.test" {
		t.Fatal(n)
	}
	write("two.test", clock.Add(time.Second))
	if n := name(); n != "one.test" {
		t.Fatal("looked at for each connection")
	}
	clock = clock.Add(certCheck)
	if n := name(); n != "two.test" {
		t.Fatal(n)
	}
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(certCheck)
	if n := name(); n != "two.test" {
		t.Fatal(n)
	}
}
