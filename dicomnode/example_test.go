package dicomnode_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
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

// A worklist with one entry: a service that answers C-FIND, and a client that reads the answers.
func ExampleService() {
	const worklist dicom.UID = "1.2.840.10008.5.1.4.31"
	one := dicom.Dataset{dicom.PatientName: dicom.Text{"Alpha^Ann"}, dicom.AccessionNumber: dicom.Text{"A1"}}
	server := &dicomnode.Server{
		AETitle:  "ENDOGATE",
		Contexts: dicomnode.ServiceContexts(worklist),
		Peers:    []dicomnode.Peer{{AETitle: "SCOPE1", Hosts: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}},
		Log:      slog.New(slog.DiscardHandler),
		Services: map[dicom.UID]dicomnode.Service{worklist: dicomnode.ServiceFunc(func(_ context.Context, req *dicomnode.Request) (*dicomnode.Response, error) {
			if req.CommandField != dimse.CFindRQ {
				return nil, dicomnode.ErrNotOffered
			}
			ts, _ := dicom.LookupTransferSyntax(req.TransferSyntax)
			match, err := one.Append(nil, ts)
			if err == nil {
				err = req.Pending(&dicomnode.Response{Dataset: match}) // ErrCanceled once the peer has enough
			}
			return nil, err // nil is Success: no more matches
		})},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ln) }()

	ctx := context.Background()
	client := &dicomnode.Client{AETitle: "SCOPE1"}
	assoc, err := client.Associate(ctx, ln.Addr().String(), "ENDOGATE", dicomnode.ServiceContexts(worklist))
	if err != nil {
		panic(err)
	}
	defer assoc.Abort()
	uid, err := assoc.TransferSyntax(worklist)
	if err != nil {
		panic(err)
	}
	ts, _ := dicom.LookupTransferSyntax(uid)
	keys, err := dicom.Dataset{dicom.PatientName: dicom.Text{"Alpha*"}}.Append(nil, ts)
	if err != nil {
		panic(err)
	}
	rsp, err := assoc.Send(ctx, &dicomnode.Request{
		Request: dimse.Request{CommandField: dimse.CFindRQ, SOPClassUID: worklist}, TransferSyntax: uid, Dataset: bytes.NewReader(keys),
	}, func(rsp *dicomnode.Response) error {
		match, err := dicom.ReadAttributes(bytes.NewReader(rsp.Dataset), ts)
		fmt.Println(rsp.Status, match.Text(dicom.AccessionNumber))
		return err
	})
	fmt.Println(rsp.Status, err)
	fmt.Println(assoc.Release(ctx), server.Shutdown(ctx), <-stopped)
	// Output:
	// FF00 pending A1
	// 0000 success <nil>
	// <nil> <nil> dicomnode: server closed
}
