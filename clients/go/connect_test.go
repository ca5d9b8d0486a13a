package hostler_test

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	hostler "hostler.dev/go"
	hostlerv1 "hostler.dev/go/hostler/v1"
)

func TestConnectsByMutualTLS(t *testing.T) {
	client := connect(t, hostler.WithAddress("tcp://"+daemon.TLS),
		hostler.WithTLS(daemon.PKI("ca.pem"), daemon.PKI("client.pem"), daemon.PKI("client.key")))
	info, err := client.Host.GetHostInfo(limited(t), &hostlerv1.GetHostInfoRequest{})
	if err != nil || len(info.GetRoots()) != 1 {
		t.Fatal(info, err)
	}
	if err := client.Require(limited(t), "folders", "cursors"); err != nil {
		t.Error(err)
	}
}

// closedPort is a port of this host at which nobody listens.
func closedPort(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// plainServer is a server of gRPC without TLS.
func plainServer(t *testing.T, register func(*grpc.Server)) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	register(server)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func TestSaysWhyThereIsNoConnection(t *testing.T) {
	mutual := func(ca, name string) hostler.ConnectOption {
		return hostler.WithTLS(daemon.PKI(ca), daemon.PKI(name+".pem"), daemon.PKI(name+".key"))
	}
	plain := plainServer(t, func(*grpc.Server) {})
	www := net.JoinHostPort("127.0.0.1", port(daemon.WWW))
	for name, c := range map[string]struct {
		address string
		tls     hostler.ConnectOption
		problem hostler.Problem
		words   string
	}{
		"nobody listens":         {"tcp://" + closedPort(t), nil, hostler.NobodyListens, "nothing listens at tcp://127.0.0.1:"},
		"no such socket":         {"unix://" + filepath.Join(daemon.Folder, "none.sock"), nil, hostler.NoSuchSocket, "there is no socket"},
		"a socket without owner": {"unix://" + deadSocket(t), nil, hostler.NobodyListens, "nothing listens at unix://"},
		"unknown host":           {"tcp://host.invalid:1", nil, hostler.HostUnknown, "is not known"},
		"other name":             {"tcp://" + daemon.WrongName, mutual("ca.pem", "client"), hostler.OtherName, "for another name"},
		"unknown CA":             {"tcp://" + daemon.TLS, mutual("other/ca.pem", "client"), hostler.UnknownAuthority, "other/ca.pem"},
		"plain to TLS":           {"tcp://" + daemon.TLS, nil, hostler.NeedsTLS, "speaks TLS: give the files"},
		"plain to another TLS":   {"tcp://" + tlsServer(t), nil, hostler.NeedsTLS, "speaks TLS: give the files"},
		"TLS to plain":           {"tcp://" + plain, mutual("ca.pem", "client"), hostler.SpeaksNoTLS, "does not speak TLS"},
		"TLS to a web server":    {"tcp://" + www, mutual("ca.pem", "client"), hostler.SpeaksNoTLS, "does not speak TLS"},
		"plain to a web server":  {"tcp://" + www, nil, hostler.NotHostler, "something else than hostlerd"},
	} {
		t.Run(name, func(t *testing.T) {
			options := []hostler.ConnectOption{hostler.WithAddress(c.address)}
			if c.tls != nil {
				options = append(options, c.tls)
			}
			_, err := hostler.Connect(limited(t), options...)
			var failed *hostler.Error
			if !errors.As(err, &failed) || failed.Problem != c.problem {
				t.Fatalf("%#v: %v", failed, err)
			}
			// A daemon has answered only to the client without TLS.
			if name == "plain to TLS" && failed.Reason != "NOT_AUTHENTICATED" || name != "plain to TLS" && (failed.Code != codes.Unavailable || failed.Reason != "") {
				t.Errorf("%#v", failed)
			}
			if !strings.Contains(err.Error(), c.words) {
				t.Error(err)
			}
		})
	}
}

func TestSaysThatTheDaemonRefusesTheCaller(t *testing.T) {
	for name, reason := range map[string]string{"stranger": "METHOD_NOT_ALLOWED", "foreign": "NOT_AUTHENTICATED"} {
		t.Run(name, func(t *testing.T) {
			cert, key := daemon.PKI(name+".pem"), daemon.PKI(name+".key")
			if name == "foreign" {
				cert, key = foreignCertificate(t)
			}
			_, err := hostler.Connect(limited(t), hostler.WithAddress("tcp://"+daemon.TLS), hostler.WithTLS(daemon.PKI("ca.pem"), cert, key))
			if hostler.ReasonOf(err) != reason {
				t.Fatal(err)
			}
		})
	}
}
