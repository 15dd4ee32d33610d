"""Static analysis, symbolic and mutation tests of the contracts; their tools have an environment of their own."""
