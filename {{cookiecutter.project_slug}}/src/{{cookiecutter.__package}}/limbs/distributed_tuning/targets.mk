##@ renting
tune: ## one search on several machines: ON=aws MACHINES=4; and what make train ON= takes
tune-home: .venv/ready ### bring home what machines have found so far; SEARCH= ON= MODEL= (make tune ON=... does it at its end)
	@$(RUN) tune-home --search "$(SEARCH)" --on "$(ON)" --model "$(MODEL)"
.PHONY: tune-home
