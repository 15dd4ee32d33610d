"""The permissioned network: five validators of an Avalanche L1 with Subnet-EVM, built, started and supervised here."""
