package hostler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	hostlerv1 "hostler.dev/go/hostler/v1"
)

// An Error is why a call or an operation failed. Programs look at Reason (the words are in
// docs/errors.md), or at Problem if there was no connection. Get it with [errors.As].
type Error struct {
	// Code is the code of gRPC.
	Code codes.Code
	// Reason is a word of docs/errors.md, such as IMAGE_NOT_FOUND. Empty: no daemon has answered.
	Reason string
	// Message is for people.
	Message string
	// Facts are the path, sizes, holders … that the reason is about.
	Facts map[string]string
	// Violations are the fields that are wrong, of INVALID_FIELD.
	Violations []Violation
	// RetryDelay is how long the daemon wants the caller to wait before the same call; 0: it does
	// not say.
	RetryDelay time.Duration
	// Details are all details of the error as they came, also those of types that this client does
	// not know.
	Details []*anypb.Any
	// Problem is set if the connection has failed, and not the call. Reason is then empty, or with
	// NeedsTLS NOT_AUTHENTICATED: a daemon says that to clients without TLS.
	Problem Problem

	cause error
}

// A Violation is a field of a request that is wrong.
type Violation struct {
	// Field is its name, with dots.
	Field string
	// Description says what is wrong.
	Description string
}

// Error is one line for people.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString("hostler: ")
	text.WriteString(e.Message)
	for _, each := range e.Violations {
		if !strings.Contains(e.Message, each.Description) {
			fmt.Fprintf(&text, "; %s: %s", each.Field, each.Description)
		}
	}
	switch {
	case e.Reason != "":
		fmt.Fprintf(&text, " [%s]", e.Reason)
	case e.Problem != "":
		fmt.Fprintf(&text, " [%s]", e.Problem)
	default:
		fmt.Fprintf(&text, " [%s]", e.Code)
	}
	return text.String()
}

// Unwrap is the error of gRPC.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus lets [status.FromError] and [status.Code] work.
func (e *Error) GRPCStatus() *status.Status {
	return status.FromProto(&spb.Status{Code: int32(e.Code), Message: e.Message, Details: e.Details})
}

// Is lets [errors.Is] find the end of a context in it.
func (e *Error) Is(target error) bool {
	return target == context.Canceled && e.Code == codes.Canceled && e.Reason == "" ||
		target == context.DeadlineExceeded && e.Code == codes.DeadlineExceeded && (e.Reason == "" || e.Reason == "CALLER_DEADLINE")
}

// ReasonOf is the reason of an error, and empty if it has none.
func ReasonOf(err error) string {
	if failed := (*Error)(nil); errors.As(err, &failed) {
		return failed.Reason
	}
	return ""
}

// ErrorOf is the error of an operation as events and Operation have it, and nil if there is none.
func ErrorOf(failure *hostlerv1.Status) *Error {
	if failure == nil {
		return nil
	}
	return newError(&spb.Status{Code: failure.GetCode(), Message: failure.GetMessage(), Details: failure.GetDetails()}, nil)
}

// newError reads what it knows in the details and keeps all.
func newError(failure *spb.Status, cause error) *Error {
	e := &Error{Code: codes.Code(failure.GetCode()), Message: failure.GetMessage(), Details: failure.GetDetails(), cause: cause}
	for _, detail := range failure.GetDetails() {
		var info errdetails.ErrorInfo
		var wrong errdetails.BadRequest
		var retry errdetails.RetryInfo
		switch {
		case reads(detail, &info):
			e.Reason, e.Facts = info.GetReason(), info.GetMetadata()
		case reads(detail, &wrong):
			for _, field := range wrong.GetFieldViolations() {
				e.Violations = append(e.Violations, Violation{field.GetField(), field.GetDescription()})
			}
		case reads(detail, &retry):
			e.RetryDelay = retry.GetRetryDelay().AsDuration()
		}
	}
	return e
}

// reads says whether the detail is of that type, and whole.
func reads(detail *anypb.Any, into proto.Message) bool {
	return detail.MessageIs(into) && detail.UnmarshalTo(into) == nil
}

// explain makes an Error of what gRPC says of a call of that method.
func (c *Client) explain(ctx context.Context, method string, err error) error {
	if err == nil || err == io.EOF || errors.As(err, new(*Error)) {
		return err
	}
	answer, ok := status.FromError(err)
	if !ok {
		return err
	}
	e := newError(answer.Proto(), err)
	if e.Reason == "NOT_AUTHENTICATED" && c.dialer.plain() {
		// Only a port with TLS asks who a caller is.
		e.Problem, e.Message = NeedsTLS, NeedsTLS.words(c.settings.Address, c.settings, nil)
	}
	if unserved(e) {
		e.Message = fmt.Sprintf("the daemon at %s does not serve %s: it is of another version than this client, and GetHostInfo says of which (%s)",
			c.settings.Address, strings.TrimPrefix(method, "/"), e.Message)
	}
	if ctx.Err() == nil && e.Reason == "" && brokenOff(e) {
		e.Code = codes.Unavailable
		e.Problem, e.Message = c.dialer.explain(ctx, answer.Message())
	}
	return e
}

// unserved: what answers does not know the method. A daemon gives a reason to what it knows and does
// not do.
func unserved(e *Error) bool { return e.Code == codes.Unimplemented && len(e.Details) == 0 }

// brokenOff: no daemon has answered. A daemon gives every error a reason, and all other errors are
// gRPC's own: UNAVAILABLE, and of a stream that ended before its answer one of two others.
func brokenOff(e *Error) bool {
	switch e.Code {
	case codes.Unavailable:
		return true
	case codes.Canceled, codes.Internal, codes.Unknown:
		return strings.Contains(e.Message, "RST_STREAM") || strings.Contains(e.Message, "without sending trailers") ||
			strings.Contains(e.Message, "unexpected EOF")
	default:
		return false
	}
}

// lost is for a stream that ended without its last message.
func lost(c *Client, cause error) *Error {
	return &Error{Code: codes.Unavailable, Problem: ConnectionLost,
		Message: ConnectionLost.words(c.settings.Address, c.settings, nil), cause: cause}
}

func (c *Client) explainUnary(ctx context.Context, method string, request, answer any, connection *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	return c.explain(ctx, method, invoke(ctx, method, request, answer, connection, options...))
}

func (c *Client) explainStream(ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, description, connection, method, options...)
	if err != nil {
		return nil, c.explain(ctx, method, err)
	}
	return &explainedStream{stream, c, ctx, method}, nil
}

// explainedStream is a stream whose errors are Errors.
type explainedStream struct {
	grpc.ClientStream
	client *Client
	ctx    context.Context // the caller's: that of the stream also ends with the stream
	method string
}

func (s *explainedStream) RecvMsg(message any) error {
	return s.client.explain(s.ctx, s.method, s.ClientStream.RecvMsg(message))
}

func (s *explainedStream) SendMsg(message any) error {
	return s.client.explain(s.ctx, s.method, s.ClientStream.SendMsg(message))
}
