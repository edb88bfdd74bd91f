package listen

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Files are what TLS is made of.
type Files struct{ CA, Cert, Key string }

// TLS loads the daemon's certificate; with verify, clients must have one that the CA has signed. Errors: a file that cannot be
// read or does not fit the others.
func TLS(files Files, verify bool) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, fmt.Errorf("could not load X509 key pair (cert: %q, key: %q): %w", files.Cert, files.Key, err)
		}
		return nil, fmt.Errorf("error reading X509 key pair - make sure the key is not encrypted (cert: %q, key: %q): %w", files.Cert, files.Key, err)
	}
	// HTTP/2 is not offered: streams take over the connection, which it does not allow.
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	if !verify {
		return cfg, nil
	}
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		return nil, fmt.Errorf("could not read CA certificate %q: %w", files.CA, err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("failed to append certificates from PEM file: %q", files.CA)
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, nil
}
