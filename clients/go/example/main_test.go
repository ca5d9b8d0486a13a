package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hostler.dev/go/internal/testdaemon"
)

var daemon *testdaemon.Daemon

func TestMain(m *testing.M) { testdaemon.Main(m, "../../testing/daemon.sh", &daemon) }

// Runs the example as a user does, and kills the daemon where it says so.
func TestExample(t *testing.T) {
	image := make([]byte, 16<<20)
	rand.NewChaCha8([32]byte{2}).Read(image)
	if err := os.WriteFile(filepath.Join(daemon.Folder, "www", "base.raw"), image, 0o600); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(image)
	program := filepath.Join(t.TempDir(), "example")
	if text, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%s%v", text, err)
	}
	command := exec.Command(program, "--root", daemon.Root, "--sha256", hex.EncodeToString(digest[:]),
		"--url", fmt.Sprintf("http://127.0.0.1:%d/base.raw", daemon.WWW))
	command.Env = append(os.Environ(), "HOSTLER_ADDRESS="+daemon.Socket)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	for lines := bufio.NewScanner(output); lines.Scan(); {
		t.Log(lines.Text())
		fmt.Fprintln(&printed, lines.Text())
		if lines.Text() == "now: kill the daemon" {
			daemon.Order(t, "kill")
		}
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
	for _, words := range []string{
		"fetched 16777216 bytes, sha256:", "the overlay has 1073741824 bytes", "the disk is there already: ",
		"now: kill the daemon", "the slow fetch has ended: OPERATION_STATE_SUCCEEDED", "cancelled by label: 1",
		"watch: ResizeImage OPERATION_STATE_SUCCEEDED", "watch: FetchImage OPERATION_STATE_CANCELLED",
	} {
		if !strings.Contains(printed.String(), words) {
			t.Errorf("it did not print %q", words)
		}
	}
	if left, err := filepath.Glob(filepath.Join(daemon.Root, "example-*")); err != nil || len(left) > 0 {
		t.Error("something is left over: ", left, err)
	}
}
