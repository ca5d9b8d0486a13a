package hostler_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// A gate is a web server with an image, which gives no more than half of it until the gate is open.
type gate struct {
	URL     string
	content []byte
	opened  chan struct{}
	once    sync.Once
}

const gateBytes = 4 << 20

func newGate(t testing.TB) *gate {
	g := &gate{content: noise(gateBytes), opened: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "image.raw", time.Time{}, &gatedReader{Reader: bytes.NewReader(g.content), gate: g, ended: r.Context().Done()})
	}))
	t.Cleanup(server.Close)
	t.Cleanup(g.open)
	g.URL = server.URL + "/image.raw"
	return g
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

type gatedReader struct {
	*bytes.Reader
	gate  *gate
	ended <-chan struct{}
}

// WriteTo hides that of bytes.Reader, which does not stop at the gate.
func (r *gatedReader) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}

func (r *gatedReader) Read(into []byte) (int, error) {
	if left := int64(r.Len()) - gateBytes/2; left > 0 {
		return r.Reader.Read(into[:min(int64(len(into)), left)])
	}
	select {
	case <-r.gate.opened:
		return r.Reader.Read(into)
	case <-r.ended:
		return 0, io.ErrUnexpectedEOF
	}
}

// noise are bytes that are the same each time, and compress to nothing less.
func noise(length int) []byte {
	bytes := make([]byte, length)
	rand.NewChaCha8([32]byte{1}).Read(bytes)
	return bytes
}
