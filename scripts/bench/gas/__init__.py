"""What the contracts cost: real transactions on a real node, gas from their receipts, beside two other designs.

`python -m scripts.bench.gas` writes docs/benchmarks/gas.json and docs/pictures/gas.png; `--snapshot` writes
tests/gas/snapshot.json. Gas does not depend on the machine: the same contracts and the same seed give the same figures.
"""
