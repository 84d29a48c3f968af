package meshtest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/claudemesh/claudemesh-go/wire"
)

// A connection that comes while the liar is closed is not served: nobody would wait for
// it.
func TestLiarServesNobodyAfterClose(t *testing.T) {
	Run(t, Options{}, func(t *testing.T, m *Mesh) {
		l := m.Liar()
		l.Close()
		answer := httptest.NewRecorder()
		l.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, wire.PathSocket, nil))
		if answer.Code != http.StatusServiceUnavailable {
			t.Errorf("it answers %d", answer.Code)
		}
	})
}
