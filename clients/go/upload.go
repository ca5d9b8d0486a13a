package hostler

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	hostlerv1 "hostler.dev/go/hostler/v1"
)

const (
	// pieceBytes is what gRPC carries best in one message.
	pieceBytes = 256 << 10
	// zerosBytes: a run of zeros is sent in pieces of this length, so that it can be resumed within.
	zerosBytes = 1 << 30
)

// A TransferOption changes an upload or download.
type TransferOption func(*transferOptions)

type transferOptions struct {
	onBytes   func(done int64)
	bandwidth *uint64
	overwrite bool
}

// OnBytes calls the function with how much of the file has been sent or received, from its
// beginning, again and again. It decreases when a part is sent again.
func OnBytes(function func(done int64)) TransferOption {
	return func(o *transferOptions) { o.onBytes = function }
}

// UploadBandwidth is how many bytes of data are sent in a second at most.
func UploadBandwidth(bytesPerSecond uint64) TransferOption {
	return func(o *transferOptions) { o.bandwidth = &bytesPerSecond }
}

func transferOptionsOf(options []TransferOption) transferOptions {
	all := transferOptions{onBytes: func(int64) {}}
	for _, option := range options {
		option(&all)
	}
	return all
}

// Upload sends an image file to request.Target, with its digest, and returns when it is published
// there. Holes and zeros are not sent. The length of the file is set here, in a copy of the request.
//
// When the connection or the daemon goes away, it resumes at the last durable byte. With the
// request_id of an earlier Upload of the same file it resumes that one, also in another process.
// The file must not change meanwhile.
func (c *Client) Upload(ctx context.Context, path string, request *hostlerv1.StartUploadRequest, options ...TransferOption) (*hostlerv1.ImageInfo, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("hostler: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("hostler: %w", err)
	}
	request, _ = withRequestID(proto.CloneOf(request))
	request.LengthBytes = uint64(info.Size())
	if request.DataBytes == nil {
		allocated := allocatedBytes(info)
		request.DataBytes = &allocated
	}
	up := &upload{client: c, file: file, request: request, length: info.Size(), options: transferOptionsOf(options)}
	tries := attempts{policy: c.retry}
	for {
		before := up.committed
		image, err := up.attempt(ctx)
		if image != nil {
			return image, nil
		}
		if up.committed > before {
			tries.succeeded()
		}
		if err := tries.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

// An upload is one file on its way, over as many calls as it takes.
type upload struct {
	client    *Client
	file      *os.File
	request   *hostlerv1.StartUploadRequest
	length    int64
	options   transferOptions
	committed int64
	digests   blockDigests

	// Of one attempt.
	stream grpc.ClientStreamingClient[hostlerv1.UploadImageRequest, hostlerv1.UploadImageResponse]
	zeros  int64 // not sent yet
}

// attempt gives the image when it is published, and otherwise an error.
func (u *upload) attempt(ctx context.Context) (*hostlerv1.ImageInfo, error) {
	started, err := u.client.Images.StartUpload(ctx, u.request)
	if err != nil {
		return nil, err
	}
	u.committed = int64(started.GetCommittedBytes())
	if started.GetInfo() != nil {
		return started.GetInfo(), nil
	}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	if u.stream, err = u.client.Images.UploadImage(ctx); err != nil {
		return nil, err
	}
	u.zeros = 0
	header := &hostlerv1.UploadHeader{UploadId: started.GetUploadId(), Offset: started.GetCommittedBytes(), BandwidthBytesPerSecond: u.options.bandwidth}
	err = u.send(&hostlerv1.UploadImageRequest{Content: &hostlerv1.UploadImageRequest_Header{Header: header}})
	if err == nil {
		err = u.sendFile()
	}
	// io.EOF: the daemon has ended the call, and its answer says why.
	if err != nil && err != io.EOF {
		return nil, err
	}
	answer, err := u.stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	if answer.GetInfo() == nil {
		u.committed = int64(answer.GetCommittedBytes())
		return nil, lost(u.client, io.ErrUnexpectedEOF)
	}
	return answer.GetInfo(), nil
}

// sendFile digests the file and sends what lies behind the committed offset. Blocks of which the
// digest is known from an earlier attempt are not read again.
func (u *upload) sendFile() error {
	position := min(u.digests.length(), u.committed/blockBytes*blockBytes)
	u.digests.cut(position)
	for position < u.length {
		data, err := nextData(u.file, position, u.length)
		if err != nil {
			return fmt.Errorf("hostler: %w", err)
		}
		if data > position {
			u.digests.zeros(data - position)
			if err := u.sendZeros(position, data); err != nil {
				return err
			}
			position = data
			continue
		}
		piece := make([]byte, min(pieceBytes, u.length-position)) // gRPC may keep it
		if _, err := u.file.ReadAt(piece, position); err != nil {
			return fmt.Errorf("hostler: reading %s at %d: %w", u.file.Name(), position, err)
		}
		u.digests.write(piece)
		if err := u.sendPiece(piece, position); err != nil {
			return err
		}
		position += int64(len(piece))
		u.options.onBytes(position)
	}
	if err := u.flushZeros(); err != nil {
		return err
	}
	checksum := &hostlerv1.Checksum{Algorithm: blockAlgorithm, Digest: u.digests.digest(0)}
	return u.send(&hostlerv1.UploadImageRequest{Content: &hostlerv1.UploadImageRequest_Checksum{Checksum: checksum}})
}

func (u *upload) sendPiece(piece []byte, position int64) error {
	end := position + int64(len(piece))
	if bytes.Equal(piece, zeroBlock[:len(piece)]) {
		return u.sendZeros(position, end)
	}
	if end <= u.committed {
		return nil
	}
	if err := u.flushZeros(); err != nil {
		return err
	}
	rest := piece[max(0, u.committed-position):]
	return u.send(&hostlerv1.UploadImageRequest{Content: &hostlerv1.UploadImageRequest_Data{Data: rest}})
}

// sendZeros collects zeros of several pieces.
func (u *upload) sendZeros(from, end int64) error {
	u.zeros += max(0, end-max(from, u.committed))
	for u.zeros >= zerosBytes {
		rest := u.zeros - zerosBytes
		u.zeros = zerosBytes
		if err := u.flushZeros(); err != nil {
			return err
		}
		u.zeros = rest
	}
	return nil
}

func (u *upload) flushZeros() error {
	if u.zeros == 0 {
		return nil
	}
	count := uint64(u.zeros)
	u.zeros = 0
	return u.send(&hostlerv1.UploadImageRequest{Content: &hostlerv1.UploadImageRequest_ZeroBytes{ZeroBytes: count}})
}

func (u *upload) send(message *hostlerv1.UploadImageRequest) error { return u.stream.Send(message) }
