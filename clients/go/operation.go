package hostler

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	hostlerv1 "hostler.dev/go/hostler/v1"
)

// A Verb is a method of the generated clients that starts an operation: client.Images.FetchImage.
type Verb[Request proto.Message] = func(context.Context, Request, ...grpc.CallOption) (grpc.ServerStreamingClient[hostlerv1.OperationEvent], error)

// An Operation is long work of the daemon. Read it to its end with [Operation.Events],
// [Operation.Wait] or [Wait], from one goroutine; the other methods may be called from all.
//
// When the connection or the daemon goes away, the call is made again with the same request_id. It
// then follows the same operation, gets its result (`replayed`), or begins the work again under a
// new id; the events go on with those of that call.
//
// The end of the context of Start ends the operation, unless its request has `detach`.
type Operation struct {
	client    *Client
	ctx       context.Context // the caller's, until leave
	leave     context.CancelFunc
	requestID string
	open      func(context.Context) (grpc.ServerStreamingClient[hostlerv1.OperationEvent], error)
	watch     bool // its errors are only those of the watch
	onEvent   func(*hostlerv1.OperationEvent)
	tries     attempts

	// Of the goroutine that reads.
	stream  grpc.ServerStreamingClient[hostlerv1.OperationEvent]
	pending *hostlerv1.OperationEvent // the first one, which Start has read
	err     error                     // io.EOF after the result

	mutex     sync.Mutex
	last      *hostlerv1.OperationEvent
	cancelled bool
}

// An OperationOption changes how an operation is followed.
type OperationOption func(*Operation)

// OnEvent calls the function with each event, before Events and Wait go on.
func OnEvent(function func(*hostlerv1.OperationEvent)) OperationOption {
	return func(o *Operation) { o.onEvent = function }
}

// Start starts an operation and waits for its first event, which has its id. A request without a
// request_id gets one, in a copy. Errors that come before the first event, such as INVALID_FIELD,
// are those of Start.
func Start[Request proto.Message](ctx context.Context, client *Client, verb Verb[Request], request Request, options ...OperationOption) (*Operation, error) {
	request, id := withRequestID(request)
	return start(&Operation{client: client, ctx: ctx, requestID: id,
		open: func(ctx context.Context) (grpc.ServerStreamingClient[hostlerv1.OperationEvent], error) {
			return verb(ctx, request)
		}}, options)
}

// Follow follows an operation that was started elsewhere. The end of ctx does not end it.
func Follow(ctx context.Context, client *Client, operationID string, options ...OperationOption) (*Operation, error) {
	return start(&Operation{client: client, ctx: ctx, watch: true,
		open: func(ctx context.Context) (grpc.ServerStreamingClient[hostlerv1.OperationEvent], error) {
			return client.Operations.WatchOperation(ctx, &hostlerv1.WatchOperationRequest{OperationId: operationID})
		}}, options)
}

func start(o *Operation, options []OperationOption) (*Operation, error) {
	for _, option := range options {
		option(o)
	}
	o.tries.policy = o.client.retry
	o.ctx, o.leave = context.WithCancel(o.ctx)
	first, err := o.next()
	if err != nil {
		return nil, err
	}
	o.pending = first
	return o, nil
}

// Run starts an operation, waits for its end and gives its result; see [Wait].
func Run[Result proto.Message, Request proto.Message](ctx context.Context, client *Client, verb Verb[Request], request Request, options ...OperationOption) (Result, error) {
	operation, err := Start(ctx, client, verb, request, options...)
	if err != nil {
		var none Result
		return none, err
	}
	return Wait[Result](operation)
}

// Wait waits for the end of an operation and gives its result: the comment of the RPC names the
// type, such as *hostlerv1.FetchResult; with plan_only it is *hostlerv1.Plan. Fails with [*Error] as
// the operation does.
func Wait[Result proto.Message](operation *Operation) (Result, error) {
	var none Result
	result, err := operation.Wait()
	if err != nil {
		return none, err
	}
	message := result.ProtoReflect()
	which := message.WhichOneof(message.Descriptor().Oneofs().ByName("result"))
	if which == nil {
		return none, fmt.Errorf("hostler: operation %s has no result that this client knows, but was to have %T", operation.ID(), none)
	}
	if typed, ok := message.Get(which).Message().Interface().(Result); ok {
		return typed, nil
	}
	return none, fmt.Errorf("hostler: operation %s has the result %s, not %T", operation.ID(), which.Name(), none)
}

