##@ models
tune: .venv/ready ## search better settings: MODEL=boosting TRIALS=50; BUDGET=10m JOBS=2
	@$(RUN) $(if $(ON),tune-on $(RENT) $(if $(MACHINES),--machines $(MACHINES)),tune $(if $(BUDGET),--stop-after $(BUDGET)) $(if $(JOBS),--jobs $(JOBS))) $(if $(MODEL),--model $(MODEL)) $(if $(TRIALS),--trials $(TRIALS))
.PHONY: tune
