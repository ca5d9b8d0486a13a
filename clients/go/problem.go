package hostler

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
)

// A Problem is why there is no connection.
type Problem string

// The problems of connections. With the first six nothing has reached a daemon.
const (
	// NobodyListens: the port, or the socket, is not open.
	NobodyListens Problem = "NOBODY_LISTENS"
	// NoSuchSocket: there is no file of that name.
	NoSuchSocket Problem = "NO_SUCH_SOCKET"
	// SocketForbidden: this user may not write to the socket.
	SocketForbidden Problem = "SOCKET_FORBIDDEN"
	// HostUnknown: the name of the host has no address.
	HostUnknown Problem = "HOST_UNKNOWN"
	// HostUnreachable: the host does not answer.
	HostUnreachable Problem = "HOST_UNREACHABLE"
	// OtherName: the daemon's certificate is for another name.
	OtherName Problem = "OTHER_NAME"
	// UnknownAuthority: the daemon's certificate is from another authority.
	UnknownAuthority Problem = "UNKNOWN_AUTHORITY"
	// CertificateInvalid: the daemon's certificate has expired, or is not valid for another cause.
	CertificateInvalid Problem = "CERTIFICATE_INVALID"
	// CertificateRefused: the daemon does not accept the certificate of this client.
	CertificateRefused Problem = "CERTIFICATE_REFUSED"
	// NeedsTLS: the address speaks TLS, and this client was given no TLS files.
	NeedsTLS Problem = "NEEDS_TLS"
	// SpeaksNoTLS: the address does not speak TLS, and this client was given TLS files.
	SpeaksNoTLS Problem = "SPEAKS_NO_TLS"
	// NotHostler: something else than a daemon answers there, such as a web server.
	NotHostler Problem = "NOT_HOSTLER"
	// ConnectionLost: the connection ended before the answer. The same call again, with the same
	// request_id, says what has become of it.
	ConnectionLost Problem = "CONNECTION_LOST"
)

// passing: it may be over when the daemon has started again.
func (p Problem) passing() bool {
	switch p {
	case NobodyListens, NoSuchSocket, HostUnreachable, ConnectionLost:
		return true
	default:
		return false
	}
}

// problemOf finds the problem in the error of a dial or of a TLS handshake, and in what gRPC says
// of it. Empty: unknown.
func problemOf(err error, text string) Problem {
	var (
		name      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		unproven  *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		lookup    *net.DNSError
		network   net.Error
	)
	switch {
	case errors.As(err, &name):
		return OtherName
	case errors.As(err, &authority):
		return UnknownAuthority
	case errors.As(err, &invalid), errors.As(err, &unproven):
		return CertificateInvalid
	case errors.As(err, &record):
		return SpeaksNoTLS
	case errors.Is(err, fs.ErrNotExist):
		return NoSuchSocket
	case errors.Is(err, fs.ErrPermission):
		return SocketForbidden
	case errors.As(err, &lookup):
		return HostUnknown
	case errors.Is(err, syscall.ECONNREFUSED):
		return NobodyListens
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.As(err, &network) && network.Timeout():
		return HostUnreachable
	case strings.Contains(text, "remote error: tls:"):
		return CertificateRefused
	case strings.Contains(text, "HTTP/1"), strings.Contains(text, "frame too large"):
		return NotHostler
	default:
		return ""
	}
}

// words say what a problem is, and what to do.
func (p Problem) words(address string, s Settings, err error) string {
	switch p {
	case NobodyListens:
		return fmt.Sprintf("nothing listens at %s: start hostlerd, or name another address", address)
	case NoSuchSocket:
		return fmt.Sprintf("there is no socket %s: start hostlerd, or name another address", address)
	case SocketForbidden:
		return fmt.Sprintf("this user may not write to the socket %s: run as a user or group that owns it", address)
	case HostUnknown:
		return fmt.Sprintf("the name of the host in %s is not known: check the name", address)
	case HostUnreachable:
		return fmt.Sprintf("the host of %s cannot be reached: check the network between the two hosts", address)
	case OtherName:
		return fmt.Sprintf("the certificate of the daemon at %s is for another name (%v): use a name of the certificate in the address, or give the daemon a certificate for this one", address, err)
	case UnknownAuthority:
		return fmt.Sprintf("the certificate of the daemon at %s is from another authority than %s: name the authority of the daemon", address, s.TLSCA)
	case CertificateInvalid:
		return fmt.Sprintf("the certificate of the daemon at %s is not valid (%v): give the daemon a new one, and compare the clocks", address, err)
	case CertificateRefused:
		return fmt.Sprintf("the daemon at %s does not accept the certificate %s: use one of the authority that the daemon knows", address, s.TLSCert)
	case NeedsTLS:
		return fmt.Sprintf("the daemon at %s speaks TLS: give the files of CA, cert and key", address)
	case SpeaksNoTLS:
		return fmt.Sprintf("%s does not speak TLS: leave the TLS files out, or name the address that has TLS", address)
	case NotHostler:
		return fmt.Sprintf("something else than hostlerd answers at %s: check the address", address)
	default:
		return fmt.Sprintf("the connection to %s ended before the answer: the same call again, with the same request_id, says what has become of it", address)
	}
}
