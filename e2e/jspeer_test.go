package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// jsPeer is the peer of jspeer/, which was written from docs/protocol.md alone.
type jsPeer struct {
	t    *testing.T
	file string // what it keeps
}

// node gives a command that runs a script of jspeer/.
func node(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := os.Stat("jspeer/node_modules/ws"); err != nil {
		t.Fatalf("its packages are missing (%v): run `make npm`, or `npm ci --prefix e2e/jspeer`", err)
	}
	// Read, so that go test knows that its result depends on them.
	scripts, err := filepath.Glob("jspeer/*.mjs")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		if _, err := os.ReadFile(script); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("node", args...)
	cmd.Dir = "jspeer"
	return cmd
}

// join joins by a link, which it reads from standard input.
func (p *jsPeer) join(link, user string) string {
	p.t.Helper()
	cmd := node(p.t, "main.mjs", "join", p.file, user, "js")
	cmd.Stdin = strings.NewReader(link)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("join: %v\n%s", err, out)
	}
	return string(out)
}

// run starts it beside the test; what is written to the returned writer it sends,
// a line `USER TEXT` each.
func (p *jsPeer) run() (*process, io.Writer) {
	p.t.Helper()
	cmd := node(p.t, "main.mjs", "run", p.file, "strange")
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	return startProcess(p.t, cmd), in
}

// until waits for an event that the peer prints.
func until(pr *process, event string, fields ...string) {
	pr.t.Helper()
	pattern := `"event":"` + event + `"`
	for _, field := range fields {
		pattern += `[^\n]*` + field
	}
	pr.wait(pattern)
}

// stranger lets the JavaScript peer join alice's mesh and talks both ways, until it is
// revoked. The broker listens as the options say.
func stranger(t *testing.T, options ...string) {
	alice := newPerson(t, "alice")
	_, address := alice.up(append(options, "--name", "alice", "--device", "laptop")...)
	link := alice.invite()
	t.Logf("the broker is at %s", address)

	js := &jsPeer{t: t, file: filepath.Join(t.TempDir(), "bob.json")}
	if out := js.join(link, "bob"); !strings.Contains(out, `"member":true`) {
		t.Fatalf("it joined and is no member: %s", out)
	}
	bob, write := js.run()
	until(bob, "connected", `"members":2`)

	// From JavaScript to Go: seen is told by alice's own receipt.
	if _, err := io.WriteString(write, "alice I am not Go ✓\n"); err != nil {
		t.Fatal(err)
	}
	until(bob, "ack", `"state":"(queued|delivered)"`)
	inbox := decode[[]struct{ From, Body string }](t, alice.do("inbox", "--json").out)
	if len(inbox) != 1 || inbox[0].Body != "I am not Go ✓" || !strings.HasPrefix(inbox[0].From, "bob") {
		t.Fatalf("alice has %+v", inbox)
	}
	until(bob, "seen")

	// From Go to JavaScript, and its receipt back.
	send := func(body string) string {
		return decode[struct{ ID string }](t, alice.do("send", "bob", body, "--json").out).ID
	}
	first := send("hello stranger")
	until(bob, "message", `"from":"alice@laptop"`, `"body":"hello stranger"`)
	alice.eventually("(their receipt)", "message", first)

	// What was sent while it is away waits for it.
	bob.kill()
	second := send("while you were away")
	bob, _ = js.run()
	until(bob, "message", `"body":"while you were away"`)
	alice.eventually("(their receipt)", "message", second)
	if strings.Contains(bob.output(), "hello stranger") {
		t.Error("a message was shown again")
	}

	// Revoked, it is put out at once, with the entry that proves it, and stays out.
	alice.do("revoke", "bob")
	until(bob, "error", `"code":"revoked"`, `"proved":true`)
	until(bob, "closed", `"code":4106`, `"revoked":true`)
	again, _ := js.run()
	until(again, "closed", `"code":4106`, `"revoked":true`)
	if strings.Contains(again.output(), `"connected"`) {
		t.Errorf("a revoked peer came in:\n%s", again.output())
	}
}

// A peer that was written from the document alone takes part.
func TestStrangersPeer(t *testing.T) { stranger(t, "--listen", "127.0.0.1:0") }

// The same by TLS with the broker's own certificate, which only the pin proves.
func TestStrangersPeerByTLS(t *testing.T) { stranger(t, "--lan", "--listen", ":0") }

// The document's vectors come out as they should in JavaScript.
func TestStrangerRunsTheVectors(t *testing.T) {
	for _, pattern := range []string{"../vectors/*.json", "../vectors/chain/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no vectors: %v", err)
		}
		for _, file := range files {
			if _, err := os.ReadFile(file); err != nil { // for go test's memory
				t.Fatal(err)
			}
		}
	}
	out, err := node(t, "vectors.mjs").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	for _, pattern := range []string{"../vectors/*.json", "../vectors/chain/*.json"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if name, _ := filepath.Rel("../vectors", file); !strings.Contains("\n"+string(out), "\n"+filepath.ToSlash(name)+" ") {
				t.Errorf("%s was not run", name)
			}
		}
	}
}

// It refuses what it must.
func TestStrangerRefuses(t *testing.T) {
	if out, err := node(t, "--test").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestStrangersLockNamesNoMirror keeps download addresses out of the lock file: npm puts
// in whatever registry the machine that wrote it uses.
func TestStrangersLockNamesNoMirror(t *testing.T) {
	data, err := os.ReadFile("jspeer/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	lock := decode[struct {
		Packages map[string]struct{ Resolved, Integrity string }
	}](t, string(data))
	if len(lock.Packages) < 4 {
		t.Errorf("only %d packages", len(lock.Packages))
	}
	for name, p := range lock.Packages {
		if p.Resolved != "" || name != "" && p.Integrity == "" {
			t.Errorf("%s: resolved %q, integrity %q", name, p.Resolved, p.Integrity)
		}
	}
}
