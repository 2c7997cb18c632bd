# The safety map's commands: each installs what it misses, and may be run again at any time.
.PHONY: demo install serve test prove lint bench down

demo: # load the demo city and serve it (SAFETYMAP_PORT, SAFETYMAP_CITY, SAFETYMAP_SIZE)
	@scripts/demo.sh

install: # install what is missing and make the empty store, without a demo (docs/own-city.md)
	@scripts/install.sh

serve: # serve the city of this installation in the background (SAFETYMAP_PORT)
	@scripts/serve.sh

test: # run the tests, as many files at once as there are cores, at most four; one that hangs fails and says where
	@scripts/test.sh -m "not slow" --timeout 600 --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

prove: # run the long proofs
	@scripts/test.sh -m slow

lint: # check style and types
	@scripts/lint.sh

bench: # print the ratios against named peers
	@scripts/bench.sh

down: # stop what `make demo` or `make serve` started
	@scripts/down.sh
