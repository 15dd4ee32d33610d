package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/ava-labs/avalanchego/genesis"
	"github.com/ava-labs/avalanchego/ids"
	"github.com/ava-labs/avalanchego/tests/fixture/tmpnet"
	"github.com/ava-labs/avalanchego/utils/constants"
	"github.com/ava-labs/avalanchego/utils/units"
	"github.com/ava-labs/avalanchego/vms/platformvm"
	"github.com/ava-labs/avalanchego/vms/platformvm/reward"
	"github.com/ava-labs/avalanchego/vms/platformvm/txs"
	"github.com/ava-labs/avalanchego/vms/secp256k1fx"
	"github.com/ava-labs/avalanchego/wallet/subnet/primary"
	"github.com/ava-labs/avalanchego/wallet/subnet/primary/common"
)

const pollInterval = 200 * time.Millisecond

var errNobodyAnswers = errors.New("no validator of the network answers: start it first")

// addValidator writes keys and configuration of a validator of the plan that the network does not have yet, and admits
// it to the network and to the chain. It validates as soon as its process runs and has caught up.
func addValidator(ctx context.Context, folder, name string) error {
	plan, network, err := readBoth(folder)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(network.Validators, named(name)) {
		return fmt.Errorf("%s validates already", name)
	}
	place := slices.IndexFunc(plan.Validators, func(each validator) bool { return each.Name == name })
	if place < 0 {
		return fmt.Errorf("the plan has no validator %s", name)
	}
	uri, err := answering(ctx, network)
	if err != nil {
		return err
	}
	node := tmpnet.NewNodesOrPanic(1)[0]
	joined := member{plan.Validators[place], node.NodeID}
	if err := writeValidator(folder, plan, network, joined, node.Flags); err != nil {
		return err
	}
	if err := admit(ctx, folder, uri, network, node); err != nil {
		return err
	}
	network.Validators = append(network.Validators, joined)
	if err := awaitMembership(ctx, uri, network.SubnetID, joined.NodeID, true); err != nil {
		return err
	}
	return writeJSON(filepath.Join(folder, networkFile), network)
}

// admit has a node stake on the primary network, as every validator of a chain must, and validate the chain.
func admit(ctx context.Context, folder, uri string, network *description, node *tmpnet.Node) error {
	wallet, err := openWallet(ctx, folder, uri, network)
	if err != nil {
		return err
	}
	proof, err := node.GetProofOfPossession()
	if err != nil {
		return err
	}
	rewards := &secp256k1fx.OutputOwners{Threshold: 1, Addrs: []ids.ShortID{wallet.owner}}
	terms := genesis.GetStakingConfig(network.NetworkID)
	// A minute for the transactions to be taken in: the second may not outlast the first.
	end := uint64(time.Now().Add(terms.MaxStakeDuration - time.Minute).Unix())
	staked := txs.Validator{NodeID: node.NodeID, End: end, Wght: terms.MinValidatorStake}
	_, err = wallet.P().IssueAddPermissionlessValidatorTx(
		&txs.SubnetValidator{Validator: staked, Subnet: constants.PrimaryNetworkID},
		proof, wallet.P().Builder().Context().AVAXAssetID, rewards, rewards, reward.PercentDenominator,
		common.WithContext(ctx),
	)
	if err != nil {
		return fmt.Errorf("the stake was refused: %w", err)
	}
	validating := txs.Validator{NodeID: node.NodeID, End: end, Wght: units.Schmeckle}
	_, err = wallet.P().IssueAddSubnetValidatorTx(
		&txs.SubnetValidator{Validator: validating, Subnet: network.SubnetID}, common.WithContext(ctx),
	)
	return err
}

// removeValidator ends a validator's part in the chain. Its stake on the primary network ends by itself.
func removeValidator(ctx context.Context, folder, name string) error {
	_, network, err := readBoth(folder)
	if err != nil {
		return err
	}
	place := slices.IndexFunc(network.Validators, named(name))
	if place < 0 {
		return fmt.Errorf("%s does not validate", name)
	}
	uri, err := answering(ctx, network)
	if err != nil {
		return err
	}
	wallet, err := openWallet(ctx, folder, uri, network)
	if err != nil {
		return err
	}
	leaving := network.Validators[place].NodeID
	if _, err := wallet.P().IssueRemoveSubnetValidatorTx(leaving, network.SubnetID, common.WithContext(ctx)); err != nil {
		return err
	}
	if err := awaitMembership(ctx, uri, network.SubnetID, leaving, false); err != nil {
		return err
	}
	network.Validators = slices.Delete(network.Validators, place, place+1)
	return writeJSON(filepath.Join(folder, networkFile), network)
}

type ownedWallet struct {
	*primary.Wallet
	owner ids.ShortID
}

func openWallet(ctx context.Context, folder, uri string, network *description) (*ownedWallet, error) {
	key, err := readOwner(folder)
	if err != nil {
		return nil, err
	}
	keys := secp256k1fx.NewKeychain(key)
	wallet, err := primary.MakeWallet(ctx, uri, keys, keys, primary.WalletConfig{SubnetIDs: []ids.ID{network.SubnetID}})
	return &ownedWallet{wallet, key.Address()}, err
}

func readBoth(folder string) (*plan, *description, error) {
	plan, err := readPlan(folder)
	if err != nil {
		return nil, nil, err
	}
	network := &description{}
	return plan, network, readJSON(filepath.Join(folder, networkFile), network)
}

func named(name string) func(member) bool {
	return func(each member) bool { return each.Name == name }
}

// answering is the address of the first validator that is in good health.
func answering(ctx context.Context, network *description) (string, error) {
	for _, each := range network.Validators {
		uri := fmt.Sprintf("http://127.0.0.1:%d", each.HTTPPort)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri+"/ext/health", nil)
		if err != nil {
			return "", err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			continue // that one is down; the next may answer
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return uri, nil
		}
	}
	return "", errNobodyAnswers
}

func awaitMembership(ctx context.Context, uri string, subnet ids.ID, node ids.NodeID, wanted bool) error {
	client := platformvm.NewClient(uri)
	for {
		validators, err := client.GetCurrentValidators(ctx, subnet, []ids.NodeID{node})
		if err != nil {
			return err
		}
		if (len(validators) > 0) == wanted {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}
