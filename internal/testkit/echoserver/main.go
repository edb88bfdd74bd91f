// Command echoserver answers in a container: it sends back every datagram of UDP port 5000 and every byte of TCP
// port 5000, with the address that it came from before it.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
)

func main() {
	packets, err := net.ListenPacket("udp", ":5000")
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", ":5000")
	if err != nil {
		log.Fatal(err)
	}
	go serveUDP(packets)
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serveTCP(conn)
	}
}

func serveUDP(packets net.PacketConn) {
	buf := make([]byte, 65535) // the largest datagram
	for {
		n, from, err := packets.ReadFrom(buf)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := packets.WriteTo(fmt.Appendf(nil, "%v %s", from, buf[:n]), from); err != nil {
			log.Print(err)
		}
	}
}

func serveTCP(conn net.Conn) {
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%v ", conn.RemoteAddr()); err != nil {
		return
	}
	_, _ = io.Copy(conn, conn)
}
