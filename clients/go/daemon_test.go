package hostler_test

import (
	"context"
	"os"
	"testing"
	"time"

	hostler "hostler.dev/go"
	"hostler.dev/go/internal/testdaemon"
)

// The daemon that all tests of the package use, one after the other.
var daemon *testdaemon.Daemon

func TestMain(m *testing.M) { testdaemon.Main(m, "../testing/daemon.sh", &daemon) }

// quick is for tests with restarts: the waits are short, and limited.
var quick = hostler.RetryPolicy{FirstDelay: 100 * time.Millisecond, MaxDelay: time.Second, Patience: time.Minute}

// connect is a client of the daemon's socket, for as long as the test.
func connect(t testing.TB, options ...hostler.ConnectOption) *hostler.Client {
	t.Helper()
	options = append([]hostler.ConnectOption{hostler.WithAddress(daemon.Socket), hostler.WithRetry(quick)}, options...)
	client, err := hostler.Connect(limited(t), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// limited is a context that ends with the test, or after two minutes.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// folder makes a folder in the root, for one test.
func folder(t testing.TB) string {
	t.Helper()
	path, err := os.MkdirTemp(daemon.Root, "test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	return path
}

func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
