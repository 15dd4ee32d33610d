package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ava-labs/avalanchego/config"
	"github.com/ava-labs/avalanchego/ids"
	"github.com/ava-labs/avalanchego/utils/crypto/secp256k1"
)

// Names of the files are those of scripts/network/layout.py.
const (
	planFile           = "plan.json"
	networkFile        = "network.json"
	chainGenesisFile   = "chain-genesis.json"
	primaryGenesisFile = "primary-genesis.json"
	chainConfigFolder  = "chain-configs"
	aliasesFile        = "aliases.json"
	ownerKeyFile       = "owner.key"
	validatorsFolder   = "validators"
	nodeConfigFile     = "node.json"
)

// plan is what the caller wants; scripts/network/creation.py writes it.
type plan struct {
	Node       string      `json:"node"`
	Plugins    string      `json:"plugins"`
	NetworkID  uint32      `json:"network_id"`
	OpenFiles  int         `json:"open_files"`
	Validators []validator `json:"validators"`
}

type validator struct {
	Name        string `json:"name"`
	HTTPPort    int    `json:"http_port"`
	StakingPort int    `json:"staking_port"`
}

type member struct {
	validator
	NodeID ids.NodeID `json:"node_id"`
}

// description is what a network is; scripts/network/layout.py reads it.
type description struct {
	NetworkID    uint32   `json:"network_id"`
	SubnetID     ids.ID   `json:"subnet_id"`
	BlockchainID ids.ID   `json:"blockchain_id"`
	Validators   []member `json:"validators"`
}

func validatorFolder(folder, name string) string {
	return filepath.Join(folder, validatorsFolder, name)
}

func readPlan(folder string) (*plan, error) {
	read := &plan{}
	if err := readJSON(filepath.Join(folder, planFile), read); err != nil {
		return nil, err
	}
	if len(read.Validators) == 0 {
		return nil, errors.New("the plan names no validators")
	}
	return read, nil
}

// readOwner gives the key that admits and removes validators, from a file of 64 hex digits.
func readOwner(folder string) (*secp256k1.PrivateKey, error) {
	path := filepath.Join(folder, ownerKeyFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s is not hexadecimal: %w", path, err)
	}
	return secp256k1.ToPrivateKey(key)
}

// commonFlags are those of every node, during the creation and afterwards.
func commonFlags(plan *plan) map[string]string {
	return map[string]string{
		// A short chain's validators would else be looked up at a height where there were none.
		config.ProposerVMUseCurrentHeightKey:    "true",
		config.FdLimitKey:                       strconv.Itoa(plan.OpenFiles),
		config.LogLevelKey:                      "warn",
		config.LogDisplayLevelKey:               "error",
		config.AdminAPIEnabledKey:               "false",
		config.IndexEnabledKey:                  "false",
		config.HealthCheckFreqKey:               "1s",
		config.NetworkMaxReconnectDelayKey:      "1s",
		config.NetworkPeerListPullGossipFreqKey: "250ms",
	}
}

// writeValidator writes a validator's keys, each in a file of its own, and its node's configuration.
func writeValidator(folder string, plan *plan, network *description, member member, flags map[string]string) error {
	own := validatorFolder(folder, member.Name)
	if err := os.MkdirAll(own, 0o700); err != nil {
		return err
	}
	settings := commonFlags(plan)
	for _, each := range []struct{ content, path, file string }{
		{config.StakingTLSKeyContentKey, config.StakingTLSKeyPathKey, "staker.key"},
		{config.StakingCertContentKey, config.StakingCertPathKey, "staker.crt"},
		{config.StakingSignerKeyContentKey, config.StakingSignerKeyPathKey, "signer.key"},
	} {
		content, err := base64.StdEncoding.DecodeString(flags[each.content])
		if err != nil {
			return err
		}
		settings[each.path] = filepath.Join(own, each.file)
		if err := os.WriteFile(settings[each.path], content, 0o600); err != nil {
			return err
		}
	}
	settings[config.NetworkNameKey] = strconv.FormatUint(uint64(network.NetworkID), 10)
	settings[config.GenesisFileKey] = filepath.Join(folder, primaryGenesisFile)
	settings[config.ChainConfigDirKey] = filepath.Join(folder, chainConfigFolder)
	settings[config.ChainAliasesFileKey] = filepath.Join(folder, aliasesFile)
	settings[config.TrackSubnetsKey] = network.SubnetID.String()
	settings[config.DataDirKey] = own
	settings[config.PluginDirKey] = plan.Plugins
	settings[config.HTTPHostKey] = "127.0.0.1"
	settings[config.HTTPPortKey] = strconv.Itoa(member.HTTPPort)
	settings[config.PublicIPKey] = "127.0.0.1"
	settings[config.StakingHostKey] = "127.0.0.1"
	settings[config.StakingPortKey] = strconv.Itoa(member.StakingPort)
	addresses, identities := peersOf(network, member)
	settings[config.BootstrapIPsKey] = strings.Join(addresses, ",")
	settings[config.BootstrapIDsKey] = strings.Join(identities, ",")
	return writeJSON(filepath.Join(own, nodeConfigFile), settings)
}

func peersOf(network *description, of member) (addresses, identities []string) {
	for _, each := range network.Validators {
		if each.NodeID != of.NodeID {
			addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", each.StakingPort))
			identities = append(identities, each.NodeID.String())
		}
	}
	return addresses, identities
}

func readJSON(path string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file as a whole, so that nobody reads half of it.
func writeJSON(path string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
