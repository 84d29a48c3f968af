//go:build system

package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/internal/modelstub"
)

// framed is the head of a message in a tool result.
var framed = regexp.MustCompile(`(?m)^(question|message|answer|decline|notice) (m-[a-z2-7]+) from (\S+) · `)

// heard returns kind and id of the last message that the newest tool result
// carries, "" where it carries none.
func heard(r modelstub.Request) (kind, id string) {
	for _, piece := range r.New() {
		if piece.Kind != "tool_result" {
			continue
		}
		for _, m := range framed.FindAllStringSubmatch(piece.Text, -1) {
			kind, id = m[1], m[2]
		}
	}
	return kind, id
}

// asker is a model that asks bob what its user types after "ask ".
func asker() modelstub.Script {
	return obedient(func(r modelstub.Request) modelstub.Reply {
		for _, piece := range r.New() {
			if question, ok := strings.CutPrefix(piece.Text, "ask "); ok && piece.Role == "user" && piece.Kind == "text" {
				return modelstub.Use("mcp__claudemesh__ask_peer", map[string]any{"to": "bob", "question": question})
			}
		}
		return modelstub.Say("done")
	})
}

// answerer is a model that answers questions, and declines those about secrets.
func answerer() modelstub.Script {
	return obedient(func(r modelstub.Request) modelstub.Reply {
		kind, id := heard(r)
		switch last, _ := r.Result(); {
		case kind != "question":
			return modelstub.Say("done")
		case strings.Contains(last.Text, "secret"):
			return modelstub.Use("mcp__claudemesh__decline", map[string]any{"id": id, "why": "BOBSWORDS none of yours"})
		}
		return modelstub.Use("mcp__claudemesh__reply", map[string]any{"id": id, "body": "BOBSWORDS fix/webhook-retry"})
	})
}

// A question wakes an idle session, which answers it with nobody at its
// keyboard: the asker's call returns the answer, or that it was declined. Asked
// while nobody is there, the answer comes later, as a message.
func TestQuestionsAreAnswered(t *testing.T) {
	alice, bob := twoPeople(t)
	a, b := alice.claude("payments-api", asker()), bob.claude("web-shop", answerer())
	a.open("--permission-mode", "manual")
	b.open()
	b.online(alice, "web-shop")
	a.online(bob, "payments-api")
	alice.do("summary", "ALICESWORDS webhook retries")
	bob.do("summary", "BOBSWORDS the checkout page")

	// Asking is not allowed in advance: the client asks its user.
	a.keys("ask ALICESWORDS which branch has the webhook fix?", "Enter")
	a.agree()
	b.waitTurn(0, "claudemesh: 1 question waits (#1). Call check_messages.")
	b.waitTurn(0, "│ ALICESWORDS which branch has the webhook fix?")
	answered := a.waitTurn(0, "│ BOBSWORDS fix/webhook-retry")
	if last, _ := answered.Result(); !strings.HasPrefix(last.Text, "answer m-") || !strings.Contains(last.Text, " from bob@desk/web-shop · member · ") {
		t.Errorf("ask_peer returned %q", last.Text)
	}

	from := len(a.stub.Requests())
	a.keys("ask ALICESWORDS what is the secret?", "Enter")
	a.agree()
	declined := a.waitTurn(from, "│ BOBSWORDS none of yours")
	if last, _ := declined.Result(); !strings.HasPrefix(last.Text, "decline m-") {
		t.Errorf("ask_peer returned %q", last.Text)
	}

	// Bob goes home.
	b.kill()
	b.gone(alice, "web-shop")
	from = len(a.stub.Requests())
	a.keys("ask ALICESWORDS still there?", "Enter")
	a.agree()
	a.waitTurn(from, "the answer comes as a message that answers m-")
	fromB := len(b.stub.Requests())
	b.open()
	b.waitTurn(fromB, "│ ALICESWORDS still there?")
	late := a.waitTurn(from, "│ BOBSWORDS fix/webhook-retry")
	if kind, _ := heard(late); kind != "answer" || late.Results() == 0 {
		t.Errorf("what came late is %q", kind)
	}

	// Neither side's words, names nor summaries have another voice than a tool's.
	a.onlyAsToolResult("BOBSWORDS", "bob@desk", "web-shop")
	b.onlyAsToolResult("ALICESWORDS", "alice@laptop", "payments-api")
}

// chatty is a model that answers whatever it is sent with a word, for ever.
func chatty(word string) modelstub.Script {
	looks := obedient(func(r modelstub.Request) modelstub.Reply {
		for _, piece := range r.New() {
			switch {
			case piece.Kind == "text" && piece.Text == "what is new?":
				return modelstub.Use(checkTool, map[string]any{})
			case piece.Kind == "text" && piece.Text == "say hello to bob":
				return modelstub.Use("mcp__claudemesh__send_message", map[string]any{"to": "bob", "body": "hello"})
			}
		}
		return modelstub.Say("done")
	})
	return func(r modelstub.Request) modelstub.Reply {
		if kind, id := heard(r); kind != "" && kind != "notice" {
			return modelstub.Use("mcp__claudemesh__reply", map[string]any{"id": id, "body": word})
		}
		return looks(r)
	}
}

// Two agents that always answer each other stop at the bound, and both users are
// told once.
func TestAgentsThatAlwaysAnswerStop(t *testing.T) {
	alice, bob := twoPeople(t)
	a, b := alice.claude("payments-api", chatty("ALICESWORD")), bob.claude("web-shop", chatty("BOBSWORD"))
	a.open("--permission-mode", "manual")
	b.open("--permission-mode", "manual")
	b.online(alice, "web-shop")
	a.online(bob, "payments-api")
	a.keys("say hello to bob", "Enter")
	a.agree()
	// The word of alice's user, and 16 that no human caused: the last is alice's.
	for n := range 8 {
		b.until("bob is shown the next", func() bool { return b.shown("│ ") > n })
		a.until("alice is shown the next", func() bool { return a.shown("│ BOBSWORD") > n })
	}
	const stopped = "the loop guard stopped this: 16 automatic replies in a row without a human."
	b.waitTurn(0, stopped)
	for _, s := range []*session{a, b} {
		s.waitScreen("stopped by the loop guard")
		if shown := s.shown("│ "); shown != 8 && shown != 9 {
			t.Errorf("%s was shown %d messages", s.p.name, shown)
		}
	}
	if na, nb := a.shown(stopped), b.shown(stopped); na != 0 || nb != 1 {
		t.Errorf("alice's agent was stopped %d times, bob's %d times", na, nb)
	}
	// Bob's user was told by his agent, alice's finds a notice when she asks. Her word
	// lets her session go on.
	a.keys("what is new?", "Enter")
	a.waitTurn(0, "│ The loop guard here stopped the agent: 16 automatic replies in a row without a human.")
	a.until("the status line is as before", func() bool { return !strings.Contains(a.screen(), "stopped by the loop guard") })
	if n := a.shown("The loop guard here stopped"); n != 1 {
		t.Errorf("alice was told %d times", n)
	}
	a.onlyAsToolResult("BOBSWORD", "bob@desk")
	b.onlyAsToolResult("ALICESWORD", "alice@laptop")
}
