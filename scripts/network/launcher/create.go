package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/ava-labs/avalanchego/config"
	"github.com/ava-labs/avalanchego/tests/fixture/tmpnet"
	"github.com/ava-labs/avalanchego/utils/crypto/secp256k1"
	"github.com/ava-labs/avalanchego/utils/logging"

	"github.com/ava-labs/subnet-evm/plugin/evm"
)

const chainName = "meritgrid"

// create has one node, alone and without other validators' votes, enter the validators and the chain on the platform
// chain. The others start from a copy of its database: with all starting at once, a majority would know of nothing.
// What tmpnet writes besides is removed.
func create(ctx context.Context, folder string) error {
	plan, err := readPlan(folder)
	if err != nil {
		return err
	}
	owner, err := readOwner(folder)
	if err != nil {
		return err
	}
	network, err := describe(folder, plan, owner)
	if err != nil {
		return err
	}
	// tmpnet leaves files for a monitoring of its own in the home directory.
	if err := os.Setenv("HOME", network.Dir); err != nil {
		return err
	}
	if err := enterChain(ctx, network); err != nil {
		return err
	}
	if err := spread(network.Nodes); err != nil {
		return err
	}
	if err := writeNetwork(folder, plan, network); err != nil {
		return err
	}
	return os.RemoveAll(network.Dir)
}

// spread copies the first node's database to the others, and removes tmpnet's files, which hold the keys once more.
func spread(nodes []*tmpnet.Node) error {
	first := nodes[0].DataDir
	for place, node := range nodes {
		for _, name := range []string{"config.json", "flags.json", "metrics"} {
			if err := os.RemoveAll(filepath.Join(node.DataDir, name)); err != nil {
				return err
			}
		}
		if place == 0 {
			continue
		}
		if err := os.CopyFS(filepath.Join(node.DataDir, "db"), os.DirFS(filepath.Join(first, "db"))); err != nil {
			return err
		}
	}
	return nil
}

func describe(folder string, plan *plan, owner *secp256k1.PrivateKey) (*tmpnet.Network, error) {
	genesis, err := os.ReadFile(filepath.Join(folder, chainGenesisFile))
	if err != nil {
		return nil, err
	}
	scratch := filepath.Join(folder, "creation")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, err
	}
	nodes := tmpnet.NewNodesOrPanic(len(plan.Validators))
	chain := &tmpnet.Chain{VMID: evm.ID, Genesis: genesis}
	subnet := &tmpnet.Subnet{Name: chainName, OwningKey: owner, Chains: []*tmpnet.Chain{chain}}
	for place, validator := range plan.Validators {
		nodes[place].DataDir = validatorFolder(folder, validator.Name)
		nodes[place].Flags[config.HTTPPortKey] = strconv.Itoa(validator.HTTPPort)
		nodes[place].Flags[config.StakingPortKey] = strconv.Itoa(validator.StakingPort)
		subnet.ValidatorIDs = append(subnet.ValidatorIDs, nodes[place].NodeID)
	}
	network := &tmpnet.Network{
		Owner:         chainName,
		Dir:           scratch,
		Nodes:         nodes,
		PreFundedKeys: []*secp256k1.PrivateKey{owner},
		DefaultFlags:  tmpnet.FlagsMap(commonFlags(plan)),
		Subnets:       []*tmpnet.Subnet{subnet},
		DefaultRuntimeConfig: tmpnet.NodeRuntimeConfig{Process: &tmpnet.ProcessRuntimeConfig{
			AvalancheGoPath: plan.Node,
			PluginDir:       plan.Plugins,
		}},
	}
	// Not tmpnet's default, which also funds keys that everybody knows.
	network.Genesis, err = tmpnet.NewTestGenesis(plan.NetworkID, nodes, network.PreFundedKeys)
	return network, err
}

func enterChain(ctx context.Context, network *tmpnet.Network) (err error) {
	core := logging.NewWrappedCore(logging.Info, os.Stderr, logging.Plain.ConsoleEncoder())
	log := logging.NewLogger("", core)
	if err := network.EnsureDefaultConfig(ctx, log); err != nil {
		return err
	}
	for _, node := range network.Nodes {
		if err := network.EnsureNodeConfig(node); err != nil {
			return err
		}
	}
	first := network.Nodes[0]
	first.Flags[config.SybilProtectionEnabledKey] = "false"
	if err := network.StartNodes(ctx, log, first); err != nil {
		return err
	}
	defer func() {
		// Also when it was interrupted, or the node would stay.
		stopping, cancel := context.WithTimeout(context.Background(), changeWithin)
		defer cancel()
		err = errors.Join(err, first.Stop(stopping))
	}()
	return network.CreateSubnets(ctx, log, first, false)
}

func writeNetwork(folder string, plan *plan, network *tmpnet.Network) error {
	subnet := network.Subnets[0]
	description := &description{
		NetworkID:    network.GetNetworkID(),
		SubnetID:     subnet.SubnetID,
		BlockchainID: subnet.Chains[0].ChainID,
	}
	for place, validator := range plan.Validators {
		description.Validators = append(description.Validators, member{validator, network.Nodes[place].NodeID})
	}
	if err := writeJSON(filepath.Join(folder, primaryGenesisFile), network.Genesis); err != nil {
		return err
	}
	aliases := map[string][]string{description.BlockchainID.String(): {chainName}}
	if err := writeJSON(filepath.Join(folder, aliasesFile), aliases); err != nil {
		return err
	}
	for place, node := range network.Nodes {
		if err := writeValidator(folder, plan, description, description.Validators[place], node.Flags); err != nil {
			return fmt.Errorf("validator %s: %w", plan.Validators[place].Name, err)
		}
	}
	return writeJSON(filepath.Join(folder, networkFile), description)
}
