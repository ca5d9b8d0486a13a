package hostler

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// DefaultAddress is where a daemon listens that no setting says anything about.
const DefaultAddress = "unix:///run/hostler/hostler.sock"

// Settings say how a daemon is reached.
type Settings struct {
	// Address is unix:///PATH or tcp://HOST:PORT.
	Address string `json:"address"`
	// TLSCA is the file with the certificate of the authority that the daemon's certificate is from.
	TLSCA string `json:"tls_ca"`
	// TLSCert is the file with the certificate of this client.
	TLSCert string `json:"tls_cert"`
	// TLSKey is the file with the key of this client.
	TLSKey string `json:"tls_key"`
	// Root is a folder for images on the daemon's host; only contexts have one.
	Root string `json:"root"`
	// Context is the name of the context that the settings are from; empty: from none.
	Context string `json:"-"`
}

// A SettingsError is a mistake in the arguments, the environment or the file of contexts.
type SettingsError struct {
	// Source is what has the mistake: an argument, a variable or a file.
	Source string
	// Mistake says what is wrong.
	Mistake string
}

func (e *SettingsError) Error() string { return "hostler: " + e.Source + ": " + e.Mistake }

const argumentSource = "the arguments of Connect"

// FindSettings completes the given settings as Connect does. What is set there counts first, then
// the environment (HOSTLER_ADDRESS, HOSTLER_TLS_CA, HOSTLER_TLS_CERT, HOSTLER_TLS_KEY). If neither
// has an address, a context of contexts.json does: that of HOSTLER_CONTEXT, or the current one.
// A context that is named in given counts before the environment. Fails with [*SettingsError].
func FindSettings(given Settings) (Settings, error) {
	if given.Context != "" {
		file, err := readContexts()
		if err != nil {
			return Settings{}, err
		}
		named, err := file.find(given.Context, argumentSource)
		if err != nil {
			return Settings{}, err
		}
		return checked(merge(given, named), argumentSource)
	}
	found := merge(given, Settings{
		Address: os.Getenv("HOSTLER_ADDRESS"),
		TLSCA:   os.Getenv("HOSTLER_TLS_CA"),
		TLSCert: os.Getenv("HOSTLER_TLS_CERT"),
		TLSKey:  os.Getenv("HOSTLER_TLS_KEY"),
	})
	source := argumentSource
	if given.Address == "" {
		source = "the environment (HOSTLER_ADDRESS, HOSTLER_TLS_CA, HOSTLER_TLS_CERT, HOSTLER_TLS_KEY)"
	}
	if found.Address != "" {
		return checked(found, source)
	}
	file, err := readContexts()
	if err != nil {
		return Settings{}, err
	}
	name, from := os.Getenv("HOSTLER_CONTEXT"), "HOSTLER_CONTEXT"
	if name == "" {
		name, from = file.Current, file.path
	}
	if name != "" {
		chosen, err := file.find(name, from)
		if err != nil {
			return Settings{}, err
		}
		return checked(merge(found, chosen), file.path+": context "+strconv.Quote(name))
	}
	found.Address = DefaultAddress
	return checked(found, source)
}

// contextsFile is what contexts.json has; empty if there is no such file.
type contextsFile struct {
	Current  string              `json:"current"`
	Contexts map[string]Settings `json:"contexts"`
	path     string
}

func readContexts() (contextsFile, error) {
	folder := os.Getenv("XDG_CONFIG_HOME")
	if folder == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return contextsFile{}, nil // without a home there is no such file
		}
		folder = filepath.Join(home, ".config")
	}
	path := filepath.Join(folder, "hostler", "contexts.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return contextsFile{path: path}, nil
	}
	if err != nil {
		return contextsFile{}, &SettingsError{path, err.Error()}
	}
	file := contextsFile{path: path}
	if err := json.Unmarshal(text, &file); err != nil {
		return contextsFile{}, &SettingsError{path, "is not what a file of contexts is: " + err.Error()}
	}
	return file, nil
}

func (f contextsFile) find(name, from string) (Settings, error) {
	found, ok := f.Contexts[name]
	if !ok {
		names := make([]string, 0, len(f.Contexts))
		for each := range f.Contexts {
			names = append(names, each)
		}
		sort.Strings(names)
		has := "it has none"
		if len(names) > 0 {
			has = "it has " + strings.Join(names, ", ")
		}
		return Settings{}, &SettingsError{from, fmt.Sprintf("%s has no context %q; %s", f.path, name, has)}
	}
	if found.Address == "" {
		return Settings{}, &SettingsError{f.path, fmt.Sprintf("context %q has no address", name)}
	}
	found.Context = name
	return found, nil
}

// merge fills what is empty in first from second.
func merge(first, second Settings) Settings {
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	fill(&first.Address, second.Address)
	fill(&first.TLSCA, second.TLSCA)
	fill(&first.TLSCert, second.TLSCert)
	fill(&first.TLSKey, second.TLSKey)
	fill(&first.Root, second.Root)
	fill(&first.Context, second.Context)
	return first
}

// checked refuses an address that is none, a part of the three TLS files, and TLS on a Unix socket.
func checked(s Settings, source string) (Settings, error) {
	network, _, ok := splitAddress(s.Address)
	if !ok {
		return Settings{}, &SettingsError{source,
			fmt.Sprintf("address %q must be unix:///PATH or tcp://HOST:PORT", s.Address)}
	}
	var missing []string
	for _, file := range []struct{ name, path string }{{"CA", s.TLSCA}, {"cert", s.TLSCert}, {"key", s.TLSKey}} {
		if file.path == "" {
			missing = append(missing, file.name)
		}
	}
	if len(missing) == 1 || len(missing) == 2 {
		return Settings{}, &SettingsError{source,
			"mutual TLS needs the files of CA, cert and key; missing: " + strings.Join(missing, ", ")}
	}
	if network == "unix" && len(missing) == 0 {
		return Settings{}, &SettingsError{source,
			fmt.Sprintf("%s is a Unix socket, which does not speak TLS: leave the TLS files out", s.Address)}
	}
	return s, nil
}

// splitAddress gives what package net wants of an address.
func splitAddress(address string) (network, target string, ok bool) {
	if path, is := strings.CutPrefix(address, "unix://"); is {
		return "unix", path, len(path) > 1 && path[0] == '/'
	}
	target = strings.TrimPrefix(address, "tcp://")
	colon := strings.LastIndexByte(target, ':')
	if colon < 1 || strings.Contains(target, "/") {
		return "", "", false
	}
	_, err := strconv.ParseUint(target[colon+1:], 10, 16)
	return "tcp", target, err == nil
}
