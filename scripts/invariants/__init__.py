"""The forge invariant tests (tests/forge): runs them, and reads what they have covered."""
