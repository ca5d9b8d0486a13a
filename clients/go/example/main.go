// The example is a small scheduler. It makes a disk for a guest out of an image of a web server, and
// shows what a scheduler has to deal with: progress, errors by reason, a watch from a second
// connection, a cancel by label, and a daemon that is killed in the middle.
//
//	go run ./example --root /srv/images --url http://web/base.raw --sha256 DIGEST
//
// The daemon is that of HOSTLER_ADDRESS, or of the current context. Everything is made in a folder of
// the root, which is removed at the end. Where the example prints `now: kill the daemon`, you may do
// that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path"
	"time"

	hostler "hostler.dev/go"
	hostlerv1 "hostler.dev/go/hostler/v1"
)

// labels mark the operations of this scheduler.
var labels = map[string]string{"scheduler": "example"}

func main() {
	root := flag.String("root", "", "a root of the daemon")
	url := flag.String("url", "", "a raw image on a web server")
	sha256 := flag.String("sha256", "", "its digest")
	flag.Parse()
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, *url, *sha256); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, root, url, sha256 string) error {
	client, err := hostler.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Require(ctx, "folders", "cursors"); err != nil {
		return err
	}
	folder := path.Join(root, fmt.Sprintf("example-%d", time.Now().UnixNano()))
	if _, err := hostler.Run[*hostlerv1.DirectoryResult](ctx, client, client.Files.CreateDirectory,
		&hostlerv1.CreateDirectoryRequest{Path: folder}); err != nil {
		return err
	}
	s := &scheduler{client: client, folder: folder, source: fetchOf(url), sha256: sha256}
	watched := make(chan error, 1)
	go func() { watched <- watch(ctx) }()
	if err = errors.Join(s.makeDisk(ctx), s.surviveKill(ctx), s.cancelByLabel(ctx)); err == nil {
		err = <-watched
	}
	_, gone := hostler.Run[*hostlerv1.DeletionResult](ctx, client, client.Files.RemoveDirectory,
		&hostlerv1.RemoveDirectoryRequest{Path: folder, Recursive: true})
	return errors.Join(err, gone)
}

type scheduler struct {
	client *hostler.Client
	folder string
	source *hostlerv1.ImageSource
	sha256 string
}

func fetchOf(url string) *hostlerv1.ImageSource {
	return &hostlerv1.ImageSource{Source: &hostlerv1.ImageSource_Http{Http: &hostlerv1.HttpSource{Url: url}}}
}

// makeDisk fetches the base into the cache, makes an overlay on it, and resizes that.
func (s *scheduler) makeDisk(ctx context.Context) error {
	base, disk := path.Join(s.folder, "base.raw"), path.Join(s.folder, "disk.qcow2")
	fetched, err := hostler.Run[*hostlerv1.FetchResult](ctx, s.client, s.client.Images.FetchImage, &hostlerv1.FetchImageRequest{
		Source: s.source, SourceFormat: "raw", Target: base, UseCache: true, Labels: labels,
		Checksum: &hostlerv1.Checksum{Algorithm: "sha256", Digest: s.sha256},
	})
	if err != nil {
		return err
	}
	fmt.Printf("fetched %d bytes, %s, cache entry %s\n", fetched.GetLengthBytes(), fetched.GetChecksum(), fetched.GetCacheId())
	overlay := &hostlerv1.CreateOverlayRequest{Path: disk, BackingFile: base, BackingFormat: "raw", Labels: labels}
	if _, err := hostler.Run[*hostlerv1.ImageResult](ctx, s.client, s.client.Images.CreateOverlay, overlay); err != nil {
		return err
	}
	resized, err := hostler.Run[*hostlerv1.ImageResult](ctx, s.client, s.client.Images.ResizeImage, &hostlerv1.ResizeImageRequest{
		Path: disk, Format: "qcow2", VirtualSize: &hostlerv1.ResizeImageRequest_Size{Size: "1G"}, Labels: labels,
	})
	if err != nil {
		return err
	}
	fmt.Printf("the overlay has %d bytes\n", resized.GetInfo().GetVirtualSizeBytes())
	// A new request for the same disk: the reason says what is wrong, and the facts where.
	_, err = hostler.Run[*hostlerv1.ImageResult](ctx, s.client, s.client.Images.CreateOverlay, overlay)
	var failed *hostler.Error
	if !errors.As(err, &failed) || failed.Reason != "TARGET_EXISTS" {
		return fmt.Errorf("an overlay that exists was made again: %w", err)
	}
	fmt.Printf("the disk is there already: %s\n", failed.Facts["path"])
	return nil
}

// surviveKill fetches slowly. If the daemon is killed meanwhile, the same operation goes on after its
// restart, or the same request begins it again.
func (s *scheduler) surviveKill(ctx context.Context) error {
	rate := uint64(4 << 20)
	operation, err := hostler.Start(ctx, s.client, s.client.Images.FetchImage, &hostlerv1.FetchImageRequest{
		Source: s.source, SourceFormat: "raw", Target: path.Join(s.folder, "slow.raw"),
		BandwidthBytesPerSecond: &rate, Detach: true, Labels: labels,
	})
	if err != nil {
		return err
	}
	said := false
	for event, err := range operation.Events() {
		if err != nil {
			return err
		}
		if progress := event.GetProgress(); !said && progress.GetDoneBytes() > 0 {
			said = true
			fmt.Println("now: kill the daemon")
		}
	}
	fmt.Printf("the slow fetch has ended: %v\n", operation.Last().GetState())
	return nil
}

// cancelByLabel ends all that this scheduler has started, from a second connection.
func (s *scheduler) cancelByLabel(ctx context.Context) error {
	rate := uint64(1 << 20)
	operation, err := hostler.Start(ctx, s.client, s.client.Images.FetchImage, &hostlerv1.FetchImageRequest{
		Source: s.source, SourceFormat: "raw", Target: path.Join(s.folder, "unwanted.raw"),
		BandwidthBytesPerSecond: &rate, Labels: labels,
	})
	if err != nil {
		return err
	}
	second, err := hostler.Connect(ctx)
	if err != nil {
		return err
	}
	defer second.Close()
	ended, err := second.CancelByLabels(ctx, labels)
	if err != nil {
		return err
	}
	if _, err := operation.Wait(); hostler.ReasonOf(err) != "CANCELLED" {
		return fmt.Errorf("the cancelled fetch has ended otherwise: %w", err)
	}
	fmt.Printf("cancelled by label: %d\n", len(ended))
	return nil
}

// watch prints the ends of this scheduler's operations, from a connection of its own, until one was
// cancelled.
func watch(ctx context.Context) error {
	client, err := hostler.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	filter := &hostlerv1.OperationFilter{Labels: labels}
	for seen, err := range client.WatchOperations(ctx, &hostlerv1.WatchOperationsRequest{Filter: filter}) {
		if err != nil {
			return err
		}
		state := seen.GetEvent().GetState()
		if state >= hostlerv1.OperationState_OPERATION_STATE_SUCCEEDED {
			fmt.Printf("watch: %s %v\n", seen.GetMethod(), state)
		}
		if state == hostlerv1.OperationState_OPERATION_STATE_CANCELLED {
			break
		}
	}
	return nil
}
