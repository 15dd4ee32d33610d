// The virtual machine's process: Subnet-EVM as the node's plugin.
//
// Subnet-EVM's own main raises the limit of open files to 32,768 and exits where the hard limit is lower, as it is in
// many containers; this one takes the limit that the node gives it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/ava-labs/avalanchego/vms/rpcchainvm"

	"github.com/ava-labs/subnet-evm/plugin/evm"
)

func main() {
	evm.RegisterAllLibEVMExtras()
	if err := rpcchainvm.Serve(context.Background(), &evm.VM{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
