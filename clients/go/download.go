package hostler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	hostlerv1 "hostler.dev/go/hostler/v1"
)

// Overwrite lets a download replace a file that exists.
func Overwrite() TransferOption {
	return func(o *transferOptions) { o.overwrite = true }
}

// Download receives an image file of the daemon's host. The local file gets its name when all bytes
// have arrived, agree with the daemon's digest, and are durable; it has the mode 0600. Holes and
// zeros become holes. It returns the length.
//
// When the connection or the daemon goes away, it resumes at the last whole block, and compares the
// whole file with DigestImage at the end. A download with allow_in_use begins again instead.
func (c *Client) Download(ctx context.Context, request *hostlerv1.DownloadImageRequest, path string, options ...TransferOption) (int64, error) {
	if request.GetOffset() != 0 || request.Length != nil {
		return 0, errors.New("hostler: Download receives whole files; call DownloadImage for a part of one")
	}
	down := &download{client: c, request: proto.CloneOf(request), options: transferOptionsOf(options)}
	if _, err := os.Lstat(path); err == nil && !down.options.overwrite {
		return 0, fmt.Errorf("hostler: %w", &os.PathError{Op: "download", Path: path, Err: os.ErrExist})
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".hostler-download-*")
	if err != nil {
		return 0, fmt.Errorf("hostler: %w", err)
	}
	down.file = file
	err = errors.Join(down.receive(ctx), file.Close())
	if err == nil {
		err = publish(file.Name(), path, down.options.overwrite)
	}
	if gone := os.Remove(file.Name()); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return down.position, err
}

// publish gives a file its name, in one step.
func publish(part, path string, overwrite bool) error {
	var err error
	if overwrite {
		err = os.Rename(part, path)
	} else {
		err = os.Link(part, path)
	}
	if err != nil {
		return fmt.Errorf("hostler: %w", err)
	}
	return nil
}

// A download is one file on its way, over as many calls as it takes.
type download struct {
	client   *Client
	file     *os.File
	request  *hostlerv1.DownloadImageRequest
	options  transferOptions
	position int64
	resumed  bool
	digests  blockDigests
}

// receive receives the whole file and makes it durable.
func (d *download) receive(ctx context.Context) error {
	tries := attempts{policy: d.client.retry}
	for {
		before := d.position
		err := d.attempt(ctx)
		if err == nil {
			break
		}
		if d.position > before {
			tries.succeeded()
		}
		if err := tries.wait(ctx, err); err != nil {
			return err
		}
	}
	if d.resumed {
		if err := d.compare(ctx); err != nil {
			return err
		}
	}
	if err := d.file.Sync(); err != nil {
		return fmt.Errorf("hostler: %w", err)
	}
	return nil
}

// attempt receives from the last whole block to the end.
func (d *download) attempt(ctx context.Context) error {
	from := d.position / blockBytes * blockBytes
	if d.request.GetAllowInUse() {
		from = 0
	}
	d.digests.cut(from)
	// What lies behind must not show through the holes that come.
	if err := d.file.Truncate(from); err != nil {
		return fmt.Errorf("hostler: %w", err)
	}
	d.position, d.resumed = from, from > 0
	d.request.Offset = uint64(from)
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	stream, err := d.client.Images.DownloadImage(ctx, d.request)
	if err != nil {
		return err
	}
	digest := ""
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			return d.finish(from, digest)
		}
		if err != nil {
			return err
		}
		switch content := message.GetContent().(type) {
		case *hostlerv1.DownloadImageResponse_Data:
			if _, err := d.file.WriteAt(content.Data, d.position); err != nil {
				return fmt.Errorf("hostler: %w", err)
			}
			d.digests.write(content.Data)
			d.position += int64(len(content.Data))
		case *hostlerv1.DownloadImageResponse_ZeroBytes:
			d.digests.zeros(int64(content.ZeroBytes))
			d.position += int64(content.ZeroBytes)
		case *hostlerv1.DownloadImageResponse_Checksum:
			digest = content.Checksum.GetDigest()
		}
		d.options.onBytes(d.position)
	}
}

// finish compares what this attempt has received with the digest that the daemon sent.
func (d *download) finish(from int64, digest string) error {
	if digest == "" {
		return lost(d.client, io.ErrUnexpectedEOF)
	}
	if own := d.digests.digest(from); own != digest {
		return differs(codes.DataLoss, "CHECKSUM_MISMATCH", "the received bytes have the digest %s, the daemon sent %s", own, digest)
	}
	if err := d.file.Truncate(d.position); err != nil {
		return fmt.Errorf("hostler: %w", err)
	}
	return nil
}

// compare compares all attempts together with the file as it is now.
func (d *download) compare(ctx context.Context) error {
	whole, err := Run[*hostlerv1.DigestResult](ctx, d.client, d.client.Images.DigestImage, &hostlerv1.DigestImageRequest{Path: d.request.GetPath()})
	if err != nil {
		return err
	}
	if own := d.digests.digest(0); whole.GetDigest() != own {
		return differs(codes.Aborted, "SOURCE_CHANGED", "the received file has the digest %s, but %s now has %s: it changed between two attempts", own, d.request.GetPath(), whole.GetDigest())
	}
	return nil
}

func differs(code codes.Code, reason, format string, facts ...any) error {
	return &Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, facts...)}
}
