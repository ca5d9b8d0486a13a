package hostler

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// probeTime is how long the question to an address may take whether it wants TLS.
const probeTime = 5 * time.Second

// A dialer makes the connections of a client and remembers why the last one failed, because gRPC
// gives the callers only a text of that.
type dialer struct {
	settings Settings
	network  string
	target   string

	mutex sync.Mutex
	last  error
}

// newDialer reads the TLS files once, so that a mistake in them is found at once.
func newDialer(settings Settings) (*dialer, error) {
	network, target, _ := splitAddress(settings.Address)
	d := &dialer{settings: settings, network: network, target: target}
	if settings.TLSCA != "" {
		if _, err := d.tlsConfig(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *dialer) options() []grpc.DialOption {
	authority := d.target
	if d.network == "unix" {
		authority = "localhost"
	}
	options := []grpc.DialOption{grpc.WithContextDialer(d.dial), grpc.WithAuthority(authority)}
	if d.settings.TLSCA == "" {
		return append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	return append(options, grpc.WithTransportCredentials(&rememberingTLS{dialer: d}))
}

func (d *dialer) dial(ctx context.Context, _ string) (net.Conn, error) {
	connection, err := new(net.Dialer).DialContext(ctx, d.network, d.target)
	d.remember(err)
	return connection, err
}

func (d *dialer) remember(err error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.last = err
}

// explain says why a call had no connection; text is what gRPC says about it.
func (d *dialer) explain(ctx context.Context, text string) (Problem, string) {
	d.mutex.Lock()
	err := d.last
	d.mutex.Unlock()
	problem := problemOf(err, text)
	if problem == "" {
		problem = ConnectionLost
		// Other servers with TLS than a daemon close such connections without a word.
		if d.plain() && strings.Contains(text, "server preface") && d.wantsTLS(ctx) {
			problem = NeedsTLS
		}
	}
	return problem, problem.words(d.settings.Address, d.settings, err)
}

// plain says whether it connects to a port without TLS.
func (d *dialer) plain() bool { return d.network == "tcp" && d.settings.TLSCA == "" }

// wantsTLS asks the address whether it answers to a greeting of TLS: with a greeting or an alert.
func (d *dialer) wantsTLS(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	connection, err := new(net.Dialer).DialContext(ctx, d.network, d.target)
	if err != nil {
		return false // the daemon has gone, which is what the caller is told
	}
	defer connection.Close()
	// The certificate does not matter: nothing is sent over this connection.
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	err = tls.Client(connection, config).HandshakeContext(ctx)
	return err == nil || strings.Contains(err.Error(), "remote error: tls:")
}

// tlsConfig reads the TLS files.
func (d *dialer) tlsConfig() (*tls.Config, error) {
	authority, err := os.ReadFile(d.settings.TLSCA)
	if err != nil {
		return nil, &SettingsError{"the CA of TLS", err.Error()}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, &SettingsError{"the CA of TLS", d.settings.TLSCA + " has no certificate in PEM"}
	}
	pair, err := tls.LoadX509KeyPair(d.settings.TLSCert, d.settings.TLSKey)
	if err != nil {
		return nil, &SettingsError{"cert and key of TLS", err.Error()}
	}
	host, _, err := net.SplitHostPort(d.target)
	if err != nil {
		return nil, &SettingsError{"the address", err.Error()}
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		ServerName:   host,
		RootCAs:      pool,
		Certificates: []tls.Certificate{pair},
	}, nil
}

// rememberingTLS is mutual TLS with the files as they are now, which remembers why it failed.
type rememberingTLS struct{ dialer *dialer }

func (t *rememberingTLS) ClientHandshake(ctx context.Context, authority string, plain net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, err := t.dialer.tlsConfig()
	if err == nil {
		var connection net.Conn
		var info credentials.AuthInfo
		connection, info, err = credentials.NewTLS(config).ClientHandshake(ctx, authority, plain)
		if err == nil {
			return connection, info, nil
		}
	}
	t.dialer.remember(err)
	return nil, nil, err
}

func (t *rememberingTLS) ServerHandshake(plain net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}).ServerHandshake(plain)
}

func (t *rememberingTLS) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls", SecurityVersion: "1.2"}
}

func (t *rememberingTLS) Clone() credentials.TransportCredentials { return &rememberingTLS{t.dialer} }

func (t *rememberingTLS) OverrideServerName(string) error { return nil }
