// The launcher writes what a new network of validators consists of, and changes who validates it.
//
//	launcher create FOLDER                 a network from FOLDER/plan.json; its nodes are not running afterwards
//	launcher add-validator FOLDER NAME     the owner admits a validator whose keys and configuration are written
//	launcher remove-validator FOLDER NAME  the owner removes a validator
//
// Processes are started and watched elsewhere (scripts/network/validators.py).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	createWithin = 3 * time.Minute
	changeWithin = 2 * time.Minute
)

var errUsage = errors.New("usage: launcher create FOLDER | add-validator FOLDER NAME | remove-validator FOLDER NAME")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) == 2 && arguments[0] == "create" {
		ctx, cancel := context.WithTimeout(ctx, createWithin)
		defer cancel()
		return create(ctx, arguments[1])
	}
	if len(arguments) != 3 {
		return errUsage
	}
	ctx, cancel := context.WithTimeout(ctx, changeWithin)
	defer cancel()
	switch arguments[0] {
	case "add-validator":
		return addValidator(ctx, arguments[1], arguments[2])
	case "remove-validator":
		return removeValidator(ctx, arguments[1], arguments[2])
	}
	return errUsage
}
