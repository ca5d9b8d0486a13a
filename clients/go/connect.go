package hostler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	hostlerv1 "hostler.dev/go/hostler/v1"
)

// A Client is a connection to one daemon. It may be used by many goroutines at once.
type Client struct {
	// Commands runs configured commands.
	Commands hostlerv1.CommandServiceClient
	// Files reads and changes files and folders.
	Files hostlerv1.FileServiceClient
	// Host has facts about the host.
	Host hostlerv1.HostInfoServiceClient
	// Images looks at, makes and changes images.
	Images hostlerv1.ImageServiceClient
	// Operations reads, watches and ends operations.
	Operations hostlerv1.OperationServiceClient

	connection *grpc.ClientConn
	settings   Settings
	retry      RetryPolicy
	dialer     *dialer
}

type connectOptions struct {
	settings  Settings
	retry     RetryPolicy
	unchecked bool
	dial      []grpc.DialOption
}

// A ConnectOption changes what Connect does.
type ConnectOption func(*connectOptions)

// WithAddress names the daemon: unix:///PATH or tcp://HOST:PORT.
func WithAddress(address string) ConnectOption {
	return func(o *connectOptions) { o.settings.Address = address }
}

// WithTLS names the PEM files of mutual TLS: the authority of the daemon, and the certificate and
// key of this client. They are read again for each new connection.
func WithTLS(ca, cert, key string) ConnectOption {
	return func(o *connectOptions) {
		o.settings.TLSCA, o.settings.TLSCert, o.settings.TLSKey = ca, cert, key
	}
}

// WithContext names a context of contexts.json; see [FindSettings].
func WithContext(name string) ConnectOption {
	return func(o *connectOptions) { o.settings.Context = name }
}

// WithRetry sets how calls are repeated.
func WithRetry(policy RetryPolicy) ConnectOption {
	return func(o *connectOptions) { o.retry = policy }
}

// WithoutCheck lets Connect return at once. Otherwise it calls GetHostInfo, to see that the daemon
// answers and has a contract of this client's version.
func WithoutCheck() ConnectOption {
	return func(o *connectOptions) { o.unchecked = true }
}

// WithDialOptions adds options of gRPC, such as interceptors.
func WithDialOptions(options ...grpc.DialOption) ConnectOption {
	return func(o *connectOptions) { o.dial = append(o.dial, options...) }
}

// Connect connects to a daemon. Without options the environment or contexts.json say to which; see
// [FindSettings]. It fails with [*SettingsError], with [*ContractError] if the daemon has another
// major version of the contract, and with [*Error] if there is no connection or this client may not
// call. It does not wait for a daemon that is not there yet.
func Connect(ctx context.Context, options ...ConnectOption) (*Client, error) {
	var chosen connectOptions
	for _, option := range options {
		option(&chosen)
	}
	settings, err := FindSettings(chosen.settings)
	if err != nil {
		return nil, err
	}
	client := &Client{settings: settings, retry: chosen.retry.withDefaults()}
	if client.dialer, err = newDialer(settings); err != nil {
		return nil, err
	}
	// The options of the caller come last, because they may replace these.
	dial := append(client.dialer.options(),
		grpc.WithUserAgent("hostler-go/"+Version),
		grpc.WithChainUnaryInterceptor(client.explainUnary),
		grpc.WithChainStreamInterceptor(client.explainStream),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
		// A host that is gone without a word is noticed after 80 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
	)
	// The dialer knows the address.
	if client.connection, err = grpc.NewClient("passthrough:///hostler", append(dial, chosen.dial...)...); err != nil {
		return nil, fmt.Errorf("hostler: %w", err)
	}
	client.Commands = hostlerv1.NewCommandServiceClient(client.connection)
	client.Files = hostlerv1.NewFileServiceClient(client.connection)
	client.Host = hostlerv1.NewHostInfoServiceClient(client.connection)
	client.Images = hostlerv1.NewImageServiceClient(client.connection)
	client.Operations = hostlerv1.NewOperationServiceClient(client.connection)
	if !chosen.unchecked {
		if _, err := client.checkedInfo(ctx); err != nil {
			return nil, errors.Join(err, client.Close())
		}
	}
	return client, nil
}

// Close ends the connection, and with it all calls that are under way.
func (c *Client) Close() error { return c.connection.Close() }

// Settings are those that the client was connected with.
func (c *Client) Settings() Settings { return c.settings }

// Connection is for generated clients of other services, such as that of health checks.
func (c *Client) Connection() *grpc.ClientConn { return c.connection }

// A ContractError means that a daemon and this client do not speak the same contract.
type ContractError struct {
	// Address is that of the daemon.
	Address string
	// Served is the daemon's contract_version, MAJOR.MINOR; empty: it does not say one, or does not
	// know this client's GetHostInfo at all.
	Served string
}

func (e *ContractError) Error() string {
	served := e.Served
	if served == "" {
		served = "no version that this client knows"
	}
	return fmt.Sprintf("hostler: the daemon at %s serves %s of the contract, this client needs %d.x: use a client of the daemon's version",
		e.Address, served, ContractMajor)
}

// A FeatureError means that a daemon does not serve a part of the contract.
type FeatureError struct {
	// Address is that of the daemon.
	Address string
	// Missing are the features that it lacks.
	Missing []string
	// Served are those that it has.
	Served []string
}

func (e *FeatureError) Error() string {
	return fmt.Sprintf("hostler: the daemon at %s does not serve %s: it is of an older version, or not configured for that (it serves %s)",
		e.Address, strings.Join(e.Missing, ", "), strings.Join(e.Served, ", "))
}

// Require fails with [*FeatureError] if the daemon lacks one of the features, which GetHostInfo
// lists: folders, inventory, cursors …
func (c *Client) Require(ctx context.Context, features ...string) error {
	info, err := c.checkedInfo(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, feature := range features {
		if !slices.Contains(info.GetFeatures(), feature) {
			missing = append(missing, feature)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &FeatureError{Address: c.settings.Address, Missing: missing, Served: info.GetFeatures()}
}

// checkedInfo is GetHostInfo of a daemon with this client's contract.
func (c *Client) checkedInfo(ctx context.Context) (*hostlerv1.GetHostInfoResponse, error) {
	info, err := c.Host.GetHostInfo(ctx, &hostlerv1.GetHostInfoRequest{})
	if failed := (*Error)(nil); errors.As(err, &failed) && unserved(failed) {
		return nil, &ContractError{Address: c.settings.Address}
	}
	if err != nil {
		return nil, err
	}
	major, _, _ := strings.Cut(info.GetContractVersion(), ".")
	if major != strconv.Itoa(ContractMajor) {
		return nil, &ContractError{Address: c.settings.Address, Served: info.GetContractVersion()}
	}
	return info, nil
}
