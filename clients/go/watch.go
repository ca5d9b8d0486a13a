package hostler

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	hostlerv1 "hostler.dev/go/hostler/v1"
)

// WatchOperations are the events of all operations that the request selects, without end. When the
// connection or the daemon goes away, the watch goes on after the last event, so that no change is
// missed. A caller that stores the cursor of the last event can go on there later.
//
// Without a cursor in the request the first events are the unfinished operations. If the connection
// breaks before the first event, they are those whose state has changed since the call.
//
// Messages without an event, which come while nothing matches, are left out; see [OnCursor].
//
// It ends with the context, whose error is then the last pair, and with an [*Error] that a
// repetition does not help against, such as CURSOR_TOO_OLD: list the operations, and watch from the
// cursor of that list.
func (c *Client) WatchOperations(ctx context.Context, request *hostlerv1.WatchOperationsRequest, options ...WatchOption) iter.Seq2[*hostlerv1.WatchOperationsResponse, error] {
	return func(yield func(*hostlerv1.WatchOperationsResponse, error) bool) {
		ctx, leave := context.WithCancel(ctx)
		defer leave()
		watch := watch{client: c, request: proto.CloneOf(request), tries: attempts{policy: c.retry}, onCursor: func(string) {}}
		for _, option := range options {
			option(&watch)
		}
		for {
			event, err := watch.next(ctx)
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// A WatchOption changes a watch.
type WatchOption func(*watch)

// OnCursor calls the function with each cursor that comes without an event: nothing that matches has
// happened up to there. A caller that stores cursors stores these too.
func OnCursor(function func(cursor string)) WatchOption {
	return func(w *watch) { w.onCursor = function }
}

// A watch is one WatchOperations over as many calls as it takes.
type watch struct {
	client   *Client
	request  *hostlerv1.WatchOperationsRequest
	tries    attempts
	onCursor func(string)
	stream   grpc.ServerStreamingClient[hostlerv1.WatchOperationsResponse]
	before   string // a cursor from before the first call, for a watch that breaks before its first event
}

func (w *watch) next(ctx context.Context) (*hostlerv1.WatchOperationsResponse, error) {
	for {
		event, err := w.receive(ctx)
		if err == nil {
			w.tries.succeeded()
			w.request.Cursor = event.GetCursor()
			if event.GetEvent() != nil {
				return event, nil
			}
			w.onCursor(event.GetCursor())
			continue
		}
		w.stream = nil
		if w.request.GetCursor() == "" {
			w.request.Cursor = w.before
		}
		if ReasonOf(err) == "WATCHER_TOO_SLOW" {
			continue // the caller reads again
		}
		if err := w.tries.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

func (w *watch) receive(ctx context.Context) (*hostlerv1.WatchOperationsResponse, error) {
	if w.stream == nil {
		if err := w.open(ctx); err != nil {
			return nil, err
		}
	}
	event, err := w.stream.Recv()
	if err == io.EOF {
		return nil, lost(w.client, err)
	}
	return event, err
}

func (w *watch) open(ctx context.Context) error {
	if w.request.GetCursor() == "" && w.before == "" {
		one := uint32(1)
		list, err := w.client.Operations.ListOperations(ctx, &hostlerv1.ListOperationsRequest{PageSize: &one})
		if err != nil {
			return err
		}
		w.before = list.GetCursor()
	}
	stream, err := w.client.Operations.WatchOperations(ctx, w.request)
	if err != nil {
		return err
	}
	w.stream = stream
	return nil
}

// ListOperations are all operations that the filter selects, page by page: the oldest first, unless
// newestFirst is set. A nil filter selects all.
func (c *Client) ListOperations(ctx context.Context, filter *hostlerv1.OperationFilter, newestFirst bool) iter.Seq2[*hostlerv1.Operation, error] {
	return func(yield func(*hostlerv1.Operation, error) bool) {
		request := &hostlerv1.ListOperationsRequest{Filter: filter, NewestFirst: newestFirst}
		for {
			page, err := Call(ctx, c, c.Operations.ListOperations, request)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, each := range page.GetOperations() {
				if !yield(each, nil) {
					return
				}
			}
			before := request.PageToken
			if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
				return
			}
			if request.PageToken == before {
				yield(nil, errors.New("hostler: the list of operations does not come to its end: a page names itself as the next one"))
				return
			}
		}
	}
}

// CancelByLabels ends every operation that has all these labels and may be cancelled by this caller.
func (c *Client) CancelByLabels(ctx context.Context, labels map[string]string) ([]*hostlerv1.CancelledOperation, error) {
	if len(labels) == 0 {
		return nil, errors.New("hostler: a cancel by labels needs a label")
	}
	answer, err := Call(ctx, c, c.Operations.CancelOperation, &hostlerv1.CancelOperationRequest{Labels: labels})
	return answer.GetOperations(), err
}
