// Package testdaemon starts a real daemon for tests, by clients/testing/daemon.sh.
package testdaemon

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A Daemon is a real daemon with mutual TLS, a second one whose certificate has another name, and a
// web server.
type Daemon struct {
	// Folder has pki, www and the daemon's log.
	Folder string `json:"folder"`
	// Root is the folder for images.
	Root string `json:"root"`
	// Socket is unix:///PATH; its caller is an admin.
	Socket string `json:"socket"`
	// TLS is HOST:PORT.
	TLS string `json:"tls"`
	// WrongName is HOST:PORT of the daemon whose certificate has another name.
	WrongName string `json:"wrong_name"`
	// WWW is the port of the web server.
	WWW int `json:"www"`

	orders  io.WriteCloser
	answers *bufio.Reader
	process *exec.Cmd
}

// Main runs the tests of a package with one daemon, which into gets, and exits. script is the path
// of daemon.sh.
func Main(m *testing.M, script string, into **Daemon) {
	// The tests say themselves which daemon they mean.
	for _, name := range []string{"HOSTLER_ADDRESS", "HOSTLER_TLS_CA", "HOSTLER_TLS_CERT", "HOSTLER_TLS_KEY", "HOSTLER_CONTEXT"} {
		os.Unsetenv(name)
	}
	folder, err := os.MkdirTemp("", "hostler-go-")
	if err != nil {
		log.Fatal(err)
	}
	d, err := start(script, folder)
	if err != nil {
		log.Fatal(err)
	}
	*into = d
	code := m.Run()
	d.orders.Close()
	if err := d.process.Wait(); err != nil {
		log.Print("daemon.sh: ", err)
		code = max(code, 1)
	}
	if code == 0 {
		os.RemoveAll(folder)
	} else {
		fmt.Println("the daemon's log is in", folder)
	}
	os.Exit(code)
}

func start(script, folder string) (*Daemon, error) {
	d := &Daemon{process: exec.Command(script, folder)}
	d.process.Stderr = os.Stderr
	answers, err := d.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if d.orders, err = d.process.StdinPipe(); err != nil {
		return nil, err
	}
	if err := d.process.Start(); err != nil {
		return nil, err
	}
	d.answers = bufio.NewReader(answers)
	line, err := d.answers.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("daemon.sh printed no line of JSON: %w", err)
	}
	return d, json.Unmarshal(line, d)
}

// Order has the daemon killed and started again (kill), stopped (stop), or started (start).
func (d *Daemon) Order(t testing.TB, name string) {
	t.Helper()
	if _, err := fmt.Fprintln(d.orders, name); err != nil {
		t.Fatal(err)
	}
	if answer, err := d.answers.ReadString('\n'); err != nil || answer != "ok\n" {
		t.Fatalf("%s: %q, %v", name, answer, err)
	}
}

// PKI is the path of a certificate or key.
func (d *Daemon) PKI(name string) string { return filepath.Join(d.Folder, "pki", name) }
