package hostler_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	hostler "hostler.dev/go"
)

// contexts writes a file of contexts for the test.
func contexts(t *testing.T, text string) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	if err := os.MkdirAll(filepath.Join(home, "hostler"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "hostler", "contexts.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFindsSettings(t *testing.T) {
	contexts(t, `{"current": "a", "contexts": {
		"a": {"address": "unix:///a", "root": "/srv/a"},
		"b": {"address": "tcp://b:1", "tls_ca": "ca", "tls_cert": "cert", "tls_key": "key"}}}`)
	for name, c := range map[string]struct {
		environment map[string]string
		given, want hostler.Settings
	}{
		"the current context":  {nil, hostler.Settings{}, hostler.Settings{Address: "unix:///a", Root: "/srv/a", Context: "a"}},
		"an argument's":        {map[string]string{"HOSTLER_ADDRESS": "unix:///e"}, hostler.Settings{Context: "b"}, hostler.Settings{Address: "tcp://b:1", TLSCA: "ca", TLSCert: "cert", TLSKey: "key", Context: "b"}},
		"the environment's":    {map[string]string{"HOSTLER_CONTEXT": "b"}, hostler.Settings{}, hostler.Settings{Address: "tcp://b:1", TLSCA: "ca", TLSCert: "cert", TLSKey: "key", Context: "b"}},
		"the environment wins": {map[string]string{"HOSTLER_ADDRESS": "unix:///e", "HOSTLER_CONTEXT": "b"}, hostler.Settings{}, hostler.Settings{Address: "unix:///e"}},
		"an argument wins": {map[string]string{"HOSTLER_ADDRESS": "unix:///e", "HOSTLER_TLS_CA": "1", "HOSTLER_TLS_CERT": "2", "HOSTLER_TLS_KEY": "3"},
			hostler.Settings{Address: "tcp://x:2", TLSKey: "mine"}, hostler.Settings{Address: "tcp://x:2", TLSCA: "1", TLSCert: "2", TLSKey: "mine"}},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range c.environment {
				t.Setenv(key, value)
			}
			if found, err := hostler.FindSettings(c.given); err != nil || found != c.want {
				t.Errorf("%+v, %v", found, err)
			}
		})
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if found, err := hostler.FindSettings(hostler.Settings{}); err != nil || found.Address != hostler.DefaultAddress {
		t.Error(found, err)
	}
}

func TestSaysWhichSettingIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		contexts string
		key      string
		value    string
		words    string
	}{
		"no JSON":             {`{"current": `, "", "", "contexts.json: is not what a file of contexts is"},
		"another type":        {`{"contexts": []}`, "", "", "contexts.json: is not what a file of contexts is"},
		"no such current":     {`{"current": "x", "contexts": {"b": {"address": "unix:///b"}, "a": {}}}`, "", "", `has no context "x"; it has a, b`},
		"no such context":     {`{}`, "HOSTLER_CONTEXT", "x", `HOSTLER_CONTEXT: `},
		"no address":          {`{"current": "a", "contexts": {"a": {}}}`, "", "", `context "a" has no address`},
		"no address at all":   {`{}`, "HOSTLER_ADDRESS", "localhost", `the environment (HOSTLER_ADDRESS`},
		"a port that is none": {`{}`, "HOSTLER_ADDRESS", "tcp://h:70000", `must be unix:///PATH or tcp://HOST:PORT`},
		"a part of TLS":       {`{"current": "a", "contexts": {"a": {"address": "tcp://h:1", "tls_ca": "x"}}}`, "", "", "missing: cert, key"},
		"TLS on a socket":     {`{"current": "a", "contexts": {"a": {"address": "unix:///a", "tls_ca": "x", "tls_cert": "x", "tls_key": "x"}}}`, "", "", "does not speak TLS"},
		"no such file":        {`{"current": "a", "contexts": {"a": {"address": "tcp://h:1", "tls_ca": "/none", "tls_cert": "x", "tls_key": "x"}}}`, "", "", "/none"},
	} {
		t.Run(name, func(t *testing.T) {
			contexts(t, c.contexts)
			if c.key != "" {
				t.Setenv(c.key, c.value)
			}
			_, err := hostler.Connect(limited(t))
			var mistake *hostler.SettingsError
			if !errors.As(err, &mistake) || !strings.Contains(err.Error(), c.words) {
				t.Error(err)
			}
		})
	}
}

func TestConnectsByAContext(t *testing.T) {
	file := must[[]byte](t)(json.Marshal(map[string]any{"current": "socket", "contexts": map[string]any{
		"socket": map[string]string{"address": daemon.Socket, "root": daemon.Root},
		"tls": map[string]string{"address": "tcp://" + daemon.TLS, "tls_ca": daemon.PKI("ca.pem"),
			"tls_cert": daemon.PKI("client.pem"), "tls_key": daemon.PKI("client.key")},
	}}))
	contexts(t, string(file))
	for _, name := range []string{"", "tls"} {
		t.Setenv("HOSTLER_CONTEXT", name)
		client, err := hostler.Connect(limited(t))
		if err != nil {
			t.Fatal(name, err)
		}
		if name == "" && client.Settings().Root != daemon.Root {
			t.Error(client.Settings())
		}
		client.Close()
	}
}

// The client has the version of the daemon.
func TestHasTheVersionOfTheDaemon(t *testing.T) {
	var product struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile("../../package.json")), &product); err != nil || product.Version != hostler.Version {
		t.Error(product.Version, hostler.Version, err)
	}
}