// Wait waits for the end of the operation. Fails with [*Error] as the operation does.
func (o *Operation) Wait() (*hostlerv1.OperationResult, error) {
	for {
		if _, err := o.read(); err == io.EOF {
			return o.Last().GetResult(), nil
		} else if err != nil {
			return nil, err
		}
	}
}

// Events are the events from now to the end; the last one has the result. Of a failure the last
// pair has the [*Error]. Who leaves the loop early may read on later, or calls Close.
func (o *Operation) Events() iter.Seq2[*hostlerv1.OperationEvent, error] {
	return func(yield func(*hostlerv1.OperationEvent, error) bool) {
		for {
			event, err := o.read()
			if err == io.EOF {
				return
			}
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// ID is the id of the operation. It changes when the work begins again, after a restart.
func (o *Operation) ID() string { return o.Last().GetOperationId() }

// RequestID is the request_id of the request; empty: it has none, or the operation was followed.
func (o *Operation) RequestID() string { return o.requestID }

// Last is the latest event that was read.
func (o *Operation) Last() *hostlerv1.OperationEvent {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.last
}

// Cancel ends the operation, and returns when its children are gone and its files removed. Events
// and Wait then fail with the reason CANCELLED.
func (o *Operation) Cancel(ctx context.Context) (*hostlerv1.CancelledOperation, error) {
	o.setCancelled(true)
	answer, err := Call(ctx, o.client, o.client.Operations.CancelOperation, &hostlerv1.CancelOperationRequest{OperationId: o.ID()})
	if err != nil {
		o.setCancelled(false)
		return nil, err
	}
	if len(answer.GetOperations()) == 0 {
		return nil, fmt.Errorf("hostler: the answer to the cancel of %s names no operation", o.ID())
	}
	return answer.GetOperations()[0], nil
}

// Close stops following: Events and Wait then fail with [context.Canceled]. An operation that was
// started here without `detach` ends, if no other caller waits for it. After the end it does nothing.
func (o *Operation) Close() { o.leave() }

// read gives the pending event first, then the next ones.
func (o *Operation) read() (*hostlerv1.OperationEvent, error) {
	if event := o.pending; event != nil {
		o.pending = nil
		return event, nil
	}
	return o.next()
}

// next gives the next event, over as many calls as it takes; io.EOF after the one with the result.
func (o *Operation) next() (*hostlerv1.OperationEvent, error) {
	for o.err == nil {
		event, err := o.receive()
		if err == nil && event.GetError() == nil {
			o.tries.succeeded()
			o.note(event)
			return event, nil
		}
		if err == nil {
			// The stream of a failure has this event, and then the same as its status. If the call is
			// made again, nobody needs to see it.
			err = ErrorOf(event.GetError())
			_, _ = o.stream.Recv() // until its status, so that the daemon sees a call that was read to its end
			if o.watch || o.isCancelled() || !o.tries.policy.repeats(err) {
				o.end(err)
				o.note(event)
				return event, nil
			}
		}
		if err != io.EOF {
			err = o.again(err)
		}
		if err != nil {
			o.end(err)
		}
	}
	return nil, o.err
}

// receive reads from the stream of the present call; io.EOF after the result.
func (o *Operation) receive() (*hostlerv1.OperationEvent, error) {
	if o.stream == nil {
		stream, err := o.open(o.ctx)
		if err != nil {
			return nil, err
		}
		o.stream = stream
	}
	event, err := o.stream.Recv()
	switch {
	case err == nil:
		return event, nil
	case o.Last().GetResult() != nil:
		return nil, io.EOF // also if the connection breaks after the result
	case err == io.EOF:
		return nil, lost(o.client, err)
	default:
		return nil, err
	}
}

// again waits until the call may be made again. It returns the error if it must not be.
func (o *Operation) again(err error) error {
	o.stream = nil
	if o.isCancelled() {
		return err
	}
	err = o.tries.wait(o.ctx, err)
	if err == nil && o.isCancelled() {
		return &Error{Code: codes.Canceled, Reason: "CANCELLED", Message: "the operation was cancelled"}
	}
	return err
}

// isCancelled says whether Cancel was called: then a repeated call would begin the work again.
func (o *Operation) isCancelled() bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.cancelled
}

func (o *Operation) setCancelled(cancelled bool) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.cancelled = cancelled
}

func (o *Operation) note(event *hostlerv1.OperationEvent) {
	o.mutex.Lock()
	o.last = event
	o.mutex.Unlock()
	if o.onEvent != nil {
		o.onEvent(event)
	}
}

// end keeps why there are no more events, and gives up the stream.
func (o *Operation) end(err error) {
	o.err = err
	o.leave()
}
