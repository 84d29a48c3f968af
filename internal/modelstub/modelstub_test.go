package modelstub

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// post sends a request as an agent does and returns status and body.
func post(t *testing.T, s *Server, body string) (int, string) {
	t.Helper()
	answer, err := http.Post(s.URL()+"/v1/messages?beta=true", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

const turn = `{"model":"m","stream":true,
 "system":[{"type":"text","text":"be good"}],
 "tools":[{"name":"Bash","input_schema":{}}],
 "messages":[
  {"role":"user","content":"run it"},
  {"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"true"}}]},
  {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"it broke"}]}]},
  {"role":"system","content":"a hook's word"}]}`

func TestRequestIsReadAsAModelReadsIt(t *testing.T) {
	s := New(t, nil)
	post(t, s, turn)
	r := s.Turns()[0]
	want := []Piece{
		{Role: "tools", Kind: "text", Message: -1, Name: "Bash", Text: `{"name":"Bash","input_schema":{}}`},
		{Role: "system", Kind: "text", Message: -1, Text: "be good"},
		{Role: "user", Kind: "text", Message: 0, Text: "run it"},
		{Role: "assistant", Kind: "tool_use", Message: 1, ID: "t1", Name: "Bash", Text: `{"command":"true"}`},
		{Role: "user", Kind: "tool_result", Message: 2, ID: "t1", Text: "it broke", Failed: true},
		{Role: "system", Kind: "text", Message: 3, Text: "a hook's word"},
	}
	if len(r.Pieces) != len(want) {
		t.Fatalf("%d pieces, want %d:\n%s", len(r.Pieces), len(want), Outline([]Request{r}))
	}
	for i := range want {
		if r.Pieces[i] != want[i] {
			t.Errorf("piece %d is %+v, want %+v", i, r.Pieces[i], want[i])
		}
	}
	if got := r.New(); len(got) != 2 || got[0].Text != "it broke" {
		t.Errorf("new is %+v", got)
	}
	if last, ok := r.Result(); !ok || last.ID != "t1" || r.Results() != 1 {
		t.Errorf("the last result is %+v", last)
	}
	if got := r.Where("hook"); len(got) != 1 || got[0].Role != "system" {
		t.Errorf("the hook's word stands at %+v", got)
	}
}

func TestStreamIsTheMessagesAPI(t *testing.T) {
	s := New(t, func(Request) Reply {
		return Say("first").AndUse("Bash", map[string]any{"command": "ls"})
	})
	status, body := post(t, s, turn)
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	var kinds []string
	var input, stop string
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var event struct {
			Type  string
			Delta struct {
				PartialJSON string `json:"partial_json"`
				StopReason  string `json:"stop_reason"`
			}
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, event.Type)
		input += event.Delta.PartialJSON
		stop += event.Delta.StopReason
	}
	want := "message_start content_block_start content_block_delta content_block_stop " +
		"content_block_start content_block_delta content_block_stop message_delta message_stop"
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("events are\n%s, want\n%s", got, want)
	}
	if input != `{"command":"ls"}` || stop != "tool_use" {
		t.Errorf("input %s, stop %s", input, stop)
	}
}

func TestSmallQuestionsAndErrorsDoNotReachTheScript(t *testing.T) {
	asked := 0
	s := New(t, func(Request) Reply {
		asked++
		return Fail(529, "overloaded_error", "too much")
	})
	if status, body := post(t, s, `{"model":"small","messages":[{"role":"user","content":"a title?"}]}`); status != 200 || !strings.Contains(body, `"text":"ok"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := post(t, s, turn); status != 529 || !strings.Contains(body, "overloaded_error") {
		t.Errorf("%d %s", status, body)
	}
	if asked != 1 || len(s.Requests()) != 2 || len(s.Turns()) != 1 {
		t.Errorf("asked %d times, %d requests, %d turns", asked, len(s.Requests()), len(s.Turns()))
	}
}

func TestHeldAnswerWaitsAndOthersPass(t *testing.T) {
	release := make(chan struct{})
	s := New(t, func(r Request) Reply {
		if r.N == 0 {
			return Say("late").After(release)
		}
		return Say("soon")
	})
	first := make(chan string, 1)
	go func() {
		answer, err := http.Post(s.URL()+"/v1/messages", "application/json", strings.NewReader(turn))
		if err != nil {
			first <- err.Error()
			return
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		first <- string(text)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.Wait(ctx, t, "a turn", Request.Turn)
	if _, body := post(t, s, turn); !strings.Contains(body, "soon") {
		t.Errorf("the second answer is %s", body)
	}
	select {
	case body := <-first:
		t.Fatalf("the first answer came early: %s", body)
	default:
	}
	close(release)
	if body := <-first; !strings.Contains(body, "late") {
		t.Errorf("the first answer is %s", body)
	}
}
