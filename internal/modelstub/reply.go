package modelstub

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Reply is the model's answer to one request.
type Reply struct {
	blocks []map[string]any
	status int // of HTTP where it is an error, else 0
	kind   string
	text   string
	hold   <-chan struct{}
}

// Say answers with text and ends the turn.
func Say(text string) Reply {
	return Reply{blocks: []map[string]any{{"type": "text", "text": text}}}
}

// Use answers with the call of a tool. The call's id is made by the server.
func Use(tool string, input any) Reply { return Reply{}.AndUse(tool, input) }

// AndUse adds the call of a tool to an answer, beside its text or other calls.
func (r Reply) AndUse(tool string, input any) Reply {
	r.blocks = append(r.blocks[:len(r.blocks):len(r.blocks)],
		map[string]any{"type": "tool_use", "name": tool, "input": input})
	return r
}

// Fail answers with an error of the API: an HTTP status (529 for overloaded),
// the error's type and its message. Agents try some of them again.
func Fail(status int, kind, message string) Reply {
	return Reply{status: status, kind: kind, text: message}
}

// After holds an answer back, with its stream open, until release is closed or
// the agent hangs up (as it does on Esc). Other requests are answered meanwhile.
func (r Reply) After(release <-chan struct{}) Reply {
	r.hold = release
	return r
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked has gone
}

// write sends the answer, in one piece or as a stream of server-sent events.
func (r Reply) write(ctx context.Context, w http.ResponseWriter, to Request) {
	w.Header().Set("Request-Id", fmt.Sprintf("req_stub_%d", to.N))
	if r.status != 0 {
		writeJSON(w, r.status, map[string]any{"type": "error", "error": map[string]any{"type": r.kind, "message": r.text}})
		return
	}
	stop := "end_turn"
	var content []map[string]any
	for i, b := range r.blocks {
		if b["type"] == "tool_use" {
			stop = "tool_use"
			b = map[string]any{"type": "tool_use", "id": fmt.Sprintf("toolu_stub_%d_%d", to.N, i), "name": b["name"], "input": b["input"]}
		}
		content = append(content, b)
	}
	message := map[string]any{
		"id": fmt.Sprintf("msg_stub_%d", to.N), "type": "message", "role": "assistant", "model": to.Model,
		"stop_reason": nil, "stop_sequence": nil, "content": []any{},
		"usage": map[string]any{"input_tokens": 10, "output_tokens": 1},
	}
	if !to.Stream {
		if !r.released(ctx) {
			return
		}
		message["content"], message["stop_reason"] = content, stop
		writeJSON(w, http.StatusOK, message)
		return
	}
	r.stream(ctx, w, message, content, stop)
}

// released waits until the answer may go out; false when the agent hung up.
func (r Reply) released(ctx context.Context) bool {
	if r.hold == nil {
		return true
	}
	select {
	case <-r.hold:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r Reply) stream(ctx context.Context, w http.ResponseWriter, message map[string]any, content []map[string]any, stop string) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	send := func(kind string, fields map[string]any) {
		fields["type"] = kind
		data, err := json.Marshal(fields)
		if err != nil { // an input of the test's own that is no JSON
			data, _ = json.Marshal(map[string]any{"type": "error", "error": map[string]any{"type": "api_error", "message": err.Error()}})
			kind = "error"
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data)
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
	send("message_start", map[string]any{"message": message})
	if !r.released(ctx) {
		return
	}
	for i, b := range content {
		switch b["type"] {
		case "tool_use":
			input, err := json.Marshal(b["input"])
			if err != nil {
				input = []byte("{}")
			}
			send("content_block_start", map[string]any{"index": i, "content_block": map[string]any{
				"type": "tool_use", "id": b["id"], "name": b["name"], "input": map[string]any{}}})
			send("content_block_delta", map[string]any{"index": i, "delta": map[string]any{"type": "input_json_delta", "partial_json": string(input)}})
		default:
			send("content_block_start", map[string]any{"index": i, "content_block": map[string]any{"type": "text", "text": ""}})
			send("content_block_delta", map[string]any{"index": i, "delta": map[string]any{"type": "text_delta", "text": b["text"]}})
		}
		send("content_block_stop", map[string]any{"index": i})
	}
	send("message_delta", map[string]any{"delta": map[string]any{"stop_reason": stop, "stop_sequence": nil}, "usage": map[string]any{"output_tokens": 5}})
	send("message_stop", map[string]any{})
}
