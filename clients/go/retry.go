package hostler

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A RetryPolicy says how often and how long a call is made again whose connection or daemon went
// away. A call is repeated with the same request_id, so that it makes no change twice. It is
// repeated after a lost connection, SHUTTING_DOWN, AGENT_RESTARTED, and an error with a RetryDelay.
type RetryPolicy struct {
	// FirstDelay is the time before the first repetition; 0: a second. It doubles each time, and a
	// random part of up to a half is taken off. The daemon's own RetryDelay counts instead if it is
	// longer.
	FirstDelay time.Duration
	// MaxDelay is the longest of these times; 0: a minute.
	MaxDelay time.Duration
	// Patience is how long it goes on without an event or an answer; 0: ten minutes; negative:
	// nothing is repeated.
	Patience time.Duration
	// Reasons are further reasons to repeat a call, of those that docs/errors.md marks with
	// `later`: PATH_BUSY, NO_SPACE …
	Reasons []string
	// OnRetry is called before each wait, with the error of the attempt and the time of the wait.
	OnRetry func(err error, delay time.Duration)
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.FirstDelay <= 0 {
		p.FirstDelay = time.Second
	}
	if p.MaxDelay <= 0 {
		p.MaxDelay = time.Minute
	}
	if p.Patience == 0 {
		p.Patience = 10 * time.Minute
	}
	return p
}

// repeats says whether the same call may succeed later, by this policy.
func (p RetryPolicy) repeats(err error) bool {
	var failed *Error
	if p.Patience < 0 || !errors.As(err, &failed) {
		return false
	}
	switch failed.Reason {
	case "":
		return failed.Problem.passing()
	case "SHUTTING_DOWN", "AGENT_RESTARTED":
		return true
	default:
		return failed.RetryDelay > 0 || slices.Contains(p.Reasons, failed.Reason)
	}
}

// attempts counts what one call has tried.
type attempts struct {
	policy RetryPolicy
	delay  time.Duration
	since  time.Time // of the first failure after the last success; zero: there was none
}

// succeeded begins anew: the daemon has answered.
func (a *attempts) succeeded() { a.delay, a.since = 0, time.Time{} }

// wait waits until the call may be made again, and returns nil. It returns err if it must not be.
func (a *attempts) wait(ctx context.Context, err error) error {
	if !a.policy.repeats(err) {
		return err
	}
	if a.since.IsZero() {
		a.since, a.delay = time.Now(), a.policy.FirstDelay
	}
	delay := a.delay - time.Duration(mathrand.Int64N(int64(a.delay)/2+1))
	a.delay = min(2*a.delay, a.policy.MaxDelay)
	if failed := (*Error)(nil); errors.As(err, &failed) {
		delay = max(delay, failed.RetryDelay)
	}
	if time.Since(a.since)+delay > a.policy.Patience {
		return err
	}
	if a.policy.OnRetry != nil {
		a.policy.OnRetry(err, delay)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}

// Call makes a call that has one answer, and makes it again as the client's [RetryPolicy] says. A
// request that has a request_id and was given none gets one. Reads, and changes with a request_id,
// may be called so; also CancelOperation.
//
//	answer, err := hostler.Call(ctx, client, client.Files.DeleteFile, &hostlerv1.DeleteFileRequest{Path: path})
func Call[Request, Answer proto.Message](ctx context.Context, client *Client,
	call func(context.Context, Request, ...grpc.CallOption) (Answer, error), request Request) (Answer, error) {
	request, _ = withRequestID(request)
	tries := attempts{policy: client.retry}
	for {
		answer, err := call(ctx, request)
		if err == nil {
			return answer, nil
		}
		if err := tries.wait(ctx, err); err != nil {
			return answer, err
		}
	}
}

const requestIDField = "request_id"

// withRequestID is the request with its request_id: its own, or a new one in a copy of it. The id is
// empty if such requests have none.
func withRequestID[Request proto.Message](request Request) (Request, string) {
	field := request.ProtoReflect().Descriptor().Fields().ByName(requestIDField)
	if field == nil || field.Kind() != protoreflect.StringKind {
		return request, ""
	}
	if id := request.ProtoReflect().Get(field).String(); id != "" {
		return request, id
	}
	id := rand.Text()
	copied := proto.Clone(request)
	copied.ProtoReflect().Set(field, protoreflect.ValueOfString(id))
	return copied.(Request), id
}
