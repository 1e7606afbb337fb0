package mllp_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"

	"endogate/hl7/mllp"
)

// A server that takes everything, and a client that sends it something.
func Example() {
	server := &mllp.Server{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Handler: func(_ context.Context, peer mllp.Peer, message []byte) ([][]byte, error) {
			fmt.Printf("%d bytes from %s\n", len(message), peer.Host)
			return [][]byte{[]byte("MSH|^~\\&|B|H|A|H|20260102||ACK|1|P|2.5.1\rMSA|AA|42\r")}, nil // once it is durable
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()

	client := &mllp.Client{Address: ln.Addr().String()}
	answer, err := client.Exchange(context.Background(), []byte("MSH|^~\\&|A|H|B|H|20260102||ADT^A08|42|P|2.5.1\r"))
	fmt.Printf("%s %v\n", bytes.Split(answer, []byte("\r"))[1], err)

	_ = client.Close()
	_ = server.Shutdown(context.Background())
	fmt.Println(<-served)
	// Output:
	// 46 bytes from 127.0.0.1
	// MSA|AA|42 <nil>
	// mllp: server closed
}
