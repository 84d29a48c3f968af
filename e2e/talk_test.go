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
