tune: .venv/ready ## search better settings; MODEL=boosting TRIALS=50 BUDGET=10m JOBS=2
	@$(RUN) tune $(if $(MODEL),--model $(MODEL)) $(if $(TRIALS),--trials $(TRIALS)) $(if $(BUDGET),--stop-after $(BUDGET)) $(if $(JOBS),--jobs $(JOBS))
.PHONY: tune
