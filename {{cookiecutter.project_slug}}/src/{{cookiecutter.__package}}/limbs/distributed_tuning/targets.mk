# Machines that share a search: make tune ON=... MACHINES=4.
tune-home: .venv/ready ## bring home what machines have found so far; SEARCH= ON= MODEL= (make tune ON=... does it at its end)
	@$(RUN) tune-home --search "$(SEARCH)" --on "$(ON)" --model "$(MODEL)"
.PHONY: tune-home
