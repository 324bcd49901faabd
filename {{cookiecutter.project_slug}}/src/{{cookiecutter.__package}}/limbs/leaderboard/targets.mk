##@ models
leaderboard: .venv/ready ## the runs side by side; LAST=20
	@$(RUN) leaderboard $(if $(LAST),--last $(LAST))
.PHONY: leaderboard
