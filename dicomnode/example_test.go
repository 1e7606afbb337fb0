package dicomnode_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

// A server that counts what it is sent, and a client that sends it a still.
func Example() {
	server := &dicomnode.Server{
		AETitle:  "ENDOGATE",
		Contexts: dicomnode.StorageContexts(dicom.StorageGroup(dicom.GroupEndoscopic)),
		Peers:    []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}},
		Log:      slog.New(slog.DiscardHandler),
		Handler: handlerFunc(func(_ context.Context, req *dicomnode.StoreRequest) error {
			n, err := io.Copy(io.Discard, req.Dataset) // the data set, still on the wire
			fmt.Println(req.CallingAE, "sends", n, "bytes in", req.TransferSyntax)
			return err // nil says: durable
		}),
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ln) }()

	_, req := instance(dicomtest.Options{})
	propose := dicomnode.ContextsFor(dicomnode.InstanceSyntax{SOPClassUID: req.SOPClassUID, TransferSyntaxUID: req.TransferSyntax})
	client := &dicomnode.Client{AETitle: "SCOPE1"}
	ctx := context.Background()
	assoc, err := client.Associate(ctx, ln.Addr().String(), "ENDOGATE", propose)
	if err != nil {
		panic(err)
	}
	defer assoc.Abort() // does nothing after Release
	fmt.Println(assoc.Store(ctx, req))
	fmt.Println(assoc.Release(ctx))

	fmt.Println(server.Shutdown(ctx), <-stopped)
	// Output:
	// SCOPE1 sends 9832 bytes in 1.2.840.10008.1.2.1
	// 0000 success <nil>
	// <nil>
	// <nil> dicomnode: server closed
}
