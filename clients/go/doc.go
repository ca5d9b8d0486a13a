// Package hostler is the Go client of Hostler, which looks after the disk images of one host.
//
// [Connect] opens a connection. Long work is an [Operation]: [Start] begins one, and its events,
// its result and its cancel are the same for every verb. All other calls are plain methods of the
// generated clients in [Client]. Every failed call has an [Error].
//
//	client, err := hostler.Connect(ctx)
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	made, err := hostler.Run[*hostlerv1.ImageResult](ctx, client, client.Images.CreateImage,
//		&hostlerv1.CreateImageRequest{Path: "/srv/images/a.qcow2", Format: "qcow2", ...})
package hostler

// Version is the version of this client, and of the daemon that it was released with.
const Version = "0.1.0"

// ContractMajor is the major number of the contract that this client speaks: of package hostler.v1.
const ContractMajor = 1
