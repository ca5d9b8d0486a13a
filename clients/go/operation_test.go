package hostler_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	hostler "hostler.dev/go"
	hostlerv1 "hostler.dev/go/hostler/v1"
)

func creation(path string) *hostlerv1.CreateImageRequest {
	return &hostlerv1.CreateImageRequest{Path: path, Format: "qcow2", VirtualSize: &hostlerv1.CreateImageRequest_VirtualSizeBytes{VirtualSizeBytes: 1 << 20}}
}

func fetching(source *gate, target string) *hostlerv1.FetchImageRequest {
	return &hostlerv1.FetchImageRequest{Target: target, SourceFormat: "raw",
		Source: &hostlerv1.ImageSource{Source: &hostlerv1.ImageSource_Http{Http: &hostlerv1.HttpSource{Url: source.URL}}}}
}

// startHalf starts a fetch, and returns when half of it has arrived.
func startHalf(t *testing.T, ctx context.Context, client *hostler.Client, request *hostlerv1.FetchImageRequest) *hostler.Operation {
	t.Helper()
	operation, err := hostler.Start(ctx, client, client.Images.FetchImage, request)
	if err != nil {
		t.Fatal(err)
	}
	for event, err := range operation.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if event.GetProgress().GetDoneBytes() > 0 {
			return operation
		}
	}
	t.Fatal("it ended without progress")
	return nil
}

func checkFetched(t *testing.T, source *gate, target string) {
	t.Helper()
	if content, err := os.ReadFile(target); err != nil || !bytes.Equal(content, source.content) {
		t.Fatalf("%d bytes, %v", len(content), err)
	}
}

func TestRunsAnOperation(t *testing.T) {
	client, path := connect(t), filepath.Join(folder(t), "a.qcow2")
	request := creation(path)
	made, err := hostler.Run[*hostlerv1.ImageResult](limited(t), client, client.Images.CreateImage, request)
	if err != nil || made.GetInfo().GetVirtualSizeBytes() != 1<<20 {
		t.Fatal(made, err)
	}
	if request.GetRequestId() != "" {
		t.Error("the caller's request was changed")
	}
	request = creation(filepath.Join(filepath.Dir(path), "planned.qcow2"))
	request.PlanOnly = true
	if plan, err := hostler.Run[*hostlerv1.Plan](limited(t), client, client.Images.CreateImage, request); err != nil || plan.GetNeedBytes() == 0 {
		t.Error(plan, err)
	}
	if _, err := hostler.Run[*hostlerv1.FetchResult](limited(t), client, client.Images.CreateImage, request); err == nil {
		t.Error("a plan is no FetchResult")
	}
}

func TestFollowsEventsToTheResult(t *testing.T) {
	client, source, target := connect(t), newGate(t), filepath.Join(folder(t), "a.raw")
	operation := startHalf(t, limited(t), client, fetching(source, target))
	if operation.ID() == "" || operation.RequestID() == "" {
		t.Error(operation.ID(), operation.RequestID())
	}
	// Another connection follows the same operation.
	var seen int
	other, err := hostler.Follow(limited(t), connect(t), operation.ID(), hostler.OnEvent(func(*hostlerv1.OperationEvent) { seen++ }))
	if err != nil {
		t.Fatal(err)
	}
	source.open()
	fetched, err := hostler.Wait[*hostlerv1.FetchResult](operation)
	if err != nil || fetched.GetLengthBytes() != gateBytes {
		t.Fatal(fetched, err)
	}
	if _, err := other.Wait(); err != nil || seen < 2 {
		t.Error(seen, err)
	}
	checkFetched(t, source, target)
	for event, err := range operation.Events() {
		t.Error("an event after the result: ", event, err)
	}
}

func TestCancels(t *testing.T) {
	client, source := connect(t), newGate(t)
	operation := startHalf(t, limited(t), client, fetching(source, filepath.Join(folder(t), "a.raw")))
	other, err := hostler.Follow(limited(t), client, operation.ID())
	if err != nil {
		t.Fatal(err)
	}
	ended, err := operation.Cancel(limited(t))
	if err != nil || ended.GetState() != hostlerv1.OperationState_OPERATION_STATE_CANCELLED {
		t.Fatal(ended, err)
	}
	for _, each := range []*hostler.Operation{operation, other} {
		if _, err := each.Wait(); hostler.ReasonOf(err) != "CANCELLED" {
			t.Error(err)
		}
	}
}

