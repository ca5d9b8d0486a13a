package hostler_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	hostler "hostler.dev/go"
	hostlerv1 "hostler.dev/go/hostler/v1"
)

func TestSurvivesKillInTheMiddle(t *testing.T) {
	for name, detach := range map[string]bool{"detached": true, "attached": false} {
		t.Run(name, func(t *testing.T) {
			client, source, target := connect(t), newGate(t), filepath.Join(folder(t), "a.raw")
			request := fetching(source, target)
			request.Detach, request.RequestId = detach, "kill-"+name
			operation := startHalf(t, limited(t), client, request)
			first := operation.ID()
			daemon.Order(t, "kill")
			source.open()
			result, err := operation.Wait()
			if err != nil || result.GetFetch().GetLengthBytes() != gateBytes {
				t.Fatal(result, err)
			}
			if detach && operation.ID() != first {
				t.Error("a detached fetch goes on under its id after a restart: ", first, operation.ID())
			}
			checkFetched(t, source, target)
			// The same call again is answered with the result of the first.
			again, err := hostler.Start(limited(t), client, client.Images.FetchImage, request)
			if err != nil {
				t.Fatal(err)
			}
			replayed, err := again.Wait()
			if err != nil || !replayed.GetReplayed() || replayed.GetFetch().GetChecksum() != result.GetFetch().GetChecksum() {
				t.Fatal(replayed, err)
			}
		})
	}
}

// A result that was lost on its way is got by the same call again.
func TestGetsTheFirstResultAfterALostConnection(t *testing.T) {
	wire := newWire(t)
	client := connect(t, hostler.WithAddress("unix://"+wire.path))
	source, target := newGate(t), filepath.Join(folder(t), "a.raw")
	request := fetching(source, target)
	request.Detach = true
	operation := startHalf(t, limited(t), client, request)
	other, err := hostler.Follow(limited(t), connect(t), operation.ID())
	if err != nil {
		t.Fatal(err)
	}
	wire.cut()
	source.open()
	if _, err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	wire.mend(t)
	result, err := operation.Wait()
	if err != nil || !result.GetReplayed() || operation.ID() != other.ID() {
		t.Fatal(result, operation.ID(), err)
	}
}

func TestGivesUpWithoutPatience(t *testing.T) {
	wire := newWire(t)
	client := connect(t, hostler.WithAddress("unix://"+wire.path), hostler.WithRetry(hostler.RetryPolicy{Patience: -1}))
	operation := startHalf(t, limited(t), client, fetching(newGate(t), filepath.Join(folder(t), "a.raw")))
	wire.cut()
	_, err := operation.Wait()
	var failed *hostler.Error
	if !errors.As(err, &failed) || failed.Problem != hostler.ConnectionLost {
		t.Fatal(err)
	}
	if _, err := hostler.Call(limited(t), client, client.Host.GetArchitecture, &hostlerv1.GetArchitectureRequest{}); !errors.As(err, &failed) || failed.Problem != hostler.NoSuchSocket {
		t.Fatal(err)
	}
}

// The daemon says when a caller with too many streams may come again.
func TestHonoursRetryInfo(t *testing.T) {
	filler := connect(t)
	request := fetching(newGate(t), filepath.Join(folder(t), "a.raw"))
	operation := startHalf(t, limited(t), filler, request)
	ctx, leave := context.WithCancel(limited(t))
	var failed *hostler.Error
	for failed == nil {
		stream, err := filler.Operations.WatchOperation(ctx, &hostlerv1.WatchOperationRequest{OperationId: operation.ID()})
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil && !errors.As(err, &failed) {
			t.Fatal(err)
		}
	}
	if failed.Reason != "CALLER_AT_LIMIT" || failed.RetryDelay <= 0 {
		t.Fatalf("%#v", failed)
	}
	waits := 0
	client := connect(t, hostler.WithRetry(hostler.RetryPolicy{FirstDelay: time.Millisecond, OnRetry: func(err error, delay time.Duration) {
		waits++
		if hostler.ReasonOf(err) != "CALLER_AT_LIMIT" || delay < failed.RetryDelay {
			t.Error(err, delay)
		}
		leave()
	}}))
	followed, err := hostler.Follow(limited(t), client, operation.ID())
	if err != nil || waits == 0 {
		t.Fatal(waits, err)
	}
	followed.Close()
	operation.Close()
}

