package hostler_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	hostler "hostler.dev/go"
	hostlerv1 "hostler.dev/go/hostler/v1"
)

// A futureAgent is what no daemon of this version can be: one of another version of the contract.
type futureAgent struct {
	hostlerv1.UnimplementedHostInfoServiceServer
	contract string
	features []string
}

func (a *futureAgent) GetHostInfo(context.Context, *hostlerv1.GetHostInfoRequest) (*hostlerv1.GetHostInfoResponse, error) {
	return &hostlerv1.GetHostInfoResponse{ContractVersion: a.contract, Features: a.features}, nil
}

const futureType = "type.googleapis.com/hostler.v9.Horoscope"

// GetArchitecture fails with details of which one is of a type that this client does not know, and
// one is cut.
func (a *futureAgent) GetArchitecture(context.Context, *hostlerv1.GetArchitectureRequest) (*hostlerv1.GetArchitectureResponse, error) {
	failure := status.New(codes.FailedPrecondition, "the stars are wrong").Proto()
	info, err := anypb.New(&errdetails.ErrorInfo{Reason: "STARS_WRONG", Domain: "hostler", Metadata: map[string]string{"star": "Sirius"}})
	if err != nil {
		return nil, err
	}
	failure.Details = []*anypb.Any{{TypeUrl: futureType, Value: []byte{1, 2, 3}}, {TypeUrl: "type.googleapis.com/google.rpc.BadRequest", Value: []byte{0xff}}, info}
	return nil, status.ErrorProto(failure)
}

func future(t *testing.T, agent *futureAgent) string {
	return "tcp://" + plainServer(t, func(server *grpc.Server) { hostlerv1.RegisterHostInfoServiceServer(server, agent) })
}

func TestKeepsDetailsOfAnUnknownType(t *testing.T) {
	client := connect(t, hostler.WithAddress(future(t, &futureAgent{contract: "1.7"})))
	_, err := client.Host.GetArchitecture(limited(t), &hostlerv1.GetArchitectureRequest{})
	var failed *hostler.Error
	if !errors.As(err, &failed) || failed.Reason != "STARS_WRONG" || failed.Facts["star"] != "Sirius" || failed.Problem != "" {
		t.Fatalf("%#v", err)
	}
	if len(failed.Details) != 3 || failed.Details[0].GetTypeUrl() != futureType || !slices.Equal(failed.Details[0].GetValue(), []byte{1, 2, 3}) {
		t.Error(failed.Details)
	}
	if err.Error() != "hostler: the stars are wrong [STARS_WRONG]" {
		t.Error(err)
	}
}

// A call of a later contract to a daemon that does not have it.
func TestSaysThatTheDaemonLacksAnRPC(t *testing.T) {
	client := connect(t)
	const method = "/hostler.v1.ImageService/FoldImage"
	request := &hostlerv1.ResizeImageRequest{Path: "/x"}
	fold := func(ctx context.Context, request *hostlerv1.ResizeImageRequest, options ...grpc.CallOption) (grpc.ServerStreamingClient[hostlerv1.OperationEvent], error) {
		stream, err := client.Connection().NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method, options...)
		if err != nil {
			return nil, err
		}
		typed := &grpc.GenericClientStream[hostlerv1.ResizeImageRequest, hostlerv1.OperationEvent]{ClientStream: stream}
		return typed, errors.Join(stream.SendMsg(request), stream.CloseSend())
	}
	_, operation := hostler.Start(limited(t), client, fold, request)
	call := client.Connection().Invoke(limited(t), method, request, &hostlerv1.OperationEvent{})
	for _, err := range []error{call, operation} {
		var failed *hostler.Error
		if !errors.As(err, &failed) || failed.Code != codes.Unimplemented || failed.Reason != "" ||
			!strings.Contains(err.Error(), "does not serve hostler.v1.ImageService/FoldImage: it is of another version") {
			t.Error(err)
		}
	}
}

func TestRefusesAnotherContract(t *testing.T) {
	for _, version := range []string{"2.0", "0.9", ""} {
		_, err := hostler.Connect(limited(t), hostler.WithAddress(future(t, &futureAgent{contract: version})))
		var other *hostler.ContractError
		if !errors.As(err, &other) || other.Served != version || !strings.Contains(err.Error(), "this client needs 1.x") {
			t.Error(version, err)
		}
	}
	// A server of gRPC that has no hostler.v1 at all.
	none := "tcp://" + plainServer(t, func(*grpc.Server) {})
	_, err := hostler.Connect(limited(t), hostler.WithAddress(none))
	if other := (*hostler.ContractError)(nil); !errors.As(err, &other) || other.Address != none || other.Served != "" {
		t.Error(err)
	}
}

func TestRequiresFeatures(t *testing.T) {
	client := connect(t)
	if err := client.Require(limited(t), "folders", "inventory", "cursors"); err != nil {
		t.Error(err)
	}
	// This daemon has no command and no pool in its configuration.
	err := client.Require(limited(t), "folders", "commands", "pools")
	var lacks *hostler.FeatureError
	if !errors.As(err, &lacks) || !slices.Equal(lacks.Missing, []string{"commands", "pools"}) || !slices.Contains(lacks.Served, "cursors") {
		t.Error(err)
	}
	if !strings.Contains(err.Error(), "does not serve commands, pools: it is of an older version, or not configured for that") {
		t.Error(err)
	}
}

func TestShowsFieldViolations(t *testing.T) {
	client := connect(t)
	_, err := client.Images.GetImageInfo(limited(t), &hostlerv1.GetImageInfoRequest{Path: "not absolute"})
	var failed *hostler.Error
	if !errors.As(err, &failed) || failed.Reason != "INVALID_FIELD" || len(failed.Violations) != 1 || failed.Violations[0].Field != "path" {
		t.Fatalf("%#v", err)
	}
	if !strings.Contains(err.Error(), failed.Violations[0].Description) {
		t.Error(err)
	}
}
