package hostler_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	hostler "hostler.dev/go"
	hostlerv1 "hostler.dev/go/hostler/v1"
)

const (
	transferBytes = 48<<20 + 12345
	holeBytes     = 9 << 20
)

// localImage writes a raw image with a hole in its middle, zeros that are written, and an end within
// a block.
func localImage(t *testing.T) (path string, content []byte) {
	content = noise(transferBytes)
	clear(content[10<<20 : 10<<20+holeBytes])
	path = filepath.Join(t.TempDir(), "local.raw")
	file := must[*os.File](t)(os.Create(path))
	defer file.Close()
	for position := 0; position < len(content); position += 1 << 20 {
		if position >= 11<<20 && position < 18<<20 {
			continue // the hole
		}
		if _, err := file.WriteAt(content[position:min(position+1<<20, len(content))], int64(position)); err != nil {
			t.Fatal(err)
		}
	}
	return path, content
}

func checkFile(t *testing.T, path string, want []byte) {
	t.Helper()
	if content, err := os.ReadFile(path); err != nil || !bytes.Equal(content, want) {
		t.Fatalf("%s: %d bytes, %v", path, len(content), err)
	}
}

// once is an order for the daemon in the middle of a transfer, and says whether it came.
func once(t *testing.T, name string) (hostler.TransferOption, *bool) {
	given := false
	return hostler.OnBytes(func(done int64) {
		if !given && done > transferBytes/2 {
			given = true
			daemon.Order(t, name)
		}
	}), &given
}

func TestUploadsAndDownloads(t *testing.T) {
	client, here := connect(t), folder(t)
	local, content := localImage(t)
	request := &hostlerv1.StartUploadRequest{Target: filepath.Join(here, "a.raw"), Format: "raw", RequestId: "upload"}
	image, err := client.Upload(limited(t), local, request)
	if err != nil || image.GetVirtualSizeBytes() < transferBytes || request.GetLengthBytes() != 0 {
		t.Fatal(image, err)
	}
	checkFile(t, request.GetTarget(), content)
	// The same again finds the upload that has succeeded.
	if _, err := client.Upload(limited(t), local, request); err != nil {
		t.Error(err)
	}
	request.RequestId = ""
	if _, err := client.Upload(limited(t), local, request); hostler.ReasonOf(err) != "TARGET_EXISTS" {
		t.Error(err)
	}
	got := filepath.Join(t.TempDir(), "got.raw")
	download := &hostlerv1.DownloadImageRequest{Path: request.GetTarget()}
	if length, err := client.Download(limited(t), download, got); err != nil || length != transferBytes {
		t.Fatal(length, err)
	}
	checkFile(t, got, content)
	if _, err := client.Download(limited(t), download, got); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	if _, err := client.Download(limited(t), download, got, hostler.Overwrite()); err != nil {
		t.Error(err)
	}
	download.Path += ".none"
	if _, err := client.Download(limited(t), download, got+".none"); hostler.ReasonOf(err) != "FILE_NOT_FOUND" {
		t.Error(err)
	}
	if left := must[[]os.DirEntry](t)(os.ReadDir(filepath.Dir(got))); len(left) != 1 {
		t.Error("something is left over: ", left)
	}
}

func TestTransfersSmallFiles(t *testing.T) {
	client, here := connect(t), folder(t)
	for name, content := range map[string][]byte{"one": {1}, "zeros": make([]byte, 5<<20), "block": noise(4 << 20)} {
		local, target := filepath.Join(t.TempDir(), name), filepath.Join(here, name)
		if err := os.WriteFile(local, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Upload(limited(t), local, &hostlerv1.StartUploadRequest{Target: target, Format: "raw"}); err != nil {
			t.Fatal(name, err)
		}
		checkFile(t, target, content)
		if _, err := client.Download(limited(t), &hostlerv1.DownloadImageRequest{Path: target}, local, hostler.Overwrite()); err != nil {
			t.Fatal(name, err)
		}
		checkFile(t, local, content)
	}
}

func TestUploadSurvivesKill(t *testing.T) {
	client, target := connect(t), filepath.Join(folder(t), "a.raw")
	local, content := localImage(t)
	kill, killed := once(t, "kill")
	if _, err := client.Upload(limited(t), local, &hostlerv1.StartUploadRequest{Target: target, Format: "raw"}, kill); err != nil || !*killed {
		t.Fatal(*killed, err)
	}
	checkFile(t, target, content)
}

func TestUploadIsResumedByAnother(t *testing.T) {
	target := filepath.Join(folder(t), "a.raw")
	local, content := localImage(t)
	request := &hostlerv1.StartUploadRequest{Target: target, Format: "raw", RequestId: "by-another"}
	ctx, leave := context.WithCancel(limited(t))
	_, err := connect(t).Upload(ctx, local, request, hostler.OnBytes(func(done int64) {
		if done > transferBytes/2 {
			leave()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := connect(t).Upload(limited(t), local, request); err != nil {
		t.Fatal(err)
	}
	checkFile(t, target, content)
}

func TestDownloadSurvivesKill(t *testing.T) {
	client, source, got := connect(t), filepath.Join(folder(t), "a.raw"), filepath.Join(t.TempDir(), "got.raw")
	local, content := localImage(t)
	if err := os.Rename(local, source); err != nil {
		if err := os.WriteFile(source, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kill, killed := once(t, "kill")
	if length, err := client.Download(limited(t), &hostlerv1.DownloadImageRequest{Path: source}, got, kill); err != nil || length != transferBytes || !*killed {
		t.Fatal(length, *killed, err)
	}
	checkFile(t, got, content)
}