func TestEndsWithItsContext(t *testing.T) {
	client, source := connect(t), newGate(t)
	for name, leave := range map[string]func(context.CancelFunc, *hostler.Operation){
		"context": func(cancel context.CancelFunc, _ *hostler.Operation) { cancel() },
		"Close":   func(_ context.CancelFunc, operation *hostler.Operation) { operation.Close() },
	} {
		ctx, cancel := context.WithCancel(limited(t))
		operation := startHalf(t, ctx, client, fetching(source, filepath.Join(folder(t), "a.raw")))
		leave(cancel, operation)
		if _, err := operation.Wait(); !errors.Is(err, context.Canceled) {
			t.Error(name, err)
		}
		followed, err := hostler.Follow(limited(t), client, operation.ID())
		if err == nil {
			_, err = followed.Wait()
		}
		if hostler.ReasonOf(err) != "CANCELLED" {
			t.Error(name, err)
		}
		cancel()
	}
}

func TestGivesErrorsByReason(t *testing.T) {
	client, path := connect(t), filepath.Join(folder(t), "a.qcow2")
	if _, err := hostler.Run[*hostlerv1.ImageResult](limited(t), client, client.Images.CreateImage, creation(path)); err != nil {
		t.Fatal(err)
	}
	_, err := hostler.Run[*hostlerv1.ImageResult](limited(t), client, client.Images.CreateImage, creation(path))
	var failed *hostler.Error
	if !errors.As(err, &failed) || failed.Reason != "TARGET_EXISTS" || failed.Code != codes.AlreadyExists || failed.Facts["path"] != path {
		t.Fatalf("%#v %v", failed, err)
	}
	if status.Code(err) != codes.AlreadyExists {
		t.Error(status.Code(err))
	}
	// Plain calls have the same errors.
	_, err = client.Images.GetImageInfo(limited(t), &hostlerv1.GetImageInfoRequest{Path: path + ".none"})
	if !errors.As(err, &failed) || failed.Reason != "IMAGE_NOT_FOUND" || failed.Facts["path"] != path+".none" {
		t.Errorf("%#v %v", failed, err)
	}
}

// Every verb of the contract can be started, also one that comes after this client: the descriptors
// say which there are.
func TestStartsEveryVerb(t *testing.T) {
	client, verbs := connect(t), 0
	event := (&hostlerv1.OperationEvent{}).ProtoReflect().Descriptor()
	for service, calls := range map[protoreflect.FullName]any{
		"hostler.v1.CommandService": client.Commands, "hostler.v1.FileService": client.Files,
		"hostler.v1.ImageService": client.Images, "hostler.v1.HostInfoService": client.Host,
	} {
		descriptor := must[protoreflect.Descriptor](t)(protoregistry.GlobalFiles.FindDescriptorByName(service))
		methods := descriptor.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			method := methods.Get(i)
			if method.Output() != event {
				continue
			}
			verbs++
			call := reflect.ValueOf(calls).MethodByName(string(method.Name()))
			request := reflect.New(call.Type().In(1).Elem()).Interface().(proto.Message)
			operation, err := hostler.Start(limited(t), client, verb(call), request)
			if err == nil {
				// A verb for which an empty request is complete.
				if result, err := operation.Wait(); err != nil || result.GetResult() == nil {
					t.Errorf("%s: %v %v", method.Name(), result, err)
				}
				continue
			}
			var failed *hostler.Error
			if !errors.As(err, &failed) || failed.Reason != "INVALID_FIELD" || len(failed.Violations) == 0 || failed.Violations[0].Field == "" {
				t.Errorf("%s: %#v %v", method.Name(), failed, err)
			}
		}
	}
	if verbs < 20 {
		t.Error("only so many verbs: ", verbs)
	}
}

// verb is a method of a generated client that is known only now.
func verb(method reflect.Value) hostler.Verb[proto.Message] {
	return func(ctx context.Context, request proto.Message, _ ...grpc.CallOption) (grpc.ServerStreamingClient[hostlerv1.OperationEvent], error) {
		answer := method.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(request)})
		stream, _ := answer[0].Interface().(grpc.ServerStreamingClient[hostlerv1.OperationEvent])
		err, _ := answer[1].Interface().(error)
		return stream, err
	}
}