func TestCallsWaitForAStoppedDaemon(t *testing.T) {
	client := connect(t)
	daemon.Order(t, "stop")
	answered := make(chan error, 1)
	go func() {
		_, err := hostler.Call(limited(t), client, client.Host.GetArchitecture, &hostlerv1.GetArchitectureRequest{})
		answered <- err
	}()
	daemon.Order(t, "start")
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestWatchesOverARestart(t *testing.T) {
	client := connect(t)
	ctx, leave := context.WithCancel(limited(t))
	labels := map[string]string{"test": "watch"}
	request := &hostlerv1.WatchOperationsRequest{Filter: &hostlerv1.OperationFilter{Labels: labels,
		States: []hostlerv1.OperationState{hostlerv1.OperationState_OPERATION_STATE_SUCCEEDED, hostlerv1.OperationState_OPERATION_STATE_FAILED}}}
	list := must[*hostlerv1.ListOperationsResponse](t)(client.Operations.ListOperations(limited(t), &hostlerv1.ListOperationsRequest{}))
	request.Cursor = list.GetCursor()
	ended := make(chan *hostlerv1.WatchOperationsResponse)
	finished := make(chan error, 1)
	go func() {
		defer close(ended)
		for event, err := range client.WatchOperations(ctx, request) {
			if err != nil {
				finished <- err
				return
			}
			ended <- event
		}
	}()
	here := folder(t)
	create := func(name string) {
		request := creation(filepath.Join(here, name))
		request.Labels = labels
		if _, err := hostler.Run[*hostlerv1.ImageResult](limited(t), connect(t), client.Images.CreateImage, request); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(name string) *hostlerv1.WatchOperationsResponse {
		t.Helper()
		event, ok := <-ended
		if !ok || len(event.GetAddresses()) != 1 || event.GetAddresses()[0] != filepath.Join(here, name) {
			t.Fatal("not ", name, ": ", event, ok)
		}
		return event
	}
	create("1")
	expect("1")
	create("2")
	expect("2")
	daemon.Order(t, "kill")
	create("3")
	daemon.Order(t, "stop")
	daemon.Order(t, "start")
	create("4")
	expect("3")
	cursor := expect("4").GetCursor()
	leave()
	if err := <-finished; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// A watch with the cursor of an earlier one.
	create("5")
	request.Cursor = cursor
	for event, err := range client.WatchOperations(limited(t), request) {
		if err != nil || event.GetAddresses()[0] != filepath.Join(here, "5") {
			t.Fatal(event, err)
		}
		break
	}
	request.Cursor = "not one"
	for _, err := range client.WatchOperations(limited(t), request) {
		if hostler.ReasonOf(err) != "INVALID_FIELD" {
			t.Error(err)
		}
	}
}

// While nothing matches, the daemon sends cursors without events.
func TestWatchGivesCursorsWithoutEvents(t *testing.T) {
	client, here, labels := connect(t), folder(t), map[string]string{"test": "cursors"}
	create := func(name string, labels map[string]string) {
		request := creation(filepath.Join(here, name))
		request.Labels = labels
		if _, err := hostler.Run[*hostlerv1.ImageResult](limited(t), client, client.Images.CreateImage, request); err != nil {
			t.Error(err)
		}
	}
	list := must[*hostlerv1.ListOperationsResponse](t)(client.Operations.ListOperations(limited(t), &hostlerv1.ListOperationsRequest{}))
	request := &hostlerv1.WatchOperationsRequest{Filter: &hostlerv1.OperationFilter{Labels: labels}, Cursor: list.GetCursor()}
	create("other", nil)
	cursors := 0
	onCursor := hostler.OnCursor(func(cursor string) {
		if cursors++; cursors == 1 && cursor != request.GetCursor() {
			create("matching", labels)
		}
	})
	for event, err := range client.WatchOperations(limited(t), request, onCursor) {
		if err != nil || cursors == 0 || event.GetEvent() == nil || event.GetAddresses()[0] != filepath.Join(here, "matching") {
			t.Fatal(cursors, event, err)
		}
		break
	}
}

func TestWatchBeginsWithTheUnfinished(t *testing.T) {
	client, labels := connect(t), map[string]string{"test": "unfinished"}
	request := fetching(newGate(t), filepath.Join(folder(t), "a.raw"))
	request.Labels = labels
	operation := startHalf(t, limited(t), client, request)
	filter := &hostlerv1.OperationFilter{Labels: labels}
	for event, err := range client.WatchOperations(limited(t), &hostlerv1.WatchOperationsRequest{Filter: filter}) {
		if err != nil || event.GetEvent().GetOperationId() != operation.ID() || event.GetMethod() != "FetchImage" {
			t.Fatal(event, err)
		}
		break
	}
	for each, err := range client.ListOperations(limited(t), filter, true) {
		if err != nil || each.GetOperationId() != operation.ID() {
			t.Error(each, err)
		}
	}
	if ended, err := client.CancelByLabels(limited(t), labels); err != nil || len(ended) != 1 || ended[0].GetOperationId() != operation.ID() {
		t.Error(ended, err)
	}
	if _, err := operation.Wait(); hostler.ReasonOf(err) != "CANCELLED" {
		t.Error(err)
	}
}

// A wire is a socket that is connected with that of the daemon, and can be cut.
type wire struct {
	path     string
	mutex    sync.Mutex
	listener net.Listener
	open     []net.Conn
}

func newWire(t *testing.T) *wire {
	w := &wire{path: filepath.Join(daemon.Folder, "wire.sock")}
	w.mend(t)
	t.Cleanup(w.cut)
	return w
}

func (w *wire) mend(t *testing.T) {
	listener := must[net.Listener](t)(net.Listen("unix", w.path))
	w.mutex.Lock()
	w.listener = listener
	w.mutex.Unlock()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", daemon.Socket[len("unix://"):])
			if err != nil {
				near.Close()
				continue
			}
			w.mutex.Lock()
			w.open = append(w.open, near, far)
			w.mutex.Unlock()
			carry := func(to, from net.Conn) {
				io.Copy(to, from)
				to.Close()
			}
			go carry(near, far)
			go carry(far, near)
		}
	}()
}

func (w *wire) cut() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.listener.Close()
	for _, each := range w.open {
		each.Close()
	}
	w.open = nil
}
