# Thin and readable. Everything lives in .venv; nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= out/demo

.PHONY: help setup demo test check bench faults trials kpi upsets kills powercuts tampering network-faults fuzz soak scale models demonstration lock clean

help:
	@echo "make demo    set up and run a simulated two-hour shift; results in $(OUT)"
	@echo "make test    set up and run the tests"
	@echo "make check   lint, types, import contracts, house rules"
	@echo "make bench   speed side by side with peers: ratios into out/bench.json (five minutes; MODEL=FILE.py: your own)"
	@echo "make faults  47 kinds of spectral fault against the shipped soft sensor: out/faults/faults.json (a minute or two)"
	@echo "make trials  10 000 cycles of the closed loop under injected faults: out/trials.json (three minutes)"
	@echo "make kpi     the control table of the README: 11 scenarios, 5 controllers, 20 seeds (about an hour on 2 cores;"
	@echo "             interrupted, it goes on where it was; rm -r out/kpi to begin anew)"
	@echo "make upsets  1000 random upsets: what is released and what is diverted (about 40 minutes on 2 cores; goes on where it was)"
	@echo "make kills   2000 writers of the record killed at random instants: out/kills.json (five minutes)"
	@echo "make powercuts  1000 power cuts under the writer, on a disk that loses and tears what was not flushed:"
	@echo "             out/powercuts.json (two minutes)"
	@echo "make network-faults  500 faults of a real network between service and line (root; 40 minutes): out/network_faults.json"
	@echo "make tampering  10 000 bytes flipped and 15 other ways to change the record: out/tampering.json (a quarter of an hour)"
	@echo "make fuzz    everything that is read from outside, spoilt, for MINUTES (60): out/fuzz.json"
	@echo "make soak    the service for HOURS (1) with people, renewals and a bad network (root): out/soak.json"
	@echo "make scale   lines per box and tags per line, until a cycle is missed: out/scale.json (an hour)"
	@echo "make models  build the shipped soft sensor, the controller bundle and their demonstration registry again"
	@echo "make demonstration  the registry only, from the bundles as they are (four minutes)"

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@echo "==> virtual environment in .venv"
	@$(PYTHON) -m venv .venv
	@echo "==> installing the locked packages into it (about a minute, 0.9 GB)"
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input --only-binary=:all: --require-hashes -r requirements.lock
	@echo "==> installing patloop"
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input -q --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	$(BIN)/patloop demo --out $(OUT)

test: setup
	$(BIN)/python -m pytest -n 2

check: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/architecture

bench: setup
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m deploy.bench --out out/bench.json $(if $(MODEL),--model $(MODEL))

faults: setup
	$(BIN)/patloop hil blends --out out/faults --seed 77
	$(BIN)/patloop sensor challenge deploy/models/cdc_api_nir --spectra out/faults/spectra.csv \
	  --reference out/faults/reference.csv --target api_pct --accept 0.5 --most 240 --json out/faults/faults.json

trials: setup
	OMP_NUM_THREADS=1 $(BIN)/patloop hil trials deploy/lines/cdc_ref_1.toml --cycles 10000 --seed 1 --json out/trials.json

kpi: setup
	OMP_NUM_THREADS=1 $(BIN)/patloop bench deploy/lines/cdc_ref_1.toml --seeds 20 --hours 1.5 --jobs 2 --resume --out out/kpi --json out/kpi/kpi.json

upsets: setup
	OMP_NUM_THREADS=1 $(BIN)/patloop hil upsets deploy/lines/cdc_ref_1.toml --n 1000 --jobs 2 --resume --out out/upsets --json out/upsets/upsets.json

kills: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m deploy.crash.kills --count 2000 --out out/kills.json

powercuts: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m deploy.crash.powercuts --sessions 50 --out out/powercuts.json

network-faults: setup
	$(BIN)/python -m deploy.faults --faults 500 --wires 2 --json out/network_faults.json

tampering: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m deploy.tamper.campaign --flips 10000 --others 200 --out out/tampering.json

fuzz: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m deploy.fuzz --minutes $(or $(MINUTES),60) --json out/fuzz.json

soak: setup
	$(BIN)/python -m deploy.soak --hours $(or $(HOURS),1) --json out/soak.json

scale: setup
	$(BIN)/python -m deploy.scale --json out/scale.json

models: setup
	$(BIN)/patloop hil blends --out out/blends --seed 1
	$(BIN)/patloop sensor calibrate --spectra out/blends/spectra.csv --reference out/blends/reference.csv \
	  --target api_pct --group blend --unit '% w/w' --out deploy/models/cdc_api_nir
	$(BIN)/patloop control build deploy/lines/cdc_ref_1.toml --out deploy/models/cdc_mpc
	$(MAKE) demonstration

demonstration: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m deploy.demonstration deploy/models/cdc_api_nir deploy/lines/cdc_ref_1.toml \
	  --controller deploy/models/cdc_mpc

lock:
	@command -v uv >/dev/null || { echo "uv is needed to make the lock files: pip install uv"; exit 2; }
	uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --generate-hashes --no-header --no-annotate --extra dev pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --generate-hashes --no-header --no-annotate --extra hmi --extra systems pyproject.toml -o deploy/requirements-box.lock

clean:
	rm -rf .venv out
