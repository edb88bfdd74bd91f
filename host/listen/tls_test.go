package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority is a CA of the test's own.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.cert = a.issue("ca", template, template, a.key, a.key)
	return a
}

// issue writes NAME.pem and NAME-key.pem.
func (a *authority) issue(name string, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+"-key.pem", "EC PRIVATE KEY", keyDER)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(filepath.Join(a.dir, name), data, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) leaf(name string) Files {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	a.issue(name, template, a.cert, key, a.key)
	return Files{CA: filepath.Join(a.dir, "ca.pem"), Cert: filepath.Join(a.dir, name+".pem"), Key: filepath.Join(a.dir, name+"-key.pem")}
}

// handshake connects with the certificates and reports how that went.
func handshake(t *testing.T, address string, ca *x509.Certificate, certificates ...tls.Certificate) error {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, Certificates: certificates})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Read(make([]byte, 1)) // the server's refusal comes after the client's handshake
	return err
}

func TestVerifiedTLSServesOnlyTheCAsClients(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	cfg, err := TLS(ours.leaf("server"), true)
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, Config{Hosts: []string{"tcp://127.0.0.1:0"}, TLS: cfg})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("x"))
			_ = c.Close()
		}
	}()
	load := func(f Files) tls.Certificate {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	address := l.Addr().String()
	if err := handshake(t, address, ours.cert, load(ours.leaf("client"))); err != nil {
		t.Errorf("a client of the CA: %v", err)
	}
	if err := handshake(t, address, ours.cert, load(theirs.leaf("client"))); err == nil {
		t.Error("a client of another CA is served")
	}
	if err := handshake(t, address, ours.cert); err == nil {
		t.Error("a client without a certificate is served")
	}
}

func TestMissingCertificateIsAnError(t *testing.T) {
	if _, err := TLS(Files{Cert: "/nonexistent", Key: "/nonexistent"}, false); err == nil {
		t.Error("no error")
	}
}
