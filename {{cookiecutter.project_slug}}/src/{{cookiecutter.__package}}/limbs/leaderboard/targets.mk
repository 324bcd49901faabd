leaderboard: .venv/ready ## the runs side by side
	@$(RUN) leaderboard $(if $(LAST),--last $(LAST))
.PHONY: leaderboard
