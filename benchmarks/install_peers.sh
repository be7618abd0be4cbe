#!/bin/sh
# Puts the libraries that the benchmarks compare with into build/peers, beside and not into the environment.
# Usage: PYTHON=.venv/bin/python benchmarks/install_peers.sh
set -eu
cd "$(dirname "$0")/.."
"${PYTHON:-python}" -m pip install --quiet --no-deps --target build/peers \
    cimba==0.9.6 statsmodels==0.14.6 patsy==1.0.2 pandas==3.1.1 or-gym-inventory==1.0.0
